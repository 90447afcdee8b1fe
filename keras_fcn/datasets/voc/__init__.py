"""PASCAL VOC segmentation: 20 kinds of objects and the background."""
