"""What every import does alike; the annotations are those of COCO."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_fcn.datasets import open_dataset
from keras_fcn.datasets.importers import import_annotations

from .exports import SIZE, write_json, write_picture


@pytest.fixture
def export(tmp_path):
    """A COCO export of three images with one square each."""
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]}
            for i in range(3)
        ],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "segmentation": [[0, 0, 10, 0, 10, 10, 0, 10]],
            }
            for i in range(3)
        ],
        "categories": [{"id": 1, "name": 'cat, "wild"'}],
    }
    for i in range(3):
        write_picture(tmp_path / "export" / f"{i}.png", seed=i)
    return write_json(tmp_path / "export" / "a.json", content)


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_own_earlier_output_is_replaced(tmp_path, export):
    import_annotations("coco", export, tmp_path / "out")
    content = json.loads(export.read_text())
    content["images"].pop()
    content["annotations"].pop()
    write_json(export, content)

    summary = import_annotations("coco", export, tmp_path / "out")

    assert summary.splits == {"": 2}
    assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == ["0.png", "1.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "out"]


@pytest.mark.parametrize("change", ["edited", "added", "foreign"])
def test_files_of_the_user_are_never_replaced(tmp_path, export, change):
    out = tmp_path / "out"
    if change == "foreign":
        write_picture(out / "masks" / "0.png")
    else:
        import_annotations("coco", export, out)
        write_picture(out / "masks" / ("0.png" if change == "edited" else "9.png"), seed=9)
    before = files_of(out)

    message = "was not written by an import" if change == "foreign" else r"\d.png: the file was"
    with pytest.raises(ValueError, match=message):
        import_annotations("coco", export, out)

    assert files_of(out) == before


def test_an_output_among_the_images_is_not_read_again(tmp_path, export):
    for _ in range(2):
        summary = import_annotations("coco", export, export.parent / "out")

        assert summary.splits == {"": 3}


def test_nothing_is_left_of_an_import_that_fails(tmp_path, export):
    (tmp_path / "export" / "2.png").write_text("no image")

    with pytest.raises(ValueError, match=r"2.png: not an image that can be read. Replace it"):
        import_annotations("coco", export, tmp_path / "out")

    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_turned_image_that_is_cut_off_is_named(tmp_path, export):
    turned = Image.Exif()
    turned[0x0112] = 3
    path = write_picture(tmp_path / "export" / "2.png", exif=turned)
    path.write_bytes(path.read_bytes()[:-3000])

    with pytest.raises(ValueError, match=r"2.png: the image cannot be read"):
        import_annotations("coco", export, tmp_path / "out")


def test_names_with_commas_and_quotes_are_kept(tmp_path, export):
    summary = import_annotations("coco", export, tmp_path / "out")

    assert summary.class_names == ("background", 'cat, "wild"')
    assert (tmp_path / "out/classes.txt").read_text() == (
        'name,r,g,b\nbackground,0,0,0\n"cat, ""wild""",128,0,0\n'
    )


def test_names_lose_the_sign_of_comments_and_stay_different(tmp_path, export):
    content = json.loads(export.read_text())
    content["categories"] = [{"id": 1, "name": " Defect #2"}, {"id": 2, "name": "7"}]
    write_json(export, content)

    summary = import_annotations("coco", export, tmp_path / "out")

    assert summary.class_names == ("background", "Defect 2", "7")
    dataset = open_dataset(f"folder:{tmp_path / 'out'}")
    assert dataset.labels.class_names == summary.class_names

    content["categories"][1]["name"] = "Defect 2"
    write_json(export, content)
    with pytest.raises(ValueError, match="'Defect #2' and 'Defect 2' would both be called"):
        import_annotations("coco", export, tmp_path / "out2")


def test_train_alone_is_split_by_the_folder(tmp_path, export):
    export = export.rename(export.with_name("instances_train2017.json"))
    content = json.loads(export.read_text())
    content["categories"][0]["name"] = "cat"
    write_json(export, content)

    summary = import_annotations("coco", export, tmp_path / "out")

    assert summary.splits == {"": 3}
    assert summary.notes[0].startswith("All images are in the split train")
    assert set(open_dataset(f"folder:{tmp_path / 'out'}").splits) == {"train", "val"}


def test_progress_is_told_for_each_image(tmp_path, export):
    calls = []

    import_annotations("coco", export, tmp_path / "out", on_image=calls.append)

    assert calls == [3, 0, 0, 0]


def test_pixels_and_images_are_counted(tmp_path, export):
    summary = import_annotations("coco", export, tmp_path / "out")

    total = 3 * SIZE[0] * SIZE[1]
    np.testing.assert_array_equal(summary.pixels, [total - 300, 300, 0])
    np.testing.assert_array_equal(summary.images, [3, 3, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("voc", "a.json"), "`tool` must be one of coco, labelme, yolo, cvat, labelstudio"),
        (("coco", "absent"), "absent: there is no such file or folder"),
        (("coco", "a.zip"), "unpack the archive first"),
    ],
)
def test_arguments_are_checked(tmp_path, export, arguments, message):
    tool, name = arguments
    (export.parent / "a.zip").write_bytes(b"PK")

    with pytest.raises(ValueError, match=message):
        import_annotations(tool, export.parent / name, tmp_path / "out")


def test_other_splits_and_images_without_one_are_refused(tmp_path):
    for name in ("a", "b"):
        write_picture(tmp_path / "export" / f"{name}.png")
    xml = """<annotations><meta><labels><label><name>cat</name></label></labels></meta>
        <image name="a.png" subset="{}"/><image name="b.png"/></annotations>"""
    file = tmp_path / "export" / "annotations.xml"

    file.write_text(xml.format("holdout"))
    with pytest.raises(ValueError, match="the split 'holdout' is none of train, val"):
        import_annotations("cvat", file, tmp_path / "out")

    file.write_text(xml.format("Train"))
    with pytest.raises(ValueError, match="1 images are in no split, such as b.png, and 1 are in"):
        import_annotations("cvat", file, tmp_path / "out")
