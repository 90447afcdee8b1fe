"""Feature extractors: normalized images in, features at strides 8, 16 and 32 out.

`BACKBONES` is the table of those that `FCN8s(backbone=...)` knows by name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
from keras import KerasTensor

from keras_fcn.backbones.alexnet import alexnet
from keras_fcn.backbones.applications import Taps, application, tapped
from keras_fcn.backbones.googlenet import googlenet
from keras_fcn.backbones.small_resnet import small_resnet
from keras_fcn.backbones.vgg import VGG16_BLOCKS, VGG19_BLOCKS, vgg
from keras_fcn.layers.normalization import NormalizationMode

__all__ = ["BACKBONES", "Backbone", "Taps", "application", "backbone_names", "tapped"]


@dataclass(frozen=True)
class Backbone:
    """What a name in `backbone=` stands for: a layout of ours, or a network of Keras.

    Args:
        normalization: The `ImageNormalization` mode it was trained with.
        fc_filters: Default width of the convolutions before the coarsest score.
        dropout: Default dropout before the coarsest score.
        has_alpha: Whether it has a width multiplier.
        constructor: A class in `keras.applications`, or a function called alike,
            also the source of ImageNet weights.
        taps: Layers of it whose outputs are the features at strides 8, 16 and
            32; `None` is the output of the network.
        options: Further arguments of the constructor.
        layout: For the networks of the papers, which are laid out here layer
            by layer: the function that does so.
        min_border: The narrowest border that the layout works with in the reference's
            geometry; 0 if it has none there.
        centerd: Whether, without a border, its features lie on the middle of
            the pixels that they stand for.
        upsampling_kernel: Size of the upsampling kernels for a factor f, by default.
        removed_pooling: Window of the pooling after the last features that the
            classifier has and the network does not.
    """

    normalization: NormalizationMode = "none"
    fc_filters: int = 256
    dropout: float = 0.1
    has_alpha: bool = False
    constructor: Callable[..., keras.Model] | None = None
    taps: Taps = (None, None, None)
    options: dict[str, Any] = field(default_factory=dict)
    layout: Callable[..., dict[str, KerasTensor]] | None = None
    min_border: int = 0
    centerd: bool = True
    upsampling_kernel: str = "2f"
    removed_pooling: int = 0


_applications = keras.applications
_RAW = {"include_preprocessing": False}


def _vgg(constructor: Callable[..., keras.Model], blocks: tuple[int, ...]) -> Backbone:
    return Backbone(
        "caffe",
        fc_filters=4096,
        dropout=0.5,
        has_alpha=True,
        constructor=constructor,
        layout=partial(vgg, blocks=blocks),
        # The narrowest that scores every image of 32 pixels and more.
        min_border=82,
    )


def _alexnet(normalization: NormalizationMode, layout: Callable[..., Any]) -> Backbone:
    return Backbone(
        normalization,
        fc_filters=4096,
        dropout=0.5,
        has_alpha=True,
        layout=layout,
        # From 85 on it scores every image of 64 pixels and more.
        min_border=82,
        # Its pools are 3 pixels wide: with kernels of 2f the crops would be half pixels.
        centerd=False,
        upsampling_kernel="2f-1",
    )


BACKBONES: dict[str, Backbone] = {
    "vgg16": _vgg(_applications.VGG16, VGG16_BLOCKS),
    "vgg19": _vgg(_applications.VGG19, VGG19_BLOCKS),
    "alexnet": _alexnet("caffe", alexnet),
    "alexnet_torchvision": _alexnet("torch", partial(alexnet, torchvision=True)),
    "googlenet": Backbone(
        "caffe",
        fc_filters=0,
        dropout=0.4,
        has_alpha=True,
        layout=googlenet,
        min_border=3,
        centerd=False,
        upsampling_kernel="2f-1",
        removed_pooling=7,
    ),
    # With pools of 3 and of 2 pixels no size of kernels puts all strides on the same pixels;
    # its features lie within 4 pixels of where they are taken to lie.
    "googlenet_torchvision": Backbone(
        "tf",
        fc_filters=0,
        dropout=0.2,
        has_alpha=True,
        layout=partial(googlenet, torchvision=True),
    ),
    "resnet50": Backbone(
        "caffe",
        constructor=_applications.ResNet50,
        taps=("conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
    ),
    "small_resnet": Backbone(
        "tf", fc_filters=128, has_alpha=True, constructor=small_resnet, taps=("s8", "s16", "s32")
    ),
    "mobilenet": Backbone(
        "tf",
        has_alpha=True,
        constructor=_applications.MobileNet,
        taps=("conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"),
    ),
    "mobilenet_v2": Backbone(
        "tf",
        has_alpha=True,
        constructor=_applications.MobileNetV2,
        taps=("block_6_expand_relu", "block_13_expand_relu", "out_relu"),
    ),
    "mobilenet_v3_small": Backbone(
        "tf",
        has_alpha=True,
        constructor=_applications.MobileNetV3Small,
        taps=("expanded_conv_2_add", "expanded_conv_7_add", None),
        options=_RAW,
    ),
    "mobilenet_v3_large": Backbone(
        "tf",
        has_alpha=True,
        constructor=_applications.MobileNetV3Large,
        taps=("expanded_conv_5_add", "expanded_conv_11_add", None),
        options=_RAW,
    ),
    "efficientnet_v2_b0": Backbone(
        "torch",
        constructor=_applications.EfficientNetV2B0,
        taps=("block4a_expand_activation", "block6a_expand_activation", "top_activation"),
        options=_RAW,
    ),
    "convnext_tiny": Backbone(
        "torch",
        constructor=_applications.ConvNeXtTiny,
        taps=(
            "convnext_tiny_stage_1_block_2_identity",
            "convnext_tiny_stage_2_block_8_identity",
            None,
        ),
        options=_RAW,
    ),
    "densenet121": Backbone(
        "torch",
        constructor=_applications.DenseNet121,
        taps=("pool3_relu", "pool4_relu", "relu"),
    ),
}


def backbone_names() -> tuple[str, ...]:
    """Returns the names that `backbone=` accepts.

    >>> backbone_names()[:3]
    ('vgg16', 'vgg19', 'alexnet')
    """
    return tuple(BACKBONES)
