"""Images of other kinds than RGB, alone or together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from keras import KerasTensor, layers

from keras_fcn.layers import ImageNormalization
from keras_fcn.layers.normalization import CAFFE_MEAN_BGR, NormalizationMode

Fusion = Literal["early", "late"]
# What exported files carry beside their classes: a list of names, unless they take any RGB.
MODALITIES_FILE = "modalities.json"


@dataclass(frozen=True)
class Modality:
    """A kind of image.

    Args:
        mean: Mean of each channel in NYUDv2, as the reference subtracts it.
        flip: Whether the channels are red, green, blue, which networks from
            Caffe take as blue, green, red; `mean` is in that order then.
        log: Whether the network sees the logarithm.
    """

    mean: tuple[float, ...]
    flip: bool = False
    log: bool = False

    @property
    def num_channels(self) -> int:
        """Number of channels."""
        return len(self.mean)


MODALITIES = {
    # Red, green, blue in 0..255.
    "color": Modality((116.190, 97.203, 92.318), flip=True),
    # Horizontal disparity, height above ground, angle with gravity, in 0..255 (Gupta et al., 2014).
    "hha": Modality((132.431, 94.076, 118.477)),
    # Distance in the unit of NYUDv2's depth files, whole numbers whose logarithm has this mean.
    "depth": Modality((7.844,), log=True),
}


def num_channels(modalities: Sequence[str]) -> int:
    """Returns the number of channels of all modalities together.

    >>> num_channels(["color", "depth"])
    4

    Raises:
        ValueError: If one is unknown or occurs twice, or there is none.
    """
    known = ", ".join(MODALITIES)
    if not modalities or len({*modalities} & {*MODALITIES}) < len(modalities):
        raise ValueError(
            f"`modalities` must name some of {known}, each once. Received: "
            f"modalities={tuple(modalities)}. For other images leave it out, and set "
            "`input_shape` and `normalization`."
        )
    return sum(MODALITIES[name].num_channels for name in modalities)


def normalize(
    images: KerasTensor,
    modalities: Sequence[str],
    fusion: Fusion,
    mode: NormalizationMode,
    mean: Sequence[float] | None,
) -> dict[str, KerasTensor]:
    """Returns what the backbone sees: one tensor, or with late fusion one for each modality.

    Args:
        images: All modalities, one after the other along the channels.
        modalities: Names in `MODALITIES`; none for images of any other kind.
        fusion: `"early"`: one network sees them all. `"late"`: each has its own.
        mode: The `ImageNormalization` mode that the backbone was trained with.
        mean: Mean of each channel, if it is not that of the modality or of ImageNet.

    Returns:
        The images by the suffix of the layers that will see them.
    """
    if not modalities:
        flip = images.shape[-1] == 3
        layer = ImageNormalization(mode, tuple(mean or CAFFE_MEAN_BGR), flip, name="normalization")
        return {"": layer(images)}

    normalized = {}
    start = 0
    for name in modalities:
        modality = MODALITIES[name]
        end = start + modality.num_channels
        normalized[name] = ImageNormalization(
            "log" if modality.log else mode,
            modality.mean if mean is None else tuple(mean[start:end]),
            modality.flip,
            name=f"normalization{name}" if len(modalities) > 1 else "normalization",
        )(images[..., start:end])
        start = end
    if fusion == "late":
        return normalized
    if len(normalized) == 1:
        return {"": normalized[modalities[0]]}
    return {"": layers.Concatenate(name="modalities")(list(normalized.values()))}
