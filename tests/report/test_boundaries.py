"""Compared with masks that OpenCV erodes and dilates, as the papers' authors do."""

import cv2
import numpy as np
import pytest
from keras_fcn_report.boundaries import (
    BAND_WIDTHS,
    band_counts,
    boundary_counts,
    boundary_distance,
)

from .scenes import scene

SQUARE = np.ones((3, 3), np.uint8)
SIZES = [(60, 80), (97, 31), (5, 200), (1, 1), (1, 40), (3, 2)]


def inner_boundary(mask: np.ndarray) -> np.ndarray:
    """The boundary of a mask by its definition: what erosions by 3x3 take from it."""
    height, width = mask.shape
    erosions = max(1, round(0.02 * (height**2 + width**2) ** 0.5))
    framed = cv2.copyMakeBorder(mask.astype("uint8"), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.erode(framed, SQUARE, iterations=erosions)[1:-1, 1:-1]
    return mask & (inside == 0)


@pytest.mark.parametrize("size", [*SIZES, (360, 480)])
def test_boundary_iou_equals_erosions_of_each_class(size):
    labels, predictions = scene(1, size, 4)
    predictions = np.where(labels == 255, 255, predictions)

    shared, union = boundary_counts(labels, predictions, 4, boundary_distance(labels))

    for label in range(4):
        ours = inner_boundary(labels == label)
        theirs = inner_boundary(predictions == label)
        assert (shared[label], union[label]) == ((ours & theirs).sum(), (ours | theirs).sum())


def test_boundary_iou_by_hand():
    # A square of 4x4 in 10x10, predicted one pixel to the right; a boundary is one pixel wide.
    labels, predictions = np.zeros((2, 10, 10), "uint8")
    labels[3:7, 3:7] = 1
    predictions[3:7, 4:8] = 1

    shared, union = boundary_counts(labels, predictions, 2, boundary_distance(labels))

    # Outlines of 12 pixels each: of columns 3..6 and 4..7 they share three pixels of the upper and
    # three of the lower row; left and right sides are apart.
    assert (shared[1], union[1]) == (6, 12 + 12 - 6)


@pytest.mark.parametrize("size", SIZES)
def test_distances_are_those_of_the_nearest_other_label(size):
    labels, _ = scene(2, size, 3)

    distance = boundary_distance(labels)

    rows, columns = np.indices(size)
    for row, column in {(0, 0), (size[0] - 1, size[1] // 2), (size[0] // 2, size[1] - 1)}:
        apart = np.maximum(abs(rows - row), abs(columns - column))
        others = apart[labels != labels[row, column]]
        expected = others.min() if others.size else np.iinfo("int32").max
        assert distance[row, column] == expected


@pytest.mark.parametrize("size", [(60, 80), (97, 31), (1, 40), (1, 1)])
def test_bands_equal_dilated_boundaries(size):
    labels, predictions = scene(3, size, 4)

    counts = band_counts(labels, predictions, 4, boundary_distance(labels))

    # Pixels with another label among their eight neighbors, then dilated.
    largest, smallest = cv2.dilate(labels, SQUARE), cv2.erode(labels, SQUARE)
    beside = (largest != smallest).astype("uint8")
    assert counts.shape == (BAND_WIDTHS, 3, 4) == (40, 3, 4)
    for width in (1, 2, 7, 40):
        band = cv2.dilate(beside, SQUARE, iterations=width - 1) if width > 1 else beside
        counted = (band > 0) & (labels != 255)
        for label in range(4):
            ours, theirs = counted & (labels == label), counted & (predictions == label)
            expected = [(ours & theirs).sum(), ours.sum(), theirs.sum()]
            assert counts[width - 1, :, label].tolist() == expected
