"""The modalities of images that a network takes: RGB, HHA and depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Fusion = Literal["early", "late"]
# The file with the list of modalities, in every exported model for other images than RGB.
MODALITIES_FILE = "modalities.json"


@dataclass(frozen=True)
class Modality:
    """A modality of images.

    Args:
        mean: Mean of each channel in NYUDv2, as the reference subtracts it.
        flip: Whether the channels are red, green, blue, which networks from Caffe take as blue,
            green, red; then `mean` is in that order.
        log: Whether the network takes the logarithm.
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
    "rgb": Modality((116.190, 97.203, 92.318), flip=True),
    # Horizontal disparity, height above ground, angle with gravity, in 0..255 (Gupta et al., 2014).
    "hha": Modality((132.431, 94.076, 118.477)),
    # Distance in the unit of NYUDv2's depth files, whole numbers whose logarithm has this mean.
    "depth": Modality((7.844,), log=True),
}


def num_channels(modalities: Sequence[str]) -> int:
    """Returns the number of channels of all modalities together.

    >>> num_channels(["rgb", "depth"])
    4

    Raises:
        ValueError: If one is unknown or occurs twice, or there is none.
    """
    known = ", ".join(MODALITIES)
    if not modalities or len({*modalities} & {*MODALITIES}) < len(modalities):
        raise ValueError(
            f"`modalities` must name some of {known}, each once. Received: "
            f"modalities={tuple(modalities)}. For other images leave it out, and set "
            "`input_shape` and the `normalization` of the backbone."
        )
    return sum(MODALITIES[name].num_channels for name in modalities)


def image_dtype(num_channels: int) -> str:
    """Returns the dtype of the images that predictors and exported models take.

    It is uint8 for three channels. Depth does not fit into uint8, so images of any other number
    of channels are float32.

    >>> image_dtype(3), image_dtype(4)
    ('uint8', 'float32')
    """
    return "uint8" if num_channels == 3 else "float32"
