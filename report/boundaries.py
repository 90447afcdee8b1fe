"""Metrics at the boundaries of labels: Boundary IoU, and mean IoU in bands around them."""

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

# Of the diagonal of the image; the default of Cheng et al.
DILATION_RATIO = 0.02
# Widths of the bands, in pixels to either side of a boundary.
BAND_WIDTHS = 40

Array = npt.NDArray[np.int64]


def boundary_distance(labels: np.ndarray) -> npt.NDArray[np.int32]:
    """Returns how far the nearest pixel of another label is, in pixels along rows or columns.

    The distance is the larger of the two (the chessboard distance): 1 beside a boundary. Without
    any boundary it is the largest number of its dtype.

    Args:
        labels: Shape `(height, width)`.

    Example:
        >>> boundary_distance(np.array([[0, 0, 0, 1, 1]])).tolist()
        [[3, 2, 1, 1, 2]]
    """
    beside = np.zeros(labels.shape, bool)
    for ours, others in _neighbors():
        differ = labels[ours] != labels[others]
        beside[ours] |= differ
        beside[others] |= differ
    if not beside.any():
        return np.full(labels.shape, np.iinfo(np.int32).max, np.int32)
    distance: npt.NDArray[np.int32] = ndimage.distance_transform_cdt(~beside, metric="chessboard")
    return distance + 1


def boundary_counts(
    labels: np.ndarray,
    predictions: np.ndarray,
    num_classes: int,
    label_distance: np.ndarray,
) -> tuple[Array, Array]:
    """Returns the pixels in the intersection and in the union of the boundaries of each class.

    The boundary of a class is the part of its mask within `dilation` pixels of what is outside,
    beyond the border of the image included. As in the code of Cheng et al., `dilation` is a share
    of the diagonal of the image, at least 1, and the distance is that of repeated erosions by 3x3.

    Args:
        labels: Shape `(height, width)`; what is no class is ignored.
        predictions: The same shape, equal to `labels` at every ignored pixel.
        num_classes: Number of classes.
        label_distance: `boundary_distance(labels)`.

    Reference:
        Cheng, Girshick, Dollár, Berg and Kirillov, "Boundary IoU: Improving Object-Centric Image
        Segmentation Evaluation", CVPR 2021.
    """
    height, width = labels.shape
    dilation = max(1, round(DILATION_RATIO * math.hypot(height, width)))
    at_border = np.ones(labels.shape, bool)
    at_border[dilation : height - dilation, dilation : width - dilation] = False
    of_labels = at_border | (label_distance <= dilation)
    of_predictions = at_border | (boundary_distance(predictions) <= dilation)
    labeled = np.bincount(labels[of_labels], minlength=256)[:num_classes]
    predicted = np.bincount(predictions[of_predictions], minlength=256)[:num_classes]
    both = labels[of_labels & of_predictions & (labels == predictions)]
    intersection = np.bincount(both, minlength=256)[:num_classes]
    return intersection, labeled + predicted - intersection


def band_counts(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int, label_distance: np.ndarray
) -> Array:
    """Returns the pixels of each class within 1, 2, ... pixels of a boundary of the labels.

    A boundary is also where a class meets ignored pixels, which are often drawn along the outlines
    of objects. The border of the image is none.

    Args:
        labels: Shape `(height, width)`; what is no class is ignored.
        predictions: The same shape.
        num_classes: Number of classes.
        label_distance: `boundary_distance(labels)`.

    Returns:
        Numbers of pixels that are right, labeled and predicted, shape
        `(BAND_WIDTHS, 3, num_classes)`.

    Reference:
        Kohli, Ladický and Torr, "Robust Higher Order Potentials for Enforcing Label Consistency",
        IJCV 2009; mean IoU in such bands: Chen et al., "DeepLab", PAMI 2018.
    """
    near = (label_distance <= BAND_WIDTHS) & (labels < num_classes)
    cells = (label_distance[near].astype(np.int64) - 1) * num_classes
    labels, predictions = labels[near], predictions[near]
    right = labels == predictions
    of_each = [cells[right] + labels[right], cells + labels, cells + predictions]
    counts = [np.bincount(of, minlength=BAND_WIDTHS * num_classes) for of in of_each]
    at_distance = np.stack(counts).reshape(3, BAND_WIDTHS, num_classes)
    return at_distance.cumsum(axis=1).transpose(1, 0, 2)


def _neighbors() -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Returns the slices that put each pixel beside four of its eight neighbors."""
    everything, first, last = slice(None), slice(None, -1), slice(1, None)
    return [
        ((first, everything), (last, everything)),
        ((everything, first), (everything, last)),
        ((first, first), (last, last)),
        ((first, last), (last, first)),
    ]
