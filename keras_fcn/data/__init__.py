"""Pixels: reading images, augmenting pairs of image and label, batches."""
