"""Layers for images of any size, for their normalization, and those that AlexNet needs."""

from keras_fcn.layers.cropping import CropLike
from keras_fcn.layers.grouped_convolution import GroupedConv2D
from keras_fcn.layers.lrn import LocalResponseNormalization
from keras_fcn.layers.normalization import ImageNormalization
from keras_fcn.layers.padding import PadToStride
from keras_fcn.layers.upsampling import BilinearUpsampling

__all__ = [
    "BilinearUpsampling",
    "CropLike",
    "GroupedConv2D",
    "ImageNormalization",
    "LocalResponseNormalization",
    "PadToStride",
]
