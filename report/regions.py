"""Connected regions: how well those of each size are found, and suspected label errors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

# Smallest number of pixels of each group of regions: squares with a side of 1, 4, 8, 16, ...
REGION_SIZES = (1, 16, 64, 256, 1024, 4096, 16384)
# A region counts as found if more of its pixels than this are right.
FOUND_SHARE = 0.5
# A suspected label error: at least this confident, this far from a boundary of the labels (where
# labels are seldom exact), and this large.
MIN_CONFIDENCE = 0.9
MIN_DISTANCE = 3
MIN_PIXELS = 16

Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Suspect:
    """A region whose label may be wrong: the network confidently predicts another class.

    Attributes:
        label: The label of its pixels.
        prediction: The prediction for all of them.
        num_pixels: Their number.
        confidence: Mean probability of the prediction.
        box: Top, left, bottom and right, the last two outside.
        share: Sum of the probabilities, as a share of the pixels of the image.
    """

    label: int
    prediction: int
    num_pixels: int
    confidence: float
    box: tuple[int, int, int, int]
    share: float


def connected_regions(labels: np.ndarray) -> tuple[npt.NDArray[np.int32], int]:
    """Returns the number of the region of each pixel, from 0, and how many there are.

    A region consists of pixels of one label that are connected along rows and columns.

    Args:
        labels: Shape `(height, width)`.

    Example:
        >>> connected_regions(np.array([[5, 5, 7, 5]]))
        (array([[0, 0, 1, 2]], dtype=int32), 3)
    """
    height, width = labels.shape
    # Pixels with a place between each two neighbors that is set if their labels agree: one pass
    # for all labels.
    grid = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    grid[::2, ::2] = 1
    grid[1::2, ::2] = labels[1:] == labels[:-1]
    grid[::2, 1::2] = labels[:, 1:] == labels[:, :-1]
    numbers, count = ndimage.label(grid)
    return numbers[::2, ::2] - 1, count


def region_counts(labels: np.ndarray, is_right: np.ndarray, num_classes: int) -> Array:
    """Returns regions of the labels by their size: regions, found ones, pixels, right pixels.

    Args:
        labels: Shape `(height, width)`; what is no class is ignored.
        is_right: Whether the prediction is the label, same shape.
        num_classes: Number of classes.

    Returns:
        Shape `(4, len(REGION_SIZES))`.
    """
    numbers, count = connected_regions(labels)
    counted = labels < num_classes
    sizes = np.bincount(numbers[counted], minlength=count)
    right = np.bincount(numbers[counted & is_right], minlength=count)[sizes > 0]
    sizes = sizes[sizes > 0]
    groups = np.searchsorted(REGION_SIZES, sizes, side="right") - 1
    is_found = right > FOUND_SHARE * sizes
    weights = (None, is_found, sizes, right)
    counts = [np.bincount(groups, of, len(REGION_SIZES)) for of in weights]
    return np.stack(counts).astype(np.int64)


def region_summary(counts: Array) -> list[dict[str, Any]]:
    """Returns the counts of `region_counts` as plain values, with the shares of each group."""
    ends = (*REGION_SIZES[1:], None)
    return [
        {
            "min_pixels": start,
            "max_pixels": None if end is None else end - 1,
            "num_regions": int(regions),
            "num_pixels": int(pixels),
            "pixel_accuracy": float(right / pixels) if pixels else None,
            "found": float(found / regions) if regions else None,
        }
        for start, end, (regions, found, pixels, right) in zip(
            REGION_SIZES, ends, counts.T, strict=True
        )
    ]


def suspects(
    labels: np.ndarray,
    predictions: np.ndarray,
    confidences: np.ndarray,
    num_classes: int,
    label_distance: np.ndarray,
) -> Iterator[Suspect]:
    """Yields the regions of an image whose label may be wrong.

    Args:
        labels: Shape `(height, width)`; what is no class is ignored.
        predictions: The same shape.
        confidences: Probabilities of the predictions, same shape.
        num_classes: Number of classes.
        label_distance: `keras_fcn_report.boundaries.boundary_distance(labels)`.
    """
    suspicious = (
        (labels != predictions)
        & (labels < num_classes)
        & (confidences >= MIN_CONFIDENCE)
        & (label_distance >= MIN_DISTANCE)
    )
    if not suspicious.any():
        return
    pairs = np.where(suspicious, labels.astype(np.int32) * 256 + predictions, -1)
    numbers, count = connected_regions(pairs)
    sizes = np.bincount(numbers[suspicious], minlength=count)
    sums = np.bincount(numbers[suspicious], confidences[suspicious], minlength=count)
    boxes = ndimage.find_objects(numbers + 1)
    for number in np.flatnonzero(sizes >= MIN_PIXELS).tolist():
        rows, columns = boxes[number]
        inside = numbers[rows, columns] == number
        label, prediction = divmod(int(pairs[rows, columns][inside][0]), 256)
        yield Suspect(
            label,
            prediction,
            int(sizes[number]),
            float(sums[number] / sizes[number]),
            (rows.start, columns.start, rows.stop, columns.stop),
            float(sums[number] / labels.size),
        )
