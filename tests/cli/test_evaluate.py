import json
from pathlib import Path

import pytest
from PIL import Image

from keras_fcn.files import RECORD

# In the dataset `photos` one pixel of 30 * (23 + 24 + 25) is labeled wrongly.
NUM_PIXELS = 30 * (23 + 24 + 25)


def test_the_table_and_the_json_have_the_scores(run, channel_model, photos, tmp_path):
    result = run(
        "evaluate", "--model", channel_model, "--dataset", f"folder:{photos}", "--split", "val",
        "--json", tmp_path / "new" / "metrics.json", "--classes", "red, blue",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    # Where a line is too long for the table's width, it is broken.
    assert f"3 images, {NUM_PIXELS:,} pixels" in " ".join(result.stdout.split())
    assert "mean IoU of 2 classes *" in result.stdout
    scores = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert scores["pixel_accuracy"] == pytest.approx(1 - 1 / NUM_PIXELS)
    assert set(scores["per_class_iou"]) == {"red", "green", "blue"}
    assert (scores["num_images"], scores["format"]) == (3, "keras")
    assert scores["classes"] == ["red", "blue"]
    with Image.open(tmp_path / "new" / "metrics_confusion_matrix.png") as picture:
        assert picture.format == "PNG"


def test_the_table_is_the_same_for_every_format(run, channel_model, photos, tmp_path):
    data = ("--dataset", f"folder:{photos}")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    scores, tables = [], []
    for kind, name in (("savedmodel", "saved"), ("tflite", "m.tflite"), ("onnx", "m.onnx")):
        done = run(
            "export", "--model", channel_model, "--format", kind, "--output", name, "--no-verify"
        )
        assert done.exit_code == 0, done.stderr

    for model in (channel_model, "saved", "m.tflite", "m.onnx"):
        result = run("evaluate", "--model", model, *data, "--json", "metrics.json")
        assert result.exit_code == 0, result.stderr
        scores.append(json.loads((tmp_path / "metrics.json").read_text()))
        tables.append(result.stdout.partition("class ")[2])

    formats = [values.pop("format") for values in scores]
    assert formats == ["keras", "savedmodel", "tflite", "onnx"]
    for values in scores:
        del values["model"]
    # The .tflite returns predictions only, so that it has no probabilities.
    for values in scores[:2] + scores[3:]:
        assert values.pop("calibration")["accuracy"] == pytest.approx(1 - 1 / NUM_PIXELS)
        assert len(values["intervals"].pop("ece")) == 2
        assert all(row.pop("mean_confidence") > 0.5 for row in values["per_image"])
    assert scores[2].pop("calibration") is None
    assert {row.pop("mean_confidence") for row in scores[2]["per_image"]} == {None}
    # A model that is no FCN carries no names of classes; the artifacts have numbered ones.
    assert scores[0] == scores[1] == scores[2] == scores[3]
    assert tables[0] == tables[1] == tables[2] == tables[3]


def test_variants_and_tiles_are_noted_with_the_scores(run, channel_model, photos, tmp_path):
    result = run(
        "evaluate", "--model", channel_model, "--dataset", f"folder:{photos}", "--flip",
        "--scales", "1,2", "--tile", "--json", "metrics.json",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert 0.8 < scores["pixel_accuracy"] < 1  # noise, blurred at twice its size
    assert any("the mirrored image and scales 1, 2" in note for note in scores["notes"])
    assert any("Tiles of 1408x1408" in note for note in scores["notes"])


def test_the_report_is_a_page_with_the_numbers_of_the_json(run, channel_model, photos, tmp_path):
    arguments = ("evaluate", "--model", channel_model, "--dataset", f"folder:{photos}")

    result = run(*arguments, "--report", "why", "--json", "metrics.json", "--batch-size", 2)

    assert result.exit_code == 0, result.stderr
    assert f"Report: {Path('why/index.html')}" in result.stdout
    scores = json.loads((tmp_path / "metrics.json").read_text())
    page = (tmp_path / "why" / "index.html").read_text()
    assert page.startswith("<!doctype html>")
    assert f"{scores['boundary_iou']:.3f}" in page
    assert [row["id"] for row in scores["per_image"]] == ["3", "4", "5"]
    errors = [row["main_error"] for row in scores["per_image"]]
    assert errors[:2] == [None, None] and errors[2]["num_pixels"] == 1
    assert scores["split_role"] == "unknown"
    assert "does not state which images chose or trained the network" in page


def test_a_report_that_cannot_be_written_is_an_error_before_any_work(
    run, channel_model, photos, tmp_path
):
    (tmp_path / "file").write_text("")

    result = run(
        "evaluate", "--model", channel_model, "--dataset", f"folder:{photos}", "--report",
        "file/report",
    )  # fmt: skip

    assert result.exit_code == 1
    assert "is a file, not a folder" in result.stderr
    assert "images," not in result.stdout


def test_nothing_is_written_unless_asked_for(run, channel_model, photos, tmp_path):
    result = run("evaluate", "--model", channel_model, "--dataset", f"folder:{photos}")

    assert result.exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_the_confusion_matrix_can_go_elsewhere(run, channel_model, photos, tmp_path):
    run(
        "evaluate", "--model", channel_model, "--dataset", f"folder:{photos}",
        "--json", "metrics.json", "--confusion-matrix", "matrix.png",
    )  # fmt: skip

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        RECORD, "matrix.png", "metrics.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model", "no.keras", "--dataset", "sample"], "There is no model at no.keras."),
        (["--model", "{model}", "--dataset", "sampel"], "Unknown dataset 'sampel'. Did you mean"),
        (["--model", "{model}", "--dataset", "folder:nowhere"], "nowhere: there is no such folder"),
        (["--model", "{model}", "--dataset", "sample"], "The network has 3 classes"),
        (["--model", "{model}", "--dataset", "{data}", "--split", "test"], "has no split 'test'"),
        (["--model", "{model}", "--dataset", "{data}", "--classes", "cat"], "Received: 'cat'."),
    ],
)
def test_mistakes_are_explained(run, channel_model, photos, arguments, text):
    places = {"model": channel_model, "data": f"folder:{photos}"}

    result = run("evaluate", *[argument.format(**places) for argument in arguments])

    assert result.exit_code == 1
    assert text in result.stderr
    assert "should not happen" not in result.stderr


def test_a_wrong_label_is_an_error_that_names_the_file(run, channel_model, photos, tmp_path):
    broken = tmp_path / "photos"
    broken.mkdir()
    for path in photos.rglob("*.*"):
        target = broken / path.relative_to(photos)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    Image.new("L", (30, 23), 9).save(broken / "masks" / "3.png")

    result = run("evaluate", "--model", channel_model, "--dataset", f"folder:{broken}")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {broken / 'masks' / '3.png'}: labels must be in")
    assert "Traceback" not in result.stderr
