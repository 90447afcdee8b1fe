import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from keras_fcn_export import export_savedmodel
from PIL import Image

from keras_fcn.data.image_io import read_image
from keras_fcn.data.masks import read_mask
from keras_fcn.files import RECORD
from keras_fcn.prediction import bulk
from keras_fcn.prediction.image_files import FilePrediction

from .. import helpers
from ..prediction.networks import FORMATS, write


def test_label_maps_and_overlays_are_written(run, channel_model, photos, tmp_path):
    result = run(
        "predict", "--model", channel_model, "--output", tmp_path / "out", photos / "images"
    )

    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"6 of 6 images predicted, in {tmp_path / 'out'}.\n"
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 12
    for path in (photos / "images").iterdir():
        labels = read_mask(tmp_path / "out" / path.name)
        np.testing.assert_array_equal(labels, read_image(path).argmax(-1))
        with Image.open(tmp_path / "out" / path.name) as image:
            assert image.mode == "P"


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_taken(run, photos, tmp_path, kind):
    result = run(
        "predict", "--model", write(kind, tmp_path), "--output", tmp_path / "out", "--no-overlay",
        photos / "images",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    for path in (photos / "images").iterdir():
        labels = read_mask(tmp_path / "out" / path.name)
        np.testing.assert_array_equal(labels, read_image(path).argmax(-1))


def test_modalities_are_named_for_a_file_that_does_not(run, photos, tmp_path):
    helpers.channel_model(channels=4).save(tmp_path / "m.keras")
    depth = np.full((20, 30), 300, "uint16")
    (tmp_path / "depth").mkdir()
    Image.fromarray(depth).save(tmp_path / "depth" / "0.png")
    arguments = (
        "predict", "--model", tmp_path / "m.keras", "--output", tmp_path / "out",
        "--depth", tmp_path / "depth", photos / "images" / "0.png",
    )  # fmt: skip

    refused = run(*arguments)
    result = run(*arguments, "--modalities", "rgb,depth")

    assert refused.exit_code == 1 and "`--modalities`" in refused.stderr
    assert result.exit_code == 0, result.stderr
    # 300 millimeters are more than any color.
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "0.png"), np.full((20, 30), 3))


def test_patterns_and_files_are_taken_without_overlays(run, channel_model, photos, tmp_path):
    result = run(
        "predict", "--model", channel_model, "--output", tmp_path, "--no-overlay",
        photos / "**" / "images" / "[01].png", photos / "images" / "1.png",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [RECORD, "0.png", "1.png"]


def test_unreadable_files_are_named_and_make_the_status_1(run, channel_model, photos, tmp_path):
    (tmp_path / "text.png").write_text("no image")

    result = run(
        "predict", "--model", channel_model, "--output", tmp_path / "out",
        "absent.jpg", tmp_path / "text.png", photos / "images" / "0.png",
    )  # fmt: skip

    assert result.exit_code == 1
    assert "Left out: absent.jpg: there is no such file." in result.stderr
    assert f"Left out: {tmp_path / 'text.png'}: not an image" in result.stderr
    assert "1 of 3 images predicted" in result.stdout
    assert "Error: 2 of 3 images were left out" in result.stderr
    assert (tmp_path / "out" / "0.png").is_file()


def test_replaced_files_are_counted(run, channel_model, photos, tmp_path):
    arguments = ("predict", "--model", channel_model, "--output", tmp_path, photos / "images")

    run(*arguments)
    result = run(*arguments)

    assert "12 files of an earlier run replaced." in result.stdout


@pytest.mark.parametrize(
    ("image", "text"),
    [("{photos}", "There is no image in the folder"), ("*.jpg", "No file matches the pattern")],
)
def test_inputs_without_images_are_explained(run, channel_model, photos, image, text):
    result = run(
        "predict", "--model", channel_model, "--output", "out", image.format(photos=photos)
    )

    assert result.exit_code == 1
    assert text in result.stderr


def test_images_are_not_overwritten(run, channel_model, photos):
    before = (photos / "images" / "0.png").read_bytes()

    result = run(
        "predict", "--model", channel_model, "--output", photos / "images", photos / "images"
    )

    assert result.exit_code == 1
    assert "would overwrite the image" in result.stderr
    assert (photos / "images" / "0.png").read_bytes() == before


def test_tiles_and_variants_of_the_image_are_said_and_used(run, channel_model, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (70, 150, 3)).astype("uint8")
    Image.fromarray(image).save(tmp_path / "wide.png")

    result = run(
        "predict", "--model", channel_model, "--output", tmp_path / "out", "--no-overlay",
        "--flip", "--tile-size", "64x96", "--overlap", "32", tmp_path / "wide.png",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "wide.png"), image.argmax(-1))
    assert "logits averaged with the mirrored image" in result.stdout
    assert "Tiles of 64x96 that overlap by 32 pixels" in result.stdout


def test_only_a_network_of_ours_changes_its_precision(run, channel_model, photos, tmp_path):
    result = run(
        "predict", "--model", channel_model, "--output", tmp_path, "--precision", "bfloat16",
        photos / "images",
    )  # fmt: skip

    assert result.exit_code == 1
    assert "Only an `FCN` can be rebuilt in another precision" in result.stderr


def test_outputs_that_cannot_be_written_are_named_and_the_rest_goes_on(
    run, channel_model, tmp_path
):
    pixels = np.zeros((3, 4, 3), "uint8")
    (tmp_path / "in").mkdir()
    long_name = "n" * 249  # of 255 bytes; with ".png" it fits, with "_overlay.jpg" it does not
    for name in ("a", "folder", "z", long_name):
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    Image.fromarray(np.zeros((1, 65_501, 3), "uint8")).save(tmp_path / "in" / "wide.png")
    out = tmp_path / "out"
    (out / "folder_overlay.jpg").mkdir(parents=True)

    result = run("predict", "--model", channel_model, "--output", out, tmp_path / "in")

    assert result.exit_code == 1
    assert "Traceback" not in result.stderr and "should not happen" not in result.stderr
    assert f"{out / long_name}_overlay.jpg cannot be written (File name too long)" in result.stderr
    assert (
        f"{out / 'wide_overlay.jpg'} cannot be written (a JPEG file has at most 65,500 pixels"
        in (result.stderr)
    )
    assert f"{out / 'folder_overlay.jpg'} cannot be written (there is a folder" in result.stderr
    assert "2 of 5 images predicted" in result.stdout
    # No mask without its overlay, and nothing else that is hidden.
    assert sorted(path.name for path in out.iterdir()) == [
        RECORD, "a.png", "a_overlay.jpg", "folder_overlay.jpg", "z.png", "z_overlay.jpg",
    ]  # fmt: skip


def test_a_full_disk_leaves_no_mask_without_its_overlay(run, channel_model, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype("uint8")
    (tmp_path / "in").mkdir()
    Image.fromarray(noise).save(tmp_path / "in" / "large.png")
    Image.fromarray(noise[:9, :9]).save(tmp_path / "in" / "small.png")
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The mask has 2 bits a pixel and fits into 25 kB; the overlay of noise does not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, most))
    try:
        result = run("predict", "--model", channel_model, "--output", "out", tmp_path / "in")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))

    assert result.exit_code == 1
    assert "out/large_overlay.jpg cannot be written (File too large)" in result.stderr
    assert "1 of 2 images predicted" in result.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        RECORD, "small.png", "small_overlay.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("tool", ["labelme", "coco"])
def test_polygons_for_a_labelling_tool_are_read_back(run, channel_model, photos, tmp_path, tool):
    out = tmp_path / "out"
    result = run(
        "predict", "--model", channel_model, "--output", out, "--format", tool, "--no-overlay",
        photos / "images",
    )  # fmt: skip
    back = run(
        "datasets", "import", "--from", tool, out, "--output", tmp_path / "back",
        "--images", photos / "images", "--no-background",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    assert back.exit_code == 0, back.stderr
    assert not list(out.glob("*.png"))
    for path in (photos / "images").iterdir():
        labels = read_mask(tmp_path / "back/masks" / path.name)
        np.testing.assert_array_equal(labels, read_image(path).argmax(-1))


def test_an_interrupted_run_goes_on(run, channel_model, photos, tmp_path):
    """Ctrl-C, as a user presses it, in the middle of a folder."""
    (tmp_path / "in").mkdir()
    with Image.open(photos / "images" / "0.png") as photo:
        large = photo.resize((2000, 1500))
    for number in range(60):
        large.save(tmp_path / "in" / f"{number:02}.bmp")
    (tmp_path / "in" / "30.bmp").write_text("no image")
    command = Path(sys.executable).with_name("keras-fcn")
    arguments = ["predict", "--model", channel_model, "--output", "out", "in"]

    def with_ctrl_c() -> None:
        # A shell starts background jobs with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        [command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=with_ctrl_c,
    )
    while process.poll() is None and not (tmp_path / "out" / "03.png").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)

    # A temporary folder stays if its removal is interrupted, until the next run.
    written = {path.name for path in (tmp_path / "out").iterdir()}
    written = {name for name in written if not name.startswith(".incomplete")}
    result = run(*arguments, "--skip-existing")

    assert process.returncode == 1
    assert stderr.strip() == "Aborted!"
    assert "Interrupted: the same command with --skip-existing goes on." in stdout
    num_done = sum(name.endswith(".png") for name in written)
    assert 4 <= num_done < 59
    assert {
        name.replace(".png", "_overlay.jpg") for name in written if name[-4:] == ".png"
    } < written
    assert len(written) == 1 + 2 * num_done
    assert result.exit_code == 1
    assert f"{59 - num_done} of 60 images predicted, in out; {num_done} skipped" in result.stdout
    assert result.stderr.count("Left out: in/30.bmp: not an image") == 1
    assert len(list((tmp_path / "out").glob("*.png"))) == 59
    assert not list((tmp_path / "out").glob(".incomplete*"))


def test_failed_images_are_listed_at_the_end(run, channel_model, photos, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(photos / "images" / "0.png", tmp_path / "in" / "b.png")
    for name in ("a.png", "c.png"):
        (tmp_path / "in" / name).write_text("no image")

    result = run("predict", "--model", channel_model, "--output", "out", tmp_path / "in")

    lines = result.output.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "Left out",
        "Left out",
        "1 of 3 images predicted, in out.",
        "Error",
    ]
    assert result.exit_code == 1


def test_options_of_one_engine_are_refused_for_the_other(run, tmp_path):
    model = ("predict", "--model", tmp_path, "--output", tmp_path / "out", tmp_path)
    url = run("predict", "--model", tmp_path, "--output", "s3://bucket/masks", tmp_path)
    workers = run(*model, "--workers", "2", "--gpus", "0.5")
    local = run(*model, "--engine", "ray", "--tile", "--format", "npz", "--overlay")

    assert [result.exit_code for result in (url, workers, local)] == [2, 2, 2]
    assert "URLs, such as s3://bucket/masks, are read and written by --engine ray" in url.stderr
    assert "--engine ray takes --workers, --gpus." in workers.stderr
    assert "It takes no --format, --tile, --overlay." in " ".join(local.stderr.split())


def test_ray_without_the_extra_is_refused_with_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run(
        "predict", "--engine", "ray", "--model", tmp_path, "--output", tmp_path / "out", tmp_path
    )

    assert result.exit_code == 1
    assert 'pip install "keras_fcn[bulk]"' in result.stderr


def test_failures_of_ray_are_listed_and_make_the_status_1(run, photos, tmp_path, monkeypatch):
    for package in ("pyarrow", "fsspec"):
        pytest.importorskip(package, reason='pip install "keras_fcn[bulk]"')
    model = export_savedmodel(helpers.channel_model(), tmp_path / "m")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0.png").touch()

    def results(job, num_workers, gpus_per_worker):
        assert (num_workers, gpus_per_worker) == (3, 0.5)
        for path in map(Path, job.remaining):
            yield FilePrediction(path, error=f"{path}: damaged" if path.stem == "4" else None)

    monkeypatch.setattr(bulk, "import_ray", lambda: None)
    monkeypatch.setattr(bulk.BulkPrediction, "run", results)
    result = run(
        "predict", "--engine", "ray", "--workers", "3", "--gpus", "0.5", "--model", model,
        "--output", tmp_path / "out", photos / "images",
    )  # fmt: skip

    assert result.exit_code == 1
    assert result.stdout.startswith(f"4 of 6 images predicted, in {tmp_path / 'out'}; 1 skipped")
    assert f"Left out: {photos / 'images' / '4.png'}: damaged" in result.stderr
    assert f"1 of 5 images were left out (named in {tmp_path / 'out' / bulk.FAILURES})" in " ".join(
        result.stderr.split()
    )
