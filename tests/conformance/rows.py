"""The table: every layer, loss, metric and network that the conformance tests run.

A new one gets a row here and is then checked for every property.
"""

import keras
import numpy as np
from helpers import TAPS, tiny_layers, tiny_model  # tests/helpers.py: see check.py
from keras import layers

import keras_fcn
from keras_fcn.backbones import VGG16, AlexNet, GoogLeNet, SmallResNet, TappedModel
from keras_fcn.backbones.blocks import ceil_pool
from keras_fcn.initializers import Bilinear
from keras_fcn.layers import (
    CropLike,
    GroupedConv2D,
    ImageNormalization,
    LocalResponseNormalization,
    PadToStride,
)
from keras_fcn.losses import PixelwiseCrossentropy
from keras_fcn.metrics import SegmentationMetrics

NUM_CLASSES = 3


def on_images(layer):
    """A model of one layer that takes images."""
    images = keras.Input((None, None, 3))
    return keras.Model(images, layer(images))


def cropping():
    images = keras.Input((None, None, 3))
    return keras.Model(images, CropLike(2)([layers.ZeroPadding2D(2)(images), images]))


def upsampling(kernel_size):
    return on_images(
        layers.Conv2DTranspose(
            3, kernel_size, 4, padding="same", use_bias=False, kernel_initializer=Bilinear()
        )
    )


def network(variant, **options):
    if "backbone" not in options:
        options["backbone"] = TappedModel(tiny_layers(), taps=TAPS, fc_filters=4)
    return tiny_model(NUM_CLASSES, variant=variant, scale=1.0, **options)


def compiled(loss):
    """A network that is saved together with its loss and metric."""
    model = network(keras_fcn.FCN8s)
    model.compile("sgd", loss, metrics=[SegmentationMetrics(NUM_CLASSES)])
    return model


ROWS = {
    "PadToStride": lambda: on_images(PadToStride(8)),
    "CropLike": cropping,
    "ImageNormalization-caffe": lambda: on_images(ImageNormalization("caffe")),
    "ImageNormalization-tf": lambda: on_images(ImageNormalization("tf")),
    "ImageNormalization-torch": lambda: on_images(ImageNormalization("torch")),
    "LocalResponseNormalization": lambda: on_images(LocalResponseNormalization()),
    "GroupedConv2D": lambda: on_images(GroupedConv2D(6, 5, groups=3, padding="same")),
    "ceil_pool": lambda: on_images(lambda x: ceil_pool(PadToStride(8)(x), "pool")),
    "Bilinear-even": lambda: upsampling(8),
    "Bilinear-odd": lambda: upsampling(7),
    "PixelwiseCrossentropy-mean": lambda: compiled(PixelwiseCrossentropy()),
    "PixelwiseCrossentropy-per_image": lambda: compiled(
        PixelwiseCrossentropy(reduction="per_image")
    ),
    "PixelwiseCrossentropy-sum": lambda: compiled(
        PixelwiseCrossentropy(reduction="sum", class_weights=[1, 2, 3])
    ),
    "FCN32s": lambda: network(keras_fcn.FCN32s),
    "FCN16s": lambda: network(keras_fcn.FCN16s, upsampling="inner"),
    "FCN8s": lambda: network(keras_fcn.FCN8s, upsampling="learned"),
    "FCN8s-odd-kernels": lambda: network(keras_fcn.FCN8s, upsampling_kernel="2f-1"),
    "FCN8s-vgg16": lambda: network(keras_fcn.FCN8s, backbone=VGG16(fc_filters=4)),
    "FCN8s-small_resnet": lambda: network(keras_fcn.FCN8s, backbone=SmallResNet(fc_filters=4)),
}
# For `-m full`, on JAX alone: it compiles each of 57 convolutions.
LARGE_ROWS = {
    "FCN8s-googlenet": lambda: network(
        keras_fcn.FCN8s, backbone=GoogLeNet(alpha=0.1, fc_filters=4)
    ),
    "FCN16s-alexnet": lambda: network(keras_fcn.FCN16s, backbone=AlexNet(alpha=0.1, fc_filters=4)),
}

SIZES = ((1, 1), (33, 47), (64, 64))


def images(height, width):
    rng = np.random.default_rng(height * 1000 + width)
    return rng.integers(0, 256, size=(2, height, width, 3)).astype("float32")


def labels(height, width):
    rng = np.random.default_rng(height * 1000 + width)
    return rng.choice([0, 1, 2, 255], size=(2, height, width)).astype("uint8")
