import dataclasses
import json

import numpy as np
import pytest

from keras_fcn import LabelSpec
from keras_fcn.confusion_matrix import METRIC_NAMES, ConfusionMatrix


def reference_metrics(matrix):
    """The definitions of Long et al. 2015, section 5, class by class."""
    total = matrix.sum()
    accuracies, ious, weighted = [], [], 0.0
    for i in range(len(matrix)):
        hits, labeled, predicted = matrix[i, i], matrix[i].sum(), matrix[:, i].sum()
        if labeled:
            accuracies.append(hits / labeled)
            weighted += labeled * hits / (labeled + predicted - hits)
        if labeled + predicted:
            ious.append(hits / (labeled + predicted - hits))
    return np.trace(matrix) / total, np.mean(accuracies), np.mean(ious), weighted / total


def four(matrix):
    return tuple(getattr(matrix.metrics(), name) for name in METRIC_NAMES)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_counts_by_hand(dtype):
    labels = np.array([[0, 0, 1], [2, 255, 255]], dtype)
    predictions = np.array([[0, 1, 1], [0, 2, 250]], "uint8")
    matrix = ConfusionMatrix(num_classes=3)

    counts = matrix.update(labels, predictions)

    # Rows are labels; what is predicted at ignored pixels does not matter.
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(matrix.counts, counts)
    assert counts.dtype == matrix.counts.dtype == np.int64
    assert (matrix.num_pixels, matrix.num_ignored) == (4, 2)


def test_updates_add_up():
    matrix = ConfusionMatrix(num_classes=2)
    matrix.update(np.uint8([0, 1]), np.uint8([0, 0]))

    counts = matrix.update(np.uint8([1, 255]), np.uint8([0, 0]))

    assert counts.tolist() == [[0, 0], [1, 0]]
    assert matrix.counts.tolist() == [[1, 0], [2, 0]]
    assert matrix.num_ignored == 1


def test_no_pixel_leaves_the_matrix_empty():
    assert not ConfusionMatrix(2).update([], []).any()


@pytest.mark.parametrize(("num_classes", "ignore_class"), [(2, 255), (254, 255), (255, 255)])
@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_the_fewest_and_the_most_classes_are_counted(num_classes, ignore_class, dtype):
    random = np.random.default_rng(num_classes)
    labels = random.integers(0, num_classes, (40, 50)).astype(dtype)
    predictions = random.integers(0, num_classes, (40, 50)).astype("uint8")
    labels[:3] = ignore_class
    expected = np.zeros((num_classes, num_classes), int)
    np.add.at(expected, (labels[3:], predictions[3:]), 1)
    matrix = ConfusionMatrix(num_classes, ignore_class)

    matrix.update(labels, predictions)

    np.testing.assert_array_equal(matrix.counts, expected)
    assert matrix.num_ignored == 150


@pytest.mark.parametrize("ignore_class", [-1, 7, 300])
def test_any_label_outside_the_classes_can_be_ignored(ignore_class):
    matrix = ConfusionMatrix(3, ignore_class)

    matrix.update(np.array([0, ignore_class, 2]), np.array([0, 1, 1]))

    assert matrix.counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    with pytest.raises(ValueError, match=r"Received: 255 \(1 pixel\)"):
        matrix.update(np.uint8([0, 255]), np.uint8([0, 0]))


@pytest.mark.parametrize("seed", range(5))
def test_metrics_agree_with_the_definitions(seed):
    random = np.random.default_rng(seed)
    counts = random.integers(0, 10**9, (6, 6))
    counts[2], counts[4], counts[:, 4] = 0, 0, 0  # never labeled; nowhere at all

    assert four(ConfusionMatrix.from_counts(counts)) == pytest.approx(reference_metrics(counts))


def test_metrics_of_an_empty_matrix_are_not_defined():
    assert np.isnan(four(ConfusionMatrix(3))).all()


def test_metrics_of_classes_are_nan_only_where_not_defined():
    metrics = ConfusionMatrix.from_counts([[2, 0, 1], [0, 0, 0], [0, 0, 0]]).metrics()

    # Class 1 is nowhere; class 2 is predicted, never labeled.
    np.testing.assert_allclose(metrics.per_class_accuracy, [2 / 3, np.nan, np.nan])
    np.testing.assert_allclose(metrics.per_class_iou, [2 / 3, np.nan, 0])


def test_unscored_classes_leave_the_mean_iou_only():
    spec = LabelSpec(("red", "green", "blue"), ignore_class=9, unscored=("blue",))
    matrix = ConfusionMatrix.of(spec)

    matrix.update([0, 1, 1, 1, 9], [0, 0, 1, 2, 0])
    metrics = matrix.metrics()

    # red: 1/2, green: 1/3; blue, predicted and nowhere labeled, would be 0.
    assert metrics.mean_iou == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert metrics.pixel_accuracy == pytest.approx(2 / 4)
    assert metrics.mean_accuracy == pytest.approx((1 + 1 / 3) / 2)
    assert [row.name for row in matrix.per_class()] == ["red", "green", "blue"]
    assert matrix.num_ignored == 1


def test_metrics_per_class_fit_json():
    rows = ConfusionMatrix.from_counts(
        [[2, 0, 1], [0, 0, 0], [0, 0, 0]], class_names=["a", "b", "c"]
    ).per_class()

    values = json.loads(json.dumps([dataclasses.asdict(row) for row in rows], allow_nan=False))

    assert values[1] == {
        "name": "b",
        "iou": None,
        "accuracy": None,
        "num_labeled": 0,
        "num_predicted": 0,
    }
    assert values[2]["iou"] == 0
    assert values[2]["num_predicted"] == 1


def test_counts_from_elsewhere_have_no_ignored_pixels_unless_given():
    assert ConfusionMatrix.from_counts([[1, 2], [3, 4]]).num_ignored == 0
    assert ConfusionMatrix.from_counts([[1, 2], [3, 4]], num_ignored=5).num_ignored == 5


def test_matrices_of_parts_are_merged():
    first = ConfusionMatrix.from_counts([[1, 2], [3, 4]], num_ignored=5, class_names=["a", "b"])
    second = ConfusionMatrix.from_counts([[10, 0], [0, 10]], num_ignored=1)

    both = first + second

    assert both.counts.tolist() == [[11, 2], [3, 14]]
    assert (both.num_ignored, both.class_names) == (6, ("a", "b"))
    assert first.counts.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(ValueError, match="same number of classes.*Received: 2 and 3"):
        first + ConfusionMatrix(3)


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], "same shape"),
        ([0, 3, 3], [0, 0, 0], r"Received: 3 \(2 pixels\)\. If 3 marks"),
        ([0, 3, 7], [0, 0, 0], r"Received: 3 \(1 pixel\), 7 \(1 pixel\)\. Either"),
        ([0, -1], [0, 0], r"Received: -1 \(1 pixel\)"),
        ([0.5, 1.0], [0, 0], r"Received: 0\.5 \(1 pixel\)"),
        ([0, 1], [0, 3], r"`predictions` must be in \[0, 3\)\. Received: values from 0 to 3"),
        ([0, 1], [0, -1], r"`predictions` must be in \[0, 3\)"),
        (np.uint8([0, 3, 3]), np.uint8([0, 0, 0]), r"Received: 3 \(2 pixels\)\. If 3 marks"),
        (np.uint8([9, 3, 7]), np.uint8([0, 0, 9]), r"Received: 3 \(1 pixel\), 7 .*, 9 \(1 pixel"),
        (np.uint8([2, 1]), np.uint8([1, 3]), r"\[0, 3\)\. Received: values from 1 to 3"),
    ],
)
def test_label_maps_that_do_not_fit_are_refused(labels, predictions, message):
    matrix = ConfusionMatrix(num_classes=3)

    with pytest.raises(ValueError, match=message):
        matrix.update(labels, predictions)

    assert matrix.num_pixels == matrix.num_ignored == 0


@pytest.mark.parametrize("counts", [np.zeros((2, 3)), np.array([[1, -1], [0, 1]])])
def test_counts_that_are_no_matrix_are_refused(counts):
    with pytest.raises(ValueError, match="`counts` must be a square matrix"):
        ConfusionMatrix.from_counts(counts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, r"`num_classes` must be in \[2, 255\]"),
        ({"num_classes": 3, "ignore_class": 2}, "outside the classes"),
        ({"num_classes": 2, "class_names": ["a"]}, "one name for each of the 2 classes"),
        ({"num_classes": 3, "unscored": [3]}, "`unscored` must contain labels of classes"),
        ({"num_classes": 2, "unscored": [0, 1]}, "not of all of them"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(**arguments)
