import dataclasses
import json

import numpy as np
import pytest

from keras_fcn.metrics import confusion_matrix_of, per_class_table, scores_from_confusion


def reference_scores(matrix):
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


def four(scores):
    return (
        scores.pixel_accuracy,
        scores.mean_accuracy,
        scores.mean_iou,
        scores.frequency_weighted_iou,
    )


def test_confusion_matrix_by_hand():
    labels = np.array([[0, 0, 1], [2, 255, 255]], "uint8")
    predictions = np.array([[0, 1, 1], [0, 2, 250]], "uint8")

    matrix = confusion_matrix_of(labels, predictions, num_classes=3)

    # Rows are labels; what is predicted at ignored pixels does not matter.
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [1, 0, 0]])
    assert matrix.dtype == np.int64


def test_no_pixel_gives_an_empty_matrix():
    np.testing.assert_array_equal(confusion_matrix_of([], [], 2), np.zeros((2, 2)))


@pytest.mark.parametrize("seed", range(5))
def test_scores_agree_with_the_definitions(seed):
    random = np.random.default_rng(seed)
    matrix = random.integers(0, 10**9, (6, 6))
    matrix[2], matrix[4], matrix[:, 4] = 0, 0, 0  # never labeled; nowhere at all

    assert four(scores_from_confusion(matrix)) == pytest.approx(reference_scores(matrix))


def test_scores_of_an_empty_matrix_are_not_defined():
    assert np.isnan(four(scores_from_confusion(np.zeros((3, 3))))).all()


def test_scores_of_classes_are_nan_only_where_not_defined():
    scores = scores_from_confusion([[2, 0, 1], [0, 0, 0], [0, 0, 0]])

    # Class 1 is nowhere; class 2 is predicted, never labeled.
    np.testing.assert_allclose(scores.per_class_accuracy, [2 / 3, np.nan, np.nan])
    np.testing.assert_allclose(scores.per_class_iou, [2 / 3, np.nan, 0])


def test_table_fits_json():
    rows = per_class_table(np.array([[2, 0, 1], [0, 0, 0], [0, 0, 0]]), ["a", "b", "c"])

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


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], "same shape"),
        ([0, 3, 3], [0, 0, 0], r"Received: 3 \(2 pixels\)\. If 3 marks"),
        ([0, -1], [0, 0], r"Received: -1 \(1 pixel\)"),
        ([0.5, 1.0], [0, 0], r"Received: 0\.5 \(1 pixel\)"),
        ([0, 1], [0, 3], r"`predictions` must lie in \[0, 3\)"),
        ([0, 1], [0, -1], r"`predictions` must lie in \[0, 3\)"),
    ],
)
def test_label_maps_that_do_not_fit_are_refused(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix_of(labels, predictions, num_classes=3)


@pytest.mark.parametrize("matrix", [np.zeros((2, 3)), np.array([[1, -1], [0, 1]])])
def test_matrices_that_are_none_are_refused(matrix):
    with pytest.raises(ValueError, match="`matrix` must be square"):
        scores_from_confusion(matrix)


def test_a_name_for_each_class():
    with pytest.raises(ValueError, match="one name for each of the 2 classes"):
        per_class_table(np.eye(2), ["a"])
