"""PASCAL-Context: all pixels of PASCAL VOC 2010, in 59, 60 or 33 classes."""
