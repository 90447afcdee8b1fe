"""NYU Depth V2: indoor scenes with depth, in 40 or 13 classes."""
