"""A first convolution for other images: of another normalization, or of more channels."""

import numpy as np

from keras_fcn.layers.normalization import (
    CAFFE_MEAN_BGR,
    TORCH_MEAN_RGB,
    TORCH_STD_RGB,
    NormalizationMode,
)

# The modes of `ImageNormalization` that are a scale and an offset for each color.
FOLDABLE_MODES = ("caffe", "tf", "torch", "none")


def fold_normalization(
    kernel: np.ndarray,
    bias: np.ndarray,
    trained_with: NormalizationMode,
    applied: NormalizationMode,
    applied_mean_bgr: tuple[float, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a first convolution for `applied` images, equal to the one for those of its training.

    Each mode is `scale * pixel + offset` for each channel, and an order of the
    channels, so a convolution over one is a convolution over the other.

    Args:
        kernel: Shape `(height, width, 3, filters)`.
        bias: Shape `(filters,)`.
        trained_with: `ImageNormalization` mode of the kernel's training.
        applied: Mode of the model. The same mode leaves the kernel unchanged.
        applied_mean_bgr: For `applied="caffe"`: the mean that is subtracted.

    Returns:
        Kernel and bias, of the same shapes.
    """
    if trained_with == applied:
        return kernel, bias
    # From the channel of the model to the channel of the file, by way of the color.
    colors, scale, offset = _affine(applied, applied_mean_bgr)
    file_colors, file_scale, file_offset = _affine(trained_with, applied_mean_bgr)
    order = [file_colors.index(color) for color in colors]
    kernel = kernel[:, :, order, :]
    ratio = file_scale[order] / scale
    shift = file_offset[order] - ratio * offset
    return (
        kernel * ratio[:, None].astype("float32"),
        bias + np.einsum("hwco,c->o", kernel.astype("float64"), shift).astype("float32"),
    )


def extend_input_channels(kernel: np.ndarray, num_channels: int) -> np.ndarray:
    """Returns a first convolution that takes more channels, such as depth.

    Each new channel gets the mean over the channels there are: early fusion as
    in the reference's `nyud-fcn32s-color-d`.

    Args:
        kernel: Shape `(height, width, channels, filters)`.
        num_channels: Number of channels wanted, at least as many.

    Example:
        >>> kernel = np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)
        >>> extend_input_channels(kernel, 4).ravel().tolist()
        [1.0, 2.0, 6.0, 3.0]
    """
    new = [kernel.mean(axis=2, keepdims=True)] * (num_channels - kernel.shape[2])
    return np.concatenate([kernel, *new], axis=2)


def widen_to_bands(
    kernel: np.ndarray, num_bands: int, trained_with: NormalizationMode
) -> np.ndarray:
    """Returns a first convolution that takes standardized bands in place of colors.

    A band minus its mean, divided by its deviation, stands for a color minus ImageNet's mean,
    divided by ImageNet's deviation: the kernel is scaled for that. Bands 1 to 3 get the kernels of
    red, green and blue, each further one their mean; of one or two bands each gets the mean. All
    are multiplied by 3 / `num_bands`, so that the sum keeps its size.

    Args:
        kernel: Shape `(height, width, 3, filters)`.
        num_bands: Number of bands wanted.
        trained_with: `ImageNormalization` mode of the kernel's training.

    Example:
        >>> kernel = np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)
        >>> widen_to_bands(kernel, 4, "torch").ravel().tolist()
        [0.75, 1.5, 4.5, 2.25]
        >>> widen_to_bands(kernel, 1, "torch").ravel().tolist()
        [9.0]
    """
    if trained_with in FOLDABLE_MODES:
        no_bias = np.zeros(kernel.shape[-1], kernel.dtype)
        # The offset that is left is below a tenth of a deviation.
        kernel, _ = fold_normalization(kernel, no_bias, trained_with, "torch", CAFFE_MEAN_BGR)
    kept = kernel if num_bands >= kernel.shape[2] else kernel[:, :, :0]
    further = [kernel.mean(axis=2, keepdims=True)] * (num_bands - kept.shape[2])
    return np.concatenate([kept, *further], axis=2) * (kernel.shape[2] / num_bands)


def _affine(
    mode: NormalizationMode, mean_bgr: tuple[float, ...]
) -> tuple[str, np.ndarray, np.ndarray]:
    """Returns the order of the colors, and what is multiplied and added, for each channel."""
    ones = np.ones(3)
    if mode == "caffe":
        return "bgr", ones, -np.array(mean_bgr)
    if mode == "tf":
        return "rgb", ones / 127.5, -ones
    if mode == "torch":
        std = np.array(TORCH_STD_RGB)
        return "rgb", 1 / (255 * std), -np.array(TORCH_MEAN_RGB) / std
    return "rgb", ones, 0 * ones
