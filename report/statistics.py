"""What a report keeps of each image, and what it computes of all of them."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.labels import LabelSpec

from .boundaries import BAND_WIDTHS, DILATION_RATIO, band_counts, boundary_counts, boundary_distance
from .calibration import (
    calibration_counts,
    calibration_summary,
    expected_calibration_error,
)
from .regions import REGION_SIZES, Suspect, region_counts, region_summary, suspects

# Bootstrap over images.
DRAWS = 1000
LEVEL = 0.95
SEED = 0
# Suspected label errors that are kept.
MAX_SUSPECTS = 100

Array = npt.NDArray[np.float64]
Value = TypeVar("Value")


@dataclass(frozen=True)
class ImageRow:
    """The metrics of one image; None for undefined ones.

    Attributes:
        id: Its id in the dataset.
        height: In pixels.
        width: In pixels.
        num_pixels: Number of pixels that count.
        num_ignored_pixels: Number of ignored ones.
        pixel_accuracy: Share of the pixels that are right.
        mean_iou: Mean over the classes that are labeled or predicted in it.
        boundary_iou: Mean over the same classes.
        mean_confidence: Mean probability of the predictions.
        main_error: Label, prediction and number of pixels of the most frequent error.
    """

    id: str
    height: int
    width: int
    num_pixels: int
    num_ignored_pixels: int
    pixel_accuracy: float | None
    mean_iou: float | None
    boundary_iou: float | None
    mean_confidence: float | None
    main_error: tuple[int, int, int] | None


class Worst(Generic[Value]):
    """The values with the largest keys of all that were pushed, at most `limit` of them.

    Example:
        >>> worst = Worst(2)
        >>> for number in (3, 9, 5, 1):
        ...     worst.push(number, lambda number=number: f"value {number}")
        >>> list(worst)
        ['value 9', 'value 5']
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[tuple[float, int, Value]] = []
        self._pushed = 0

    def push(self, key: float, make: Callable[[], Value]) -> None:
        """Adds a value, which is made only if it is among the largest. Of equals the first stay."""
        self._pushed += 1
        if len(self._heap) == self._limit and key <= self._heap[0][0]:
            return
        entry = (key, -self._pushed, make())
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    def __iter__(self) -> Iterator[Value]:
        """Yields the values, the largest first."""
        return (value for _, _, value in sorted(self._heap, key=lambda entry: entry[:2])[::-1])


class Found(NamedTuple):
    """A suspected label error, and the position of its image."""

    position: int
    suspect: Suspect


class HeadStatistics:
    """The numbers of a report on one head: counts of each image, from which all are computed.

    It keeps a few numbers per image and class, no label map.

    Args:
        spec: The classes.

    Attributes:
        rows: The metrics of each image, in the order of `add`.
        matrix: The confusion matrix of all images.
        suspects: Position and region of the suspected label errors, those with the largest share of
            their image.
        num_suspects: How many there are in all.
    """

    def __init__(self, spec: LabelSpec) -> None:
        self.spec = spec
        self.rows: list[ImageRow] = []
        self.matrix = ConfusionMatrix.of(spec)
        self.suspects: Worst[Found] = Worst(MAX_SUSPECTS)
        self.num_suspects = 0
        # Of each image: pixels right, labeled, predicted; of boundaries shared, in the union.
        self._counts: list[npt.NDArray[np.int64]] = []
        self._calibration: list[Array] = []
        self._bands = np.zeros((BAND_WIDTHS, 3, spec.num_classes), np.int64)
        self._regions = np.zeros((4, len(REGION_SIZES)), np.int64)

    def add(
        self,
        id_: str,
        labels: np.ndarray,
        predictions: np.ndarray,
        matrix: ConfusionMatrix,
        confidences: np.ndarray | None = None,
    ) -> list[Suspect]:
        """Adds an image.

        Args:
            id_: Its id in the dataset.
            labels: uint8, shape `(height, width)`.
            predictions: The same shape.
            matrix: Its confusion matrix.
            confidences: Probabilities of the predictions, same shape; None if there are none.

        Returns:
            Its suspected label errors.
        """
        num_classes = self.spec.num_classes
        is_class = labels < num_classes
        predictions = np.where(is_class, predictions, labels)
        is_right = labels == predictions
        distance = boundary_distance(labels)
        shared, union = boundary_counts(labels, predictions, num_classes, distance)
        counts, confidence, found = matrix.counts, None, []
        self._counts.append(
            np.stack([counts.diagonal(), counts.sum(1), counts.sum(0), shared, union])
        )
        self._bands += band_counts(labels, predictions, num_classes, distance)
        self._regions += region_counts(labels, is_right, num_classes)
        if confidences is not None:
            of_classes = confidences[is_class]
            self._calibration.append(calibration_counts(of_classes, is_right[is_class]))
            confidence = float(of_classes.mean()) if of_classes.size else None
            found = list(suspects(labels, predictions, confidences, num_classes, distance))
            self.num_suspects += len(found)
            for suspect in found:
                self.suspects.push(suspect.share, partial(Found, len(self.rows), suspect))
        metrics = matrix.metrics()
        self.matrix += matrix
        self.rows.append(
            ImageRow(
                id=id_,
                height=labels.shape[0],
                width=labels.shape[1],
                num_pixels=matrix.num_pixels,
                num_ignored_pixels=matrix.num_ignored,
                pixel_accuracy=_defined(metrics.pixel_accuracy),
                mean_iou=_defined(metrics.mean_iou),
                boundary_iou=_defined(float(self._mean(_ratio(shared, union)))),
                mean_confidence=confidence,
                main_error=_main_error(counts),
            )
        )
        return found

    def wrong_pixels(self) -> npt.NDArray[np.int64]:
        """Returns the pixels of the last image that are wrong by class: missed or false."""
        right, labeled, predicted = self._counts[-1][:3]
        wrong: npt.NDArray[np.int64] = labeled + predicted - 2 * right
        return wrong

    def to_dict(self, classes: Sequence[str] = ()) -> dict[str, Any]:
        """Returns the numbers as plain values, for JSON; None for undefined ones.

        Args:
            classes: Those of `Evaluation.classes`.
        """
        names = self.spec.class_names
        total = np.zeros((5, len(names)), np.int64) + sum(self._counts)
        chosen = [names.index(name) for name in classes]
        values = self._metrics(total[None], chosen)
        of_classes = [_defined(value) for value in values["per_class_boundary_iou"][0].tolist()]
        return {
            "boundary_iou": _defined(float(values["boundary_iou"][0])),
            "boundary_dilation_ratio": DILATION_RATIO,
            "per_class_boundary_iou": dict(zip(names, of_classes, strict=True)),
            "intervals": self._intervals(chosen),
            "trimap": [
                {"width": width + 1, "mean_iou": _defined(float(mean_iou))}
                for width, mean_iou in enumerate(self._mean(_iou(self._bands)))
            ],
            "calibration": self._calibration_summary(),
            "region_sizes": region_summary(self._regions),
            "num_suspected_label_errors": self.num_suspects,
            "suspected_label_errors": [
                {
                    "id": self.rows[position].id,
                    "label": names[suspect.label],
                    "prediction": names[suspect.prediction],
                    "num_pixels": suspect.num_pixels,
                    "confidence": suspect.confidence,
                    "box": list(suspect.box),
                }
                for position, suspect in self.suspects
            ],
            "per_image": [self._row_dict(row) for row in self.rows],
        }

    def _row_dict(self, row: ImageRow) -> dict[str, Any]:
        values = dict(vars(row))
        if row.main_error:
            label, prediction, num_pixels = row.main_error
            names = self.spec.class_names
            values["main_error"] = {
                "label": names[label],
                "prediction": names[prediction],
                "num_pixels": num_pixels,
            }
        return values

    def _calibration_summary(self) -> dict[str, Any] | None:
        if not self._calibration:
            return None
        return calibration_summary(np.sum(self._calibration, axis=0))

    def _metrics(self, counts: npt.NDArray[Any], chosen: Sequence[int]) -> dict[str, Array]:
        """Returns metrics of several sets of images: each of the shape `(sets, ...)`.

        Args:
            counts: Shape `(sets, 5, num_classes)`.
            chosen: Labels of the classes of `mean_iou_of_classes`.
        """
        right, labeled, _, shared, union = np.moveaxis(counts, 1, 0)
        iou = _iou(counts[:, :3])
        boundary_iou = _ratio(shared, union)
        pixels = labeled.sum(-1)
        values = {
            "pixel_accuracy": _ratio(right.sum(-1), pixels),
            "mean_accuracy": _mean(_ratio(right, labeled)),
            "mean_iou": self._mean(iou),
            "frequency_weighted_iou": _ratio(np.nansum(labeled * iou, axis=-1), pixels),
            "boundary_iou": self._mean(boundary_iou),
            "per_class_iou": iou,
            "per_class_boundary_iou": boundary_iou,
        }
        if chosen:
            values["mean_iou_of_classes"] = _mean(iou[:, list(chosen)])
        return values

    def _intervals(self, chosen: Sequence[int]) -> dict[str, Any]:
        draws: dict[str, list[Array]] = {}
        for weights in _bootstrap_weights(len(self.rows)):
            counts = np.tensordot(weights, np.stack(self._counts).astype(np.float64), 1)
            found = self._metrics(counts, chosen)
            if self._calibration:
                bins = np.tensordot(weights, np.stack(self._calibration), 1)
                found["ece"] = expected_calibration_error(bins)
            for name, values in found.items():
                draws.setdefault(name, []).append(values)
        intervals = {name: _interval(np.concatenate(values)) for name, values in draws.items()}
        for name in ("per_class_iou", "per_class_boundary_iou"):
            if name in intervals:
                intervals[name] = dict(zip(self.spec.class_names, intervals[name], strict=True))
        return {"level": LEVEL, "draws": DRAWS, "seed": SEED, **intervals}

    def _mean(self, values: Array) -> Array:
        """Returns the mean over the classes that are defined and enter the mean IoU."""
        return _mean(np.delete(values, list(self.spec.unscored_labels), axis=-1))


def _bootstrap_weights(num_images: int) -> list[Array]:
    """Returns how often each image occurs in each draw, in parts; none for a single image."""
    if num_images < 2:
        return []
    generator = np.random.default_rng(SEED)
    shares = np.full(num_images, 1 / num_images)
    part = 100
    return [
        generator.multinomial(num_images, shares, part).astype(np.float64)
        for _ in range(DRAWS // part)
    ]


def _interval(values: Array) -> Any:
    """Returns the percentile interval of draws, or a list of them; None if all are undefined."""
    if values.ndim == 2:
        return [_interval(column) for column in values.T]
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    return np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()


def _iou(counts: npt.NDArray[Any]) -> Array:
    """Returns the IoU of each class from pixels right, labeled and predicted: `(..., 3, n)`."""
    right, labeled, predicted = np.moveaxis(counts, -2, 0)
    return _ratio(right, labeled + predicted - right)


def _ratio(numerator: Any, denominator: Any) -> Array:
    """Returns the quotient; NaN where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)


def _mean(values: Array) -> Array:
    """Returns the mean along the last axis of what is not NaN; NaN if all is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))


def _main_error(counts: npt.NDArray[np.int64]) -> tuple[int, int, int] | None:
    errors = counts - np.diag(counts.diagonal())
    label, prediction = divmod(int(errors.argmax()), len(errors))
    return (label, prediction, int(errors[label, prediction])) if errors.any() else None


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
