"""No command replaces a file of the user's; each recognizes its own."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_fcn.data.image_io import read_image
from keras_fcn.data.masks import read_mask
from keras_fcn.files import RECORD

# For each command its arguments, and the files that it writes, in the folder that it runs in.
CASES = {
    "predict": (
        ["predict", "--model", "{model}", "--output", "out", "{photos}/images/0.png"],
        ["out/0.png", "out/0_overlay.jpg"],
    ),
    "predict labelme": (
        [
            *("predict", "--model", "{model}", "--output", "out", "--format", "labelme"),
            *("--no-overlay", "{photos}/images/0.png"),
        ],
        ["out/0.json", "out/labels.txt"],
    ),
    "predict coco": (
        [
            *("predict", "--model", "{model}", "--output", "out", "--format", "coco"),
            *("--no-overlay", "{photos}/images/0.png"),
        ],
        ["out/annotations.json"],
    ),
    "evaluate": (
        ["evaluate", "--model", "{model}", "--dataset", "folder:{photos}", "--json", "m.json"],
        ["m.json", "m_confusion_matrix.png"],
    ),
    "evaluate, a picture": (
        [
            *("evaluate", "--model", "{model}", "--dataset", "folder:{photos}"),
            *("--confusion-matrix", "matrix.png"),
        ],
        ["matrix.png"],
    ),
    "export": (
        [
            *("export", "--model", "{model}", "--format", "tflite", "--output", "m.tflite"),
            "--no-verify",
        ],
        ["m.tflite"],
    ),
    "verify": (
        [
            *("verify", "--against", "{model}", "--artifact", "{tflite}", "--json", "v.json"),
            *("--dataset", "folder:{photos}", "--images", "1"),
        ],
        ["v.json"],
    ),
    "show": (
        ["datasets", "show", "--dataset", "folder:{photos}", "--examples", "1"],
        ["photos_train.png"],
    ),
    "study": (
        [
            *("study", "label-downsampling", "--dataset", "folder:{photos}", "--images", "1"),
            *("--output", "bounds.png"),
        ],
        ["bounds.png"],
    ),
}


@pytest.fixture(scope="module")
def tflite(tmp_path_factory, channel_model):
    from keras_fcn_export import export_tflite

    from keras_fcn.prediction import load_model

    path = tmp_path_factory.mktemp("exported") / "m.tflite"
    return export_tflite(load_model(channel_model), path)


@pytest.mark.parametrize("command", CASES)
def test_files_of_the_user_stay_and_own_ones_are_replaced(
    run, channel_model, photos, tflite, tmp_path, command
):
    arguments, names = CASES[command]
    arguments = [a.format(model=channel_model, photos=photos, tflite=tflite) for a in arguments]
    files = [tmp_path / name for name in names]
    for file in files:
        # One at a time: each of them is looked at.
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"of the user")

        refused = run(*arguments)

        assert refused.exit_code == 1, refused.output
        assert f"{file.name} exists, and keras-fcn did not write it" in refused.stderr
        assert "--overwrite" in refused.stderr and refused.stderr.count("\n") == 1
        assert refused.stdout == ""  # it did not begin
        assert file.read_bytes() == b"of the user"
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
        file.unlink()
    for file in files:
        file.write_bytes(b"of the user")

    replaced, again = run(*arguments, "--overwrite"), run(*arguments)

    assert replaced.exit_code == 0, replaced.output
    assert again.exit_code == 0, again.output
    for file in files:
        content = file.read_bytes()
        assert content != b"of the user"
        file.write_bytes(content + b"\n")  # an edit of a file of ours makes it the user's

        refused = run(*arguments)

        assert refused.exit_code == 1
        assert f"{file.name} exists" in refused.stderr and "was changed after" in refused.stderr
        assert file.read_bytes() == content + b"\n"
        file.write_bytes(content)


BENCHMARK = (
    *("benchmark", "--random", "small_resnet", "--size", "32x32", "--threads", "1"),
    *("--candidate", "keras-float32", "--images", "1", "--output", "b", "--artifacts", "a"),
)


def test_a_benchmark_measures_nothing_where_it_cannot_write(run, tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("benchmark.json", "benchmark.png"):
        (tmp_path / "b" / name).write_text("of the user")

    result = run(*BENCHMARK)

    assert result.exit_code == 1
    assert "2 files exist that keras-fcn did not write" in result.stderr
    names = sorted(path.name for path in tmp_path.rglob("*"))
    assert names == ["b", "benchmark.json", "benchmark.png"]


@pytest.mark.full
def test_a_benchmark_goes_on_with_its_own_files(run, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "benchmark.json").write_text("of the user")

    first, again = run(*BENCHMARK, "--overwrite"), run(*BENCHMARK)

    assert first.exit_code == 0, first.output
    assert again.exit_code == 0, again.output


def test_a_quickstart_stops_before_it_trains(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "metrics.json").write_text("{}")

    result = run("quickstart", "--workdir", "mine", "--smoke")

    assert result.exit_code == 1
    assert "metrics.json exists, and keras-fcn did not write it" in result.stderr
    assert "Choose another --workdir" in result.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["metrics.json"]


def test_a_version_of_a_served_model_is_never_replaced(run, channel_model, tmp_path):
    arguments = (
        "export", "--model", channel_model, "--format", "savedmodel", "--output", "served",
        "--no-verify", "--overwrite",
    )  # fmt: skip
    (tmp_path / "served" / "1").mkdir(parents=True)
    (tmp_path / "served" / "1" / "notes.txt").write_text("of the user")

    refused, next_one = run(*arguments, "--version", "1"), run(*arguments)

    assert refused.exit_code == 1
    assert "Version 1 exists already" in refused.stderr
    assert next_one.stdout.endswith("served/2\n")
    assert (tmp_path / "served" / "1" / "notes.txt").read_text() == "of the user"


def test_the_masks_of_a_training_are_not_replaced_by_predictions(
    run, channel_model, photos, tmp_path
):
    shutil.copytree(photos, tmp_path / "photos")
    before = {path.name: path.read_bytes() for path in (tmp_path / "photos/masks").iterdir()}

    result = run("predict", "--model", channel_model, "--output", "photos/masks", "photos/images")

    assert result.exit_code == 1
    # The first ones, and how many.
    assert result.stderr == (
        "Error: 6 files exist that keras-fcn did not write, or that were changed afterwards: "
        "photos/masks/0.png, photos/masks/1.png, photos/masks/2.png and 3 more. Nothing was "
        "written. Choose another --output, or replace them by --overwrite.\n"
    )
    after = {path.name: path.read_bytes() for path in (tmp_path / "photos/masks").iterdir()}
    assert after == before


def test_corrected_masks_stay_and_come_along_with_their_folder(
    run, channel_model, photos, tmp_path
):
    arguments = ("predict", "--model", channel_model, "--no-overlay")
    run(*arguments, "--output", "out", photos / "images")
    shutil.copytree(tmp_path / "out", tmp_path / "moved")  # with new times of the files

    moved = run(*arguments, "--output", "moved", photos / "images")
    Image.fromarray(np.ones((22, 30), "uint8")).save(tmp_path / "moved" / "2.png")
    corrected = run(*arguments, "--output", "moved", photos / "images")
    others = run(*arguments, "--output", "moved", *sorted((photos / "images").glob("[013-5].png")))

    assert "6 files of an earlier run replaced." in moved.stdout
    assert corrected.exit_code == 1 and "moved/2.png exists" in corrected.stderr
    assert others.exit_code == 0
    assert (read_mask(tmp_path / "moved" / "2.png") == 1).all()
    overwritten = run(*arguments, "--output", "moved", "--overwrite", photos / "images")
    assert "6 existing files replaced." in overwritten.stdout


def test_what_a_killed_run_wrote_is_its_own(run, channel_model, photos, tmp_path, monkeypatch):
    """The record is written before a file gets its name."""
    import keras_fcn.prediction.output_files as output_files

    arguments = ("predict", "--model", channel_model, "--output", "out", photos / "images")
    move = output_files.move

    def killed_after_the_third(temporary: Path, path: Path) -> None:
        move(temporary, path)
        if path.name == "2.png":
            raise KeyboardInterrupt

    monkeypatch.setattr(output_files, "move", killed_after_the_third)
    killed = run(*arguments)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    kept = {path.name for path in (tmp_path / "out").glob("[!.]*")}
    result = run(*arguments)

    assert killed.exit_code != 0
    assert {"0.png", "1.png", "2.png"} <= kept
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    "line", ["", "no json", "[1", "null", '["a.png"]', '["a.png", null]', "{}"]
)
def test_a_damaged_record_recognizes_nothing_else(run, channel_model, photos, tmp_path, line):
    arguments = ("predict", "--model", channel_model, "--no-overlay", photos / "images" / "0.png")
    run(*arguments, "--output", "out")
    record = tmp_path / "out" / RECORD
    record.write_text(f"{line}\n{record.read_text()}{line}\n")

    assert run(*arguments, "--output", "out").exit_code == 0
    record.write_text(f"{line}\n")
    assert run(*arguments, "--output", "out").exit_code == 1


def test_results_go_to_pipes_and_devices(run, channel_model, photos):
    result = run(
        "evaluate", "--model", channel_model, "--dataset", f"folder:{photos}",
        "--json", "/dev/null", "--confusion-matrix", "matrix.png",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr


def test_predictions_beside_their_images_are_not_predicted_again(
    run, channel_model, photos, tmp_path
):
    (tmp_path / "in").mkdir()
    for name in ("0", "1"):
        with Image.open(photos / "images" / f"{name}.png") as image:
            image.save(tmp_path / "in" / f"{name}.bmp")
    arguments = ("predict", "--model", channel_model, "--output", "in")

    results = [run(*arguments, "in"), run(*arguments, "in"), run(*arguments, "in/*")]

    for result in results:
        assert result.exit_code == 0, result.stderr
        assert "2 of 2 images predicted, in in" in result.stdout
    assert "Note: Left out of in: 4 written by keras-fcn." in results[1].stdout
    assert "Note: Left out of in/*: 4 written by keras-fcn." in results[2].stdout
    assert sorted(path.name for path in (tmp_path / "in").glob("[!.]*")) == [
        "0.bmp", "0.png", "0_overlay.jpg", "1.bmp", "1.png", "1_overlay.jpg",
    ]  # fmt: skip
    # An overlay of the user's own is an image.
    shutil.copy(tmp_path / "in" / "0.bmp", tmp_path / "in" / "photo_overlay.bmp")
    assert "3 of 3 images" in run(*arguments, "in").stdout


def test_a_folder_gives_every_format_and_names_the_rest(run, channel_model, tmp_path):
    pixels = np.zeros((8, 12, 3), "uint8")
    pixels[:, 5:, 1] = 200
    lossless = (".bmp", ".dib", ".png", ".PPM", ".tga", ".jp2", ".tif", ".webp", ".gif", ".pcx")
    lossy = (".jpg", ".jpe", ".jfif", ".JPEG", ".avif")
    folder = tmp_path / "in"
    folder.mkdir()
    for suffix in lossless:
        options = {".webp": {"lossless": True}}.get(suffix, {})
        Image.fromarray(pixels).save(folder / f"a{suffix[1:]}{suffix}", **options)
    for suffix in lossy:
        Image.fromarray(pixels).save(folder / f"a{suffix[1:]}{suffix}", quality=95)
    for name in ("notes.txt", "more.TXT", "README", "t.xml", "Thumbs.db", ".hidden.png", "f.pdf"):
        (folder / name).write_text("x")
    for name in ("below", "more", ".ipynb_checkpoints", "@eaDir"):
        (folder / name).mkdir()
    (folder / "moved.png").symlink_to("nowhere.png")

    result = run("predict", "--model", channel_model, "--output", "out", "--no-overlay", "in")

    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "Note: Left out of in: 1 .pdf, 2 .txt, 1 .xml, 1 without a suffix, 1 link to no file, 2 "
        "folders (not searched).",
        "15 of 15 images predicted, in out.",
    ]
    for suffix in (*lossless, *lossy):
        mask = read_mask(tmp_path / "out" / f"a{suffix[1:]}.png")
        expected = read_image(folder / f"a{suffix[1:]}{suffix}").argmax(-1)
        np.testing.assert_array_equal(mask, expected)
        if suffix in lossless:
            np.testing.assert_array_equal(mask, pixels.argmax(-1))


def test_a_folder_without_images_says_what_it_has(run, channel_model, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.heic").write_text("x")

    result = run("predict", "--model", channel_model, "--output", "out", "in")

    assert result.exit_code == 1
    assert "There is no image in the folder in, only 1 .heic." in result.stderr
