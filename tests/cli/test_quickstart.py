import json
from pathlib import Path

import pytest

from keras_fcn.prediction import open_predictor


@pytest.mark.full
def test_the_quickstart_leaves_everything_behind(run, tmp_path):
    arguments = ("quickstart", "--smoke", "--workdir", tmp_path / "run")

    first = run(*arguments)
    second = run(*arguments)

    assert first.exit_code == 0, first.stderr
    folder = tmp_path / "run"
    for name in ("curves.png", "gallery.png", "confusion_matrix.png", "log.csv", "config.json"):
        assert (folder / name).is_file()
    assert json.loads((folder / "metrics.json").read_text())["num_images"] == 100
    for name in ("best.keras", "savedmodel", "model.tflite"):
        assert open_predictor(folder / name).labels.num_classes == 7
    assert first.stdout.count("Passed") == 2
    # A second start finds the training done.
    assert second.exit_code == 0, second.stderr
    assert f"keras-fcn predict --model {folder}/best.keras" in second.stdout


def test_a_training_that_fails_is_explained(run, monkeypatch):
    import keras_fcn_train

    def fit(config):
        assert config.run.recipe == "sample_quickstart"
        assert Path(config.run.workdir) == Path("runs/quickstart")
        raise keras_fcn_train.TrainingInterrupted("Stopped; go on with --resume.")

    monkeypatch.setattr(keras_fcn_train, "fit", fit, raising=False)

    result = run("quickstart")

    assert result.exit_code == 1
    assert result.stderr == "Error: The quickstart was stopped. Run it again to continue.\n"


@pytest.mark.parametrize(
    ("stored", "arguments", "text"),
    [
        (None, [], "is not empty, and was not changed. Choose another --workdir."),
        (
            {"recipe": "camvid_vgg16"},
            [],
            "is that of another training, and was not changed. Choose another --workdir.",
        ),
        (
            {"recipe": "sample_quickstart", "smoke": True},
            [],
            "is that of a quickstart with --smoke, and was not changed. Continue it with --smoke, "
            "or choose another --workdir.",
        ),
        (
            {"recipe": "sample_quickstart"},
            ["--smoke"],
            "is that of a quickstart without --smoke, and was not changed. Continue it without "
            "--smoke, or choose another --workdir.",
        ),
    ],
)
def test_a_folder_with_other_files_is_refused_by_options_that_quickstart_has(
    run, tmp_path, stored, arguments, text
):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "photo.jpg").write_text("of the user")
    if stored is not None:
        from keras_fcn_train import Config

        (folder / "config.json").write_text(Config().replace(**stored).to_json())
    before = {path: path.read_bytes() for path in folder.rglob("*")}

    result = run("quickstart", "--workdir", folder, *arguments)

    assert result.exit_code == 1
    assert result.stderr == f"Error: The workdir {folder} {text}\n"
    assert {path: path.read_bytes() for path in folder.rglob("*")} == before
