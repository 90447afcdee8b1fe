"""Predictions as polygons, drawn again by pycocotools and by our imports."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as pycocotools

from keras_fcn import LabelSpec
from keras_fcn.datasets.importers import import_annotations
from keras_fcn.prediction import KerasPredictor
from keras_fcn.prediction.image_files import predict_files
from keras_fcn.prediction.polygons import PolygonFiles, regions

from ..helpers import channel_model, two_headed_model

SPEC = LabelSpec(("background", "cat", "dog"))


def class_map(height, width, num_classes, seed):
    return np.random.default_rng(seed).integers(0, num_classes, (height, width)).astype("uint8")


def drawn(found, size):
    """The class map of outlines, filled in their order by pycocotools."""
    labels = np.full(size, 255, np.uint8)
    for region in found:
        points = region.outline.reshape(-1).tolist()
        (encoded,) = pycocotools.frPyObjects([points], *size)
        labels[pycocotools.decode(encoded).astype(bool)] = region.label
    return labels


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 4), st.integers(0, 10**6))
def test_filled_outlines_are_the_class_map_pixel_for_pixel(height, width, num_classes, seed):
    labels = class_map(height, width, num_classes, seed)

    np.testing.assert_array_equal(drawn(regions(labels), labels.shape), labels)


def test_a_square_has_four_corners():
    labels = np.zeros((6, 8), np.uint8)
    labels[2:5, 1:4] = 1

    (region,) = (found for found in regions(labels) if found.label == 1)

    assert region.outline.tolist() == [[1, 2], [4, 2], [4, 5], [1, 5]]
    assert (region.num_holes, region.filled_area) == (0, 9)


def test_pixels_that_touch_by_a_corner_are_two_regions():
    labels = np.eye(2, dtype=np.uint8)

    assert [region.label for region in regions(labels)] == [0, 0, 1, 1]


def write_polygons(files: PolygonFiles, name: str, image: Path, labels: np.ndarray) -> None:
    if files.format == "coco":
        files.add(image, labels)
    else:
        files.file(name).parent.mkdir(exist_ok=True)
        files.saver(files.file(name), image, labels)(files.file(name))


@pytest.mark.parametrize("tool", ["labelme", "coco"])
@pytest.mark.parametrize("names", [SPEC.class_names, ("sky", "road", "tree")])
def test_imports_give_the_predictions_again(tmp_path, tool, names):
    spec = LabelSpec(names)
    has_background = names[0] == "background"
    maps = {f"{i}": np.kron(class_map(7, 9, 3, i), np.ones((4, 3), "uint8")) for i in range(3)}
    maps["nested"] = np.pad(np.pad(np.pad(np.full((3, 3), 1), 2), 2, constant_values=2), 2)
    (tmp_path / "photos").mkdir()
    files = PolygonFiles(tool, tmp_path / "predicted", spec, tmp_path / "photos")
    for name, labels in maps.items():
        photo = tmp_path / "photos" / f"{name}.png"
        Image.fromarray(labels.astype("uint8")).save(photo)
        write_polygons(files, name, photo, labels)
    files.finish()

    summary = import_annotations(
        tool,
        tmp_path / "predicted",
        tmp_path / "out",
        images=tmp_path / "photos" if tool == "coco" else None,
        background=has_background,
    )

    assert summary.class_names == names
    assert not summary.left_out
    for name, labels in maps.items():
        with Image.open(tmp_path / "out" / "masks" / f"{name}.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask), labels)


def test_coco_has_run_lengths_where_there_are_holes(tmp_path):
    labels = np.zeros((8, 9), np.uint8)
    labels[1:6, 1:6], labels[2:5, 2:5] = 1, 2  # a cat with a hole that is a dog
    files = PolygonFiles("coco", tmp_path, SPEC, tmp_path)

    write_polygons(files, "a", tmp_path / "a.png", labels)
    files.finish()

    content = json.loads((tmp_path / "annotations.json").read_text())
    assert content["categories"] == [
        {"id": 1, "name": "cat", "supercategory": ""},
        {"id": 2, "name": "dog", "supercategory": ""},
    ]
    cat, dog = content["annotations"]
    assert (cat["area"], cat["bbox"], dog["area"], dog["bbox"]) == (
        16,
        [1, 1, 5, 5],
        9,
        [2, 2, 3, 3],
    )
    assert dog["segmentation"] == [[2, 2, 5, 2, 5, 5, 2, 5]]
    runs = pycocotools.frPyObjects(cat["segmentation"], 8, 9)
    np.testing.assert_array_equal(pycocotools.decode(runs), labels == 1)


def test_labelme_gets_the_background_only_in_holes(tmp_path):
    labels = np.zeros((8, 9), np.uint8)
    labels[1:6, 1:6], labels[3, 3] = 1, 0
    files = PolygonFiles("labelme", tmp_path, SPEC, tmp_path)

    write_polygons(files, "a", tmp_path / "a.png", labels)
    files.finish()

    content = json.loads((tmp_path / "a.json").read_text())
    assert [shape["label"] for shape in content["shapes"]] == ["cat", "_background_"]
    assert content["shapes"][1]["points"] == [[3, 3], [4, 3], [4, 4], [3, 4]]
    assert content["imagePath"] == "a.png"
    # As labelme's option --labels takes it.
    assert (tmp_path / "labels.txt").read_text() == "__ignore__\n_background_\ncat\ndog\n"


def write_photo(path: Path, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3)).astype("uint8")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.mark.parametrize("name", ["a.json", "labels.txt"])
def test_corrected_polygons_are_not_replaced(tmp_path, name):
    predictor = KerasPredictor(channel_model())
    write_photo(tmp_path / "a.png")
    predict_files(predictor, [tmp_path / "a.png"], tmp_path / "out", output_format="labelme")
    predict_files(predictor, [tmp_path / "a.png"], tmp_path / "out", output_format="labelme")
    before = (tmp_path / "out" / name).read_text()
    (tmp_path / "out" / name).write_text(before + " ")

    with pytest.raises(FileExistsError, match=rf"{name} exists, .* or it was changed afterwards"):
        predict_files(predictor, [tmp_path / "a.png"], tmp_path / "out", output_format="labelme")

    assert (tmp_path / "out" / name).read_text() == before + " "
    predict_files(
        predictor, [tmp_path / "a.png"], tmp_path / "out", output_format="labelme", overwrite=True
    )
    assert (tmp_path / "out" / name).read_text() == before


def test_heads_have_folders_of_their_own(tmp_path):
    model = two_headed_model()
    write_photo(tmp_path / "a.png")

    (result,) = predict_files(
        KerasPredictor(model), [tmp_path / "a.png"], tmp_path / "out", output_format="coco",
        with_overlay=False,
    )  # fmt: skip

    assert result.written == tuple(
        tmp_path / "out" / head / "annotations.json" for head in KerasPredictor(model).heads
    )
    assert all(file.is_file() for file in result.written)
