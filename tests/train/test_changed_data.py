"""Trainings that resume after their data changed: real files, real trainings."""

import re
import shutil
import signal

import keras
import numpy as np
import pytest
from keras_fcn_train import Config, RunConfig, TrainingInterrupted, fit
from keras_fcn_train.callbacks.log import read_log
from keras_fcn_train.changed_data import set_steps
from PIL import Image

from keras_fcn.confusion_matrix import ConfusionMatrix

from .test_training import assert_same_training, press_ctrl_c_after, run_process
from .tiny_training import tiny_config, tiny_dataset

pytestmark = pytest.mark.usefixtures("tiny_backbones")


def write_example(root, split, number):
    """Writes a noisy image whose class is brightness, and its mask."""
    random = np.random.default_rng(number)
    label = np.repeat(random.integers(0, 3, (8, 8)), 4, axis=0).repeat(4, axis=1)
    image = 90 * label[..., None] + random.integers(0, 60, (32, 32, 3))
    for kind, values in (("images", image), ("masks", label)):
        path = root / kind / split / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype("uint8")).save(path)


@pytest.fixture(scope="module")
def template(tmp_path_factory, tiny_backbones):
    """A folder, and a training on it that was stopped after an epoch and two steps.

    Six training images, which are three steps, two for validation, one for a test.
    """
    root = tmp_path_factory.mktemp("template")
    for number in range(9):
        split = ["train", "val", "test"][(number > 5) + (number > 7)]
        write_example(root / "data", split, number)
    (root / "data" / "classes.txt").write_text("ground\nstripe\nbox\n")
    with pytest.MonkeyPatch.context() as monkeypatch:
        press_ctrl_c_after(5, monkeypatch)
        with pytest.raises(TrainingInterrupted):
            fit(settings_of(root))
    return root


def settings_of(root, **settings):
    return tiny_config(
        **{
            "dataset": f"folder:{root / 'data'}",
            "workdir": str(root / "run"),
            "batch_size": 2,
            **settings,
        }
    )


@pytest.fixture
def folder(template, tmp_path):
    shutil.copytree(template / "data", tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def stopped(template, folder, tmp_path):
    """The settings with which the training resumes, here."""
    shutil.copytree(template / "run", tmp_path / "run")
    return settings_of(tmp_path, resume=True)


def invert(path):
    """Replaces a mask by another of the same size in pixels."""
    Image.fromarray(2 - np.asarray(Image.open(path))).save(path)


def invert_one(folder):
    invert(folder / "masks" / "train" / "3.png")


def invert_val(folder):
    for number in (6, 7):
        invert(folder / "masks" / "val" / f"{number}.png")


def add(folder):
    for number in (20, 21):
        write_example(folder, "train", number)


def remove(folder):
    for number in (4, 5):
        for kind in ("images", "masks"):
            (folder / kind / "train" / f"{number}.png").unlink()


def move(folder):
    for kind in ("images", "masks"):
        (folder / kind / "train" / "0.png").rename(folder / kind / "val" / "0.png")


def rename_class(folder):
    (folder / "classes.txt").write_text("ground\nstripe\nbird\n")


def add_class(folder):
    (folder / "classes.txt").write_text("ground\nstripe\nbox\nbird\n")


def test_a_copy_of_the_folder_elsewhere_ends_as_an_undisturbed_training(
    folder, stopped, tmp_path, capsys
):
    undisturbed = fit(stopped.replace(workdir=str(tmp_path / "all"), resume=False))
    shutil.copytree(folder, tmp_path / "moved", copy_function=shutil.copyfile)
    shutil.rmtree(folder)
    write_example(tmp_path / "moved", "test", 30)  # which the training does not use

    capsys.readouterr()
    result = fit(stopped.replace(dataset=f"folder:{tmp_path / 'moved'}", accept_changed_data=True))

    assert_same_training(result, undisturbed)
    assert "Accepted" not in capsys.readouterr().out  # nothing changed


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (invert_one, "train: 1 changed (masks/train/3.png)"),
        (invert_val, "val: 2 changed (masks/val/6.png, masks/val/7.png)"),
        (add, "train: 2 added (20, 21)"),
        (remove, "train: 2 removed (4, 5)"),
        (move, "train: 1 removed (0); val: 1 added (0)"),
        (rename_class, "classes (classes.txt): 1 added (bird), 1 removed (box)"),
    ],
)  # fmt: skip
def test_changed_data_stop_a_resume(folder, stopped, tmp_path, change, text):
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    change(folder)

    with pytest.raises(ValueError, match=re.escape(f"was saved: {text}. ")) as error:
        fit(stopped)

    for part in (f"training in {tmp_path / 'run'}", "--accept-changed-data", "--init "):
        assert part in str(error.value)
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


def test_accepted_data_are_validated_anew(folder, stopped, tmp_path, capsys):
    (first,) = read_log(tmp_path / "run" / "log.csv")
    invert_val(folder)

    result = fit(stopped.replace(accept_changed_data=True))

    text = capsys.readouterr().out
    assert "Accepted: val: 2 changed" in text
    assert f", {first['val_mean_iou']:.4f} as they were." in text
    rows = read_log(tmp_path / "run" / "log.csv")
    assert [row["epoch"] for row in rows] == [0, 2]  # the one in which it stopped is not complete
    assert rows[0]["before_change_val_mean_iou"] == first["val_mean_iou"]
    assert rows[0]["mean_iou"] == first["mean_iou"]  # of the training images, which are the same
    assert result.metrics["mean_iou"] == max(row["val_mean_iou"] for row in rows)
    assert result.metrics["mean_iou"] == pytest.approx(mean_iou(result.best, folder))
    assert keras.models.load_model(result.best).origin["metrics"] == result.metrics
    # From here on it is a training as any other, which is over.
    assert fit(stopped).metrics == result.metrics


def mean_iou(path, folder):
    """Returns the mean IoU on the validation images, apart from the code under test."""
    network = keras.models.load_model(path)
    matrix = np.zeros((3, 3), int)
    for number in (6, 7):
        image, label = (
            np.asarray(Image.open(folder / kind / "val" / f"{number}.png"))
            for kind in ("images", "masks")
        )
        np.add.at(matrix, (label, np.argmax(network(image[None])[0], axis=-1)), 1)
    return ConfusionMatrix.from_counts(matrix).metrics().mean_iou


def test_a_score_on_old_data_does_not_keep_new_networks_out(folder, stopped, monkeypatch):
    """The old score was perfect by accident: on the new images a later network is the best."""
    from keras_fcn_train.evaluation_model import EvaluationModel

    invert_val(folder)
    evaluate = EvaluationModel.evaluate
    scores = iter([0.1, 0.2])

    def better_and_better(self, batches):
        return {**evaluate(self, batches), "mean_iou": next(scores)}

    monkeypatch.setattr(EvaluationModel, "evaluate", better_and_better)
    result = fit(stopped.replace(accept_changed_data=True))

    assert (result.best_epoch, result.metrics["mean_iou"]) == (3, 0.2)
    assert keras.models.load_model(result.best).origin["metrics"]["mean_iou"] == 0.2


def test_changed_training_images_leave_the_validation_comparable(folder, stopped, tmp_path):
    (first,) = read_log(tmp_path / "run" / "log.csv")
    add(folder)

    result = fit(stopped.replace(accept_changed_data=True))

    rows = read_log(tmp_path / "run" / "log.csv")
    assert rows[0] == first
    assert len(result.log) == 2
    with np.load(tmp_path / "run" / "state" / "state.npz") as state:
        # Three epochs of four steps, of which the first two had three: the schedule ends at zero.
        assert 12 in [
            int(state[n]) for n in state.files if n.startswith("opt") and not state[n].shape
        ]
    assert result.log[-1]["learning_rate"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("change", [remove, rename_class])
def test_fewer_images_and_other_names_can_be_accepted(folder, stopped, change):
    change(folder)

    result = fit(stopped.replace(accept_changed_data=True))

    assert [row["epoch"] for row in result.log] == [0, 2]
    names = keras.models.load_model(result.best).labels.class_names
    assert names == ("ground", "stripe", "bird" if change is rename_class else "box")


def test_another_number_of_classes_cannot_be_accepted(folder, stopped):
    add_class(folder)

    with pytest.raises(
        ValueError, match=r"classes .*: 1 added \(bird\). The number of classes dif"
    ):
        fit(stopped.replace(accept_changed_data=True))


def test_a_finished_training_is_scored_anew(folder, tmp_path):
    config = settings_of(tmp_path, epochs=1)
    fit(config)
    invert_val(folder)
    with pytest.raises(ValueError, match="--accept-changed-data"):
        fit(config.replace(resume=True))

    result = fit(config.replace(resume=True, accept_changed_data=True))

    assert result.metrics["mean_iou"] == pytest.approx(mean_iou(result.best, folder))
    assert fit(config.replace(resume=True)).metrics == result.metrics


def test_without_validation_the_training_metrics_start_anew(folder, tmp_path):
    config = settings_of(tmp_path, epochs=1, validation_split=None, schedule="constant")
    fit(config)
    invert_val(folder)  # which is not used
    fit(config.replace(resume=True))
    invert_one(folder)

    result = fit(config.replace(resume=True, accept_changed_data=True, epochs=2))

    assert result.best_epoch == 2
    assert "mean_iou" not in result.log[0]
    assert result.log[0]["before_change_mean_iou"] > 0


def test_a_training_killed_after_it_accepted_resumes_exactly(folder, stopped, tmp_path):
    shutil.copytree(tmp_path / "run", tmp_path / "all")
    add(folder)
    undisturbed = fit(stopped.replace(workdir=str(tmp_path / "all"), accept_changed_data=True))
    settings = {
        **{"dataset": f"folder:{folder}", "workdir": str(tmp_path / "run"), "batch_size": 2},
        **{"save_every": 2, "resume": True, "accept_changed_data": True},
    }

    killed = run_process(settings=settings, send="SIGKILL", at_step=11, folder=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    result = fit(stopped)  # it need not be accepted twice

    assert_same_training(result, undisturbed)


def test_arrays_that_changed_stop_a_resume(tmp_path):
    config = tiny_config(workdir=str(tmp_path / "run"), epochs=1)
    fit(config, tiny_dataset())

    with pytest.raises(ValueError, match=r"train: 1 added \(train/12\)"):
        fit(config.replace(resume=True), tiny_dataset(num_train=13))


def test_accepting_needs_a_resume():
    with pytest.raises(ValueError, match="`accept_changed_data` must be false without `resume`"):
        RunConfig(accept_changed_data=True)
    assert Config().replace(resume=True, accept_changed_data=True).run.accept_changed_data


@pytest.mark.parametrize("accumulated", [None, 2])
def test_gradients_of_a_started_update_are_dropped(accumulated):
    optimizer = keras.optimizers.SGD(1.0, gradient_accumulation_steps=accumulated)
    variable = keras.Variable([1.0])
    optimizer.build([variable])
    if accumulated:
        optimizer.apply([np.array([5.0], "float32")], [variable])

    set_steps(optimizer, 8)
    for _ in range(accumulated or 1):
        optimizer.apply([np.array([0.5], "float32")], [variable])

    assert float(variable[0]) == 0.5
    assert int(optimizer._iterations) == 8 + (accumulated or 1)
