"""labelme's files. Files that labelme itself has written: tests/exports/test_exports.py."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as pycocotools

from keras_fcn.datasets.importers import import_annotations

from .exports import SIZE, read_masks, stored_mask, write_json, write_picture

POLYGON = [[5.5, 5], [30, 8.25], [20, 35]]
Y, X = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5


def shape(label, points, kind="polygon", **values):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **values}


def write_labelme(path, shapes, size=SIZE, image=True, **values):
    """Writes a file of labelme with a picture beside it."""
    if image:
        write_picture(path.with_suffix(".png"), size)
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": path.with_suffix(".png").name,
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    return write_json(path, {**content, **values})


def filled(points, size=SIZE):
    (encoded,) = pycocotools.frPyObjects([np.asarray(points).reshape(-1).tolist()], *size)
    return pycocotools.decode(encoded).astype(bool)


def imported(tmp_path, shapes, **options):
    write_labelme(tmp_path / "export" / "a.json", shapes)
    return import_annotations("labelme", tmp_path / "export", tmp_path / "out", **options)


def png(pixels):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


@pytest.mark.parametrize(
    ("kind", "points", "expected"),
    [
        ("polygon", POLYGON, filled(POLYGON)),
        ("rectangle", [[30, 20], [10, 4]], (X > 10) & (X < 30) & (Y > 4) & (Y < 20)),
        ("circle", [[30, 20], [30, 11]], (X - 30) ** 2 + (Y - 20) ** 2 <= 81),
        ("point", [[30, 20]], (X - 30) ** 2 + (Y - 20) ** 2 <= 25),
        # labelme fills lines ten pixels wide.
        ("line", [[0, 20], [60, 20]], (Y > 15) & (Y < 25)),
        ("linestrip", [[0, 20], [30, 20], [60, 20]], (Y > 15) & (Y < 25)),
    ],
)
def test_shapes(tmp_path, kind, points, expected):
    imported(tmp_path, [shape("cat", points, kind)])

    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_masks_are_placed_by_their_box(tmp_path):
    pixels = np.random.default_rng(0).random((7, 9)) < 0.5

    imported(tmp_path, [shape("cat", [[20, 10], [28, 16]], "mask", mask=png(pixels))])

    expected = np.zeros(SIZE, np.uint8)
    expected[10:17, 20:29] = pixels
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_later_shapes_are_above_and_background_makes_holes(tmp_path):
    square = [[10, 10], [30, 10], [30, 30], [10, 30]]
    hole = [[15, 15], [20, 15], [20, 20], [15, 20]]
    ignored = [[22, 22], [26, 22], [26, 26], [22, 26]]

    summary = imported(
        tmp_path,
        [shape("dog", square), shape("_background_", hole), shape("__ignore__", ignored)],
    )

    assert summary.class_names == ("background", "dog")
    expected = filled(square) & ~filled(hole)
    expected = np.where(filled(ignored), 255, expected)
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_classes_are_in_the_order_of_labels_txt_then_by_name(tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export/labels.txt").write_text("__ignore__\n_background_\nzebra\nant\n")

    summary = imported(tmp_path, [shape("dog", POLYGON), shape("cat", POLYGON)])

    assert summary.class_names == ("background", "zebra", "ant", "cat", "dog")


def test_embedded_images_are_written(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype("uint8")
    write_labelme(
        tmp_path / "export/a.json",
        [shape("cat", POLYGON)],
        image=False,
        imageData=png(pixels),
        imagePath=r"..\elsewhere\photo.jpg",
    )

    import_annotations("labelme", tmp_path / "export", tmp_path / "out")

    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/images/a.png")), pixels)
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), filled(POLYGON))


def test_images_in_another_folder_and_splits_by_folder(tmp_path):
    for split in ("train", "val"):
        write_picture(tmp_path / f"pictures/{split}/a.png", seed=len(split))
        write_labelme(
            tmp_path / f"export/{split}/a.json",
            [shape("cat", POLYGON)],
            image=False,
            imagePath=f"../../pictures/{split}/a.png",
        )

    summary = import_annotations("labelme", tmp_path / "export", tmp_path / "out")

    assert summary.splits == {"train": 1, "val": 1}
    for mask in read_masks(tmp_path / "out").values():
        np.testing.assert_array_equal(mask, filled(POLYGON))
    for split in ("train", "val"):
        source = tmp_path / f"pictures/{split}/a.png"
        assert (tmp_path / f"out/images/{split}/a.png").read_bytes() == source.read_bytes()


def test_what_is_left_out_is_named(tmp_path):
    write_picture(tmp_path / "export/unlabelled.png")
    write_json(tmp_path / "export/other.json", {"a": 1})
    write_labelme(
        tmp_path / "export/gone.json", [shape("cat", POLYGON)], image=False, imagePath="gone.jpg"
    )

    summary = imported(tmp_path, [shape("cat", POLYGON), shape("cat", POLYGON, "spiral")])

    assert summary.splits == {"": 1}
    assert summary.left_out == {
        "a JSON file that is not labelme's": (1, ["other.json"]),
        f"neither is the image embedded nor is it in {tmp_path / 'export'}": (1, ["gone.json"]),
        "images without a JSON file": (1, ["unlabelled.png"]),
        "shapes of labelme of the unknown type 'spiral'": (1, ["a.json"]),
    }


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            shape("cat", [[1, 2]], "rectangle"),
            r"a.json, shape 1 \(cat, rectangle\): it has 1 points",
        ),
        (shape("cat", [[1, "x"]]), r"a.json, shape 1 \(cat, polygon\)"),
        (shape("cat", [[0, 0], [5, 5]], "mask", mask="AAAA"), "the picture of the mask is damaged"),
        (
            shape("cat", [[0, 0], [5, 5]], "mask", mask=png(np.ones((2, 3), bool))),
            "the picture of the mask is 3x2, its box is 6x6",
        ),
        ({"points": POLYGON}, "a.json: expected a value of 'label'"),
    ],
)
def test_what_is_wrong_is_named_with_the_file_and_shape(tmp_path, bad, message):
    with pytest.raises(ValueError, match=message):
        imported(tmp_path, [bad])


def test_a_folder_without_files_of_labelme_is_refused(tmp_path):
    (tmp_path / "export").mkdir()

    with pytest.raises(ValueError, match="there is no JSON file of labelme"):
        import_annotations("labelme", tmp_path / "export", tmp_path / "out")
