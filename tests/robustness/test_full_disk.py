"""Commands that write to a full disk name the path and the cause, and leave nothing.

The disk is a limit on the size of files, in a process of its own: a write beyond it fails as on a
full disk, with EFBIG in the place of ENOSPC.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from ..weights.caffe_files import fcn_layers, write_caffemodel

PROGRAM = """
import resource, signal, sys
from keras_fcn import files
from keras_fcn_cli.main import main
locked_folder = files._locked_folder
def limited(container):
    # Only now: the model is read from an unpacked copy in the folder for temporary files.
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
    return locked_folder(container)
files._locked_folder = limited
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
main(sys.argv[2:])
"""


def run_limited(size: int, *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(size), *map(str, arguments)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "size", "arguments"),
    [
        ("m.tflite", 500, ("export", "--format", "tflite", "--size", "32x32", "--no-verify")),
        ("m.onnx", 100, ("export", "--format", "onnx", "--no-verify")),
        ("saved", 2000, ("export", "--format", "savedmodel", "--no-verify")),
    ],
)
def test_exports_name_the_path(channel_model, tmp_path, name, size, arguments):
    out = tmp_path / "out"

    done = run_limited(size, *arguments, "--model", channel_model, "--output", out / name)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "should not happen" not in done.stderr
    assert "memory" not in done.stderr
    assert f"{out / name}: it cannot be written (File too large). Free some space" in done.stderr
    assert left(out) == []


def test_evaluation_and_gallery_name_the_path(channel_model, photos, tmp_path):
    gallery = tmp_path / "out" / "gallery.png"

    done = run_limited(
        1000, "datasets", "show", "--dataset", f"folder:{photos}", "--output", gallery
    )

    assert done.returncode == 1
    assert f"{gallery}: it cannot be written (File too large)" in done.stderr
    assert left(tmp_path / "out") == []


def test_conversion_names_the_path(tmp_path):
    path = write_caffemodel(tmp_path / "fcn8s.caffemodel", fcn_layers(stride=8))

    done = run_limited(
        20_000, "convert", "--from", path, "--variant", "fcn8s", "--mean", "1,2,3",
        "--output", tmp_path / "out" / "n.keras",
    )  # fmt: skip

    assert done.returncode == 1, done.stderr
    assert f"{tmp_path / 'out' / 'n.keras'}: it cannot be written (File too large)" in done.stderr
    assert left(tmp_path / "out") == []


def test_training_names_the_path(photos, tmp_path):
    workdir = tmp_path / "run"

    done = run_limited(
        20_000, "train", "--dataset", f"folder:{photos}", "--workdir", workdir, "--epochs", 1,
        "--batch-size", 1, "--crop", "32x32", "--backbone", "small_resnet", "--fc-filters", 8,
        "--backbone-weights", "none", "--no-plan",
    )  # fmt: skip

    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "should not happen" not in done.stderr
    assert f"{workdir}/" in done.stderr
    assert "it cannot be written (File too large). Free some space" in done.stderr
    assert {path.name for path in left(workdir)} <= {"config.json"}
