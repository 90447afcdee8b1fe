"""Folders of the user's own images and masks."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_fcn.datasets import open_dataset

NAMES = [f"scene{number}" for number in range(10)]


def image_of(number: int) -> np.ndarray:
    return np.full((6, 8, 3), 10 * number + 5, np.uint8)


def mask_of(number: int) -> np.ndarray:
    """Labels 0, 1, 2 and void, placed differently in each mask."""
    return np.roll(np.repeat(np.array([0, 1, 2, 255], np.uint8), 12), number).reshape(6, 8)


def write_pair(images: Path, masks: Path, name: str, number: int) -> None:
    for folder, array in ((images, image_of(number)), (masks, mask_of(number))):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Ten pairs in images/ and masks/."""
    for number, name in enumerate(NAMES):
        write_pair(tmp_path / "images", tmp_path / "masks", name, number)
    return tmp_path


def ids(dataset, split: str) -> list[str]:
    return [e["id"].decode() for e in dataset.examples(split).as_numpy_iterator()]


def test_images_come_with_their_own_masks(folder):
    dataset = open_dataset(f"folder:{folder}")

    seen = {}
    for split in dataset.splits:
        for example in dataset.examples(split).as_numpy_iterator():
            seen[example["id"].decode()] = example
    assert sorted(seen) == NAMES
    for number, name in enumerate(NAMES):
        np.testing.assert_array_equal(seen[name]["image"], image_of(number))
        np.testing.assert_array_equal(seen[name]["label"], mask_of(number))
    assert dataset.labels.class_names == ("class 0", "class 1", "class 2")


def test_split_by_seed_is_fixed_whole_and_disjoint(folder):
    first, again, other = (open_dataset(f"folder:{folder}", seed=seed) for seed in (0, 0, 1))

    assert first.splits == {"train": 8, "val": 2}
    assert ids(first, "val") == ids(again, "val") != ids(other, "val")
    assert sorted(ids(first, "train") + ids(first, "val")) == NAMES


def test_split_by_seed_hardly_moves_when_an_image_is_added(folder):
    before = set(ids(open_dataset(f"folder:{folder}"), "val"))

    write_pair(folder / "images", folder / "masks", "added", 3)
    after = set(ids(open_dataset(f"folder:{folder}"), "val"))

    assert len(before - after) <= 1


def test_lists_give_the_splits(folder):
    (folder / "train.txt").write_text("scene3\nscene1.png\n\nimages/scene4.png\n")
    (folder / "val.txt").write_text("scene0\n")
    dataset = open_dataset(f"folder:{folder}")

    # In the order of the list; what is in no list is left out.
    assert dataset.splits == {"train": 3, "val": 1}
    assert ids(dataset, "train") == ["scene3", "scene1", "scene4"]


def test_listed_images_alone_need_masks(folder):
    (folder / "masks" / "scene9.png").unlink()
    (folder / "train.txt").write_text("scene3\nscene1\n")

    assert open_dataset(f"folder:{folder}").splits == {"train": 2}


@pytest.mark.parametrize("layout", ["images/train", "train/images"])
def test_subfolders_give_the_splits(tmp_path, layout):
    for split, numbers in {"train": (0, 1, 2), "val": (3,), "test": (4, 5)}.items():
        images, masks = (
            tmp_path / layout.replace("images", kind).replace("train", split)
            for kind in ("images", "masks")
        )
        for number in numbers:
            write_pair(images, masks, f"city/{number}", number)

    dataset = open_dataset(f"folder:{tmp_path}")

    assert dataset.splits == {"train": 3, "val": 1, "test": 2}
    (example,) = dataset.examples("val").as_numpy_iterator()
    np.testing.assert_array_equal(example["label"], mask_of(3))


def test_images_of_other_kinds_match_by_name(folder):
    image = folder / "images" / "scene2.png"
    Image.open(image).save(image.with_suffix(".bmp"))
    image.unlink()
    (folder / "images" / "Thumbs.db").write_bytes(b"no image")
    (folder / "images" / ".hidden.png").write_bytes(b"no image")

    assert open_dataset(f"folder:{folder}").splits == {"train": 8, "val": 2}


def test_names_and_colors_come_from_the_table(folder):
    (folder / "classes.txt").write_text("sky\nroad sign\ncar\n")
    assert open_dataset(f"folder:{folder}").labels.class_names == ("sky", "road sign", "car")

    (folder / "classes.txt").write_text("sky 1 2 3\nroad sign 4 5 6\ncar 7 8 9\n")
    labels = open_dataset(f"folder:{folder}").labels
    assert labels.palette == ((1, 2, 3), (4, 5, 6), (7, 8, 9))


def test_rgb_masks_are_read_through_the_table(folder):
    (folder / "classes.csv").write_text("name,r,g,b\nvoid,9,9,9\nsky,0,0,255\ncar,255,0,0\n")
    colors = np.array([[[0, 0, 255], [255, 0, 0], [9, 9, 9]]], np.uint8).repeat(6, axis=0)
    for name in NAMES:
        Image.fromarray(colors).resize((8, 6), 0).save(folder / "masks" / f"{name}.png")
    dataset = open_dataset(f"folder:{folder}")

    example = next(dataset.examples("val").as_numpy_iterator())

    assert dataset.labels.class_names == ("sky", "car")
    # 3 columns drawn at 8: columns 0..2, 3..4 (5 rounds up) and the rest.
    assert set(np.unique(example["label"])) == {0, 1, 255}
    assert example["label"][0, 0] == 0
    assert example["label"][0, -1] == 255


def test_void_lines_make_numbers_void(folder):
    # Number 0 is void; 1 and 2 become the classes 0 and 1.
    (folder / "classes.txt").write_text("void\nroad\ncar\n")
    dataset = open_dataset(f"folder:{folder}")

    expected = {0: 255, 1: 0, 2: 1, 255: 255}
    for example in dataset.examples("train").as_numpy_iterator():
        number = NAMES.index(example["id"].decode())
        np.testing.assert_array_equal(
            example["label"], np.vectorize(expected.__getitem__)(mask_of(number))
        )


def test_wrong_labels_are_named_when_the_folder_is_opened(folder):
    (folder / "classes.txt").write_text("sky\nroad\n")

    opening(folder, r"masks/scene\d\.png: labels must.* 9 more problems; run")


def test_masks_of_another_size_are_named_when_they_are_read(folder):
    turned = Image.fromarray(mask_of(0).T.copy())
    for name in NAMES:
        turned.save(folder / "masks" / f"{name}.png")
    dataset = open_dataset(f"folder:{folder}")

    expected = r"masks/scene\d\.png: the mask is 6x8, its image .* is 8x6 .*EXIF"
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        list(dataset.examples("val"))


# What is wrong with a folder is said when it is opened.


def opening(folder: Path, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        open_dataset(f"folder:{folder}")


def test_missing_folder_and_unknown_layout(tmp_path):
    opening(tmp_path / "none", "there is no such folder")
    (tmp_path / "JPEGImages").mkdir()
    opening(tmp_path, r"expected the folders images/ and masks/.*Found: JPEGImages/\.")


def test_missing_masks_and_images(folder):
    (folder / "masks" / "scene1.png").unlink()
    opening(folder, r"images/scene1\.png: there is no mask of that name")
    (folder / "images" / "scene2.png").unlink()
    opening(folder, r"scene1\.png: .* 1 more problem; run: keras-fcn datasets check")
    shutil.rmtree(folder / "images")
    (folder / "images").mkdir()
    opening(folder, r"masks/scene0\.png: there is no image of that name")


def test_no_images_at_all(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()

    opening(tmp_path, "there are no images in it")


def test_one_image_is_not_split(tmp_path):
    write_pair(tmp_path / "images", tmp_path / "masks", "only", 0)

    opening(tmp_path, "one image cannot be split")


def test_two_images_of_one_name(folder):
    shutil.copy(folder / "images" / "scene1.png", folder / "images" / "scene1.bmp")

    opening(folder, r"scene1\.png: scene1\.bmp has the same name apart from the extension")


def test_lists_with_errors(folder):
    (folder / "train.txt").write_text("scene1\nscene77\n")
    opening(folder, re.escape("train.txt, line 2: there is no image 'scene77'"))
    (folder / "train.txt").write_text("scene1\nscene2\nscene1.png\n")
    opening(folder, re.escape("train.txt, line 3: 'scene1.png' is listed twice"))


def test_black_and_white_masks_want_a_table(folder):
    for name in NAMES:
        white = np.where(mask_of(0) == 1, 255, 0).astype(np.uint8)
        Image.fromarray(white).save(folder / "masks" / f"{name}.png")
    opening(folder, "contain only the labels 0 and 255.*write a classes.txt")

    (folder / "classes.txt").write_text("background 0 0 0\nobject 255 255 255\n")
    example = next(open_dataset(f"folder:{folder}").examples("val").as_numpy_iterator())
    np.testing.assert_array_equal(example["label"], mask_of(0) == 1)


def test_empty_masks_teach_nothing(folder):
    for name in NAMES:
        Image.fromarray(np.zeros((6, 8), np.uint8)).save(folder / "masks" / f"{name}.png")

    opening(folder, "all masks contain only label 0")
