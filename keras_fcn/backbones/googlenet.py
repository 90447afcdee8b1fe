"""GoogLeNet (Inception v1) without its classifiers, layer by layer."""

from dataclasses import dataclass
from typing import ClassVar

import keras
from keras import KerasTensor, layers

from keras_fcn.backbones.backbone import Features, PaperBackbone, ReferenceBackbone
from keras_fcn.backbones.blocks import ceil_pool, classifier_block, scaled
from keras_fcn.layers import LocalResponseNormalization
from keras_fcn.layers.normalization import NormalizationMode

# Filters of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
# (Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, table 1).
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class GoogLeNet(ReferenceBackbone):
    """GoogLeNet as Caffe trained it; returns the outputs of pool2, pool3 and inception_5b.

    Layers have the names of `bvlc_googlenet`, with `_` for `/`. As in the paper on FCN, the
    final average pooling is left out.

    Args:
        alpha: Width multiplier.
        fc_filters: Width of a 3x3 convolution before the score layer; 0 for none.
        dropout: Dropout before the score layer.
        **kwargs: As for every `ReferenceBackbone`: `weights`, `normalization`, `mean`,
            `geometry`, `border`, `kernel_initializer`.

    Reference:
        Szegedy et al., CVPR 2015; `bvlc_googlenet`.
    """

    fc_filters: int = 0
    dropout: float = 0.4

    name: ClassVar[str] = "googlenet"
    trained_with: ClassVar[NormalizationMode] = "caffe"
    min_border: ClassVar[int] = 3
    is_centered: ClassVar[bool] = False
    upsampling_kernel: ClassVar[str] = "2f-1"
    removed_pooling: ClassVar[int] = 7

    def __call__(self, images: KerasTensor, suffix: str = "") -> Features:
        return _googlenet(self, images, suffix)


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class GoogLeNetTorchvision(PaperBackbone):
    """GoogLeNet as torchvision trained it.

    It has 3x3 kernels in place of the 5x5 ones, 2x2 windows in pool4 and no response
    normalization. Its batch normalization is part of the convolutions, see `keras_fcn.weights`.

    With pools of 3 and of 2 pixels no size of upsampling kernels puts all strides on the same
    pixels; its features lie within 4 pixels of where they are taken to lie.

    Args:
        alpha: Width multiplier.
        fc_filters: Width of a 3x3 convolution before the score layer; 0 for none.
        dropout: Dropout before the score layer.
        **kwargs: As for every `PaperBackbone`: `weights`, `normalization`, `mean`,
            `kernel_initializer`.

    Reference:
        Szegedy et al., CVPR 2015; `torchvision.models.googlenet`.
    """

    fc_filters: int = 0
    dropout: float = 0.2

    name: ClassVar[str] = "googlenet_torchvision"
    # torchvision's `transform_input`, on for the published weights.
    trained_with: ClassVar[NormalizationMode] = "tf"

    def __call__(self, images: KerasTensor, suffix: str = "") -> Features:
        return _googlenet(self, images, suffix, torchvision=True)


def _googlenet(
    settings: PaperBackbone, images: KerasTensor, suffix: str, *, torchvision: bool = False
) -> Features:
    """Returns the outputs of pool2, pool3 and, after its dropout, inception_5b."""

    def conv(x: KerasTensor, filters: int, size: int, name: str) -> KerasTensor:
        return layers.Conv2D(
            scaled(filters, settings.alpha),
            size,
            padding="same",
            activation="relu",
            kernel_initializer=settings.kernel_initializer,
            name=name + suffix,
        )(x)

    def norm(x: KerasTensor, name: str) -> KerasTensor:
        if torchvision:
            return x
        return LocalResponseNormalization(5, alpha=1e-4, beta=0.75, name=name + suffix)(x)

    def inception(x: KerasTensor, block: str) -> KerasTensor:
        ones, reduce3, threes, reduce5, fives, projected = INCEPTIONS[block]
        name = f"inception_{block}"
        size5 = 3 if torchvision else 5
        by1 = conv(x, ones, 1, f"{name}_1x1")
        by3 = conv(conv(x, reduce3, 1, f"{name}_3x3_reduce"), threes, 3, f"{name}_3x3")
        by5 = conv(conv(x, reduce5, 1, f"{name}_5x5_reduce"), fives, size5, f"{name}_5x5")
        pool = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool{suffix}")(x)
        pool = conv(pool, projected, 1, f"{name}_pool_proj")
        return layers.Concatenate(name=f"{name}_output{suffix}")([by1, by3, by5, pool])

    x = images
    if settings.padding == "same":
        # At the top and left only: the pools, which are not padded there, move features
        # down and right; this puts those at stride 16 on the middle of their 16 pixels.
        x = layers.ZeroPadding2D(((9, 0), (9, 0)), name=f"conv1_pad{suffix}")(x)
    x = layers.Conv2D(
        scaled(64, settings.alpha),
        7,
        strides=2,
        activation="relu",
        kernel_initializer=settings.kernel_initializer,
        name=f"conv1_7x7_s2{suffix}",
    )(x)
    x = norm(ceil_pool(x, f"pool1_3x3_s2{suffix}"), "pool1_norm1")
    x = conv(x, 64, 1, "conv2_3x3_reduce")
    x = norm(conv(x, 192, 3, "conv2_3x3"), "conv2_norm2")
    pool2 = x = ceil_pool(x, f"pool2_3x3_s2{suffix}")
    x = inception(inception(x, "3a"), "3b")
    pool3 = x = ceil_pool(x, f"pool3_3x3_s2{suffix}")
    for block in ("4a", "4b", "4c", "4d", "4e"):
        x = inception(x, block)
    if torchvision:
        x = layers.MaxPooling2D(2, padding="same", name=f"pool4_2x2_s2{suffix}")(x)
    else:
        x = ceil_pool(x, f"pool4_3x3_s2{suffix}")
    x = inception(inception(x, "5a"), "5b")
    x = classifier_block(x, settings.fc_filters, settings.dropout, suffix)
    return {"P3": pool2, "P4": pool3, "P5": x}
