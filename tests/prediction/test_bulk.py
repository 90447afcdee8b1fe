"""Ray Data writes what `predict_files` does, once each, whatever is killed on the way."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from keras_fcn_export import export_savedmodel
from PIL import Image

from keras_fcn.files import RECORD
from keras_fcn.prediction import bulk, open_predictor
from keras_fcn.prediction.image_files import predict_files

from ..helpers import file_bytes, picture, tiny_model, two_headed_model

ray = pytest.importorskip(
    "ray", reason='Ray Data is not installed: pip install "keras_fcn[bulk]"', exc_type=ImportError
)
pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray
EXIF = Image.Exif()
EXIF[274] = 6  # to be turned by 90 degrees


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def savedmodel(tmp_path_factory):
    return export_savedmodel(
        tiny_model(), tmp_path_factory.mktemp("saved") / "m", max_pixels=200 * 200
    )


def write_images(folder, count, bad_every):
    """Writes files of all kinds, some of them bad; returns their paths, and the bad ones."""
    paths, bad = [], set()
    (folder / "below").mkdir(parents=True)
    for number in range(count):
        pixels = picture(20 + number % 37, 30 + number % 23, seed=number)
        image = Image.fromarray(pixels)
        name, options = [
            ("jpg", {"quality": 90}),
            ("jpg", {"exif": EXIF}),
            ("jpeg", {"progressive": True}),
            ("png", {}),
            ("png", {"exif": EXIF}),
            ("bmp", {}),
            ("webp", {"lossless": True}),
        ][number % 7]
        path = folder / f"{number}.{name}"
        image = [image, image.convert("L"), image.convert("P"), image][number % 4]
        if number % 11 == 3:
            path, options = folder / f"{number}.png", {}
            image = Image.fromarray(pixels[..., 0].astype("uint16") * 257)
        if number % 11 == 5:
            path, options, image = folder / f"{number}.jpg", {}, image.convert("CMYK")
        if path.suffix in (".jpg", ".jpeg") and image.mode == "P":
            image = image.convert("RGB")
        image.save(path, **options)
        if number % bad_every == 10:
            bad.add(path)
            cut = file_bytes(pixels, "JPEG")[:-60]
            path.write_bytes([b"no image", cut, b""][number // bad_every % 3])
        paths.append(path)
    # Of the same stem as another: all outputs keep the folders.
    Image.fromarray(picture(30, 40, seed=7)).save(folder / "below" / "0.png")
    large = folder / "below" / "large.png"
    Image.new("RGB", (201, 200)).save(large)
    absent = folder / "absent.jpg"
    return [*paths, folder / "below" / "0.png", large, absent], {*bad, large, absent}


def check_equal_to_predict(savedmodel, paths, bad, output, failures, folder, num_killed):
    """Compares files and errors with those of `predict_files`."""
    expected = predict_files(open_predictor(savedmodel), paths, folder, with_overlay=False)

    written = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.png")}
    assert len(written) == len(paths) - len(bad)
    assert {p.relative_to(output): p.read_bytes() for p in output.rglob("*.png")} == written
    assert failures == {str(r.path): r.error for r in expected if r.error}
    assert failures.keys() == {str(path) for path in bad}
    # Each was written once, except one that a killed worker had recorded but not renamed yet.
    recorded = [
        json.loads(line)[0]
        for record in output.rglob(RECORD)
        for line in record.read_text().splitlines()
    ]
    masks = [name for name in recorded if name != bulk.FAILURES]
    assert set(masks) == {path.name for path in written}
    assert len(written) <= len(masks) <= len(written) + num_killed
    assert not list(output.rglob(".incomplete-*"))


def table_of(output):
    with (output / bulk.FAILURES).open(newline="") as file:
        return {row["image"]: row["error"] for row in csv.DictReader(file)}


def kill_a_worker(output):
    """Kills one of the processes that predict, after the first mask; returns whether it did."""
    deadline = time.monotonic() + 300
    while not list(output.rglob("*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = [
        actor["Pid"]
        for actor in ray._private.state.actors().values()
        if "MapWorker" in actor["ActorClassName"] and actor["State"] == "ALIVE"
    ]
    if workers:
        os.kill(workers[0], signal.SIGKILL)
    return bool(workers)


@pytest.mark.usefixtures("cluster")
def test_two_workers_of_which_one_is_killed_write_what_predict_does(savedmodel, tmp_path):
    check_with_a_killed_worker(savedmodel, tmp_path, count=45, bad_every=15)


@pytest.mark.full
@pytest.mark.usefixtures("cluster")
def test_500_mixed_files_and_a_killed_worker(savedmodel, tmp_path):
    check_with_a_killed_worker(savedmodel, tmp_path, count=500, bad_every=50)


def check_with_a_killed_worker(savedmodel, tmp_path, count, bad_every):
    paths, bad = write_images(tmp_path / "in", count, bad_every)
    output = tmp_path / "out"
    job = bulk.BulkPrediction(open_predictor(savedmodel), list(map(str, paths)), str(output))
    results = {}
    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill_a_worker, output)
        for result in job.run(num_workers=2):
            assert result.path not in results
            results[result.path] = result.error

    assert killed.result() and results.keys() == set(paths)
    failures = {str(path): error for path, error in results.items() if error}
    assert failures == table_of(output)
    check_equal_to_predict(
        savedmodel, paths, bad, output, failures, tmp_path / "expected", num_killed=1
    )

    # A second start: what is there stays, whoever wrote it.
    again = bulk.BulkPrediction(open_predictor(savedmodel), list(map(str, paths)), str(output))
    assert again.num_images == len(paths)
    assert {Path(path) for path in again.remaining} == bad
    (output / bulk.FAILURES).write_text("mine")
    with pytest.raises(FileExistsError, match=bulk.FAILURES):
        bulk.BulkPrediction(open_predictor(savedmodel), list(map(str, paths)), str(output))


@pytest.mark.full
def test_a_killed_command_goes_on_where_it_was(savedmodel, tmp_path):
    paths, bad = write_images(tmp_path / "in", 200, 50)
    output = tmp_path / "out"
    command = [
        *(sys.executable, "-c", "from keras_fcn_cli.main import main; main()", "predict"),
        *("--engine", "ray", "--workers", "2", "--model", savedmodel, "--output", output, *paths),
    ]
    environment = {**os.environ, "RAY_ADDRESS": "local"}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        deadline = time.monotonic() + 300
        while len(list(output.rglob("*.png"))) < 20:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    time.sleep(5)  # for the workers to notice
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.png")}
    assert 20 <= len(before) < len(paths) - len(bad)

    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert second.returncode == 1, second.stderr
    assert f"; {len(before)} skipped, whose predictions were there." in second.stdout
    assert f"{len(bad)} of {len(paths) - len(before)} images were left out" in second.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    check_equal_to_predict(
        savedmodel, paths, bad, output, table_of(output), tmp_path / "expected", num_killed=2
    )


@pytest.mark.full
@pytest.mark.usefixtures("cluster")
def test_a_file_that_kills_its_worker_fails_alone(savedmodel, tmp_path, monkeypatch, elsewhere):
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    class Deadly(FSSpecHandler):  # defined here, so that Ray sends it as code
        def open_output_stream(self, path, metadata):
            if "deadly" in path:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().open_output_stream(path, metadata)

    def open_storage(address):
        filesystem, path = original(f"{elsewhere}{address}")
        return PyFileSystem(Deadly(filesystem.handler.fs)), path

    original = bulk.open_storage
    monkeypatch.setattr(bulk, "open_storage", open_storage)
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "deadly", "c"):
        Image.fromarray(picture(30, 40)).save(tmp_path / "in" / f"{name}.png")

    job = bulk.BulkPrediction(
        open_predictor(savedmodel), [str(tmp_path / "in")], str(tmp_path / "out")
    )
    errors = {result.path.stem: result.error for result in job.run(2)}

    assert "the worker ended 2 times while it predicted this file" in errors.pop("deadly")
    assert errors == {"a": None, "b": None, "c": None}
    assert {p.stem for p in (tmp_path / "out").glob("*.png")} == {"a", "b", "c"}


@pytest.mark.full
@pytest.mark.usefixtures("cluster")
def test_urls_and_several_heads(tmp_path, elsewhere):
    savedmodel = export_savedmodel(two_headed_model(), tmp_path / "m")
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.fromarray(picture(30, 40, number)).save(tmp_path / "in" / f"{number}.png")
    predictor = open_predictor(savedmodel)
    predict_files(
        predictor, list((tmp_path / "in").iterdir()), tmp_path / "expected", with_overlay=False
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1_darkest.png").write_bytes(b"mine")

    job = bulk.BulkPrediction(
        predictor, [f"{elsewhere}{tmp_path}/in/*.png"], f"{elsewhere}{tmp_path}/out"
    )
    results = list(job.run(1))

    assert [result.error for result in results] == [None] * 3
    expected = {p.name: p.read_bytes() for p in (tmp_path / "expected").glob("*.png")}
    assert len(expected) == 6
    expected["1_darkest.png"] = b"mine"
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").glob("*.png")} == expected
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*expected, bulk.FAILURES}


def test_images_where_predictions_are_written_are_refused(savedmodel, tmp_path):
    Image.fromarray(picture(30, 40)).save(tmp_path / "a.png")

    with pytest.raises(ValueError, match="is in the folder of the output"):
        bulk.BulkPrediction(open_predictor(savedmodel), [str(tmp_path / "a.png")], str(tmp_path))


def test_dark_images_of_16_bits_are_refused_as_by_predict(savedmodel, tmp_path):
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    Image.fromarray(np.full((20, 30), 4000, "uint16")).save(path)
    predictor = open_predictor(savedmodel)
    with pytest.raises(ValueError, match="--value-range") as expected:
        predict_files(predictor, [path], tmp_path / "out")

    with pytest.raises(ValueError, match="--value-range") as raised:
        bulk.BulkPrediction(predictor, [str(path)], str(tmp_path / "out"))

    assert str(raised.value) == str(expected.value)


def test_other_models_are_refused(savedmodel, tmp_path):
    tiny_model().save(tmp_path / "m.keras")
    (tmp_path / "a.png").touch()

    with pytest.raises(ValueError, match="takes a SavedModel for RGB .* Received: .*m.keras"):
        bulk.BulkPrediction(
            open_predictor(tmp_path / "m.keras"), [str(tmp_path / "a.png")], str(tmp_path / "out")
        )
