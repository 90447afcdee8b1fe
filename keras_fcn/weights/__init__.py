"""Weights from elsewhere: classifiers, published networks, coarser networks, other libraries."""

from keras_fcn.weights.adapt import extend_input_channels, widen_to_bands
from keras_fcn.weights.imagenet import convolutionalize
from keras_fcn.weights.loading import load
from keras_fcn.weights.streams import fuse_streams
from keras_fcn.weights.transfer import TransferReport, transfer

__all__ = [
    "TransferReport",
    "convolutionalize",
    "extend_input_channels",
    "fuse_streams",
    "load",
    "transfer",
    "widen_to_bands",
]
