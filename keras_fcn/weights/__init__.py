"""Weights from elsewhere: classifiers, coarser networks, Caffe and PyTorch files."""

from keras_fcn.weights.imagenet import convolutionalize
from keras_fcn.weights.streams import extend_input_channels, fuse_streams
from keras_fcn.weights.transfer import TransferReport, transfer

__all__ = [
    "TransferReport",
    "convolutionalize",
    "extend_input_channels",
    "fuse_streams",
    "transfer",
]
