"""The metrics of label maps, for `compile`."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from keras_fcn.confusion_matrix import (
    METRIC_NAMES,
    ConfusionMatrix,
    IntArray,
    check_class_names,
    check_unscored,
    invalid_labels_message,
)
from keras_fcn.label_tensors import is_class, label_values
from keras_fcn.labels import check_ignore_class, check_num_classes

# Behind the matrix come a cell for each label 0..255 that is no class, one for all other such
# labels, and one for ignored pixels.
NUM_BYTE_VALUES = 256
NUM_OTHER_CELLS = NUM_BYTE_VALUES + 2

# A count is two words, because JAX has no int64: `low + high * WORD`. The low word stays far
# below 2**31, so that the low words of a thousand replicas can be added up.
WORD = 2**20


@keras.saving.register_keras_serializable(package="keras_fcn")
class SegmentationMetrics(keras.metrics.Metric):
    """The four metrics of the FCN paper, from one confusion matrix.

    All pixels since the last reset are counted in one matrix, on the device and
    exactly, also beyond 2**31 pixels. The metrics are, as in the paper:

    * `pixel_accuracy`: the share of pixels that are right,
    * `mean_accuracy`: the mean over the classes of the share of a class's
      pixels that are right,
    * `mean_iou`: the mean over the classes of intersection over union (the
      PASCAL VOC measure, not the mean of per-image values),
    * `frequency_weighted_iou`: the same mean, weighted by the pixels of each class.

    A mean leaves out classes for which it is not defined: those absent from the
    labels (`mean_accuracy`), or from both labels and predictions (`mean_iou`).
    A class that is predicted but absent from the labels has the IoU 0.

    With `compile(metrics=[SegmentationMetrics(...)])` the logs contain these
    names, and with the prefix `val_` those of validation data. Under
    `MirroredStrategy` the progress bar shows the mean of the replicas' own
    values, and the end of the epoch the metrics of all their pixels.

    Labels outside the classes are errors in the data, at which a compiled step cannot stop. They
    are counted separately; from then on the logged metrics are NaN, and `result` raises a
    ValueError as soon as it runs outside of a compiled function, which in `fit` and `evaluate` is
    the end of the epoch.

    Args:
        num_classes: Number of classes, background included, 2 to 255.
        ignore_class: Label of the pixels to leave out, such as 255 at the outlines of objects in
            VOC. `None` counts every pixel.
        class_names: Optional names of the classes, for `confusion_matrix`.
        unscored: Labels of the classes that do not enter `mean_iou`; see `LabelSpec`.
        prefix: Precedes the names of the metrics in the logs. Give each of
            several heads its own: Keras merges the logs of equal names.
        name: Name of the Keras object; the logs do not show it.

    Call arguments:
        y_true: Labels, any integer or float dtype, shape
            `(batch, height, width)` or `(batch, height, width, 1)`.
        y_pred: Logits or probabilities, float, shape
            `(batch, height, width, num_classes)`. The prediction is the class of
            the largest, the first of equals.

    Returns:
        A dictionary of four float32 scalars in [0, 1]; 0 before the first
        counted pixel, NaN (in a compiled function) after an invalid label.

    Raises:
        ValueError: If an argument or a shape is not as above, `ignore_class` is
            one of the classes, `sample_weight` is passed, or an invalid label
            was counted.

    Example:
        >>> metric = SegmentationMetrics(num_classes=2, ignore_class=255)
        >>> labels = [[[0, 1], [1, 255]]]
        >>> logits = keras.ops.one_hot([[[0, 1], [0, 0]]], 2)
        >>> metric.update_state(labels, logits)
        >>> metric.confusion_matrix().counts  # rows: label, columns: prediction
        array([[1, 0],
               [1, 1]])
        >>> round(float(metric.result()["mean_iou"]), 3)  # IoU is 1/2 for both classes
        0.5

    Reference:
        Long, Shelhamer and Darrell, "Fully Convolutional Networks for
        Semantic Segmentation", CVPR 2015, section 5.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_class: int | None = 255,
        class_names: Sequence[str] | None = None,
        unscored: Sequence[int] = (),
        prefix: str = "",
        name: str = "metrics",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_num_classes(num_classes)
        check_ignore_class(ignore_class, num_classes)
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.class_names = None if class_names is None else [str(name) for name in class_names]
        self.unscored = [int(label) for label in unscored]
        self.prefix = prefix
        check_class_names(self.class_names, num_classes)
        check_unscored(self.unscored, num_classes)
        self.counts = self.add_variable(
            (2, num_classes**2 + NUM_OTHER_CELLS),
            initializer="zeros",
            # int64 in TensorFlow, which keeps int32 variables off the GPU; int32 in JAX.
            dtype="int",
            name="counts",
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be None, because pixels are counted, not weighted. Pass the "
                "metric in `compile(metrics=...)`, not in `weighted_metrics`, and give the label "
                "`ignore_class` to pixels to leave out."
            )
        y_pred = ops.convert_to_tensor(y_pred)
        if y_pred.shape[-1] != self.num_classes:
            raise ValueError(
                f"The last axis of the logits must contain {self.num_classes} classes "
                f"(`num_classes`). Received: y_pred.shape={tuple(y_pred.shape)}."
            )
        labels = ops.reshape(label_values(y_true, y_pred), (-1,))
        predictions = _argmax(ops.reshape(y_pred, (-1, self.num_classes)))
        counts = _count(self._cells(labels, predictions), self.counts.shape[1])
        low = self.counts[0] + ops.cast(counts, self.counts.dtype)
        self.counts.assign(ops.stack([low % WORD, self.counts[1] + low // WORD]))

    def result(self) -> dict[str, KerasTensor]:
        counts = ops.convert_to_tensor(self.counts)
        if _has_value(counts):
            self._raise_if_invalid(_exact(counts))
        words = ops.cast(counts, "float32")
        counts = words[0] + words[1] * float(WORD)
        size = self.num_classes**2
        num_invalid = ops.sum(counts[size:-1])
        matrix = ops.reshape(counts[:size], (self.num_classes, self.num_classes))
        metrics = _metrics(matrix, self.unscored)
        return {
            self.prefix + name: ops.where(num_invalid > 0, float("nan"), value)
            for name, value in zip(METRIC_NAMES, metrics, strict=True)
        }

    def confusion_matrix(self) -> ConfusionMatrix:
        """Returns the pixels counted so far.

        Raises:
            ValueError: If labels outside the classes were counted.
        """
        counts = _exact(ops.convert_to_tensor(self.counts))
        self._raise_if_invalid(counts)
        return ConfusionMatrix.from_counts(
            counts[: self.num_classes**2].reshape(self.num_classes, self.num_classes),
            num_ignored=int(counts[-1]),
            ignore_class=self.ignore_class,
            class_names=self.class_names,
            unscored=self.unscored,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "ignore_class": self.ignore_class,
            "class_names": self.class_names,
            "unscored": self.unscored,
            "prefix": self.prefix,
        }

    def _cells(self, labels: KerasTensor, predictions: KerasTensor) -> KerasTensor:
        """Returns the index of each pixel's cell in `counts`, int32."""
        # In float32, which is exact up to 2**24; `label_values` has the reasons.
        size = self.num_classes**2
        is_byte = is_class(labels, NUM_BYTE_VALUES)
        cells = ops.where(is_byte, labels, float(NUM_BYTE_VALUES)) + float(size)
        if self.ignore_class is not None:
            is_ignored = ops.equal(labels, float(self.ignore_class))
            cells = ops.where(is_ignored, float(size + NUM_OTHER_CELLS - 1), cells)
        in_matrix = labels * float(self.num_classes) + ops.cast(predictions, "float32")
        cells = ops.where(is_class(labels, self.num_classes), in_matrix, cells)
        return ops.cast(cells, "int32")

    def _raise_if_invalid(self, counts: IntArray) -> None:
        invalid = counts[self.num_classes**2 : -1]
        values = {str(value): int(invalid[value]) for value in np.flatnonzero(invalid[:-1])}
        if invalid[-1]:
            values["negative, fractional or above 255"] = int(invalid[-1])
        if values:
            raise ValueError(invalid_labels_message(values, self.num_classes, self.ignore_class))


def _metrics(matrix: KerasTensor, unscored: Sequence[int]) -> tuple[KerasTensor, ...]:
    """Returns the metrics of a float matrix, in the order of METRIC_NAMES; 0 if it is empty.

    `ConfusionMatrix.metrics` in Keras operations, for compiled steps.
    """
    hits, labeled, predicted = ops.diagonal(matrix), ops.sum(matrix, 1), ops.sum(matrix, 0)
    union = labeled + predicted - hits
    # max(..., 1) only guards divisions: where a sum of counts is 0, so are the hits.
    iou = hits / ops.maximum(union, 1.0)
    accuracy = hits / ops.maximum(labeled, 1.0)
    total = ops.maximum(ops.sum(matrix), 1.0)
    is_scored = np.ones(matrix.shape[0], "float32")
    is_scored[list(unscored)] = 0
    return (
        ops.sum(hits) / total,
        ops.sum(accuracy) / _num_positive(labeled),
        ops.sum(iou * is_scored) / _num_positive(union * is_scored),
        ops.sum(labeled * iou) / total,
    )


def _num_positive(values: KerasTensor) -> KerasTensor:
    return ops.maximum(ops.sum(ops.cast(values > 0, "float32")), 1.0)


def _argmax(logits: KerasTensor) -> KerasTensor:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Half the time of `ops.argmax`, which first treats -0.0 as less than 0.0.
        return tf.argmax(logits, axis=-1, output_type=tf.int32)
    return ops.argmax(logits, axis=-1)


def _count(cells: KerasTensor, num_cells: int) -> KerasTensor:
    """Returns how often each of `[0, num_cells)` occurs in the vector `cells`, int32."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # A ninth of the time of `segment_sum`. `ops.bincount` and `tf.math.bincount` do not work
        # under XLA, because the size of their result depends on the cells.
        no_weights = tf.zeros((0,), tf.int32)
        return tf.raw_ops.DenseBincount(input=cells, size=num_cells, weights=no_weights)
    return ops.segment_sum(ops.ones_like(cells), cells, num_segments=num_cells)


def _has_value(tensor: KerasTensor) -> bool:
    """Returns False in a compiled or stateless step of training."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.executing_eagerly())
    if keras.backend.backend() == "jax":
        import jax

        # The second, for `jit_compile=False`: an error in a stateless step of `evaluate` would
        # lose the model's weights, which Keras removes from the model during the step.
        return not isinstance(tensor, jax.core.Tracer) and not _in_stateless_scope()
    return True


def _in_stateless_scope() -> bool:
    with keras.StatelessScope(initialize_variables=False) as scope:
        return scope.original_scope is not None


def _exact(counts: KerasTensor) -> IntArray:
    """Returns the int64 counts that the two words of each cell represent."""
    low, high = np.asarray(counts).astype(np.int64)
    return low + high * WORD
