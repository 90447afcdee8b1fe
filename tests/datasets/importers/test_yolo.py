"""Ultralytics' YOLO segmentation."""

import numpy as np
import pytest
from pycocotools import mask as pycocotools

from keras_fcn.datasets.importers import ImportOptions, import_annotations

from .exports import SIZE, read_masks, stored_mask, write_picture

NAMES = "names: [ant, bee, cat]\n"
LARGE = [0.1, 0.1, 0.9, 0.15, 0.8, 0.9, 0.2, 0.8]
SMALL = [0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.4, 0.6]


def line(number, values):
    return " ".join(map(str, (number, *values))) + "\n"


ONE_LARGE = line(1, LARGE)


def write_yolo(root, splits, text=ONE_LARGE, names=NAMES):
    """Writes an image and its labels for each split, and data.yaml."""
    for split in splits:
        write_picture(root / "images" / split / "a.png", seed=len(split))
        (root / "labels" / split).mkdir(parents=True)
        (root / "labels" / split / "a.txt").write_text(text)
    lines = [f"{split}: images/{split}\n" for split in splits if split]
    (root / "data.yaml").write_text("".join(lines) + names)


def filled(shares, size=SIZE):
    points = (np.array(shares).reshape(-1, 2) * size[::-1]).reshape(-1)
    (encoded,) = pycocotools.frPyObjects([points.tolist()], *size)
    return pycocotools.decode(encoded).astype(bool)


def test_splits_of_data_yaml(tmp_path):
    write_yolo(tmp_path / "yolo", ("train", "val", "test"))

    summary = import_annotations("yolo", tmp_path / "yolo", tmp_path / "out")

    assert summary.class_names == ("background", "ant", "bee", "cat")
    assert summary.splits == {"train": 1, "val": 1, "test": 1}
    for mask in read_masks(tmp_path / "out").values():
        np.testing.assert_array_equal(mask, 2 * filled(LARGE))


def test_smaller_polygons_are_above_larger_ones_in_any_order(tmp_path):
    for order in ([(0, SMALL), (2, LARGE)], [(2, LARGE), (0, SMALL)]):
        root = tmp_path / f"{order[0][0]}"
        write_yolo(root / "yolo", ("",), "".join(line(*item) for item in order))

        import_annotations("yolo", root / "yolo", root / "out")

        expected = np.where(filled(SMALL), 1, 3 * filled(LARGE))
        np.testing.assert_array_equal(stored_mask(root / "out", "a.png"), expected)


@pytest.mark.parametrize(
    "settings",
    [
        "path: .\ntrain: images/train\nval: [images/val]\n",
        # As Roboflow writes it, from a folder that is not there.
        "path: /home/someone/yolo\ntrain: ../images/train\nval: ../images/val\n",
        # Lists of files, as Ultralytics and CVAT write them.
        "train: train.txt\nval: lists/val.txt\n",
    ],
)
def test_paths_as_tools_write_them(tmp_path, settings):
    root = tmp_path / "yolo"
    write_yolo(root, ("train", "val"))
    (root / "data.yaml").write_text(settings + "names: {0: ant, 1: bee, 2: cat}\n")
    (root / "lists").mkdir()
    (root / "train.txt").write_text("./images/train/a.png\n\n")
    (root / "lists/val.txt").write_text("data/images/val/a.png\n")

    summary = import_annotations("yolo", root / "data.yaml", tmp_path / "out")

    assert summary.splits == {"train": 1, "val": 1}
    for split in ("train", "val"):
        source = root / f"images/{split}/a.png"
        assert (tmp_path / f"out/images/{split}/a.png").read_bytes() == source.read_bytes()


def test_names_in_classes_txt(tmp_path):
    write_yolo(tmp_path / "yolo", ("",))
    (tmp_path / "yolo/data.yaml").unlink()
    (tmp_path / "yolo/classes.txt").write_text("ant\nbee\n")

    summary = import_annotations("yolo", tmp_path / "yolo", tmp_path / "out")

    assert summary.class_names == ("background", "ant", "bee")
    assert summary.splits == {"": 1}


def test_images_without_labels_are_background_and_are_mentioned(tmp_path):
    write_yolo(tmp_path / "yolo", ("",))
    write_picture(tmp_path / "yolo/images/b.png")

    summary = import_annotations("yolo", tmp_path / "yolo", tmp_path / "out")

    assert summary.notes[0].startswith("1 images have no file of labels")
    assert not stored_mask(tmp_path / "out", "b.png").any()


def test_images_elsewhere(tmp_path):
    write_yolo(tmp_path / "yolo", ("",))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "yolo/images/a.png").rename(tmp_path / "pictures/a.png")

    import_annotations("yolo", tmp_path / "yolo", tmp_path / "out", images=tmp_path / "pictures")

    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), 2 * filled(LARGE))


def test_images_elsewhere_have_the_labels_of_their_split(tmp_path):
    root = tmp_path / "yolo"
    write_yolo(root, ("train", "val"))
    (root / "labels/val/a.txt").write_text(line(0, SMALL))
    (root / "images").rename(tmp_path / "pictures")

    import_annotations("yolo", root, tmp_path / "out", images=tmp_path / "pictures")

    masks = read_masks(tmp_path / "out")
    np.testing.assert_array_equal(masks["train/a"], 2 * filled(LARGE))
    np.testing.assert_array_equal(masks["val/a"], filled(SMALL))

    (tmp_path / "pictures/val").rename(tmp_path / "pictures/x")
    (root / "labels/val").rename(root / "labels/x")
    (root / "labels/y").mkdir()
    (root / "labels/y/a.txt").write_text("")
    with pytest.raises(ValueError, match="x/a.png: there are 2 files of labels of this name"):
        import_annotations("yolo", root, tmp_path / "out2", images=tmp_path / "pictures")


def test_boxes_are_refused_and_filled_when_asked(tmp_path):
    write_yolo(tmp_path / "yolo", ("",), line(0, SMALL) + line(1, [0.5, 0.5, 0.2, 0.4]))

    with pytest.raises(ValueError, match=r"a.txt, line 2: the line is a box.*--boxes"):
        import_annotations("yolo", tmp_path / "yolo", tmp_path / "out")
    import_annotations(
        "yolo", tmp_path / "yolo", tmp_path / "out", options=ImportOptions(boxes=True)
    )

    expected = np.zeros(SIZE, np.uint8)
    expected[12:28, 24:36] = 2
    # The polygon is half as large, and therefore above.
    expected[16:24, 24:36] = 1
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (line(3, SMALL), r"line 1: the class 3 is not one of 0 to 2 \(ant, bee, cat\)"),
        (line(-1, SMALL), "the class -1 is not"),
        (line(0, [10, 20, 30, 40, 50, 60]), "Received: 60. Likely cause: they are in pixels"),
        (line(0, [float("nan")] * 6), "coordinates must be shares"),
        (line(0, SMALL[:-1]), "Received: 7 numbers after the class"),
        ("cat 0.1 0.2\n", "expected a class number and a polygon.*Received: 'cat 0.1 0.2'"),
    ],
)
def test_lines_that_are_wrong_are_named(tmp_path, text, message):
    write_yolo(tmp_path / "yolo", ("",), text)

    with pytest.raises(ValueError, match=message) as error:
        import_annotations("yolo", tmp_path / "yolo", tmp_path / "out")

    assert "labels/a.txt, line 1" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("train: images/absent\n" + NAMES, "train: images/absent does not exist"),
        ("train: images\nval: images\n" + NAMES, "in more than one split, such as .*a.png"),
        ("train: images\n", "the names of the classes are missing"),
        ("names: {1: a, 2: b}\n", r"must be numbered 0, 1, 2, ... Found: \[1, 2\]"),
        ("names: [a\n", "the file is no valid YAML"),
        ("- a\n", "expected the keys train, val and names"),
    ],
)
def test_settings_that_are_wrong_are_named(tmp_path, settings, message):
    write_yolo(tmp_path / "yolo", ("",))
    (tmp_path / "yolo/data.yaml").write_text(settings)

    with pytest.raises(ValueError, match=message) as error:
        import_annotations("yolo", tmp_path / "yolo", tmp_path / "out")

    assert "data.yaml" in str(error.value)


def test_labels_that_are_nowhere_are_an_error(tmp_path):
    write_yolo(tmp_path / "yolo", ("",))
    (tmp_path / "yolo/labels").rename(tmp_path / "elsewhere")

    with pytest.raises(ValueError, match="no file of labels for any of 1 images.*labels/a.txt"):
        import_annotations("yolo", tmp_path / "yolo", tmp_path / "out")
