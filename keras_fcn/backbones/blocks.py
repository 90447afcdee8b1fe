"""Parts that several backbones share."""

from keras import KerasTensor, layers


def scaled(filters: int, alpha: float) -> int:
    """Returns `alpha` times the filters, rounded to an even number, so that two groups share them.

    >>> scaled(64, 0.25), scaled(16, 0.01)
    (16, 2)
    """
    return max(2, 2 * round(filters * alpha / 2))


def ceil_pool(features: KerasTensor, name: str) -> KerasTensor:
    """Returns 3x3 maxima at stride 2; the last windows may be cut off, as in Caffe.

    A row and a column of zeros are added; where the windows fit without them
    they are not used. Zeros change no maximum of what a ReLU let through.
    ("same" is something else: it adds a row at the top if the height is odd.)

    Args:
        features: Not negative, shape `(batch, height, width, channels)`.
        name: Name of the pooling layer.
    """
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(features)
    return layers.MaxPooling2D(3, strides=2, name=name)(x)


def classifier_block(
    features: KerasTensor, filters: int, dropout: float, suffix: str = ""
) -> KerasTensor:
    """Returns drop6: a 3x3 convolution and dropout, in place of VGG16's fc6 and fc7.

    `filters=0` leaves the convolution out.
    """
    x = convolution_block(features, filters, "fc6", suffix)
    return layers.Dropout(dropout, name=f"drop6{suffix}")(x)


def convolution_block(
    features: KerasTensor, filters: int, name: str, suffix: str = ""
) -> KerasTensor:
    """Returns a 3x3 convolution with BatchNorm and ReLU, or the features for `filters=0`."""
    if not filters:
        return features
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}{suffix}")(features)
    x = layers.BatchNormalization(name=f"{name}_bn{suffix}")(x)
    return layers.ReLU(name=f"{name}_relu{suffix}")(x)
