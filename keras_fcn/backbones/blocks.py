"""Parts that several backbones share."""

from keras import KerasTensor, layers


def scaled(filters: int, alpha: float) -> int:
    """Returns `alpha` times the filters, rounded to an even number, so that two groups share them.

    >>> scaled(64, 0.25), scaled(16, 0.01)
    (16, 2)
    """
    return max(2, 2 * round(filters * alpha / 2))


def classifier_block(
    features: KerasTensor, filters: int, dropout: float, suffix: str = ""
) -> KerasTensor:
    """Returns drop6: a 3x3 convolution that gives a modern backbone's last features context.

    It stands where VGG16 has fc6 and fc7. `filters=0` leaves the convolution out.
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
