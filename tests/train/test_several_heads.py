"""Trainings of a network with two heads."""

import keras
import numpy as np
import pytest
from keras_fcn_train import TrainingInterrupted, fit
from keras_fcn_train.callbacks.log import read_log
from keras_fcn_train.data import count_classes
from keras_fcn_train.workdir import Workdir

from keras_fcn.evaluation import evaluate_heads
from keras_fcn.prediction import KerasPredictor

from .test_training import press_ctrl_c_after
from .tiny_training import HEADS, tiny_config, tiny_dataset

CONFIG = tiny_config(
    dataset="tiny_heads",
    backbone="tiny",
    epochs=2,
    loss="crossentropy+dice",
    class_weights="balanced",
    ema_decay=None,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_backbones):
    config = CONFIG.replace(workdir=str(tmp_path_factory.mktemp("finished")))
    return fit(config, tiny_dataset("tiny_heads"))


def test_metrics_of_each_head_are_those_of_the_saved_network(finished):
    network = keras.models.load_model(finished.best)

    # Independently of `evaluate`: arg max and confusion matrix by NumPy.
    matrices = {"thing": np.zeros((3, 3), int), "light": np.zeros((2, 2), int)}
    for example in tiny_dataset("tiny_heads").examples("val"):
        scores = network(example["image"][None])
        for head, matrix in matrices.items():
            label = example["label"][head].numpy()
            predicted = np.argmax(scores[head][0], axis=-1)
            np.add.at(matrix, (label[label != 255], predicted[label != 255]), 1)
    assert network.labels == HEADS
    for head, matrix in matrices.items():
        both = np.diag(matrix)
        mean_iou = np.mean(both / (matrix.sum(0) + matrix.sum(1) - both))
        assert finished.metrics[f"{head}_mean_iou"] == pytest.approx(mean_iou)
        pixel_accuracy = both.sum() / matrix.sum()
        assert finished.metrics[f"{head}_pixel_accuracy"] == pytest.approx(pixel_accuracy)

    evaluated = evaluate_heads(KerasPredictor(network), tiny_dataset("tiny_heads"))
    for head, matrix in matrices.items():
        np.testing.assert_array_equal(evaluated[head].confusion_matrix.counts, matrix)


def test_best_is_chosen_by_the_mean_over_the_heads(finished):
    log = finished.log

    for row in log:
        for prefix in ("", "val_"):
            heads = [row[f"{prefix}{head}_mean_iou"] for head in HEADS]
            assert row[f"{prefix}mean_iou"] == pytest.approx(np.mean(heads))
            losses = [row[f"{prefix}{head}_loss"] for head in HEADS]
            assert row[f"{prefix}loss"] == pytest.approx(sum(losses), rel=1e-5)
    assert finished.metrics["mean_iou"] == max(row["val_mean_iou"] for row in log)


@pytest.mark.full
def test_training_that_goes_on_inside_an_epoch_logs_the_same(finished, tmp_path, monkeypatch):
    config = CONFIG.replace(workdir=str(tmp_path / "run"))
    press_ctrl_c_after(4, monkeypatch)
    with pytest.raises(TrainingInterrupted):
        fit(config, tiny_dataset("tiny_heads"))
    monkeypatch.undo()

    result = fit(config.replace(resume=True), tiny_dataset("tiny_heads"))

    rows = read_log(Workdir(result.workdir).log)
    for name in set(finished.log[1]) - {"images_per_second", "seconds", "val_seconds"}:
        assert rows[1][name] == finished.log[1][name], name


def test_classes_are_counted_by_head():
    dataset = tiny_dataset("tiny_heads", num_train=2)
    labels = [example["label"] for example in dataset.examples("train")]

    counts = count_classes(dataset, "train")

    for head, spec in HEADS.items():
        values = np.concatenate([label[head].numpy().ravel() for label in labels])
        assert counts[head].tolist() == [(values == c).sum() for c in range(spec.num_classes)]
