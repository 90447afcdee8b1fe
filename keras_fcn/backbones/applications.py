"""The backbones of keras.applications, and those that users bring, by the names of their taps."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import KerasTensor

from keras_fcn.weights.streams import extend_input_channels

STRIDES = {"P3": 8, "P4": 16, "P5": 32}
Taps = tuple[str | None, str | None, str | None]


def application(
    constructor: Callable[..., keras.Model],
    alpha: float | None = None,
    weights: str | None = None,
    num_channels: int = 3,
    **options: Any,
) -> keras.Model:
    """Returns a network of `keras.applications` without its classifier, for images of any size.

    Args:
        constructor: Such as `keras.applications.ResNet50`.
        alpha: Width multiplier of the MobileNets; `None` for the constructor's own.
        weights: `None`, `"imagenet"` (downloaded by Keras) or a file of weights.
        num_channels: Number of channels of the images. Further ones than colors
            start as their mean, see `extend_input_channels`.
        **options: Further arguments of the constructor.

    Raises:
        ValueError: If the file of weights does not exist or does not fit.
    """
    if num_channels != 3 and weights is not None:
        colors = application(constructor, alpha, weights, **options)
        return _extended(colors, application(constructor, alpha, None, num_channels, **options))
    if alpha is not None:
        options["alpha"] = alpha
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise ValueError(
            f'`backbone_weights` must be None, "imagenet" or an existing file. Received: {weights}.'
        )
    try:
        with warnings.catch_warnings():
            # The MobileNets remark that they take their weights for 224x224 for any size.
            warnings.filterwarnings("ignore", message=".*`input_shape` is undefined or non-square")
            warnings.filterwarnings("ignore", message=".*usually expects 1 or 3 input channels")
            return constructor(
                include_top=False,
                weights=weights,
                input_shape=(None, None, num_channels),
                **options,
            )
    except (ValueError, OSError, KeyError) as error:
        if weights in (None, "imagenet"):
            raise
        raise ValueError(
            f"{weights} does not hold the weights of {constructor.__name__} without its top"
            f"{'' if alpha is None else f' at alpha={alpha}'}. "
            f"Keras says: {str(error).splitlines()[0]}"
        ) from error


def _extended(colors: keras.Model, model: keras.Model) -> keras.Model:
    for source, target in zip(colors.layers, model.layers, strict=True):
        target.set_weights(
            [
                old if old.shape == new.shape else extend_input_channels(old, new.shape[2])
                for old, new in zip(source.get_weights(), target.get_weights(), strict=True)
            ]
        )
    return model


def tapped(model: keras.Model, taps: Taps, suffix: str = "") -> keras.Model:
    """Returns a model with the outputs `{"P3", "P4", "P5"}` of three layers of `model`.

    Args:
        model: A functional model, images in, any outputs.
        taps: Names of the layers at strides 8, 16 and 32; `None` for the
            output of the model.
        suffix: Appended to the name of the model.

    Raises:
        ValueError: If a layer does not exist, or has another stride.
    """
    outputs = {
        level: model.output if tap is None else _layer_output(model, tap)
        for level, tap in zip(STRIDES, taps, strict=True)
    }
    features = keras.Model(model.input, outputs, name=model.name + suffix)
    _check_strides(features, taps)
    return features


def _layer_output(model: keras.Model, name: str) -> KerasTensor:
    names = [layer.name for layer in model.layers]
    if name not in names:
        close = [n for n in names if any(part in n for part in name.split("_"))] or names
        raise ValueError(
            f"`taps` names the layer {name!r}, which {model.name!r} does not have. "
            f"Some that it has: {', '.join(close[-12:])}."
        )
    return model.get_layer(name).output


def _check_strides(features: keras.Model, taps: tuple[str | None, ...]) -> None:
    channels = features.inputs[0].shape[-1]
    shapes = features.compute_output_shape((1, 64, 64, channels))
    for (level, stride), tap in zip(STRIDES.items(), taps, strict=True):
        if tuple(shapes[level][1:3]) != (64 // stride, 64 // stride):
            raise ValueError(
                f"The tap {tap or 'output'!r} for {level} must have stride {stride}: a 64x64 image "
                f"should give {64 // stride}x{64 // stride} features, padded as with "
                f'`padding="same"`. Received: {shapes[level][1]}x{shapes[level][2]}.'
            )
