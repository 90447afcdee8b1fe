"""Label Studio's JSON. Brushes that its own converter packs: tests/exports/test_exports.py."""

import numpy as np
import pytest
from pycocotools import mask as pycocotools

from keras_fcn.datasets.importers import import_annotations
from keras_fcn.datasets.importers.labelstudio import unpacked_brush

from .exports import SIZE, stored_mask, write_json, write_picture

Y, X = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
TRIANGLE = [[10, 10], [60, 20], [40, 90]]  # percent


def region(kind, value, label="cat", **values):
    return {
        "id": "abc",
        "type": f"{kind}labels",
        "value": {**value, f"{kind}labels": [label]},
        "to_name": "image",
        "from_name": "label",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "image_rotation": 0,
        **values,
    }


def task(results, image="/data/upload/1/0a1b2c3d-a.png", **values):
    return {
        "id": 1,
        "annotations": [{"id": 1, "result": results, "was_cancelled": False}],
        "data": {"image": image},
        **values,
    }


def imported(tmp_path, tasks, **options):
    write_picture(tmp_path / "pictures" / "a.png")
    write_json(tmp_path / "export" / "project.json", tasks)
    return import_annotations(
        "labelstudio",
        tmp_path / "export",
        tmp_path / "out",
        images=tmp_path / "pictures",
        **options,
    )


def filled(percent):
    points = np.array(percent) * SIZE[::-1] / 100
    (encoded,) = pycocotools.frPyObjects([points.reshape(-1).tolist()], *SIZE)
    return pycocotools.decode(encoded).astype(bool)


def packed_by_hand(values):
    """Packs values as the description of the format has it: single ones, and runs of 16 bits."""
    bits = f"{len(values):032b}" + f"{8 - 1:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    start = 0
    while start < len(values):
        end = start
        while end < len(values) and values[end] == values[start]:
            end += 1
        if end - start == 1:
            bits += "0" + "00" + "000" + f"{values[start]:08b}"
        else:
            bits += "1" + "11" + f"{end - start - 1:016b}" + f"{values[start]:08b}"
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("polygon", {"points": TRIANGLE, "closed": True}, filled(TRIANGLE)),
        (
            "rectangle",
            {"x": 50, "y": 25, "width": 25, "height": 50, "rotation": 0},
            (X > 30) & (X < 45) & (Y > 10) & (Y < 30),
        ),
        # Turned clockwise by a quarter around its top left corner (30, 10).
        (
            "rectangle",
            {"x": 50, "y": 25, "width": 25, "height": 50, "rotation": 90},
            (X > 10) & (X < 30) & (Y > 10) & (Y < 25),
        ),
        (
            "ellipse",
            {"x": 50, "y": 50, "radiusX": 30, "radiusY": 20, "rotation": 0},
            ((X - 30) / 18) ** 2 + ((Y - 20) / 8) ** 2 <= 1,
        ),
    ],
)
def test_regions(tmp_path, kind, value, expected):
    summary = imported(tmp_path, [task([region(kind, value)])])

    assert summary.class_names == ("background", "cat")
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_brushes(tmp_path):
    mask = np.random.default_rng(0).random(SIZE) < 0.3
    colors = np.zeros((*SIZE, 4), np.uint8)
    colors[..., :3] = 77  # only alpha counts
    colors[mask, 3] = 255
    brush = region("brush", {"format": "rle", "rle": packed_by_hand(colors.reshape(-1))})

    imported(tmp_path, [task([brush])])

    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), mask)


def test_brushes_that_are_cut_off_are_an_error(tmp_path):
    values = packed_by_hand(np.arange(200) % 7)
    np.testing.assert_array_equal(unpacked_brush(bytes(values)), np.arange(200) % 7)

    with pytest.raises(ValueError, match="end too early"):
        unpacked_brush(bytes(values[:-9]))
    with pytest.raises(ValueError, match=r"task 1, image .*abc \(brush, cat\).* has 200 values"):
        imported(tmp_path, [task([region("brush", {"format": "rle", "rle": values})])])


def test_later_regions_are_above_and_classes_are_by_name(tmp_path):
    box = {"x": 0, "y": 0, "width": 50, "height": 100}

    summary = imported(
        tmp_path,
        [task([region("rectangle", box, "dog"), region("polygon", {"points": TRIANGLE}, "ant")])],
    )

    assert summary.class_names == ("background", "ant", "dog")
    expected = np.where(filled(TRIANGLE), 1, 2 * (X < 30))
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_labels_of_a_second_result(tmp_path):
    shape = {**region("polygon", {"points": TRIANGLE}), "type": "polygon"}
    shape["value"] = {"points": TRIANGLE}
    labels = {**shape, "type": "labels", "value": {"points": TRIANGLE, "labels": ["dog"]}}

    summary = imported(tmp_path, [task([shape, labels])])

    assert summary.class_names == ("background", "dog")
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), filled(TRIANGLE))


def test_the_first_annotation_that_was_submitted_counts_or_the_ground_truth(tmp_path):
    def annotation(points, **values):
        return {"result": [region("polygon", {"points": points})], **values}

    other = [[0, 0], [50, 0], [0, 50]]
    first = [annotation(other, was_cancelled=True), annotation(TRIANGLE), annotation(other)]
    imported(tmp_path, [task([], annotations=first)])
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), filled(TRIANGLE))

    marked = [annotation(other), annotation(TRIANGLE, ground_truth=True)]
    summary = imported(tmp_path, [task([], annotations=marked)])
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), filled(TRIANGLE))
    assert summary.notes[0].startswith("1 tasks have more than one annotation")


def test_what_is_left_out_is_named(tmp_path):
    keypoint = region("keypoint", {"x": 1, "y": 1, "width": 1})
    tasks = [
        task([keypoint, region("polygon", {"points": TRIANGLE})]),
        task([], "s3://bucket/gone.jpg"),
        task([], "/data/upload/1/c.png", annotations=[]),
    ]

    summary = imported(tmp_path, tasks)

    assert summary.left_out == {
        f"the image is not in {tmp_path / 'pictures'}": (1, ["/gone.jpg"]),
        "tasks without an annotation that was submitted": (1, ["/data/upload/1/c.png"]),
        "regions of Label Studio of the type 'keypoint' are not drawn": (1, ["a.png"]),
    }


@pytest.mark.parametrize(
    "address",
    [
        "a.png",
        "/data/local-files/?d=set%20one/a.png",
        "https://example.org/x/a.png?token=1",
        "/data/upload/3/01234567-a.png",
    ],
)
def test_addresses_of_images(tmp_path, address):
    tasks = [task([region("polygon", {"points": TRIANGLE})], address)]

    assert imported(tmp_path, tasks).splits == {"": 1}


def test_the_export_json_min(tmp_path):
    flat = {
        "points": TRIANGLE, "polygonlabels": ["cat"],
        "original_width": SIZE[1], "original_height": SIZE[0],
    }  # fmt: skip
    imported(tmp_path, [{"image": "a.png", "id": 1, "label": [flat], "annotation_id": 4}])

    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), filled(TRIANGLE))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_rotation": 90}, "task 1: the image was annotated in a turned view"),
        ({"original_width": 30}, "are for 30x40, the image is 60x40"),
        ({"value": {"polygonlabels": ["cat"]}}, r"abc \(polygon, cat\): 'points' is missing"),
    ],
)
def test_what_is_wrong_is_named_with_the_task(tmp_path, values, message):
    results = [{**region("polygon", {"points": TRIANGLE}), **values}]

    with pytest.raises(ValueError, match=message) as error:
        imported(tmp_path, [task(results)])

    assert "project.json" in str(error.value)


def test_images_that_are_nowhere_are_asked_for(tmp_path):
    write_json(tmp_path / "export.json", [task([region("polygon", {"points": TRIANGLE})])])

    with pytest.raises(ValueError, match="contains no images: give their folder by --images"):
        import_annotations("labelstudio", tmp_path / "export.json", tmp_path / "out")
