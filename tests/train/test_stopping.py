"""Trainings that end before their last epoch."""

import keras
import pytest
from keras_fcn_train import RunConfig, fit
from keras_fcn_train.callbacks import Checkpoints, SaveState, Tracker
from keras_fcn_train.evaluation_model import EvaluationModel

from .tiny_training import tiny_config, tiny_dataset

pytestmark = pytest.mark.usefixtures("tiny_backbones")


@pytest.fixture
def scripted(monkeypatch):
    """Lets the validations return these values of mean IoU."""

    def script(*values):
        remaining = iter(values)
        evaluate = EvaluationModel.evaluate

        def evaluated(self, batches):
            return {**evaluate(self, batches), "mean_iou": next(remaining)}

        monkeypatch.setattr(EvaluationModel, "evaluate", evaluated)

    return script


def test_patience_counts_the_epochs_since_the_best(scripted, tmp_path, monkeypatch, capsys):
    scripted(0.3, 0.5, 0.4, 0.5, 0.2)
    config = tiny_config(workdir=str(tmp_path / "run"), epochs=20, patience=3, batch_size=12)

    result = fit(config, tiny_dataset())

    # The best is epoch 2, three epochs later there is none better: an equal one is not.
    assert len(result.log) == 5
    assert (result.best_epoch, result.metrics["mean_iou"]) == (2, 0.5)
    assert "Stopped after 5 epochs: no better val_mean_iou than 0.5000 of epoch 2 in 3 epochs" in (
        capsys.readouterr().out
    )
    monkeypatch.setattr(SaveState, "on_epoch_end", lambda *_: pytest.fail("trained"))
    assert fit(config.replace(resume=True), tiny_dataset()).best_epoch == 2


def test_patience_ends_at_a_validation(scripted, tmp_path):
    scripted(0.5, 0.4, 0.4)
    config = tiny_config(
        workdir=str(tmp_path / "run"), epochs=20, patience=3, validate_every=2, batch_size=12
    )

    result = fit(config, tiny_dataset())

    assert [row["epoch"] for row in result.log if "val_mean_iou" in row] == [1, 3, 5]
    assert len(result.log) == 6


def clock(monkeypatch, seconds_per_step, seconds_per_epoch_end=0.0):
    """Replaces the time of the training by one that its steps and epochs take."""
    monkeypatch.setattr(
        Tracker,
        "elapsed",
        property(
            lambda self: seconds_per_step * self.global_step + seconds_per_epoch_end * self.ends
        ),
    )
    monkeypatch.setattr(Tracker, "ends", 0, raising=False)
    on_epoch_end = Checkpoints.on_epoch_end

    def counted(self, epoch, logs=None):
        on_epoch_end(self, epoch, logs)
        self._tracker.ends += 1

    monkeypatch.setattr(Checkpoints, "on_epoch_end", counted)


def test_time_cuts_the_epoch_short_and_validates(tmp_path, monkeypatch, capsys):
    clock(monkeypatch, 10.0)
    config = tiny_config(
        workdir=str(tmp_path / "run"), epochs=50, time="1m15s", validate_every=10, power=1.0
    )

    result = fit(config, tiny_dataset())

    # Steps of 10 seconds, 3 an epoch: the eighth is the first that ends after 75 seconds.
    assert [row["epoch"] for row in result.log] == [0, 1, 2]
    assert "val_mean_iou" in result.log[-1]
    # At the beginning of the last step of each epoch, 20, 50 and 70 of 75 seconds had passed.
    rates = [0.01 * (1 - seconds / 75) for seconds in (20, 50, 70)]
    assert [row["learning_rate"] for row in result.log] == pytest.approx(rates, rel=1e-4)
    assert "Stopped after 3 epochs: 1m15s have passed (--time)" in capsys.readouterr().out
    assert result.last.is_file()
    monkeypatch.setattr(SaveState, "on_epoch_end", lambda *_: pytest.fail("trained"))
    fit(config.replace(resume=True), tiny_dataset())


def test_time_leaves_room_for_the_last_validation(tmp_path, monkeypatch):
    clock(monkeypatch, 10.0, seconds_per_epoch_end=20.0)
    config = tiny_config(workdir=str(tmp_path / "run"), epochs=50, time="105s", power=1.0)

    result = fit(config, tiny_dataset())

    # Epochs end after 50 and 100 seconds, when no further step leaves 20 seconds for its end.
    # How long an end takes is not known in the first epoch.
    assert [row["epoch"] for row in result.log] == [0, 1]
    rates = [0.01 * (1 - share) for share in (20 / 105, 70 / 85)]
    assert [row["learning_rate"] for row in result.log] == pytest.approx(rates, rel=1e-3)


def test_epochs_end_a_training_that_has_time_left(tmp_path):
    config = tiny_config(workdir=str(tmp_path / "run"), epochs=2, time="10h")

    result = fit(config, tiny_dataset())

    assert len(result.log) == 2
    assert isinstance(keras.models.load_model(result.best), keras.Model)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("1h30m", 5400), ("90s", 90), ("2h", 7200)]
)
def test_times_are_read(text, seconds):
    assert RunConfig(time=text).seconds == seconds


@pytest.mark.parametrize("text", ["", "30", "0m", "m", "1.5h", "half an hour", "30m1h"])
def test_other_times_are_refused(text):
    with pytest.raises(ValueError, match="`time` must be such as 30m, 1h30m or 90s, or None"):
        RunConfig(time=text)
