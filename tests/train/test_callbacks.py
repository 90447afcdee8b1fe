import math

import numpy as np
import pytest
from keras_fcn_train import TrainingDiverged
from keras_fcn_train.callbacks import StopOnDivergence, Tracker, ValidationStrip, WarnOfOneClass
from keras_fcn_train.callbacks.guards import one_predicted_class
from keras_fcn_train.callbacks.log import CsvLog, TensorBoardLog, read_log
from keras_fcn_train.state import Position
from keras_fcn_train.training import open_data
from keras_fcn_train.workdir import Workdir
from PIL import Image

from keras_fcn import LabelSpec
from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.labels import Heads

from .tiny_training import tiny_config, tiny_dataset


class FixedCopy:
    """A network whose confusion matrices are given."""

    def __init__(self, labels):
        self.heads = Heads(labels)
        self.confusion_matrices = {}

    def set(self, counts):
        self.confusion_matrices = {
            head: ConfusionMatrix.from_counts(matrix, class_names=spec.class_names)
            for (head, spec), matrix in zip(self.heads.items(), counts, strict=True)
        }


ONE_CLASS = [[5, 0], [3, 0]]
TWO_CLASSES = [[5, 0], [2, 1]]


def test_one_class_counts_only_where_there_were_two():
    assert one_predicted_class(np.array(ONE_CLASS)) == 0
    assert one_predicted_class(np.array(TWO_CLASSES)) is None
    assert one_predicted_class(np.array([[5, 0], [0, 0]])) is None
    assert one_predicted_class(np.zeros((2, 2), int)) is None


SPEC = LabelSpec(("ground", "stripe"))


def warnings_of(matrices, capsys, epochs=10, labels=SPEC, **settings):
    tracker = Tracker(Position(), 1, 1)
    copy = FixedCopy(labels)
    callback = WarnOfOneClass(copy, tiny_config(epochs=epochs, **settings), tracker)
    for epoch, counts in enumerate(matrices):
        tracker.epoch = epoch + 1
        copy.set(counts)
        callback.on_epoch_end(epoch, {"val_mean_iou": 0.1})
    return capsys.readouterr().err


def test_one_class_in_two_validations_is_warned_of_once(capsys):
    text = warnings_of([[ONE_CLASS]] * 4, capsys)

    assert text.count("predicts class 'ground' at every pixel") == 1
    assert "random weights (give --backbone-weights)" in text


def test_one_class_in_the_first_or_every_other_validation_is_normal(capsys):
    assert not warnings_of([[ONE_CLASS], [TWO_CLASSES], [ONE_CLASS]], capsys)


def test_one_class_at_the_end_is_warned_of(capsys):
    assert "Warning" in warnings_of([[TWO_CLASSES], [ONE_CLASS]], capsys, epochs=2)


def test_one_class_is_warned_of_for_its_head(capsys):
    labels = {"thing": SPEC, "light": LabelSpec(("dark", "bright"))}

    text = warnings_of([[TWO_CLASSES, ONE_CLASS]] * 3, capsys, labels=labels)

    assert text.count("predicts class 'dark' of the head 'light' at every pixel") == 1
    assert "thing" not in text


def test_pretrained_backbone_is_not_blamed(capsys):
    text = warnings_of([[ONE_CLASS]] * 2, capsys, backbone_weights="imagenet")

    assert "random weights" not in text


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_loss_that_is_not_finite_stops_with_advice(loss, tmp_path):
    config = tiny_config(reduction="sum", learning_rate=0.5)
    workdir = Workdir(tmp_path)
    guard = StopOnDivergence(config, workdir, Tracker(Position(epoch=1, step=2), 10, 4))

    with pytest.raises(TrainingDiverged) as error:
        guard.on_train_batch_end(0, {"loss": loss})

    text = str(error.value)
    assert f"The loss became {loss} at step 12" in text
    assert "Nothing was saved yet" in text
    assert "it was 0.5" in text
    assert "1e-10" in text  # fitting a summed loss

    workdir.last.write_text("")
    with pytest.raises(TrainingDiverged, match="last good weights are in"):
        guard.on_train_batch_end(0, {"loss": loss})


def test_finite_loss_goes_on(tmp_path):
    guard = StopOnDivergence(tiny_config(), Workdir(tmp_path), Tracker(Position(), 10, 4))

    guard.on_train_batch_end(0, {"loss": 1e30})


def test_log_drops_the_rows_after_the_start_of_a_resumed_training(tmp_path):
    log = CsvLog(tmp_path / "log.csv")
    for epoch in range(3):
        log.on_epoch_end(epoch, {"loss": 1 / (epoch + 3)})

    resumed = CsvLog(tmp_path / "log.csv", epoch=2)
    resumed.on_epoch_end(2, {"loss": 9.0, "val_loss": 8.0})

    assert read_log(tmp_path / "log.csv") == [
        {"epoch": 0.0, "loss": 1 / 3},
        {"epoch": 1.0, "loss": 1 / 4},
        {"epoch": 2.0, "loss": 9.0, "val_loss": 8.0},
    ]


def test_tensorboard_reads_what_was_written(tmp_path):
    import tensorflow as tf

    log = TensorBoardLog(tmp_path)
    log.on_epoch_end(3, {"loss": 0.5, "val_loss": 0.25})
    log.on_train_end()

    for run, expected in (("train", 0.5), ("validation", 0.25)):
        (file,) = (tmp_path / run).iterdir()
        # The file is a sequence of records, of which the first holds the version.
        records = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
        event = tf.compat.v1.Event.FromString(records[-1])
        (value,) = event.summary.value
        assert (event.step, value.tag) == (3, "loss")
        assert value.metadata.plugin_data.plugin_name == "scalars"
        assert tf.make_ndarray(value.tensor) == expected


def test_tracker_measures_without_the_first_step(monkeypatch):
    class Model:
        class optimizer:
            learning_rate = 0.5

    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    tracker = Tracker(Position(epoch=1, step=2, best=0.3, seconds=100.0), 5, batch_size=4)
    tracker.set_model(Model())

    tracker.on_epoch_begin(1)
    for step, seconds in enumerate((10, 12, 14)):
        now[0] = seconds
        tracker.on_train_batch_end(step)
    assert tracker.global_step == 10
    assert tracker.position == Position(epoch=1, step=5, best=0.3, seconds=114.0, elapsed=14.0)
    now[0] = 20
    logs = {}
    tracker.on_epoch_end(1, logs)

    # Two steps of 4 images in the 4 seconds after the first; 100 s before the interruption.
    assert logs == {"learning_rate": 0.5, "images_per_second": 2.0, "seconds": 120.0}
    assert (tracker.epoch, tracker.step) == (2, 0)


@pytest.mark.parametrize("name", ["tiny", "tiny_heads"])
def test_the_strip_shows_the_same_images_after_each_validation(name, tmp_path):
    import tensorflow as tf

    dataset = tiny_dataset(name)
    config = tiny_config(dataset=name, validation_limit=2)
    examples = open_data(config, dataset).shown_examples()
    assert [example.name for example in examples] == ["val/0", "val/1"]
    # A network that predicts the brightest color.
    heads = dataset.heads
    copy = FixedCopy(dataset.labels)
    copy.predictions = lambda images, labels: {
        head: images[..., : spec.num_classes].argmax(-1) for head, spec in heads.items()
    }
    strip = ValidationStrip(copy, examples, Workdir(tmp_path), "val_mean_iou")

    strip.on_epoch_end(0, {"loss": 0.5})
    assert not Workdir(tmp_path).strip.exists()
    strip.on_epoch_end(1, {"val_mean_iou": 0.5})
    strip.on_train_end()

    png = Workdir(tmp_path).strip.read_bytes()
    with Image.open(Workdir(tmp_path).strip) as picture:
        size = picture.size
    (file,) = (tmp_path / "tensorboard" / "validation").iterdir()
    records = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    event = tf.compat.v1.Event.FromString(records[-1])
    (value,) = event.summary.value
    assert (event.step, value.tag) == (1, "predictions")
    assert value.metadata.plugin_data.plugin_name == "images"
    width, height, stored = tf.make_ndarray(value.tensor)
    assert (int(width), int(height), stored) == (*size, png)
