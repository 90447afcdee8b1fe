"""Whole trainings of a tiny network, in this process and in others."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_fcn_train import (
    Config,
    TrainingDiverged,
    TrainingInterrupted,
    fit,
    load_recipe,
    recipe_names,
)
from keras_fcn_train.callbacks import SaveState, StopOnDivergence, Tracker
from keras_fcn_train.callbacks.log import read_log
from keras_fcn_train.state import Position
from keras_fcn_train.workdir import Workdir, locked_workdir

from keras_fcn.datasets import from_arrays

from .tiny_training import SPEC, tiny_config, tiny_dataset

pytestmark = pytest.mark.usefixtures("tiny_backbones")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_backbones):
    """A training that nothing disturbed."""
    return fit(tiny_config(workdir=str(tmp_path_factory.mktemp("finished"))), tiny_dataset())


def weights_of(path):
    return keras.models.load_model(path).get_weights()


def assert_same_weights(path, expected_path):
    for weight, expected in zip(weights_of(path), weights_of(expected_path), strict=True):
        np.testing.assert_array_equal(weight, expected)


def assert_same_training(result, finished):
    """Equal weights, bit by bit, and equal quantities in the log but those of time."""
    assert_same_weights(result.last, finished.last)
    assert_same_weights(result.best, finished.best)
    for row, expected_row in zip(read_log(Workdir(result.workdir).log), finished.log, strict=True):
        for name in set(expected_row) - {"images_per_second", "seconds", "val_seconds"}:
            assert row[name] == expected_row[name], name


def run_process(**order):
    """Runs `run_tiny.py` and returns the finished process."""
    script = Path(__file__).with_name("run_tiny.py")
    return subprocess.run(
        [sys.executable, str(script), json.dumps(order)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def test_workdir_contains_what_was_promised(finished):
    names = {path.name for path in finished.workdir.iterdir()}

    assert names == {
        *("best.keras", "last.keras", "config.json", "log.csv", "curves.png"),
        *("validation.png", "tensorboard", "state"),
    }
    config = Config.from_json((finished.workdir / "config.json").read_text())
    assert config == tiny_config(workdir=str(finished.workdir))
    assert [row["epoch"] for row in finished.log] == [0, 1, 2]


def test_best_network_has_the_metrics_in_the_log(finished):
    network = keras.models.load_model(finished.best)

    # Independently of `evaluate`: arg max and confusion matrix by NumPy.
    matrix = np.zeros((3, 3), int)
    for example in tiny_dataset().examples("val"):
        label = example["label"].numpy()
        predicted = np.argmax(network(example["image"][None])[0], axis=-1)
        valid = label != SPEC.ignore_class
        np.add.at(matrix, (label[valid], predicted[valid]), 1)
    both = np.diag(matrix)
    expected = np.mean(both / (matrix.sum(0) + matrix.sum(1) - both))
    assert finished.metrics["mean_iou"] == pytest.approx(expected)
    assert finished.metrics["mean_iou"] == max(row["val_mean_iou"] for row in finished.log)


def test_saved_network_says_where_it_comes_from(finished):
    network = keras.models.load_model(finished.best)

    assert network.labels == SPEC
    assert network.origin["dataset"] == "tiny"
    assert network.origin["metrics"] == finished.metrics
    assert network.origin["config"]["data"]["crop_size"] == [32, 32]
    assert set(network.origin["versions"]) == {"python", "keras_fcn", "keras", "tensorflow"}
    assert not network.compiled


def test_training_after_ctrl_c_ends_as_an_undisturbed_one(finished, tmp_path, monkeypatch):
    config = tiny_config(workdir=str(tmp_path / "run"))
    press_ctrl_c_after(5, monkeypatch)
    with pytest.raises(TrainingInterrupted, match="after 1 epochs and 2 steps, and saved"):
        fit(config, tiny_dataset())
    monkeypatch.undo()

    result = fit(config.replace(resume=True), tiny_dataset())

    assert_same_training(result, finished)


def press_ctrl_c_after(step, monkeypatch):
    on_train_batch_end = Tracker.on_train_batch_end

    def patched(self, batch, logs=None):
        on_train_batch_end(self, batch, logs)
        if self.global_step == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Tracker, "on_train_batch_end", patched)


def test_training_after_sigkill_ends_as_an_undisturbed_one(finished, tmp_path):
    settings = {"workdir": str(tmp_path / "run"), "save_every": 2}

    # Killed after step 5, when step 4 (of the second epoch) is the last that was saved.
    killed = run_process(settings=settings, send="SIGKILL", at_step=5)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    result = fit(tiny_config(**settings, resume=True), tiny_dataset())

    assert_same_training(result, finished)


@pytest.mark.parametrize(
    "settings",
    [
        # Stopped after the first validation, which measured the statistics, with dropout before
        # BatchNorm; and between two updates, after two of them and one gradient of the third.
        pytest.param(
            {
                "backbone": "tiny_dropout", "batchnorm_batches": 2,
                "gradient_accumulation_steps": 2, "warmup_steps": 2,
            },
            id="statistics-accumulation",
        ),
        pytest.param(
            {"backbone": "tiny_dropout", "batchnorm_batches": 2},
            id="statistics", marks=pytest.mark.full,
        ),
        pytest.param(
            {"gradient_accumulation_steps": 2, "warmup_steps": 2},
            id="accumulation", marks=pytest.mark.full,
        ),
        pytest.param(
            {"backbone": "efficientnet_v2_b0", "batchnorm_batches": 2},
            id="efficientnet", marks=pytest.mark.full,
        ),
    ],
)  # fmt: skip
def test_what_steps_keep_between_them_is_resumed_exactly(settings, tmp_path, monkeypatch):
    # Two epochs of three steps.
    config = tiny_config(workdir=str(tmp_path / "run"), epochs=2, **settings)
    undisturbed = fit(config.replace(workdir=str(tmp_path / "all")), tiny_dataset())
    press_ctrl_c_after(5, monkeypatch)
    with pytest.raises(TrainingInterrupted, match="after 1 epochs and 2 steps"):
        fit(config, tiny_dataset())
    monkeypatch.undo()

    assert_same_training(fit(config.replace(resume=True), tiny_dataset()), undisturbed)


def test_two_devices_train_to_the_numbers_of_one(tmp_path):
    # Dropout draws, and BatchNorm averages, on each device for itself: both are left out.
    settings = {"backbone": "tiny", "fc_filters": 0, "dropout": 0.0}
    one = fit(tiny_config(workdir=str(tmp_path / "one"), **settings), tiny_dataset())

    two = run_process(
        settings={**settings, "workdir": str(tmp_path / "two"), "devices": ["CPU:0", "CPU:1"]},
        num_cpus=2,
    )

    assert two.returncode == 0, two.stderr
    assert "on CPU:0, CPU:1." in two.stdout
    for weight, expected in zip(
        weights_of(tmp_path / "two" / "last.keras"), weights_of(one.last), strict=True
    ):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-6)
    for row, expected_row in zip(read_log(tmp_path / "two" / "log.csv"), one.log, strict=True):
        for name in ("loss", "mean_iou", "val_loss", "val_mean_iou"):
            assert row[name] == pytest.approx(expected_row[name], rel=1e-4), name


@pytest.mark.full
def test_two_devices_resume_with_the_metrics_of_the_epoch(tmp_path):
    settings = {"workdir": str(tmp_path / "run"), "devices": ["CPU:0", "CPU:1"]}
    undisturbed = run_process(settings={**settings, "workdir": str(tmp_path / "all")}, num_cpus=2)
    assert undisturbed.returncode == 0, undisturbed.stderr
    stopped = run_process(settings=settings, num_cpus=2, send="SIGINT", at_step=5)
    assert "--resume" in stopped.stderr

    resumed = run_process(settings={**settings, "resume": True}, num_cpus=2)

    assert resumed.returncode == 0, resumed.stderr
    assert_same_weights(tmp_path / "run" / "last.keras", tmp_path / "all" / "last.keras")
    logs = [read_log(tmp_path / name / "log.csv") for name in ("run", "all")]
    for row, expected_row in zip(*logs, strict=True):
        for name in ("loss", "mean_iou", "val_mean_iou"):
            assert row[name] == pytest.approx(expected_row[name], rel=1e-6), name


def test_divergence_keeps_the_last_good_weights(tmp_path, monkeypatch):
    config = tiny_config(workdir=str(tmp_path / "run"), save_every=1)
    on_train_batch_end = Tracker.on_train_batch_end

    def spoil(self, batch, logs=None):
        on_train_batch_end(self, batch, logs)
        if self.global_step == 4:
            kernel = self.model.get_layer("fc6").kernel
            kernel.assign(np.full(kernel.shape, np.nan))

    monkeypatch.setattr(Tracker, "on_train_batch_end", spoil)
    # The loss of step 4 was still finite: the weights are looked at before they are saved.
    with pytest.raises(TrainingDiverged, match=r"fc6/kernel \(\d+ of \d+\) are no longer finite"):
        fit(config, tiny_dataset())

    assert all(np.isfinite(weight).all() for weight in weights_of(tmp_path / "run" / "last.keras"))
    with np.load(tmp_path / "run" / "state" / "state.npz") as state:
        assert all(np.isfinite(state[name]).all() for name in state.files if name != "position")


def float_images(dataset, value, split="train", index=5):
    """The dataset with images of floating-point numbers, one of which contains `value`."""
    examples = {
        name: [
            {**example, "image": example["image"].astype("float32")}
            for example in dataset.examples(name).as_numpy_iterator()
        ]
        for name in dataset.splits
    }
    examples[split][index]["image"][3, 4, 1] = value
    return from_arrays(dataset.name, dataset.labels, examples)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("settings", [{}, {"augment": False, "crop_size": None, "batch_size": 1}])
def test_images_that_are_not_finite_stop_the_training(value, settings, tmp_path):
    config = tiny_config(workdir=str(tmp_path / "run"), epochs=1, **settings)

    with pytest.raises(
        Exception, match=r"'train/5' must be finite\. It contains NaN or inf.* in 1"
    ):
        fit(config, float_images(tiny_dataset(), value))

    assert not (tmp_path / "run" / "last.keras").exists()


def test_images_of_finite_floats_train_as_those_of_bytes(finished, tmp_path):
    dataset = float_images(tiny_dataset(), tiny_images("train")[5][3, 4, 1])

    result = fit(tiny_config(workdir=str(tmp_path / "run")), dataset)

    assert_same_training(result, finished)


def tiny_images(split):
    return [example["image"].numpy() for example in tiny_dataset().examples(split)]


def test_weights_that_are_not_finite_are_not_trained(finished, tmp_path):
    network = keras.models.load_model(finished.last)
    kernel = network.get_layer("fc6").kernel
    kernel.assign(np.full(kernel.shape, np.inf))
    network.save(tmp_path / "spoiled.keras")
    config = tiny_config(workdir=str(tmp_path / "run"), init=str(tmp_path / "spoiled.keras"))

    with (
        pytest.warns(UserWarning, match=r"spoiled\.keras contains NaN or infinity in fc6/kernel"),
        pytest.raises(ValueError, match=r"spoiled\.keras.* must have weights that are numbers"),
    ):
        fit(config, tiny_dataset())
    # Those that come otherwise, such as from a state.
    guard = StopOnDivergence(config, Workdir(tmp_path), Tracker(Position(), 1, 1))
    guard.set_model(network)
    with pytest.raises(
        TrainingDiverged, match=r"fc6/kernel \(576 of 576\) are NaN or infinite bef"
    ):
        guard.on_train_begin()


def test_a_workdir_is_for_one_training_at_a_time(tmp_path):
    config = tiny_config(workdir=str(tmp_path / "run"))
    running = f"A training is running in {tmp_path / 'run'}.*process {os.getpid()} on"

    with locked_workdir(config):
        for second in (config, config.replace(resume=True)):
            with pytest.raises(ValueError, match=running):
                fit(second, tiny_dataset())
    assert not (tmp_path / "run").exists()


def test_a_training_locks_its_workdir_until_it_is_killed(tmp_path, monkeypatch):
    settings = {"workdir": str(tmp_path / "run"), "epochs": 2, "save_every": 1}
    config = tiny_config(**settings)

    def start_another(self, batch, logs=None):
        for second in (config, config.replace(resume=True)):
            with pytest.raises(ValueError, match=f"A training is running.* {os.getpid()} on"):
                fit(second, tiny_dataset())
        raise KeyboardInterrupt

    monkeypatch.setattr(Tracker, "on_train_batch_end", start_another)
    with pytest.raises(KeyboardInterrupt):
        fit(config, tiny_dataset())
    monkeypatch.undo()
    killed = run_process(settings=settings, send="SIGKILL", at_step=2)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (tmp_path / "run" / ".lock").is_file()

    fit(config.replace(resume=True), tiny_dataset())

    assert not (tmp_path / "run" / ".lock").exists()


def test_a_training_split_that_has_shrunk_does_not_train_for_ever(tmp_path, monkeypatch):
    config = tiny_config(workdir=str(tmp_path / "run"), batch_size=2)
    press_ctrl_c_after(5, monkeypatch)
    with pytest.raises(TrainingInterrupted):
        fit(config, tiny_dataset())  # 6 steps per epoch
    monkeypatch.undo()

    for num_train in (10, 8):  # 5 and 4
        dataset = tiny_dataset(num_train=num_train)
        with pytest.raises(ValueError, match=rf"train: {12 - num_train} removed.*; val: 3 changed"):
            fit(config.replace(resume=True), dataset)
    result = fit(config.replace(resume=True, accept_changed_data=True), dataset)

    assert [row["epoch"] for row in result.log] == [1, 2]


def test_a_position_behind_the_end_of_the_epoch_does_not_train_for_ever(tmp_path, monkeypatch):
    config = tiny_config(workdir=str(tmp_path / "run"))
    press_ctrl_c_after(1, monkeypatch)
    with pytest.raises(TrainingInterrupted):
        fit(config, tiny_dataset())
    monkeypatch.undo()
    path = tmp_path / "run" / "state" / "state.npz"
    with np.load(path) as file:
        values = dict(file)
    values["position"] = json.dumps({"epoch": 0, "step": 7})
    np.savez(path, **values)

    with pytest.raises(ValueError, match="after 7 steps of an epoch, which has 3: it is damaged"):
        fit(config.replace(resume=True), tiny_dataset())


def test_mixed_precision_leaves_a_float32_network(tmp_path):
    result = fit(
        tiny_config(
            workdir=str(tmp_path / "run"), precision="mixed_bfloat16", epochs=1, ema_decay=None
        ),
        tiny_dataset(),
    )

    network = keras.models.load_model(result.best)
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_training_without_validation_chooses_by_its_own_score(tmp_path, capsys):
    result = fit(
        tiny_config(
            workdir=str(tmp_path / "run"),
            validation_split=None,
            class_weights="balanced",
            reduction="per_image",
            optimizer="sgd",
            learning_rate=2e-4,
            epochs=2,
            gradient_accumulation_steps=2,
        ),
        tiny_dataset(),
    )

    assert result.metrics["mean_iou"] == max(row["mean_iou"] for row in result.log)
    assert not any(name.startswith("val_") for row in result.log for name in row)
    # 32 x 32 pixels, of which the loss is the sum: 0.2048 on the mean, with a momentum of 0.9.
    assert "with 1,024 pixels per image it acts as 0.2 would" in capsys.readouterr().err


def test_finished_training_is_not_trained_further(finished, monkeypatch):
    monkeypatch.setattr(SaveState, "on_epoch_end", lambda *_: pytest.fail("trained"))

    again = fit(tiny_config(workdir=str(finished.workdir), resume=True), tiny_dataset())

    assert again.metrics == finished.metrics


def test_unknown_split_leaves_no_workdir(tmp_path):
    with pytest.raises(ValueError, match="has no split 'valid'"):
        fit(tiny_config(workdir=str(tmp_path / "run"), validation_split="valid"), tiny_dataset())

    assert not (tmp_path / "run").exists()


@pytest.mark.full
@pytest.mark.parametrize("name", recipe_names())
def test_recipe_smokes(name, tmp_path):
    result = fit(load_recipe(name).replace(smoke=True, workdir=str(tmp_path / "run")))

    assert result.best.is_file()
