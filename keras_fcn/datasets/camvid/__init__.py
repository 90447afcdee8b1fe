"""CamVid: street scenes in 11 classes."""
