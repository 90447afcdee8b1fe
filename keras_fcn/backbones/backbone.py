"""What every backbone is: its settings, and a call that builds its layers."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self, get_args

from keras import KerasTensor

from keras_fcn.layers.normalization import NormalizationMode

Features = dict[str, KerasTensor]
Geometry = Literal["same", "reference"]
REFERENCE_BORDER = 100


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A feature extractor: normalized images in, features at strides 4 to 32 out.

    It consists of settings only, until `FCN` calls it. Each call builds new layers, so that a
    network with late fusion gets one set of layers per modality.

    Args:
        weights: `None` for random weights, `"imagenet"` for those that its authors published, or
            a file of them.
        normalization: `ImageNormalization` mode of the images. By default the one that the
            published weights were trained with, and `"none"` for images that are neither RGB nor
            of known modalities.
        mean: For `"caffe"` and for depth: the mean of each channel, blue, green, red for RGB. By
            default that of ImageNet, with `modalities` that of NYUDv2, and with the published
            weights of a whole network that of its dataset.
        fc_filters: Width of the convolutions before the coarsest score layer: fc6 and fc7 of VGG
            and AlexNet, one 3x3 convolution elsewhere; 0 for none.
        dropout: Dropout before the coarsest score layer, in [0, 1).

    Call arguments:
        images: Normalized and padded images, shape `(batch, height, width, channels)`.
        suffix: Appended to the names of the layers, or of the model that contains them.

    Returns:
        `"P3"`, `"P4"`, `"P5"`: features at strides 8, 16 and 32; and of most backbones `"P2"`
        at stride 4, which FCN-4s needs.

    Raises:
        ValueError: If an argument is out of range.
    """

    weights: str | None = None
    normalization: NormalizationMode | None = None
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    fc_filters: int = 256
    dropout: float = 0.1

    # The name that stands for the backbone with its defaults.
    name: ClassVar[str]
    # The normalization that the published weights were trained with.
    trained_with: ClassVar[NormalizationMode] = "none"
    # Size of the upsampling kernels for a factor f, by default.
    upsampling_kernel: ClassVar[str] = "2f"
    # Window of the pooling after the last features that the classifier has and the network lacks.
    removed_pooling: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", str(self.weights))
        for name in ("mean", "deviation"):
            if (value := getattr(self, name)) is not None:  # a list, from JSON
                object.__setattr__(self, name, tuple(value))
        if self.fc_filters < 0:
            raise ValueError(
                f"`fc_filters` must be in [0, inf). Received: fc_filters={self.fc_filters}."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={self.dropout}.")

    def __call__(self, images: KerasTensor, suffix: str = "") -> Features:
        raise NotImplementedError

    @property
    def border_width(self) -> int:
        """Pixels of zeros around the image; 0 where it is padded to a multiple of 32 instead."""
        return 0

    @property
    def is_aligned(self) -> bool:
        """Whether features lie side by side from the top left corner of the image on.

        Otherwise they are placed by the coordinates of their windows on the image.
        """
        return True

    def with_zeros(self) -> "Backbone":
        """Returns the backbone with zeros in place of random kernels, if it has a choice.

        It is for networks whose weights are loaded at once: the random kernels of VGG16 take
        seconds and 0.75 GiB to draw.
        """
        return self

    def replace(self, **settings: Any) -> Self:
        """Returns a copy with other settings.

        >>> from keras_fcn.backbones import MobileNetV2
        >>> MobileNetV2(alpha=0.35).replace(dropout=0.0).alpha
        0.35
        """
        return replace(self, **settings)

    def get_config(self) -> dict[str, Any]:
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in settings.items()
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


@dataclass(frozen=True, kw_only=True)
class PaperBackbone(Backbone):
    """A network of the paper, or torchvision's version of one, laid out here layer by layer.

    Args:
        alpha: Width multiplier of the convolutions before fc6.
        kernel_initializer: Initializer of the convolutions.
        **kwargs: As for every `Backbone`.
    """

    alpha: float = 1.0
    kernel_initializer: str = "he_normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights is not None and self.alpha != 1:
            raise ValueError(
                f"`weights` of {self.name} are for alpha=1. Received: alpha={self.alpha}."
            )

    @property
    def padding(self) -> str:
        """Padding of the first convolution and of fc6."""
        return "same"

    def with_zeros(self) -> "PaperBackbone":
        return self.replace(kernel_initializer="zeros")


@dataclass(frozen=True, kw_only=True)
class ReferenceBackbone(PaperBackbone):
    """A network of the paper that can also place its features exactly as the reference does.

    Args:
        geometry: `"same"`: the image is padded to a multiple of 32, convolutions keep its size.
            `"reference"`: exactly the reference implementation's, whose wide border costs time
            (twice the pixels at 500x500). The weights are the same.
        border: For `"reference"`: pixels of zeros around the image; 100 by default.
        **kwargs: As for every `PaperBackbone`.
    """

    geometry: Geometry = "same"
    border: int | None = None

    # The narrowest border that the layout works with.
    min_border: ClassVar[int]
    # Whether features are centered on the pixels that they stand for if there is no border.
    is_centered: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.geometry not in get_args(Geometry):
            raise ValueError(
                f'`geometry` must be "same" or "reference". Received: {self.geometry!r}.'
            )
        if self.border is not None and self.geometry == "same":
            raise ValueError(
                f'`border` is for geometry="reference". Received: border={self.border}. '
                "Leave it out."
            )
        if self.border is not None and self.border < self.min_border:
            raise ValueError(
                f"`border` must be at least {self.min_border}, or scores would not reach the sides "
                f"of the image. Received: border={self.border}."
            )

    @property
    def border_width(self) -> int:
        if self.geometry == "same":
            return 0
        return REFERENCE_BORDER if self.border is None else self.border

    @property
    def is_aligned(self) -> bool:
        return self.geometry == "same" and self.is_centered

    @property
    def padding(self) -> str:
        return "same" if self.geometry == "same" else "valid"
