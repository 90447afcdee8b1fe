"""VGG16 and VGG19, laid out layer by layer as in the paper's figure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import keras
from keras import KerasTensor, layers

from keras_fcn.backbones.backbone import Features, ReferenceBackbone
from keras_fcn.backbones.blocks import scaled
from keras_fcn.layers.normalization import NormalizationMode

FILTERS = (64, 128, 256, 512, 512)


@dataclass(frozen=True, kw_only=True)
class VGG(ReferenceBackbone):
    """What VGG16 and VGG19 share; returns the outputs of pool2 to pool4 and drop7.

    Layers have the names of `keras.applications`, so that its weights fit, except for fc6 and
    fc7: the two fully connected layers as convolutions.
    """

    fc_filters: int = 4096
    dropout: float = 0.5

    trained_with: ClassVar[NormalizationMode] = "caffe"
    # The narrowest border with scores for every image of 32 pixels and more.
    min_border: ClassVar[int] = 82
    # Number of convolutions in each of the five blocks.
    blocks: ClassVar[tuple[int, ...]]
    # The classifier in `keras.applications`.
    constructor: ClassVar[Callable[..., keras.Model]]

    def __call__(self, images: KerasTensor, suffix: str = "") -> Features:
        def conv(x: KerasTensor, filters: int, size: int, name: str, padding: str) -> KerasTensor:
            return layers.Conv2D(
                filters,
                size,
                padding=padding,
                activation="relu",
                kernel_initializer=self.kernel_initializer,
                name=name + suffix,
            )(x)

        features = {}
        x = images
        for block, (count, filters) in enumerate(zip(self.blocks, FILTERS, strict=True), start=1):
            for index in range(1, count + 1):
                padding = self.padding if (block, index) == (1, 1) else "same"
                width = scaled(filters, self.alpha)
                x = conv(x, width, 3, f"block{block}_conv{index}", padding)
            # "same" equals the ceil mode that Caffe pools with; "valid" would drop the last row.
            x = layers.MaxPooling2D(2, padding="same", name=f"block{block}_pool{suffix}")(x)
            features[f"P{block}"] = x

        x = conv(x, self.fc_filters, 7, "fc6", self.padding)
        x = layers.Dropout(self.dropout, name=f"drop6{suffix}")(x)
        x = conv(x, self.fc_filters, 1, "fc7", self.padding)
        x = layers.Dropout(self.dropout, name=f"drop7{suffix}")(x)
        return {level: features[level] for level in ("P2", "P3", "P4")} | {"P5": x}


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class VGG16(VGG):
    """VGG16, the paper's main network: 134 million parameters.

    Args:
        alpha: Width multiplier of the convolutions before fc6.
        fc_filters: Width of fc6 and fc7; 4096 in the paper.
        dropout: Dropout after fc6 and fc7; 0.5 in the paper.
        **kwargs: As for every `ReferenceBackbone`: `weights`, `normalization`, `mean`,
            `geometry`, `border`, `kernel_initializer`.

    Example:
        >>> import keras_fcn
        >>> backbone = VGG16(alpha=0.25, fc_filters=64)
        >>> keras_fcn.FCN32s(21, backbone=backbone).get_layer("fc7").filters
        64

    Reference:
        Simonyan and Zisserman, ICLR 2015, table 1, column D.
    """

    name: ClassVar[str] = "vgg16"
    blocks: ClassVar[tuple[int, ...]] = (2, 2, 3, 3, 3)
    constructor: ClassVar[Callable[..., keras.Model]] = staticmethod(keras.applications.VGG16)


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class VGG19(VGG):
    """VGG19; arguments as for `VGG16`.

    Reference:
        Simonyan and Zisserman, ICLR 2015, table 1, column E.
    """

    name: ClassVar[str] = "vgg19"
    blocks: ClassVar[tuple[int, ...]] = (2, 2, 4, 4, 4)
    constructor: ClassVar[Callable[..., keras.Model]] = staticmethod(keras.applications.VGG19)
