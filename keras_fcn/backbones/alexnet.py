"""AlexNet as Caffe trained it (CaffeNet: pooled first, then normalized), and as torchvision did."""

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
from keras import KerasTensor, layers

from keras_fcn.backbones.backbone import Features, ReferenceBackbone
from keras_fcn.backbones.blocks import ceil_pool, scaled
from keras_fcn.layers import GroupedConv2D, LocalResponseNormalization
from keras_fcn.layers.normalization import NormalizationMode


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class AlexNet(ReferenceBackbone):
    """AlexNet as Caffe trained it; returns the outputs of pool1, pool2 and drop7.

    Layers have the names of the reference's `voc-fcn-alexnet`.

    Args:
        alpha: Width multiplier of the convolutions before fc6.
        fc_filters: Width of fc6 and fc7.
        dropout: Dropout after fc6 and fc7.
        **kwargs: As for every `ReferenceBackbone`: `weights`, `normalization`, `mean`,
            `geometry`, `border`, `kernel_initializer`.

    Reference:
        Krizhevsky, Sutskever and Hinton, NIPS 2012; `bvlc_reference_caffenet`.
    """

    fc_filters: int = 4096
    dropout: float = 0.5

    name: ClassVar[str] = "alexnet"
    trained_with: ClassVar[NormalizationMode] = "caffe"
    # From 85 on the scores cover every image of 64 pixels and more.
    min_border: ClassVar[int] = 82
    # Its pools are 3 pixels wide: with kernels of 2f the crops would be half pixels.
    is_centered: ClassVar[bool] = False
    upsampling_kernel: ClassVar[str] = "2f-1"
    # Filters of conv1 to conv5, and the number of groups that they are in.
    filters: ClassVar[tuple[int, ...]] = (96, 256, 384, 384, 256)
    groups: ClassVar[tuple[int, ...]] = (1, 2, 1, 2, 2)
    has_response_normalization: ClassVar[bool] = True

    def __call__(self, images: KerasTensor, suffix: str = "") -> Features:
        def conv(x: KerasTensor, filters: int, size: int, name: str, **options: Any) -> KerasTensor:
            layer = GroupedConv2D if options.get("groups", 1) > 1 else layers.Conv2D
            return layer(
                filters,
                size,
                activation="relu",
                kernel_initializer=self.kernel_initializer,
                name=name + suffix,
                **{"padding": "same", **options},
            )(x)

        def trunk(x: KerasTensor, number: int, size: int, **options: Any) -> KerasTensor:
            filters = scaled(self.filters[number - 1], self.alpha)
            groups = self.groups[number - 1]
            return conv(x, filters, size, f"conv{number}", groups=groups, **options)

        def norm(x: KerasTensor, name: str) -> KerasTensor:
            if not self.has_response_normalization:
                return x
            return LocalResponseNormalization(5, alpha=1e-4, beta=0.75, name=name + suffix)(x)

        def fully_connected(x: KerasTensor, size: int, index: int) -> KerasTensor:
            x = conv(x, self.fc_filters, size, f"fc{index}", padding="valid")
            return layers.Dropout(self.dropout, name=f"drop{index}{suffix}")(x)

        x = images
        if self.geometry == "same":
            # At the top and left only: the pools, which are not padded there, move features
            # down and right by up to 24 pixels, and this moves them up and left by 7.
            x = layers.ZeroPadding2D(((7, 0), (7, 0)), name=f"conv1_pad{suffix}")(x)
        x = trunk(x, 1, 11, strides=4, padding="valid")
        pool1 = ceil_pool(x, f"pool1{suffix}")
        x = trunk(norm(pool1, "norm1"), 2, 5)
        pool2 = ceil_pool(x, f"pool2{suffix}")
        x = norm(pool2, "norm2")
        for number in (3, 4, 5):
            x = trunk(x, number, 3)
        x = ceil_pool(x, f"pool5{suffix}")
        if self.geometry == "same":
            # A 6x6 window has no middle; Keras' "same" would take the later of the two.
            x = layers.ZeroPadding2D(((3, 2), (3, 2)), name=f"fc6_pad{suffix}")(x)
        x = fully_connected(x, 6, 6)
        x = fully_connected(x, 1, 7)
        return {"P3": pool1, "P4": pool2, "P5": x}


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class AlexNetTorchvision(AlexNet):
    """AlexNet as torchvision trained it; arguments as for `AlexNet`.

    It has other filters in one group, and no response normalization. torchvision's pools leave
    out what does not fill a window; here the last windows may be cut off.

    Reference:
        Krizhevsky, arXiv 1404.5997; `torchvision.models.alexnet`.
    """

    name: ClassVar[str] = "alexnet_torchvision"
    trained_with: ClassVar[NormalizationMode] = "torch"
    filters: ClassVar[tuple[int, ...]] = (64, 192, 384, 256, 256)
    groups: ClassVar[tuple[int, ...]] = (1, 1, 1, 1, 1)
    has_response_normalization: ClassVar[bool] = False
