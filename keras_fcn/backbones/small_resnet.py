"""A small residual network of ours, for training from random weights in minutes."""

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
from keras import KerasTensor, layers

from keras_fcn.backbones.applications import Constructor, ScalableApplication, Taps
from keras_fcn.layers.normalization import NormalizationMode

# Filters of the stages at strides 4, 8, 16 and 32, after a stem of 24 at stride 2.
STEM_FILTERS = 24
STAGE_FILTERS = (48, 96, 128, 160)


def small_resnet(
    include_top: bool = False,
    weights: str | None = None,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    alpha: float = 1.0,
) -> keras.Model:
    """Returns the network; called like those of `keras.applications`.

    Args:
        include_top: Must be False; there is no classifier.
        weights: `None`, or a file of weights of this network.
        input_shape: `(height, width, channels)`.
        alpha: Width multiplier.

    Raises:
        ValueError: If `include_top` is set, or `weights` is `"imagenet"`.
    """
    if include_top or weights == "imagenet":
        raise ValueError(
            "small_resnet has neither a classifier nor ImageNet weights. Leave the weights out, "
            "or take another backbone."
        )
    images = keras.Input(input_shape)
    x = _convolution(images, round(alpha * STEM_FILTERS), "s2_1", strides=2)
    x = layers.ReLU(name="s2")(x)
    for filters, stride in zip(STAGE_FILTERS, (4, 8, 16, 32), strict=True):
        x = _stage(x, round(alpha * filters), f"s{stride}")
    model = keras.Model(images, x, name="small_resnet")
    if weights is not None:
        model.load_weights(weights)
    return model


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class SmallResNet(ScalableApplication):
    """A network of nine 3x3 convolutions, for training from random weights in minutes.

    There are no published weights for it. It is for datasets of a kind that ImageNet
    does not help with, and for machines that cannot download weights: plain
    convolutions learn from scratch where depthwise ones hardly begin to.
    `alpha` is its width multiplier.
    """

    taps: Taps = ("s4", "s8", "s16", "s32")
    fc_filters: int = 128

    name: ClassVar[str] = "small_resnet"
    trained_with: ClassVar[NormalizationMode] = "tf"
    constructor: ClassVar[Constructor] = staticmethod(small_resnet)


def _stage(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    """Halves the size, and adds a second convolution to the first one's features."""
    x = layers.ReLU()(_convolution(x, filters, f"{name}_1", strides=2))
    return layers.ReLU(name=name)(layers.Add()([x, _convolution(x, filters, f"{name}_2")]))


def _convolution(x: KerasTensor, filters: int, name: str, **options: Any) -> KerasTensor:
    # Names of our own: by those that Keras counts up, two networks would have no layer in common.
    x = layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
        **options,
    )(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)
