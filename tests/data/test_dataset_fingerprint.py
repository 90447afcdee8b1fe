"""What changed in a dataset between two runs."""

import os
import shutil

import numpy as np
import pytest

from keras_fcn import LabelSpec
from keras_fcn.data import dataset_fingerprint
from keras_fcn.data.dataset_fingerprint import DatasetFingerprint, stamp_files
from keras_fcn.datasets import from_arrays, open_dataset


@pytest.fixture
def folder(tmp_path):
    """Three examples of an image and a mask each."""
    for name in ("a", "b", "c"):
        for kind in ("images", "masks"):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / kind / name).write_bytes(f"{kind} {name}".encode())
    return tmp_path / "data"


def fingerprint(folder, names="abc", known=None):
    files = {
        name: [(kind, folder / f"{kind}s" / name) for kind in ("image", "mask")] for name in names
    }
    return DatasetFingerprint(stamp_files({"train": files}, folder, known), {})


def later(path, seconds=60):
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + seconds))


def test_stamps_are_those_of_the_system(folder):
    (stamp, _), *_ = fingerprint(folder).splits["train"].values()

    status = (folder / "images" / "a").stat()
    assert (stamp.role, stamp.name) == ("image", "images/a")
    assert (stamp.size, stamp.time) == (status.st_size, status.st_mtime_ns)


def test_it_is_read_as_it_was_written(folder):
    one = fingerprint(folder)

    assert DatasetFingerprint.from_bytes(one.to_bytes()) == one
    assert not DatasetFingerprint.from_bytes(one.to_bytes()).changes_since(one)


@pytest.mark.parametrize("content", [b"", b"text", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_damage_is_an_error(content):
    with pytest.raises(ValueError, match="no fingerprint|Expecting value"):
        DatasetFingerprint.from_bytes(content)


def test_additions_removals_and_edits_are_counted_and_named(folder):
    before = fingerprint(folder, "abc")
    (folder / "masks" / "b").write_bytes(b"other content")

    changes = fingerprint(folder, "ab").changes_since(before)
    assert str(changes) == "train: 1 removed (c), 1 changed (masks/b)"
    assert changes.affects("train")
    assert not changes.affects("val")
    more = fingerprint(folder, "abc").changes_since(fingerprint(folder, "c"))
    assert str(more) == "train: 2 added (a, b)"


def test_few_of_many_names_are_shown():
    one = DatasetFingerprint({"val": {str(k): () for k in range(2000)}}, {})

    assert str(one.changes_since(DatasetFingerprint({}, {}))) == (
        "val: 2,000 added (0, 1, 2, 3, ...)"
    )


def test_another_order_is_a_change(folder):
    changes = fingerprint(folder, "acb").changes_since(fingerprint(folder, "abc"))

    assert str(changes) == "train: in another order"


def test_an_edit_that_keeps_the_size_is_found(folder):
    before = fingerprint(folder)
    path = folder / "masks" / "b"
    path.write_bytes(path.read_bytes()[::-1])
    later(path)

    assert str(fingerprint(folder, known=before).changes_since(before)) == (
        "train: 1 changed (masks/b)"
    )


def test_a_copy_with_other_times_is_unchanged(folder, tmp_path):
    before = fingerprint(folder)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    for path in copy.rglob("?"):
        later(path)

    assert not fingerprint(copy, known=before).changes_since(before)


def test_the_content_is_compared_without_times_and_places(folder, tmp_path):
    before = fingerprint(folder)
    shutil.copytree(folder, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("?"):
        later(path)

    assert fingerprint(tmp_path / "copy").content == before.content
    assert fingerprint(folder, "bac").content != before.content
    (folder / "masks" / "b").write_bytes(b"other content")
    assert fingerprint(folder).content != before.content


def test_files_of_equal_size_and_time_are_not_read_again(folder, monkeypatch):
    before = fingerprint(folder)
    later(folder / "images" / "b")
    read = []
    digest = dataset_fingerprint._digest
    monkeypatch.setattr(
        dataset_fingerprint, "_digest", lambda path: read.append(path.name) or digest(path)
    )

    assert not fingerprint(folder, known=before).changes_since(before)
    assert read == ["b"]


def spec(*names, **options):
    return {"classes": LabelSpec(names, **options).to_dict()}


@pytest.mark.parametrize(
    ("before", "now", "text"),
    [
        (spec("a", "b"), spec("a", "b", "c"), "classes: 1 added (c)"),
        (spec("a", "b", "c"), spec("a", "b"), "classes: 1 removed (c)"),
        (spec("a", "b"), spec("a", "x"), "classes: 1 added (x), 1 removed (b)"),
        (spec("a", "b"), spec("b", "a"), "classes: in another order"),
        (spec("a", "b"), spec("a", "b", ignore_class=254), "the colors of the classes, or the"),
        (
            {"numbers": [[0, 1]]},
            {"numbers": [[0, 0]], "table": "classes.csv"},
            "how masks are read: their numbers (classes.csv)",
        ),
    ],
)
def test_other_classes_are_told(before, now, text):
    changes = DatasetFingerprint({}, now).changes_since(DatasetFingerprint({}, before))

    assert str(changes).startswith(text)
    assert changes.affects("val")


def test_another_name_of_the_table_is_no_change():
    one, other = (DatasetFingerprint({}, {**spec("a", "b"), "table": name}) for name in "xy")

    assert not other.changes_since(one)


def arrays(*values):
    label = np.ones((4, 4), "uint8")
    return [{"image": np.full((4, 4, 3), value, "uint8"), "label": label} for value in values]


def test_arrays_are_compared_by_their_content():
    def of(*values):
        return from_arrays("x", LabelSpec.numbered(2), {"train": arrays(*values)}).fingerprint(
            ["train"]
        )

    assert not of(1, 2).changes_since(of(1, 2))
    assert str(of(1, 3).changes_since(of(1, 2))) == "train: 1 changed (train/1)"
    assert str(of(1).changes_since(of(1, 2))) == "train: 1 removed (train/1)"


def test_label_maps_of_several_heads_are_compared():
    labels = {"one": LabelSpec.numbered(2), "two": LabelSpec.numbered(2)}

    def of(value):
        example = {
            "image": np.zeros((4, 4, 3), "uint8"),
            "label": {"one": np.ones((4, 4), "uint8"), "two": np.full((4, 4), value, "uint8")},
            "id": b"photo",
        }
        return from_arrays("x", labels, {"val": [example]}).fingerprint(["val"])

    assert not of(0).changes_since(of(0))
    assert str(of(1).changes_since(of(0))) == "val: 1 changed (photo)"


def test_a_generated_dataset_has_numbers_and_classes():
    one = open_dataset("sample").fingerprint(["train", "val"])

    assert {split: len(ids) for split, ids in one.splits.items()} == {"train": 1000, "val": 100}
    other = open_dataset("sample_geometric").fingerprint(["train", "val"])
    assert "classes: " in str(other.changes_since(one))
