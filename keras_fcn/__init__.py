"""Fully convolutional networks for Keras, trained on your masks and deployed.

Importing the package registers every class that a `.keras` file of ours names.
"""

from keras_fcn import backbones, callbacks, initializers, layers, losses, metrics, weights
from keras_fcn.labels import LabelSpec
from keras_fcn.models import FCN, FCN4s, FCN8s, FCN8sAtOnce, FCN16s, FCN32s

__version__ = "0.2.0"

__all__ = [
    "FCN",
    "FCN4s",
    "FCN8s",
    "FCN8sAtOnce",
    "FCN16s",
    "FCN32s",
    "LabelSpec",
    "backbones",
    "callbacks",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "weights",
]
