"""Confusion matrices of label maps, in NumPy, with the scores that follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_fcn.labels import check_ignore_class, check_num_classes

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of one confusion matrix; NaN where a score is not defined.

    Attributes:
        pixel_accuracy: Share of the pixels that are right.
        mean_accuracy: Mean of `per_class_accuracy` over the labeled classes.
        mean_iou: Mean of `per_class_iou` over the classes that are labeled or predicted.
        frequency_weighted_iou: Mean of the IoU, weighted by the classes' pixels.
        per_class_accuracy: Shape `(num_classes,)`; NaN where a class is not labeled.
        per_class_iou: Shape `(num_classes,)`; NaN where a class is neither
            labeled nor predicted.
    """

    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float
    frequency_weighted_iou: float
    per_class_accuracy: FloatArray
    per_class_iou: FloatArray


@dataclass(frozen=True)
class ClassMetrics:
    """One row of the per-class table; `None` where a score is not defined.

    Attributes:
        name: Name of the class.
        iou: Intersection over union.
        accuracy: Share of the class's pixels that are right (recall).
        num_labeled: Pixels that are labeled so.
        num_predicted: Pixels that are predicted so.
    """

    name: str
    iou: float | None
    accuracy: float | None
    num_labeled: int
    num_predicted: int


def confusion_matrix_of(
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike,
    num_classes: int,
    ignore_class: int | None = 255,
) -> IntArray:
    """Returns the confusion matrix of label maps, int64, rows by label, columns by prediction.

    Args:
        labels: Integers of any shape, each in `[0, num_classes)` or `ignore_class`.
        predictions: Integers of the same shape, in `[0, num_classes)` wherever
            the label is a class.
        num_classes: Number of classes.
        ignore_class: Label of the pixels to leave out; `None` counts every pixel.

    Raises:
        ValueError: If the shapes differ, or a label or prediction lies outside the classes.

    Example:
        >>> confusion_matrix_of([0, 1, 1, 255], [0, 0, 1, 1], num_classes=2)
        array([[1, 0],
               [1, 1]])
    """
    check_num_classes(num_classes)
    check_ignore_class(ignore_class, num_classes)
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape:
        raise ValueError(
            "`labels` and `predictions` must have the same shape. "
            f"Received: {labels.shape} and {predictions.shape}."
        )
    counted = (labels >= 0) & (labels < num_classes)
    if labels.dtype.kind == "f":
        counted &= labels == np.floor(labels)
    strays = labels[~counted]
    if ignore_class is not None:
        strays = strays[strays != ignore_class]
    if strays.size:
        found = zip(*np.unique(strays, return_counts=True), strict=True)
        values = {str(value): int(count) for value, count in found}
        raise ValueError(invalid_labels_message(values, num_classes, ignore_class))
    rows, columns = labels[counted].astype(np.int64), predictions[counted].astype(np.int64)
    if columns.size and not (columns.min() >= 0 and columns.max() < num_classes):
        raise ValueError(
            f"`predictions` must lie in [0, {num_classes}). Received: values from {columns.min()} "
            f"to {columns.max()}. Does the model have the classes of the dataset?"
        )
    counts = np.bincount(rows * num_classes + columns, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def scores_from_confusion(matrix: npt.ArrayLike, unscored: Sequence[int] = ()) -> Scores:
    """Returns the scores of a confusion matrix (rows by label, columns by prediction).

    Args:
        matrix: Counts, shape `(num_classes, num_classes)`.
        unscored: Labels of the classes that do not enter `mean_iou`; see `LabelSpec`.

    Raises:
        ValueError: If the matrix is not square, or a count is negative.

    Example:
        >>> scores_from_confusion([[3, 1], [2, 4]]).pixel_accuracy
        0.7
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or (matrix < 0).any():
        raise ValueError(
            "`matrix` must be square and hold counts of at least 0. "
            f"Received: shape {matrix.shape}, smallest value {matrix.min(initial=0):g}."
        )
    hits, labeled, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    accuracy = _quotient(hits, labeled)
    iou = _quotient(hits, labeled + predicted - hits)
    present = labeled > 0
    return Scores(
        pixel_accuracy=float(_quotient(hits.sum(), matrix.sum())),
        mean_accuracy=_mean(accuracy),
        mean_iou=_mean(np.delete(iou, list(unscored))),
        frequency_weighted_iou=float(
            _quotient((labeled[present] * iou[present]).sum(), matrix.sum())
        ),
        per_class_accuracy=accuracy,
        per_class_iou=iou,
    )


def per_class_table(matrix: npt.ArrayLike, class_names: Sequence[str]) -> list[ClassMetrics]:
    """Returns one row a class; `dataclasses.asdict` makes it fit for JSON.

    Args:
        matrix: Counts, rows by label, columns by prediction, shape
            `(num_classes, num_classes)`.
        class_names: One name a class.

    Example:
        >>> per_class_table([[3, 1], [2, 4]], ["sky", "road"])[0]
        ClassMetrics(name='sky', iou=0.5, accuracy=0.75, num_labeled=4, num_predicted=5)
    """
    scores = scores_from_confusion(matrix)
    matrix = np.asarray(matrix)
    check_class_names(class_names, len(matrix))
    return [
        ClassMetrics(
            name=name,
            iou=None if np.isnan(scores.per_class_iou[i]) else float(scores.per_class_iou[i]),
            accuracy=None
            if np.isnan(scores.per_class_accuracy[i])
            else float(scores.per_class_accuracy[i]),
            num_labeled=int(matrix[i].sum()),
            num_predicted=int(matrix[:, i].sum()),
        )
        for i, name in enumerate(class_names)
    ]


def _quotient(numerator: Any, denominator: Any) -> FloatArray:
    """Returns the quotient, NaN (without a warning) where the denominator is 0."""
    denominator = np.asarray(denominator)
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)


def _mean(values: FloatArray) -> float:
    """Returns the mean of what is not NaN, NaN (without a warning) if all is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def check_class_names(class_names: Sequence[str], num_classes: int) -> None:
    """Raises ValueError unless there is one name a class."""
    if len(class_names) != num_classes:
        raise ValueError(
            f"`class_names` must hold one name for each of the {num_classes} classes. "
            f"Received: {len(class_names)} names."
        )


def invalid_labels_message(
    values: Mapping[str, int], num_classes: int, ignore_class: int | None
) -> str:
    """Returns the message of an error for labels (value -> pixels) that are no class."""
    shown = [
        f"{value} ({count:,} pixel{'s' * (count > 1)})" for value, count in list(values.items())[:8]
    ]
    if len(values) > len(shown):
        shown.append(f"and {len(values) - len(shown)} more values")
    allowed = "" if ignore_class is None else f" or equal `ignore_class`={ignore_class}"
    remedy = "Either `num_classes` is too small,"
    if len(values) == 1:
        value = next(iter(values))
        remedy = f"If {value} marks pixels to leave out, set `ignore_class` to it. Otherwise"
        remedy += " `num_classes` is too small,"
    return (
        f"Labels must lie in [0, {num_classes}){allowed}. Received: {', '.join(shown)}. {remedy} "
        "or the masks do not hold class indices: they were saved as colors or gray values, or "
        "resized with interpolation. `keras-fcn datasets check` names the files."
    )
