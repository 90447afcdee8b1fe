"""Bilinear kernels for transposed convolutions."""

from typing import Any

import keras
import numpy as np
from keras import ops


def bilinear_kernel(size: int) -> np.ndarray:
    """Returns the square kernel that a transposed convolution needs to interpolate bilinearly.

    Upsampling by `f` takes a kernel of size `2 f` (what the VGG16 networks
    use) or `2 f - 1` (AlexNet), both with a tent of half-width `f`.

    Args:
        size: Height and width of the kernel, at least 1.

    Returns:
        Weights in (0, 1], float32, shape `(size, size)`.

    Reference:
        Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic
        Segmentation", CVPR 2015, section 3.3; `upsample_filt` of its code.

    Example:
        >>> bilinear_kernel(4)[0]
        array([0.0625, 0.1875, 0.1875, 0.0625], dtype=float32)
        >>> bilinear_kernel(3)[1]
        array([0.5, 1. , 0.5], dtype=float32)
    """
    factor = (size + 1) // 2
    tent = 1 - np.abs(np.arange(size) - (size - 1) / 2) / factor
    return np.outer(tent, tent).astype("float32")


@keras.saving.register_keras_serializable(package="keras_fcn")
class Bilinear(keras.initializers.Initializer):
    """Fills a `Conv2DTranspose` kernel so that each class is interpolated on its own.

    The weights from each class to itself are the bilinear kernel; all others are zero. With
    stride `f`, a kernel of `2 f` and `padding="same"`, pixels further than `f / 2` from the
    border equal those of `keras.layers.UpSampling2D(f, interpolation="bilinear")`.

    Raises:
        ValueError: If the kernel is not square, or its numbers of input and output classes differ.

    Example:
        >>> kernel = Bilinear()((4, 4, 3, 3))
        >>> [float(kernel[1, 1, 0, c]) for c in range(3)]
        [0.5625, 0.0, 0.0]
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        # Keras orders a transposed kernel (height, width, out, in).
        height, width, filters, channels = shape
        if height != width or filters != channels:
            raise ValueError(
                "A bilinear kernel must be square, with as many output as input channels. "
                f"Received: shape={tuple(shape)} (height, width, out, in)."
            )
        kernel = bilinear_kernel(height)[..., None, None] * np.eye(filters, dtype="float32")
        return ops.convert_to_tensor(kernel, dtype or keras.config.floatx())
