"""CVAT's "CVAT for images". The example of CVAT's documentation has the same attributes."""

import numpy as np
import pytest
from pycocotools import mask as pycocotools

from keras_fcn.datasets.importers import import_annotations

from .exports import SIZE, stored_mask, write_picture

Y, X = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
POLYGON = "5.50,5.00;30.00,8.25;20.00,35.00"
LABELS = (
    "<labels>"
    + "".join(
        f"<label><name>{name}</name><color>#ff00ff</color></label>"
        for name in ("dog", "cat", "ant")
    )
    + "</labels>"
)


def filled(points, size=SIZE):
    numbers = [float(number) for number in points.replace(";", ",").split(",")]
    (encoded,) = pycocotools.frPyObjects([numbers], *size)
    return pycocotools.decode(encoded).astype(bool)


def shape(tag, label="cat", **values):
    attributes = "".join(f' {name}="{value}"' for name, value in values.items())
    return f'<{tag} label="{label}" source="manual" occluded="0"{attributes}></{tag}>'


def write_cvat(root, shapes, meta=f"<meta><task>{LABELS}</task></meta>"):
    write_picture(root / "images" / "a.png")
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{meta}'
        f'<image id="0" name="a.png" width="{SIZE[1]}" height="{SIZE[0]}">{"".join(shapes)}'
        "</image></annotations>"
    )
    (root / "annotations.xml").write_text(text)


def imported(tmp_path, shapes, **options):
    write_cvat(tmp_path / "export", shapes)
    return import_annotations("cvat", tmp_path / "export", tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (shape("polygon", points=POLYGON), filled(POLYGON)),
        (
            shape("box", xtl="10.00", ytl="4.00", xbr="30.00", ybr="20.00"),
            (X > 10) & (X < 30) & (Y > 4) & (Y < 20),
        ),
        # Turned by a quarter around its center (20, 12), 20x16 becomes 16x20.
        (
            shape("box", xtl=10, ytl=4, xbr=30, ybr=20, rotation="90.00"),
            (X > 12) & (X < 28) & (Y > 2) & (Y < 22),
        ),
        (
            shape("ellipse", cx=30, cy=20, rx=20.5, ry=9),
            ((X - 30) / 20.5) ** 2 + ((Y - 20) / 9) ** 2 <= 1,
        ),
        (
            shape("ellipse", cx=30, cy=20, rx=15, ry=9, rotation=90),
            ((X - 30) / 9) ** 2 + ((Y - 20) / 15) ** 2 <= 1,
        ),
    ],
)
def test_shapes(tmp_path, drawn, expected):
    summary = imported(tmp_path, [drawn])

    assert summary.class_names == ("background", "dog", "cat", "ant")
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), 2 * expected)


def test_masks_are_runs_along_the_rows_of_their_box(tmp_path):
    # . # #
    # # . .
    drawn = shape("mask", rle="1, 3, 2", left=20, top=10, width=3, height=2)

    imported(tmp_path, [drawn])

    expected = np.zeros(SIZE, np.uint8)
    expected[10:12, 20:23] = [[0, 2, 2], [2, 0, 0]]
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_shapes_are_drawn_by_their_z_order_then_in_the_order_of_the_file(tmp_path):
    boxes = [
        shape("box", "dog", xtl=10, ytl=10, xbr=30, ybr=30, z_order=1),
        shape("box", "cat", xtl=0, ytl=0, xbr=40, ybr=20, z_order=-1),
        shape("box", "ant", xtl=20, ytl=0, xbr=60, ybr=40, z_order=-1),
    ]

    imported(tmp_path, boxes)

    expected = np.zeros(SIZE, np.uint8)
    expected[:20, :40], expected[:40, 20:] = 2, 3
    expected[10:30, 10:30] = 1
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_shapes_without_an_area_are_left_out(tmp_path):
    summary = imported(
        tmp_path,
        [
            shape("points", points="1,1"), shape("polyline", points="1,1;5,5"),
            shape("tag"), shape("polygon", points=POLYGON),
        ],
    )  # fmt: skip

    assert summary.left_out == {
        f"shapes of CVAT of the type {tag} are not drawn": (1, ["a.png"])
        for tag in ("points", "polyline", "tag")
    }


def test_subsets_are_splits(tmp_path):
    root = tmp_path / "export"
    images = ""
    for subset in ("Train", "Validation"):
        write_picture(root / "images" / subset / "a.png", seed=len(subset))
        images += (
            f'<image id="0" name="a.png" subset="{subset}" width="60" height="40">'
            + shape("polygon", points=POLYGON)
            + "</image>"
        )
    (root / "annotations.xml").write_text(f"<annotations>{images}</annotations>")

    summary = import_annotations("cvat", root, tmp_path / "out")

    assert summary.splits == {"train": 1, "val": 1}
    for subset, split in (("Train", "train"), ("Validation", "val")):
        source = root / "images" / subset / "a.png"
        assert (tmp_path / f"out/images/{split}/a.png").read_bytes() == source.read_bytes()
        np.testing.assert_array_equal(
            stored_mask(tmp_path / "out", f"{split}/a.png"), filled(POLYGON)
        )


def test_images_without_shapes_are_background_and_are_mentioned(tmp_path):
    root = tmp_path / "export"
    write_cvat(root, [shape("polygon", points=POLYGON)])
    write_picture(root / "images" / "b.png")
    text = (root / "annotations.xml").read_text()
    (root / "annotations.xml").write_text(
        text.replace("</annotations>", '<image id="1" name="b.png"/></annotations>')
    )

    summary = import_annotations("cvat", root, tmp_path / "out")

    assert summary.notes[0].startswith("1 of 2 images have no shapes")
    assert not stored_mask(tmp_path / "out", "b.png").any()


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (shape("polygon", points="1,1;2"), "a.png: a polygon of the label 'cat'"),
        (shape("mask", rle="1, 3", left=0, top=0, width=3, height=2), "must fill 3x2"),
        (shape("box", xtl=1, ytl=1, xbr=5), "a box of the label 'cat': the attribute ybr is"),
    ],
)
def test_what_is_wrong_is_named_with_the_file_and_shape(tmp_path, drawn, message):
    with pytest.raises(ValueError, match=message) as error:
        imported(tmp_path, [drawn])

    assert "annotations.xml" in str(error.value)


def test_other_exports_of_cvat_have_a_way_out(tmp_path):
    root = tmp_path / "export"
    write_cvat(root, [])
    text = (root / "annotations.xml").read_text()

    (root / "annotations.xml").write_text(
        text.replace("</annotations>", '<track id="0" label="cat"></track></annotations>')
    )
    with pytest.raises(ValueError, match="tracks of a video. Export .* 'CVAT for images 1.1'"):
        import_annotations("cvat", root, tmp_path / "out")

    (root / "annotations.xml").write_text(text[:-5])
    with pytest.raises(ValueError, match="annotations.xml: the file is no valid XML"):
        import_annotations("cvat", root, tmp_path / "out")

    (root / "annotations.xml").unlink()
    with pytest.raises(ValueError, match="there is no XML file of CVAT"):
        import_annotations("cvat", root, tmp_path / "out")

    (root / "SegmentationClass").mkdir()
    with pytest.raises(ValueError, match="needs no import.*--dataset folder:"):
        import_annotations("cvat", root, tmp_path / "out")


def test_images_that_were_not_saved_with_the_export_are_asked_for(tmp_path):
    write_cvat(tmp_path / "export", [])
    (tmp_path / "export/images").rename(tmp_path / "pictures")

    with pytest.raises(
        ValueError, match="none of its images .*'Save images', or .*--images FOLDER"
    ):
        import_annotations("cvat", tmp_path / "export", tmp_path / "out")

    summary = import_annotations(
        "cvat", tmp_path / "export", tmp_path / "out", images=tmp_path / "pictures"
    )
    assert summary.splits == {"": 1}
