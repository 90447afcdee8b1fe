import cv2
import numpy as np
import pytest
from keras_fcn_report.boundaries import boundary_distance
from keras_fcn_report.regions import (
    REGION_SIZES,
    connected_regions,
    region_counts,
    region_summary,
    suspects,
)

from .scenes import scene


@pytest.mark.parametrize("size", [(60, 80), (1, 30), (30, 1), (1, 1)])
def test_regions_are_those_that_opencv_finds_in_each_class(size):
    labels, predictions = scene(0, size, 4)
    is_right = labels == predictions
    expected = np.zeros((4, len(REGION_SIZES)), int)
    for label in range(4):
        count, numbers = cv2.connectedComponents((labels == label).astype("uint8"), connectivity=4)
        for number in range(1, count):
            region = numbers == number
            group = sum(region.sum() >= start for start in REGION_SIZES) - 1
            expected[0, group] += 1
            expected[1, group] += is_right[region].mean() > 0.5
            expected[2, group] += region.sum()
            expected[3, group] += is_right[region].sum()

    np.testing.assert_array_equal(region_counts(labels, is_right, 4), expected)


def test_diagonal_neighbors_are_not_connected():
    numbers, count = connected_regions(np.array([[1, 2], [2, 1]]))

    assert count == 4 and sorted(numbers.ravel().tolist()) == [0, 1, 2, 3]


def test_shares_of_each_size():
    labels = np.zeros((8, 8), "uint8")
    labels[:4, :4] = 1  # 16 pixels, 6 of them wrong; 48 others, all right
    predictions = labels.copy()
    predictions[0, :3] = predictions[1, :3] = 0

    summary = region_summary(region_counts(labels, labels == predictions, 2))

    assert summary[1]["min_pixels"] == 16 and summary[1]["max_pixels"] == 63
    assert summary[1]["num_regions"] == 2 and summary[1]["found"] == 1
    assert summary[1]["pixel_accuracy"] == pytest.approx(58 / 64)
    assert summary[0]["num_regions"] == 0 and summary[0]["found"] is None
    assert summary[-1]["max_pixels"] is None


def found_in(labels, predictions, confidences, num_classes=3):
    return list(suspects(labels, predictions, confidences, num_classes, boundary_distance(labels)))


def test_confident_regions_of_another_class_are_suspected():
    labels = np.zeros((40, 50), "uint8")
    predictions, confidences = labels.copy(), np.full((40, 50), 0.99)
    predictions[10:20, 20:30] = 2
    confidences[10:20, 20:25] = 0.95
    confidences[15:20, 20:30] = 0.5  # the lower half is not certain

    (suspect,) = found_in(labels, predictions, confidences)

    assert (suspect.label, suspect.prediction, suspect.num_pixels) == (0, 2, 50)
    assert suspect.box == (10, 20, 15, 30)
    assert suspect.confidence == pytest.approx((0.95 + 0.99) / 2)
    assert suspect.share == pytest.approx(50 * 0.97 / 2000)


def test_errors_along_boundaries_in_ignored_pixels_and_small_ones_are_not_suspected():
    labels = np.zeros((40, 50), "uint8")
    labels[:, 25:] = 1
    predictions, confidences = labels.copy(), np.ones((40, 50))
    predictions[:, 25:27] = 0  # within 2 pixels of the boundary
    predictions[10:13, 5:10] = 2  # 15 pixels
    labels[30:, :10], predictions[30:, :10] = 255, 2

    assert found_in(labels, predictions, confidences) == []
    predictions[10:13, 5:11] = 2
    assert [suspect.num_pixels for suspect in found_in(labels, predictions, confidences)] == [18]
