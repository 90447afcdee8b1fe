"""`check` finds what spoils a training, names the file, and goes on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_fcn import LabelSpec
from keras_fcn.datasets import from_arrays, open_dataset
from keras_fcn.datasets.checks import check
from keras_fcn.labels import Heads

from . import devkits


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder without problems: 4 + 2 pairs in 3 classes."""
    for split, numbers in {"train": range(4), "val": range(4, 6)}.items():
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        for number in numbers:
            Image.fromarray(devkits.photo(number)).save(
                tmp_path / split / "images" / f"{number}.png"
            )
            mask = devkits.labels(number, [0, 1, 2, 255])
            Image.fromarray(mask).save(tmp_path / split / "masks" / f"{number}.png")
    return tmp_path


def found(folder: Path) -> list[tuple[str, str, bool]]:
    """Returns (file relative to the folder, text, severe) of each problem."""
    problems = check(f"folder:{folder}").problems
    return [(p.file.removeprefix(f"{folder}/"), p.text, p.severe) for p in problems]


def test_good_folder_has_no_problem(folder):
    report = check(f"folder:{folder}")

    assert report.ok
    assert report.problems == []
    assert report.num_examples == {"train": 4, "val": 2}
    assert report.counts[Heads.ONLY].spec.class_names == ("class 0", "class 1", "class 2")


def test_histogram_counts_pixels_and_images(folder):
    mask = np.zeros(devkits.PHOTO_SIZE, np.uint8)
    mask[0, :7] = 2
    Image.fromarray(mask).save(folder / "val" / "masks" / "4.png")
    report = check(f"folder:{folder}")

    # 600 pixels a mask: 593 of class 0 and 7 of class 2, and a fourth of each in the other.
    assert report.counts[Heads.ONLY].pixels["val"].tolist() == [593 + 150, 150, 7 + 150, 150]
    assert report.counts[Heads.ONLY].images["val"].tolist() == [2, 1, 2, 1]
    assert report.counts[Heads.ONLY].pixels["train"].tolist() == [600, 600, 600, 600]
    assert report.sizes == {"train": {(20, 30): 4}, "val": {(20, 30): 2}}


def test_every_broken_file_is_named_and_the_others_are_counted(folder):
    train = folder / "train"
    cut = train / "images" / "0.png"
    cut.write_bytes(cut.read_bytes()[:60])
    (train / "masks" / "1.png").write_text("no image")
    Image.new("RGB", (30, 20), (255, 0, 0)).save(train / "masks" / "2.png")
    Image.fromarray(np.ones((5, 5), np.uint8)).save(train / "masks" / "3.png")
    (folder / "val" / "masks" / "5.png").unlink()

    problems = found(folder)

    assert {file: text[:30] for file, text, severe in problems if severe} == {
        "val/images/5.png": "there is no mask of that name ",
        "train/images/0.png": "the image cannot be read (imag",
        "train/masks/1.png": "not an image that can be read.",
        "train/masks/2.png": "the mask is an RGB image. Give",
        "train/masks/3.png": "the mask is 5x5, its image " + "/tmp",
    } | {"train/masks/3.png": f"the mask is 5x5, its image {folder}"[:30]}
    report = check(f"folder:{folder}")
    assert not report.ok
    assert report.num_examples == {"train": 4, "val": 1}
    # Masks 0 and 3 could be read.
    assert report.counts[Heads.ONLY].pixels["train"].tolist() == [150, 150 + 25, 150, 150]
    assert all("\n" not in str(problem) for problem in report.problems)


def test_labels_outside_the_table_are_named(folder):
    (folder / "classes.txt").write_text("sky\nroad\n")

    problems = found(folder)

    assert [file for file, text, severe in problems if severe and "labels must be" in text] == [
        f"train/masks/{number}.png" for number in range(4)
    ] + ["val/masks/4.png", "val/masks/5.png"]


def test_folder_without_a_readable_mask_is_reported(folder):
    for path in folder.rglob("masks/*.png"):
        path.write_text("no image")

    assert [text for _, text, severe in found(folder) if severe] == [
        "not an image that can be read."
    ] * 6


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "It is empty."),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull`"),
        (b"\n<!DOCTYPE html><html><title>404", "It is a page of HTML"),
    ],
)
def test_what_is_no_image_is_said_where_it_is_known(folder, content, expected):
    for name in ("images", "masks"):
        (folder / "train" / name / "1.png").write_bytes(content)

    problems = {file: text for file, text, severe in found(folder) if severe}

    assert list(problems) == ["train/images/1.png", "train/masks/1.png"]
    assert all(expected in text for text in problems.values())


def test_void_masks_and_missing_classes_are_hints(folder):
    void = np.full(devkits.PHOTO_SIZE, 255, np.uint8)
    for number in (4, 5):
        Image.fromarray(void).save(folder / "val" / "masks" / f"{number}.png")

    assert found(folder) == [
        ("val/masks/4.png", "all pixels of the mask are ignored (255).", False),
        ("val/masks/5.png", "all pixels of the mask are ignored (255).", False),
        ("val", "these classes never occur: class 0, class 1, class 2.", False),
    ]
    assert check(f"folder:{folder}").ok


def test_single_mask_that_decides_the_number_of_classes_is_named(folder):
    mask = devkits.labels(0, [0, 1, 2, 9])
    Image.fromarray(mask).save(folder / "train" / "masks" / "2.png")

    (hint, *missing) = found(folder)

    assert hint == (
        "train/masks/2.png",
        "the label 9 occurs in this mask only, and makes the dataset one of 10 classes.",
        False,
    )
    assert "class 3, class 4" in missing[0][1]


def test_same_image_in_two_splits_is_a_leak_whatever_its_file(folder):
    Image.open(folder / "train" / "images" / "1.png").save(folder / "val" / "images" / "4.bmp")
    (folder / "val" / "images" / "4.png").unlink()

    ((file, text, severe),) = found(folder)

    assert file == "val/images/4.bmp"
    assert text == f"the same image is in the split 'train': {folder}/train/images/1.png."
    assert severe


def test_nearly_the_same_picture_in_two_splits_is_a_hint(folder):
    image = Image.open(folder / "train" / "images" / "1.png")
    image.save(folder / "val" / "images" / "4.jpg", quality=95, subsampling=0)
    (folder / "val" / "images" / "4.png").unlink()

    ((file, text, severe),) = found(folder)

    assert (file, severe) == ("val/images/4.jpg", False)
    assert text.startswith("nearly the same picture is in the split 'train': ")
    assert text.endswith("train/images/1.png.")


def test_image_that_repeats_in_a_split_is_a_hint(folder):
    image = (folder / "train" / "images" / "1.png").read_bytes()
    (folder / "train" / "images" / "3.png").write_bytes(image)

    assert found(folder) == [
        ("train/images/3.png", f"the same image as {folder}/train/images/1.png.", False)
    ]


def test_image_of_one_color_is_a_hint(folder):
    Image.new("RGB", (30, 20)).save(folder / "train" / "images" / "3.png")

    assert found(folder) == [("train/images/3.png", "all pixels of the image are 0.", False)]


def test_renumbered_palette_is_named(folder):
    for number in range(4):
        palette = [0, 0, 0, 255, 0, 0, 0, 0, 255] + [9] * 759
        if number == 2:  # red and blue change places
            palette[3:9] = palette[6:9] + palette[3:6]
        image = Image.fromarray(devkits.labels(number, [0, 1, 2, 255]))
        image.putpalette(palette)
        image.save(folder / "train" / "masks" / f"{number}.png")

    ((file, text, severe),) = found(folder)

    assert (file, severe) == ("train/masks/2.png", True)
    assert "index 1 the color (0, 0, 255)" in text
    assert "train/masks/0.png it is (255, 0, 0)" in text


def test_files_of_a_published_set_are_checked_before_they_are_prepared(tmp_path):
    camvid = devkits.write_camvid(tmp_path / "CamVid", {"train": 2, "val": 1})
    mask = np.full(devkits.PHOTO_SIZE, 12, np.uint8)
    Image.fromarray(mask).save(camvid / "trainannot" / "train_00001.png")
    (camvid / "val" / "val_00000.png").unlink()

    report = check("camvid", camvid, data_dir=tmp_path / "prepared")

    texts = {problem.file.split("CamVid/")[1]: problem.text for problem in report.problems[:2]}
    assert texts["val/val_00000.png"] == "the file is missing."
    assert "Received: 12 in 600 of 600 pixels" in texts["trainannot/train_00001.png"]
    assert not (tmp_path / "prepared").exists()


def test_masks_of_sbd_are_checked(tmp_path):
    root = devkits.write_voc(tmp_path / "VOC2012", {"train": ["1"], "val": ["2"]})
    devkits.write_voc_image(root, "3")
    devkits.write_sbd(root, {"train": ["3"], "val": []})

    report = check("voc2012_aug", root)

    assert report.ok
    assert report.num_examples == {"train": 2, "val": 1}
    # 0, 5, 20, 255 in VOC's mask and 0, 7, 12 in SBD's
    assert np.flatnonzero(report.counts[Heads.ONLY].pixels["train"]).tolist() == [
        0,
        5,
        7,
        12,
        20,
        21,
    ]


def test_open_data_set_is_checked_by_its_examples(tmp_path):
    camvid = devkits.write_camvid(tmp_path / "CamVid", {"train": 2, "val": 1})
    # train_00000 and val_00000 show the same picture.
    dataset = open_dataset("camvid", camvid, tmp_path / "prepared")

    report = check(dataset)

    assert [str(problem) for problem in report.problems] == [
        "val: val_00000: the same image is in the split 'train': train: train_00000."
    ]


def test_wrong_labels_of_an_open_data_set_are_found():
    example = {"image": devkits.photo(0), "label": devkits.labels(0, [0, 7])}
    dataset = from_arrays("mine", LabelSpec.numbered(2), {"train": [example]})

    (problem, _) = check(dataset).problems

    assert str(problem).startswith("train: train/0: labels must be in [0, 2)")


def test_errors_of_the_call(tmp_path):
    with pytest.raises(ValueError, match="Did you mean camvid"):
        check("canvid", tmp_path)
    with pytest.raises(ValueError, match="has no meaning for 'sample'"):
        check("sample", tmp_path)


def test_depth_and_several_label_maps_of_an_open_data_set_are_checked():
    example = {
        "image": np.arange(12, dtype=np.uint8).reshape(2, 2, 3),
        "depth": np.zeros((2, 3, 1), np.uint16),
        "label": {"a": np.array([[0, 1], [1, 1]], np.uint8), "b": np.full((2, 2), 3, np.uint8)},
    }
    labels = {"a": LabelSpec.numbered(2), "b": LabelSpec.numbered(3)}

    report = check(from_arrays("two", labels, {"train": [example]}))

    assert [(p.file, p.text[:33]) for p in report.problems if p.severe] == [
        ("train: train/0 (depth)", "the image is 3x2, its image train"),
        ("train: train/0 (b)", "labels must be in [0, 3) or be 25"),
    ]
    assert report.counts["a"].pixels["train"].tolist() == [1, 3, 0]
    assert "all pixels of the image are 0." in [p.text for p in report.problems]
