import re

import keras_fcn_train.studies.runs as study_runs
import pytest
from PIL import Image


@pytest.fixture
def upsampling_study(run, photos, tmp_path, tiny_backbones):
    """Runs a study of two trainings that take a second each."""

    def run_study(*arguments):
        return run(
            "study", "upsampling", "--variant", "fcn32s", "--dataset", f"folder:{photos}",
            "--backbone", "tiny", "--fc-filters", "4", "--epochs", "1",
            "--batch-size", "2", "--crop", "32x32", "--warmup-steps", "0", "--no-augment",
            "--ema-decay", "none", "--workdir", tmp_path / "runs",
            "--output", tmp_path / "curves.png", *arguments,
        )  # fmt: skip

    return run_study


def test_label_downsampling_prints_the_papers_row_too(run, photos, tmp_path):
    result = run(
        "study", "label-downsampling", "--dataset", f"folder:{photos}", "--images", "2",
        "--output", tmp_path / "bounds.png",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    assert "50.9  73.3  86.1  92.8  96.4  98.5" in result.stdout
    assert "majority of each cell, repeated" in result.stdout
    assert "val: 2 images." in result.stdout
    with Image.open(tmp_path / "bounds.png") as picture:
        assert picture.format == "PNG"


def test_shift_and_stitch_shows_the_difference(run, photos, tmp_path):
    result = run(
        "study", "shift-and-stitch", "--image", photos / "images" / "5.png", "--blocks", "2",
        "--output", tmp_path / "maps.png",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    assert "Largest difference: " in result.stdout
    # 25x30 pixels less a receptive field of 16, plus 1.
    assert result.stdout.count("10x15") == 2
    with Image.open(tmp_path / "maps.png") as picture:
        assert picture.format == "PNG"


def test_a_study_trains_each_network_once(upsampling_study, tmp_path, monkeypatch):
    result = upsampling_study()

    assert result.exit_code == 0, result.stderr
    weights = dict(re.findall(r"^(all \w+) +([\d,]+) ", result.stdout, flags=re.MULTILINE))
    # A kernel of 64x64 for each pair of the three classes.
    assert weights == {"all bilinear": "0", "all learned": f"{3 * 3 * 64 * 64:,}"}
    assert "Training 2 of 2: " in result.stdout
    assert {path.parent.name for path in tmp_path.glob("runs/*/last.keras")} == {
        "fixed", "learned",
    }  # fmt: skip
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"

    monkeypatch.setattr(study_runs, "fit", None)
    again = upsampling_study()
    other = upsampling_study("--learning-rate", "0.5")

    assert again.stdout.count("It was trained before.") == 2
    assert again.stdout.splitlines()[-5:] == result.stdout.splitlines()[-5:]
    assert other.exit_code == 1
    assert "learning_rate=0.5 (was " in other.stderr


def test_what_a_study_is_about_is_no_option(run):
    result = run("study", "upsampling", "--upsampling", "fixed", "--output", "curves.png")

    assert result.exit_code == 2
    assert "No such option" in result.stderr


@pytest.mark.full
@pytest.mark.parametrize("name", ["networks", "upsampling", "patch-sampling", "masking"])
def test_studies_smoke(run, name, tmp_path):
    result = run(
        "study", name, "--smoke", "--workdir", tmp_path / "runs", "--output", tmp_path / "a.png"
    )

    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
