"""What the backbones take of the images: each modality normalized, and padded to fit."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import get_args

import keras
from keras import KerasTensor, layers

from keras_fcn.backbones import Backbone, TappedModel
from keras_fcn.layers import ImageNormalization, PadToStride
from keras_fcn.layers.normalization import CAFFE_MEAN_BGR
from keras_fcn.modalities import MODALITIES, Fusion, num_channels

InputShape = Sequence[int | None]
MAX_STRIDE = 32


def complete_shape(
    input_shape: InputShape | None, modalities: Sequence[str]
) -> tuple[int | None, int | None, int]:
    """Returns height, width and channels: by default those of any image of all modalities.

    Raises:
        ValueError: If the shape is not one of images, or a modality is unknown.
    """
    channels = num_channels(modalities) if modalities else 3
    if input_shape is None:
        return (None, None, channels)
    if len(input_shape) != 3 or not input_shape[2] or (modalities and input_shape[2] != channels):
        wanted = str(channels) if modalities else "channels"
        raise ValueError(
            f"`input_shape` must be (height, width, {wanted}), with None for a size that varies. "
            f"Received: input_shape={tuple(input_shape)}."
        )
    height, width, _ = input_shape
    return (height, width, input_shape[2])


def check_fusion(fusion: str, modalities: Sequence[str], backbone: Backbone) -> None:
    """Raises ValueError if the modalities cannot be fused so."""
    if fusion not in get_args(Fusion):
        raise ValueError(f'`fusion` must be "early" or "late". Received: {fusion!r}.')
    if fusion == "late" and (len(modalities) < 2 or isinstance(backbone, TappedModel)):
        raise ValueError(
            '`fusion="late"` builds a backbone for each of two or more `modalities`, which a '
            "TappedModel, whose layers exist once, cannot be. Received: "
            f"modalities={tuple(modalities)}, backbone={backbone.name!r}."
        )


def normalize(
    images: KerasTensor, modalities: Sequence[str], fusion: Fusion, backbone: Backbone
) -> dict[str, KerasTensor]:
    """Returns what the backbone takes: one tensor, or with late fusion one per modality.

    Args:
        images: All modalities, one after the other along the channels.
        modalities: Names in `MODALITIES`; none for images of any other kind.
        fusion: `"early"`: one backbone takes them all. `"late"`: each has its own.
        backbone: Names the normalization and the mean, if they are not the defaults.

    Returns:
        The normalized images by the suffix of the layers that take them.

    Raises:
        ValueError: If the backbone has pretrained weights, but for these images no normalization.
    """
    mode = backbone.normalization or backbone.trained_with
    mean = backbone.mean
    if not modalities:
        is_rgb = images.shape[-1] == 3
        if not is_rgb and backbone.normalization is None:
            if backbone.weights:
                raise ValueError(
                    "With `weights` of the backbone and other images than RGB, its `normalization` "
                    '("standardize", with the `mean` and `deviation` of each band) or `modalities` '
                    "must be given, because the weights expect colors of a certain "
                    f"range. Received: weights={backbone.weights!r}."
                )
            mode = "none"
        default = () if mode == "standardize" else CAFFE_MEAN_BGR
        layer = ImageNormalization(
            mode, mean or default, is_rgb, backbone.deviation or (), name="normalization"
        )
        return {"": layer(images)}

    normalized = {}
    for name, start, end in _channels_of(modalities):
        modality = MODALITIES[name]
        normalized[name] = ImageNormalization(
            "log" if modality.log else mode,
            modality.mean if mean is None else mean[start:end],
            modality.flip,
            name=_normalization_name(name, modalities),
        )(images[..., start:end])
    if fusion == "late":
        return normalized
    if len(normalized) == 1:
        return {"": normalized[modalities[0]]}
    return {"": layers.Concatenate(name="modalities")(list(normalized.values()))}


def pad(images: KerasTensor, border: int, suffix: str) -> KerasTensor:
    """Returns images with a border around them or, for 0, padded to a multiple of the stride."""
    if border:
        return layers.ZeroPadding2D(border, name=f"pad{suffix}")(images)
    return PadToStride(MAX_STRIDE, name=f"pad{suffix}")(images)


def set_mean(model: keras.Model, modalities: Sequence[str], mean: Sequence[float]) -> None:
    """Changes the mean that a built network subtracts from its images."""
    if not modalities:
        model.get_layer("normalization").mean = tuple(mean)
    for name, start, end in _channels_of(modalities):
        model.get_layer(_normalization_name(name, modalities)).mean = tuple(mean[start:end])


def _channels_of(modalities: Sequence[str]) -> list[tuple[str, int, int]]:
    """Returns each modality with its first channel and the one after its last."""
    counts = [num_channels([name]) for name in modalities]
    bounds = pairwise(accumulate(counts, initial=0))
    return [(name, start, end) for name, (start, end) in zip(modalities, bounds, strict=True)]


def _normalization_name(modality: str, modalities: Sequence[str]) -> str:
    return f"normalization{modality}" if len(modalities) > 1 else "normalization"
