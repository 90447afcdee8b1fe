"""The loss of logits against a label map."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, ops

from keras_fcn.label_tensors import is_class, label_values
from keras_fcn.labels import check_ignore_class

REDUCTIONS = ("mean", "per_image", "sum")


@keras.saving.register_keras_serializable(package="keras_fcn")
class PixelwiseCrossentropy(keras.losses.Loss):
    """Softmax cross-entropy of every pixel's logits with its label.

    Pixels labeled `ignore_class` add nothing to the loss and are not counted
    in the mean. A batch without a counted pixel has the loss 0 and gradients of
    0. Under `tf.distribute.MirroredStrategy` the mean is over the pixels of all replicas, which
    may have different numbers of valid pixels: the value and the gradients are those of one device
    with the whole batch.

    Weights (of classes and of samples) scale a pixel's loss and do not change the divisor, as in
    the losses of Keras: doubled weights double the loss. (The weighted mean of PyTorch divides by
    the sum of the weights instead.) So a pixel of weight 0 still counts in the mean; label it
    `ignore_class` to leave it out.

    Labels outside the classes other than `ignore_class` are errors in the data. A loss cannot
    stop a compiled training step, so it leaves them out; compile with
    `keras_fcn.metrics.SegmentationMetrics`, which counts them and raises an error.

    Args:
        ignore_class: Label of the pixels to leave out, such as 255 at the outlines of objects in
            VOC. `None` if there is none.
        reduction: What the sum over the pixels is divided by: `"mean"`, the
            number of valid pixels (those labeled with a class); `"per_image"`,
            the number of images, as the reference FCN trains (Caffe's
            BATCH_SIZE; its learning rates fit only this choice); `"sum"`,
            nothing. These replace the reductions of other Keras losses:
            `"sum_over_batch_size"`, which would count ignored pixels, and
            `None` do not exist here.
        class_weights: One factor per class, at least 0, or `None` for 1 everywhere.
            Use this and not `fit(class_weight=...)`, which Keras cannot
            apply to label maps.
        name: Name of the loss.

    Call arguments:
        y_true: Labels, any integer or float dtype, shape
            `(batch, height, width)` or `(batch, height, width, 1)`.
        y_pred: Logits, any float dtype, shape
            `(batch, height, width, num_classes)`. Converted to float32.
        sample_weight: Optional factors, shape `(batch,)` for whole images, or
            `(batch, height, width)` or `(batch, height, width, 1)` for pixels.

    Returns:
        The loss, a float32 scalar.

    Raises:
        ValueError: If an argument or a shape is not as above, or `ignore_class`
            is one of the classes.

    Example:
        >>> loss = PixelwiseCrossentropy(ignore_class=255)
        >>> labels = [[[0, 1, 255]]]
        >>> logits = keras.ops.zeros((1, 1, 3, 4))
        >>> round(float(loss(labels, logits)), 4)  # log(4), the mean of two pixels
        1.3863

    Reference:
        Long, Shelhamer and Darrell, "Fully Convolutional Networks for
        Semantic Segmentation", CVPR 2015, section 4.
    """

    def __init__(
        self,
        ignore_class: int | None = 255,
        reduction: str = "mean",
        class_weights: Sequence[float] | None = None,
        name: str = "pixelwise_crossentropy",
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"`reduction` must be one of {REDUCTIONS}. Received: reduction={reduction!r}."
            )
        check_ignore_class(ignore_class)
        # float32 under every dtype policy: a sum over pixels needs more than 8 bits.
        super().__init__(name=name, reduction="sum", dtype="float32")
        self.reduction = reduction  # read by `__call__` below only, which replaces that of Keras
        self.ignore_class = ignore_class
        self.class_weights = _checked_weights(class_weights)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> KerasTensor:
        with keras.name_scope(self.name):
            y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
            losses = self.call(y_true, y_pred)
            if sample_weight is not None:
                losses = losses * _weights_of_pixels(sample_weight, tuple(losses.shape))
            divisor = None
            if self.reduction == "mean":
                counted = is_class(label_values(y_true, y_pred), y_pred.shape[-1])
                divisor = ops.sum(ops.cast(counted, self.dtype))
            elif self.reduction == "per_image":
                divisor = ops.cast(ops.shape(y_pred)[0], self.dtype)
            return _divide_over_replicas(ops.sum(losses), divisor)

    def call(self, y_true: Any, y_pred: Any) -> KerasTensor:
        """Returns the weighted loss of each pixel (0 without a class), `(b, height, width)`."""
        num_classes = y_pred.shape[-1]
        check_ignore_class(self.ignore_class, num_classes)
        labels = label_values(y_true, y_pred)
        counted = is_class(labels, num_classes)
        # The other pixels may get any class: their losses are multiplied by 0.
        classes = ops.cast(ops.where(counted, labels, 0.0), "int32")
        losses = _crossentropy(classes, y_pred) * ops.cast(counted, self.dtype)
        if self.class_weights is None:
            return losses
        if len(self.class_weights) != num_classes:
            raise ValueError(
                f"`class_weights` must contain one factor for each of the {num_classes} classes "
                f"of the logits. Received: {len(self.class_weights)} factors."
            )
        weights = ops.convert_to_tensor(self.class_weights, dtype=self.dtype)
        return losses * ops.take(weights, classes)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ignore_class": self.ignore_class,
            "reduction": self.reduction,
            "class_weights": self.class_weights,
        }


def _crossentropy(classes: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Returns `-log softmax(logits)[class]` for each pixel.

    Plain operations, because on a CPU they take less than half the time of
    TensorFlow's fused operation, which prints the whole batch if a label is out of range.
    """
    shifted = logits - ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    is_class = ops.one_hot(classes, logits.shape[-1], dtype=logits.dtype)
    log_total = ops.log(ops.sum(ops.exp(shifted), axis=-1))
    return log_total - ops.sum(is_class * shifted, axis=-1)


def _weights_of_pixels(sample_weight: Any, shape: tuple[int | None, ...]) -> KerasTensor:
    """Returns the weights in a shape that multiplies losses of `(batch, height, width)`."""
    weights = ops.convert_to_tensor(sample_weight, dtype="float32")
    received = tuple(weights.shape)
    if len(received) == 4 and received[-1] == 1:
        weights = ops.squeeze(weights, axis=-1)
    elif len(received) == 1:
        weights = ops.reshape(weights, (-1, 1, 1))
    if len(weights.shape) != 3 or any(
        a not in (None, 1, b) for a, b in zip(weights.shape, shape, strict=True) if b is not None
    ):
        raise ValueError(
            "`sample_weight` must have the shape (batch,) for images or (batch, height, width) "
            f"for pixels, with the sizes of the labels, {shape}. Received: shape {received}."
        )
    return weights


def _divide_over_replicas(total: KerasTensor, divisor: KerasTensor | None) -> KerasTensor:
    """Returns the sum of `total` over all replicas divided by that of `divisor`.

    Keras' TensorFlow trainer adds up the replicas' gradients, and logs a loss
    multiplied by their number. So the gradient is that of this replica's share
    of the global loss, and the value is the global loss divided by the number of replicas.
    """
    context = _replica_context()
    if context is None:
        return total if divisor is None else total / ops.maximum(divisor, 1.0)
    import tensorflow as tf

    local_sums = tf.stop_gradient(tf.stack([total, total if divisor is None else divisor]))
    sums = context.all_reduce(tf.distribute.ReduceOp.SUM, local_sums)
    divisor = tf.ones(()) if divisor is None else tf.maximum(sums[1], 1.0)
    share = total / divisor
    value = sums[0] / divisor / context.num_replicas_in_sync
    return share + tf.stop_gradient(value - share)


def _replica_context() -> Any:
    """Returns TensorFlow's replica context where several replicas compute, else None."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context


def _checked_weights(class_weights: Sequence[float] | None) -> list[float] | None:
    if class_weights is None:
        return None
    if isinstance(class_weights, dict):
        raise ValueError(
            "`class_weights` must be a sequence with one factor per class, not a dictionary. "
            f"Received: class_weights={class_weights}."
        )
    weights = [float(weight) for weight in class_weights]
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise ValueError(
            "`class_weights` must be finite, at least 0, and not all 0. "
            f"Received: class_weights={weights}."
        )
    return weights
