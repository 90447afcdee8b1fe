"""SIFT Flow: outdoor scenes in 33 semantic and 3 geometric classes."""
