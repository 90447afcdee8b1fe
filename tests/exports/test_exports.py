"""Exports that the tools themselves have written (`make.py`) are read right.

What is right comes from the tool, from pycocotools reading the same file, or from pycocotools
drawing the polygons that were annotated.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as pycocotools
from pycocotools.coco import COCO

from keras_fcn.datasets import open_dataset
from keras_fcn.datasets.importers import ImportOptions, import_annotations

from .make import NAMES, SIZE, label, mask_with_hole, polygons

HERE = Path(__file__).resolve().parent
OBJECTS = ImportOptions(crowds="objects")


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def filled(points):
    (encoded,) = pycocotools.frPyObjects([np.array(points, float).reshape(-1).tolist()], *SIZE)
    return pycocotools.decode(encoded).astype(bool)


def drawn(items):
    """The class map of names with polygons or masks, later ones above."""
    labels = np.zeros(SIZE, np.uint8)
    for name, shape in items:
        labels[shape if isinstance(shape, np.ndarray) else filled(shape)] = label(name)
    return labels


def by_pycocotools(file):
    """The class map of each image of a COCO file, by name, as pycocotools reads it."""
    coco = COCO(file)
    ids = sorted(coco.getCatIds())
    maps = {}
    for number, image in coco.imgs.items():
        labels = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in coco.imgToAnns[number]:
            mask = coco.annToMask(annotation).astype(bool)
            labels[mask] = 1 + ids.index(annotation["category_id"])
        maps[Path(image["file_name"]).stem] = labels
    return maps


def assert_equal_but_for_edges(labels, expected):
    """Checks that maps differ only where a class, or the image, ends."""
    padded = np.pad(expected, 1, constant_values=99)
    height, width = expected.shape
    neighbors = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    is_edge = np.any([neighbor != expected for neighbor in neighbors], axis=0)

    assert not ((labels != expected) & ~is_edge).any()
    assert (labels != expected).mean() < 0.07  # the edges of large shapes in a tiny image


def test_labelme(tmp_path):
    summary = import_annotations("labelme", HERE / "labelme/export", tmp_path / "out")

    assert summary.class_names == ("background", *NAMES)
    assert not summary.left_out
    for name in ("one", "two"):
        # labelme's own masks contain the pixels that the outline touches, ours those whose
        # centers are inside.
        assert_equal_but_for_edges(
            read(tmp_path / f"out/masks/{name}.png"), read(HERE / f"labelme/expected/{name}.png")
        )
    # Masks are stored as pixels: they are exact. In the hole is the dog below.
    two = read(tmp_path / "out/masks/two.png")
    hole = (slice(13, 23), slice(15, 25))
    np.testing.assert_array_equal(two[hole], np.where(mask_with_hole()[hole], 1, 2))
    np.testing.assert_array_equal(two[25:30, 38:48], 1)
    # The image that is embedded is the one that was annotated.
    np.testing.assert_array_equal(
        read(tmp_path / "out/images/two.png"), read(HERE / "labelstudio/images/two.png")
    )


def test_label_studio(tmp_path):
    summary = import_annotations(
        "labelstudio",
        HERE / "labelstudio/project.json",
        tmp_path / "out",
        images=HERE / "labelstudio/images",
    )

    assert summary.class_names == ("background", *NAMES)
    shapes = polygons()
    # The brush as label-studio-sdk decodes it.
    brush = read(HERE / "labelstudio/expected/two_brush.png").astype(bool)
    np.testing.assert_array_equal(brush, mask_with_hole())
    shapes["two"].append(("dog", brush))
    for name, items in shapes.items():
        np.testing.assert_array_equal(read(tmp_path / f"out/masks/{name}.png"), drawn(items))


def test_cvat_of_datumaro(tmp_path):
    summary = import_annotations("cvat", HERE / "datumaro/cvat", tmp_path / "out")

    assert summary.class_names == ("background", *NAMES)
    assert summary.splits == {"train": 1, "val": 1}
    shapes = polygons()
    shapes["two"].append(("sky", mask_with_hole()))
    for split, name in (("train", "one"), ("val", "two")):
        np.testing.assert_array_equal(
            read(tmp_path / f"out/masks/{split}/{name}.png"), drawn(shapes[name])
        )


@pytest.mark.parametrize(
    ("export", "images"),
    [
        ("datumaro/coco", "datumaro/coco"),
        ("labelstudio/coco", "labelstudio/images"),
        ("supervision/coco", "supervision/images"),
    ],
)
def test_coco(tmp_path, capsys, export, images):
    summary = import_annotations(
        "coco", HERE / export, tmp_path / "out", images=HERE / images, options=OBJECTS
    )

    expected = {}
    for file in (HERE / export).rglob("*.json"):
        expected.update(by_pycocotools(file))
    assert summary.class_names == ("background", *NAMES)
    assert set(expected) == {"one", "two"}
    for file in (tmp_path / "out/masks").rglob("*.png"):
        np.testing.assert_array_equal(read(file), expected.pop(file.stem))
    assert not expected


@pytest.mark.parametrize("tool", ["datumaro", "supervision"])
def test_masks_that_tools_mark_as_crowds_are_asked_about(tmp_path, tool):
    images = HERE / tool / ("images" if tool == "supervision" else "coco")

    with pytest.raises(ValueError, match="marked as crowds .*--crowds objects"):
        import_annotations("coco", HERE / tool / "coco", tmp_path / "out", images=images)


def test_masks_of_supervision_are_kept(tmp_path):
    import_annotations(
        "coco",
        HERE / "supervision/coco",
        tmp_path / "out",
        images=HERE / "supervision/images",
        options=OBJECTS,
    )

    for name in ("one", "two"):
        # Its polygons go through the centers of the outermost pixels.
        assert_equal_but_for_edges(
            read(tmp_path / f"out/masks/{name}.png"),
            read(HERE / f"supervision/expected/{name}.png"),
        )


def test_yolo_of_supervision(tmp_path):
    summary = import_annotations("yolo", HERE / "supervision", tmp_path / "out")

    assert summary.class_names == ("background", *NAMES)
    assert_equal_but_for_edges(
        read(tmp_path / "out/masks/one.png"), read(HERE / "supervision/expected/one.png")
    )


def test_yolo_of_label_studio(tmp_path):
    summary = import_annotations(
        "yolo", HERE / "labelstudio/yolo", tmp_path / "out", images=HERE / "labelstudio/images"
    )

    assert summary.class_names == ("background", *NAMES)
    for name, items in polygons().items():
        # Smaller ones are above.
        by_size = sorted(items, key=lambda item: -filled(item[1]).sum())
        np.testing.assert_array_equal(read(tmp_path / f"out/masks/{name}.png"), drawn(by_size))


def test_an_import_can_be_trained_on(tmp_path):
    import_annotations("cvat", HERE / "datumaro/cvat", tmp_path / "out")

    dataset = open_dataset(f"folder:{tmp_path / 'out'}")

    assert dataset.labels.class_names == ("background", *NAMES)
    (example,) = dataset.examples("train")
    np.testing.assert_array_equal(example["label"], drawn(polygons()["one"]))
    np.testing.assert_array_equal(example["image"], read(HERE / "datumaro/cvat/images/one.png"))
