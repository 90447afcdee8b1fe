"""What killed preparations and changed folders leave, and its removal."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_fcn.datasets import open_dataset
from keras_fcn.datasets.leftovers import find_leftovers, remove_leftovers, size_of

from ..datasets import devkits

# Prepares CamVid, and stops while the second example is read.
PROGRAM = """
import sys, time
from pathlib import Path
from keras_fcn.datasets import prepare_dataset
from keras_fcn.datasets.camvid.camvid_dataset_builder import Builder
read = Builder.read_example
def slow(self, files):
    if files["label"].stem.endswith("1"):
        print("reading", file=sys.__stdout__, flush=True)  # tfds has redirected stdout
        time.sleep(600)
    return read(self, files)
Builder.read_example = slow
prepare_dataset("camvid", *map(Path, sys.argv[1:]))
"""


@pytest.fixture
def camvid(tmp_path) -> Path:
    return devkits.write_camvid(tmp_path / "CamVid", {"train": 3, "val": 2})


@pytest.fixture
def data_dir(tmp_path) -> Path:
    return tmp_path / "prepared"


def hidden(data_dir: Path) -> list[str]:
    return [path.name for path in data_dir.rglob("*") if "incomplete" in path.name]


@pytest.mark.parametrize("by", ["the next run", "clean"])
def test_a_killed_preparation_is_removed_once_its_process_is_dead(camvid, data_dir, run, by):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, camvid, data_dir], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "reading\n"
    assert find_leftovers(data_dir) == []
    assert remove_leftovers(data_dir) == []
    assert hidden(data_dir)  # the process is alive
    process.kill()
    process.communicate()

    listed = run("datasets", "list", "--data-dir", data_dir).stdout
    assert f"unfinished preparation, 0.0 MB: {data_dir}/.incomplete-{os.getuid()}/" in listed
    assert "keras-fcn datasets clean" in listed
    if by == "clean":
        cleaned = run("datasets", "clean", "--data-dir", data_dir)
        assert cleaned.exit_code == 0 and "unfinished preparation" in cleaned.stdout
    else:
        assert open_dataset("camvid", camvid, data_dir).splits == {"train": 3, "val": 2}

    assert hidden(data_dir) == []


def test_older_copies_of_a_changed_folder_are_removed(camvid, data_dir, run):
    open_dataset("camvid", camvid, data_dir)
    (older,) = (data_dir / "camvid").iterdir()
    os.utime(older / "1.0.0", (1_000_000, 1_000_000))
    size = size_of(older)
    devkits.write_camvid(camvid, {"test": 1})
    open_dataset("camvid", camvid, data_dir)
    other = data_dir / "mnist" / "3_local_0"  # of tfds itself
    other.mkdir(parents=True)

    (leftover,) = find_leftovers(data_dir)
    assert (leftover.path, leftover.size) == (older, size)
    assert size == sum(f.stat().st_size for f in older.rglob("*") if f.is_file()) > 0
    result = run("datasets", "clean", "--data-dir", data_dir)

    assert result.stdout.startswith(f"Removed {older} (older copy of a changed folder, ")
    assert not older.exists() and other.exists()
    assert open_dataset("camvid", data_dir=data_dir).splits == {"train": 3, "val": 2, "test": 1}


def test_a_data_dir_that_does_not_exist_is_no_empty_one(run, tmp_path):
    nowhere = tmp_path / "nowhere"

    result = run("datasets", "clean", "--data-dir", nowhere)

    assert result.exit_code == 1 and result.stdout == ""
    assert f"{nowhere}: there is no such folder. Nothing was removed." in result.stderr


def test_downloads_that_were_not_finished_are_removed_after_an_hour(data_dir):
    folders = [
        data_dir / "downloads" / "camvid.zip.tmp.0123",
        data_dir / "downloads" / "extracted" / "incomplete.0123_ZIP.camvid",
        data_dir / "voc" / "2012" / "incomplete.XYZ_1.0.0",
    ]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "part").write_bytes(b"12345")
    assert find_leftovers(data_dir) == []

    before = time.time() - 3700
    for folder in folders[:2]:
        os.utime(folder / "part", (before, before))
    for folder in folders:
        os.utime(folder, (before, before))

    assert {each.path: each.size for each in remove_leftovers(data_dir)} == {
        folders[0]: 5, folders[1]: 5,
    }  # fmt: skip
    assert [folder.exists() for folder in folders] == [False, False, True]
