"""The images that a network takes: RGB, HHA, depth, or any number of bands without names."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Fusion = Literal["early", "late"]
# The file with the list of modalities, in every exported model for other images than RGB.
MODALITIES_FILE = "modalities.json"
# The file that says how image files are read, in every exported model that reads them in another
# way than by default.
READING_FILE = "images.json"


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


@dataclass(frozen=True)
class ImageReading:
    """How image files become the images of a network.

    Args:
        channels: Number of bands that a file must have. They become float32, in the file's own
            values. `None`: RGB in 0..255, as uint8, from color or gray files. 3: likewise, and of
            a file with more bands the first three are taken as red, green and blue.
        value_range: For RGB from files that do not use all of 8 or 16 bits: the values that become
            0 and 255.
        page: Page of files with several pages or frames, counted from 1.

    Raises:
        ValueError: If a value is out of range.
    """

    channels: int | None = None
    value_range: tuple[float, float] | None = None
    page: int | None = None

    def __post_init__(self) -> None:
        for name in ("channels", "page"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}.")
        if self.value_range is None:
            return
        limits = tuple(float(value) for value in self.value_range)  # a list, from JSON
        object.__setattr__(self, "value_range", limits)
        if len(limits) != 2 or not limits[0] < limits[1]:
            raise ValueError(
                "`value_range` must be the values that become 0 and 255, such as (0, 4095). "
                f"Received: value_range={limits}."
            )
        if not self.is_rgb:
            raise ValueError(
                "`value_range` is for images that are read as RGB; the values of "
                f"{self.channels} bands are normalized by their mean and deviation. Leave one of "
                f"`channels` and `value_range` out. Received: channels={self.channels}, "
                f"value_range={limits}."
            )

    @property
    def num_channels(self) -> int:
        """Number of channels of the images."""
        return self.channels or 3

    @property
    def is_rgb(self) -> bool:
        """Whether the images are RGB in 0..255."""
        return self.num_channels == 3

    def to_dict(self) -> dict[str, Any]:
        """Returns what differs from the default; `from_dict` reads it back."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], num_channels: int) -> Self:
        """Returns the reading among some settings, for a network of this number of channels.

        >>> ImageReading.from_dict({"page": 2, "epochs": 5}, 4)
        ImageReading(channels=4, value_range=None, page=2)
        """
        channels = values.get("channels") if num_channels == 3 else num_channels
        return cls(channels, values.get("value_range"), values.get("page"))
