"""What the arguments of `FCN` must be, and what they are where they are left out."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import keras

from keras_fcn.backbones import BACKBONES, Backbone, Taps, backbone_names
from keras_fcn.labels import Labels, LabelSpec, check_num_classes
from keras_fcn.modalities import Fusion, num_channels
from keras_fcn.models.decoder import Upsampling

NumClasses = int | Mapping[str, int]
InputShape = Sequence[int | None]
GEOMETRIES = ("same", "reference")
REFERENCE_BORDER = 100


def labels_by_head(num_classes: NumClasses, labels: Labels | None) -> dict[str, LabelSpec]:
    """Returns the labels of each head; a single head has no name."""
    if not isinstance(num_classes, Mapping):
        check_num_classes(num_classes)
        return {"": _check_labels(num_classes, labels, "`labels`")}
    if not num_classes or not all(str(name).isidentifier() for name in num_classes):
        raise ValueError(
            "The heads in `num_classes` must have names of letters, digits and _, such as "
            f'{{"semantic": 33, "geometric": 3}}. Received: num_classes={dict(num_classes)}.'
        )
    if labels is None:
        labels = {}
    elif not isinstance(labels, Mapping) or set(labels) != set(num_classes):
        raise ValueError(
            f"`labels` must be a dictionary with the heads {', '.join(num_classes)}. "
            f"Received: {', '.join(labels) if isinstance(labels, Mapping) else labels}."
        )
    for number in num_classes.values():
        check_num_classes(number)
    return {
        name: _check_labels(number, labels.get(name), f"`labels` of {name!r}")
        for name, number in num_classes.items()
    }


def _check_labels(num_classes: int, labels: Any, argument: str) -> LabelSpec:
    if labels is None:
        return LabelSpec.numbered(num_classes)
    if not isinstance(labels, LabelSpec):
        raise ValueError(f"{argument} must be a LabelSpec. Received: {labels!r}.")
    if labels.num_classes != num_classes:
        raise ValueError(
            f"{argument} must name {num_classes} classes (`num_classes`). "
            f"Received: {labels.num_classes} names."
        )
    return labels


def find_backbone(
    backbone: str | keras.Model, taps: Taps | None, alpha: float | None, *, geometry: str
) -> Backbone:
    """Returns the row of the table; for a model of the user's, one with its taps."""
    if isinstance(backbone, keras.Model):
        if taps is None or len(taps) != 3:
            raise ValueError(
                "`taps` must name the layers of the backbone at strides 8, 16 and 32, such as "
                f'taps=("block3", "block4", "block5"). Received: taps={taps}.'
            )
        entry = Backbone(taps=taps)
    elif backbone not in BACKBONES:
        raise ValueError(
            f"`backbone` must be a keras.Model or one of {', '.join(backbone_names())}. "
            f"Received: backbone={backbone!r}."
        )
    elif taps is not None:
        raise ValueError(
            f"`taps` is for a keras.Model as backbone; {backbone!r} has its own. Leave it out."
        )
    else:
        entry = BACKBONES[backbone]
    if alpha is not None and not entry.has_alpha:
        with_alpha = ", ".join(name for name, row in BACKBONES.items() if row.has_alpha)
        raise ValueError(f"`alpha` is for {with_alpha}. Received: alpha={alpha}. Leave it out.")
    if geometry == "reference" and not entry.min_border:
        laid_out = ", ".join(name for name, row in BACKBONES.items() if row.min_border)
        raise ValueError(
            f'`geometry="reference"` is for {laid_out}. Received: backbone={backbone!r}. '
            'Use geometry="same".'
        )
    return entry


def checked_border(geometry: str, border: int | None, entry: Backbone) -> int:
    """Returns the width of the border around the images, 0 where there is none."""
    if geometry not in GEOMETRIES:
        raise ValueError(f'`geometry` must be "same" or "reference". Received: {geometry!r}.')
    if geometry == "same":
        if border is not None:
            raise ValueError(
                f'`border` is for geometry="reference". Received: border={border}. Leave it out.'
            )
        return 0
    if border is None:
        return REFERENCE_BORDER
    if border < entry.min_border:
        raise ValueError(
            f"`border` must be at least {entry.min_border}, or scores would not reach the sides of "
            f"the image. Received: border={border}."
        )
    return border


def checked_input_shape(
    input_shape: InputShape | None, modalities: Sequence[str]
) -> tuple[int | None, int | None, int]:
    """Returns height, width and channels, by default of any size and of all modalities."""
    channels = num_channels(modalities) if modalities else 3
    if input_shape is None:
        return (None, None, channels)
    if len(input_shape) != 3 or not input_shape[2] or (modalities and input_shape[2] != channels):
        wanted = str(channels) if modalities else "channels"
        raise ValueError(
            f"`input_shape` must be (height, width, {wanted}), with None for a size that varies. "
            f"Received: input_shape={tuple(input_shape)}."
        )
    height, width, channels = input_shape  # type: ignore[assignment]
    return (height, width, channels)


def check_choices(
    stride: int,
    upsampling: str,
    upsampling_kernel: str,
    fusion: str,
    modalities: Sequence[str],
    backbone: str | keras.Model,
) -> None:
    """Raises ValueError where one of a few words or numbers is expected."""
    if stride not in (8, 16, 32):
        raise ValueError(f"`stride` must be 8, 16 or 32. Received: stride={stride}.")
    if upsampling not in get_args(Upsampling):
        raise ValueError(
            f'`upsampling` must be "fixed", "inner" or "learned". Received: {upsampling!r}.'
        )
    if upsampling_kernel not in ("2f", "2f-1"):
        raise ValueError(
            f'`upsampling_kernel` must be "2f" or "2f-1". Received: {upsampling_kernel!r}.'
        )
    if fusion not in get_args(Fusion):
        raise ValueError(f'`fusion` must be "early" or "late". Received: {fusion!r}.')
    if fusion == "late" and (len(modalities) < 2 or isinstance(backbone, keras.Model)):
        raise ValueError(
            '`fusion="late"` builds a backbone for each of two or more `modalities`, so the '
            f"backbone must be a name. Received: modalities={tuple(modalities)}, "
            f"backbone={getattr(backbone, 'name', backbone)!r}."
        )


def check_backbone_weights(
    weights: str | None,
    backbone: str | keras.Model,
    entry: Backbone,
    alpha: float | None,
    *,
    has_mode: bool,
) -> None:
    """Raises ValueError where weights of a backbone cannot be had or would not fit."""
    if weights is None:
        return
    if isinstance(backbone, keras.Model):
        raise ValueError(
            "`backbone_weights` is for backbones by name. Load the weights of "
            f"{backbone.name!r} yourself before you pass it. Received: {weights!r}."
        )
    if entry.layout and alpha not in (None, 1.0):
        raise ValueError(
            f"`backbone_weights` of {backbone} are for alpha=1. Received: alpha={alpha}."
        )
    if not has_mode:
        raise ValueError(
            "With `backbone_weights` and other images than RGB, `normalization` or `modalities` "
            "must be given, because the weights expect colors of a certain range. "
            f"Received: backbone_weights={weights!r}."
        )


def default(value: Any, otherwise: Any, name: str) -> Any:
    """Returns the value of `fc_filters` or `dropout`, or what it is by default."""
    if value is None:
        return otherwise
    if value < 0 or (name == "dropout" and value >= 1):
        bounds = "[0, 1)" if name == "dropout" else "[0, inf)"
        raise ValueError(f"`{name}` must lie in {bounds}. Received: {name}={value}.")
    return value
