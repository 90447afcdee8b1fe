"""AlexNet as Caffe trained it (CaffeNet: pooled first, then normalized), and as torchvision did."""

from typing import Any

from keras import KerasTensor, layers

from keras_fcn.backbones.blocks import scaled
from keras_fcn.layers import GroupedConv2D, LocalResponseNormalization

# Filters of conv1 to conv5, and the groups that they are in.
_FILTERS, _GROUPS = (96, 256, 384, 384, 256), (1, 2, 1, 2, 2)
_TORCHVISION_FILTERS = (64, 192, 384, 256, 256)


def alexnet(
    images: KerasTensor,
    *,
    torchvision: bool = False,
    padding: str = "same",
    alpha: float = 1.0,
    fc_filters: int = 4096,
    dropout: float = 0.5,
    suffix: str = "",
) -> dict[str, KerasTensor]:
    """Returns the outputs of pool1, pool2 and drop7.

    Layers have the names of the reference's `voc-fcn-alexnet`.

    Args:
        images: Normalized images, shape `(batch, height, width, channels)`.
        torchvision: Whether it is torchvision's, which has other filters in one group
            (Krizhevsky, arXiv 1404.5997) and no response normalization. Its pools leave
            out what does not fill a window; here the last windows look at what is left.
        padding: `"same"` for images whose sides 32 divides: the features then
            have 1/8, 1/16 and 1/32 of their size. `"valid"`, as in the
            reference, for images with a border: conv1 and fc6 are not padded.
        alpha: Width multiplier of the convolutions before fc6.
        fc_filters: Width of fc6 and fc7.
        dropout: Share of the activations of fc6 and fc7 dropped in training.
        suffix: Appended to the name of each layer.

    Returns:
        `"P3"`, `"P4"`, `"P5"`: features at strides 8, 16 and 32.

    Reference:
        Krizhevsky, Sutskever and Hinton, NIPS 2012; `bvlc_reference_caffenet`;
        `torchvision.models.alexnet`.
    """
    filters = [scaled(n, alpha) for n in (_TORCHVISION_FILTERS if torchvision else _FILTERS)]
    groups = (1,) * 5 if torchvision else _GROUPS

    def conv(x: KerasTensor, filters: int, size: int, name: str, **options: Any) -> KerasTensor:
        layer = GroupedConv2D if options.get("groups", 1) > 1 else layers.Conv2D
        return layer(
            filters,
            size,
            activation="relu",
            kernel_initializer="he_normal",
            name=name + suffix,
            **{"padding": "same", **options},
        )(x)

    def fully_connected(x: KerasTensor, size: int, index: int) -> KerasTensor:
        x = conv(x, fc_filters, size, f"fc{index}", padding="valid")
        return layers.Dropout(dropout, name=f"drop{index}{suffix}")(x)

    def trunk(x: KerasTensor, number: int, size: int, **options: Any) -> KerasTensor:
        options["groups"] = groups[number - 1]
        return conv(x, filters[number - 1], size, f"conv{number}", **options)

    def norm(x: KerasTensor, name: str) -> KerasTensor:
        if torchvision:
            return x
        return LocalResponseNormalization(5, alpha=1e-4, beta=0.75, name=name + suffix)(x)

    x = images
    if padding == "same":
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
    if padding == "same":
        # A 6x6 window has no middle; Keras' "same" would take the later of the two.
        x = layers.ZeroPadding2D(((3, 2), (3, 2)), name=f"fc6_pad{suffix}")(x)
    x = fully_connected(x, 6, 6)
    x = fully_connected(x, 1, 7)
    return {"P3": pool1, "P4": pool2, "P5": x}


def ceil_pool(features: KerasTensor, name: str) -> KerasTensor:
    """Returns 3x3 maxima at stride 2, the last ones over what is left, as Caffe pools.

    A row and a column of zeros are added; where the windows fit without them
    they are not looked at. Zeros change no maximum of what a ReLU let through.
    ("same" is something else: it adds a row at the top if the height is odd.)

    Args:
        features: Not negative, shape `(batch, height, width, channels)`.
        name: Name of the pooling layer.
    """
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(features)
    return layers.MaxPooling2D(3, strides=2, name=name)(x)
