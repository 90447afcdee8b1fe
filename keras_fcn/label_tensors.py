"""Label maps as tensors: their shape, and which of their pixels are labeled with a class."""

from typing import Any

from keras import KerasTensor, ops


def label_values(y_true: Any, y_pred: Any) -> KerasTensor:
    """Returns the labels as float32, shape `(batch, height, width)`.

    Whole numbers up to 2**24 are exact in float32, larger integers do not wrap around to a class,
    and TensorFlow compares floats on a GPU where it would compute int32 on the host.

    Args:
        y_true: Labels, any integer or float dtype, shape `(batch, height, width)`
            or `(batch, height, width, 1)`.
        y_pred: Logits, shape `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If the shapes are not these, or do not match each other.
    """
    y_true = ops.convert_to_tensor(y_true)
    labels_shape, logits_shape = tuple(y_true.shape), tuple(y_pred.shape)
    if len(logits_shape) != 4 or logits_shape[-1] is None:
        raise ValueError(
            "The logits must have the shape (batch, height, width, num_classes). "
            f"Received: y_pred.shape={logits_shape}."
        )
    if len(labels_shape) == 4 and labels_shape[-1] == 1:
        y_true = ops.squeeze(y_true, axis=-1)
    if not _fits(tuple(y_true.shape), logits_shape[:-1]):
        raise ValueError(
            "The labels must be class indices of the shape (batch, height, width) or (batch, "
            "height, width, 1) with the height and width of the logits. Received: "
            f"y_true.shape={labels_shape}, y_pred.shape={logits_shape}. Labels with one channel "
            "per class or color must become indices first."
        )
    is_float = "float" in str(y_true.dtype)
    labels = ops.cast(y_true, "float32")
    # A fraction, as a mask resized with interpolation has, belongs to no class.
    return ops.where(ops.equal(labels, ops.floor(labels)), labels, -0.5) if is_float else labels


def is_class(labels: KerasTensor, num_classes: int) -> KerasTensor:
    """Returns True for every pixel whose label (from `label_values`) is one of the classes."""
    return ops.logical_and(ops.greater_equal(labels, 0), ops.less(labels, num_classes))


def _fits(shape: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    """Returns whether two shapes are equal as far as they are known."""
    return len(shape) == len(other) and all(
        a is None or b is None or a == b for a, b in zip(shape, other, strict=True)
    )
