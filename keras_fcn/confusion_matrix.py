"""The confusion matrix of label maps, in NumPy, with the metrics that follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_fcn.labels import LabelSpec, check_ignore_class, check_num_classes

METRIC_NAMES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Metrics:
    """The metrics of one confusion matrix; NaN where a metric is not defined.

    Attributes:
        pixel_accuracy: Share of the pixels that are right.
        mean_accuracy: Mean of `per_class_accuracy` over the labeled classes.
        mean_iou: Mean of `per_class_iou` over the classes that are labeled or predicted.
        frequency_weighted_iou: Mean of the IoU, weighted by the pixels of each class.
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
    """The metrics of one class; `None` where a metric is not defined.

    Attributes:
        name: Name of the class.
        iou: Intersection over union.
        accuracy: Share of the pixels of the class that are right (recall).
        num_labeled: Number of pixels with this label.
        num_predicted: Number of pixels with this prediction.
    """

    name: str
    iou: float | None
    accuracy: float | None
    num_labeled: int
    num_predicted: int


class ConfusionMatrix:
    """Counts of pixels by label and prediction.

    Args:
        num_classes: Number of classes, background included, 2 to 255.
        ignore_class: Label of the pixels to leave out; `None` counts every pixel.
        class_names: One name per class; `class 0`, `class 1`, ... by default.
        unscored: Labels of the classes that do not enter `mean_iou`; see `LabelSpec`.

    Attributes:
        counts: Number of pixels, int64, shape `(num_classes, num_classes)`; rows are labels,
            columns predictions.
        num_ignored: Number of pixels that were left out.

    Raises:
        ValueError: If an argument is not as above.

    Example:
        >>> matrix = ConfusionMatrix(num_classes=2, class_names=["sky", "road"])
        >>> matrix.update([0, 1, 1, 255], [0, 0, 1, 1])
        array([[1, 0],
               [1, 1]])
        >>> matrix.num_pixels, matrix.num_ignored, matrix.metrics().mean_iou
        (3, 1, 0.5)
    """

    def __init__(
        self,
        num_classes: int,
        ignore_class: int | None = 255,
        class_names: Sequence[str] | None = None,
        unscored: Sequence[int] = (),
    ) -> None:
        check_num_classes(num_classes)
        check_ignore_class(ignore_class, num_classes)
        check_class_names(class_names, num_classes)
        check_unscored(unscored, num_classes)
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.class_names = tuple(class_names or (f"class {i}" for i in range(num_classes)))
        self.unscored = tuple(unscored)
        self.counts: IntArray = np.zeros((num_classes, num_classes), np.int64)
        self.num_ignored = 0

    @classmethod
    def of(cls, spec: LabelSpec) -> "ConfusionMatrix":
        """Returns an empty matrix for label maps with these classes."""
        return cls(spec.num_classes, spec.ignore_class, spec.class_names, spec.unscored_labels)

    @classmethod
    def from_counts(
        cls, counts: npt.ArrayLike, *, num_ignored: int = 0, **arguments: Any
    ) -> "ConfusionMatrix":
        """Returns the matrix of pixels that were counted elsewhere.

        Args:
            counts: Shape `(num_classes, num_classes)`; rows are labels, columns predictions.
            num_ignored: Number of pixels that were left out.
            **arguments: `ignore_class`, `class_names` and `unscored`, as for `ConfusionMatrix`.

        Raises:
            ValueError: If the counts are not square, or one is negative.

        Example:
            >>> ConfusionMatrix.from_counts([[3, 1], [2, 4]]).metrics().pixel_accuracy
            0.7
        """
        counts = np.asarray(counts)
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or (counts < 0).any():
            raise ValueError(
                "`counts` must be a square matrix of numbers of at least 0. "
                f"Received: shape {counts.shape}, smallest value {counts.min(initial=0):g}."
            )
        matrix = cls(len(counts), **arguments)
        matrix.counts += counts.astype(np.int64)
        matrix.num_ignored = num_ignored
        return matrix

    @property
    def num_pixels(self) -> int:
        """Number of pixels that were counted."""
        return int(self.counts.sum())

    def update(self, labels: npt.ArrayLike, predictions: npt.ArrayLike) -> IntArray:
        """Counts pixels.

        Args:
            labels: Integers of any shape, each in `[0, num_classes)` or `ignore_class`.
            predictions: Integers of the same shape, in `[0, num_classes)` wherever
                the label is a class.

        Returns:
            The counts of these pixels alone.

        Raises:
            ValueError: If the shapes differ, or a label or prediction is outside the
                classes. No pixel is counted then.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if labels.shape != predictions.shape:
            raise ValueError(
                "`labels` and `predictions` must have the same shape. "
                f"Received: {labels.shape} and {predictions.shape}."
            )
        is_bytes = labels.dtype == predictions.dtype == np.uint8
        counts = (self._count_bytes if is_bytes else self._count)(labels, predictions)
        self.counts += counts
        self.num_ignored += labels.size - int(counts.sum())
        return counts

    def metrics(self) -> Metrics:
        """Returns the four metrics of the FCN paper, and those of each class."""
        counts = self.counts.astype(np.float64)
        hits, labeled, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
        accuracy = _quotient(hits, labeled)
        iou = _quotient(hits, labeled + predicted - hits)
        present = labeled > 0
        return Metrics(
            pixel_accuracy=float(_quotient(hits.sum(), counts.sum())),
            mean_accuracy=_mean(accuracy),
            mean_iou=_mean(np.delete(iou, list(self.unscored))),
            frequency_weighted_iou=float(
                _quotient((labeled[present] * iou[present]).sum(), counts.sum())
            ),
            per_class_accuracy=accuracy,
            per_class_iou=iou,
        )

    def per_class(self) -> list[ClassMetrics]:
        """Returns the metrics of each class; `dataclasses.asdict` makes them fit for JSON.

        Example:
            >>> matrix = ConfusionMatrix.from_counts([[3, 1], [2, 4]], class_names=["sky", "road"])
            >>> matrix.per_class()[0]
            ClassMetrics(name='sky', iou=0.5, accuracy=0.75, num_labeled=4, num_predicted=5)
        """
        metrics = self.metrics()
        return [
            ClassMetrics(
                name=name,
                iou=_defined(metrics.per_class_iou[i]),
                accuracy=_defined(metrics.per_class_accuracy[i]),
                num_labeled=int(self.counts[i].sum()),
                num_predicted=int(self.counts[:, i].sum()),
            )
            for i, name in enumerate(self.class_names)
        ]

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Returns the matrix of the pixels of both, with the class names of this one."""
        if other.num_classes != self.num_classes:
            raise ValueError(
                "Confusion matrices must have the same number of classes to be added. "
                f"Received: {self.num_classes} and {other.num_classes}."
            )
        return ConfusionMatrix.from_counts(
            self.counts + other.counts,
            num_ignored=self.num_ignored + other.num_ignored,
            ignore_class=self.ignore_class,
            class_names=self.class_names,
            unscored=self.unscored,
        )

    def __repr__(self) -> str:
        return (
            f"<ConfusionMatrix of {self.num_classes} classes, {self.num_pixels:,} pixels, "
            f"{self.num_ignored:,} ignored>"
        )

    def _count_bytes(self, labels: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> IntArray:
        """Returns the counts of uint8 maps, in a ninth of the time that `_count` takes."""
        cells = labels.astype(np.uint16) << 8 | predictions
        table = np.bincount(cells.ravel(), minlength=2**16).reshape(256, 256).astype(np.int64)
        strays = table[self.num_classes :].sum(axis=1)
        if self.ignore_class is not None and self.num_classes <= self.ignore_class < 256:
            strays[self.ignore_class - self.num_classes] = 0
        found = np.flatnonzero(strays)
        self._refuse_labels({str(i + self.num_classes): int(strays[i]) for i in found.tolist()})
        self._check_predictions(np.flatnonzero(table[: self.num_classes].any(axis=0)))
        return table[: self.num_classes, : self.num_classes]

    def _count(self, labels: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> IntArray:
        """Returns the counts of maps of any dtype."""
        counted = (labels >= 0) & (labels < self.num_classes)
        if labels.dtype.kind == "f":
            counted &= labels == np.floor(labels)
        strays = labels[~counted]
        if self.ignore_class is not None:
            strays = strays[strays != self.ignore_class]
        found = zip(*np.unique(strays, return_counts=True), strict=True)
        self._refuse_labels({str(value): int(count) for value, count in found})
        rows, columns = labels[counted].astype(np.int64), predictions[counted].astype(np.int64)
        self._check_predictions(columns)
        counts = np.bincount(rows * self.num_classes + columns, minlength=self.num_classes**2)
        return counts.reshape(self.num_classes, self.num_classes).astype(np.int64)

    def _refuse_labels(self, values: Mapping[str, int]) -> None:
        if values:
            raise ValueError(invalid_labels_message(values, self.num_classes, self.ignore_class))

    def _check_predictions(self, values: IntArray) -> None:
        if values.size and not (values.min() >= 0 and values.max() < self.num_classes):
            raise ValueError(
                f"`predictions` must be in [0, {self.num_classes}). Received: values from "
                f"{values.min()} to {values.max()}. Does the model have the classes of the dataset?"
            )


def _quotient(numerator: Any, denominator: Any) -> FloatArray:
    """Returns the quotient, NaN (without a warning) where the denominator is 0."""
    denominator = np.asarray(denominator)
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)


def _mean(values: FloatArray) -> float:
    """Returns the mean of what is not NaN, NaN (without a warning) if all is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def check_class_names(class_names: Sequence[str] | None, num_classes: int) -> None:
    """Raises ValueError if there are names, but not one per class."""
    if class_names is not None and len(class_names) != num_classes:
        raise ValueError(
            f"`class_names` must contain one name for each of the {num_classes} classes. "
            f"Received: {len(class_names)} names."
        )


def check_unscored(unscored: Sequence[int], num_classes: int) -> None:
    """Raises ValueError unless these are labels of classes, and not of all of them."""
    if not set(unscored) < set(range(num_classes)):
        raise ValueError(
            "`unscored` must contain labels of classes, and not of all of them. Received: "
            f"{list(unscored)}."
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
        f"Labels must be in [0, {num_classes}){allowed}. Received: {', '.join(shown)}. {remedy} "
        "or the masks do not contain class indices: they were saved as colors or gray values, or "
        "resized with interpolation. `keras-fcn datasets check` names the files."
    )
