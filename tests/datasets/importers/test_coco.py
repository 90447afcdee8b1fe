"""COCO files whose masks pycocotools decodes, too."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as pycocotools

from keras_fcn.datasets import open_dataset
from keras_fcn.datasets.importers import ImportOptions, import_annotations

from .exports import SIZE, read_masks, stored_mask, write_json, write_picture

CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 3, "name": "Grade 2"}, {"id": 90, "name": "unused"}]
STAR = [30.5, 2.25, 38, 30, 10.2, 12.6, 50.8, 12.1, 22, 31]  # crosses itself: a hole
BOX = [5, 5, 25, 5, 25, 20, 5, 20]


def annotation(segmentation, category=7, image=1, **values):
    return {"image_id": image, "category_id": category, "segmentation": segmentation, **values}


def coco(annotations, images=(("a.png", SIZE),), categories=CATEGORIES):
    return {
        "images": [
            {"id": number, "file_name": name, "height": size[0], "width": size[1]}
            for number, (name, size) in enumerate(images, 1)
        ],
        "annotations": [{"id": i, "iscrowd": 0, **a} for i, a in enumerate(annotations)],
        "categories": categories,
    }


def mask_of(segmentation, size=SIZE):
    """The mask of a segmentation, as pycocotools' COCO.annToMask makes it."""
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
        return pycocotools.decode(segmentation).astype(bool)
    encoded = pycocotools.frPyObjects(segmentation, *size)
    return pycocotools.decode(
        pycocotools.merge(encoded) if isinstance(encoded, list) else encoded
    ).astype(bool)


def imported(tmp_path, content, **options):
    write_json(tmp_path / "export" / "annotations.json", content)
    for image in content["images"]:
        size = (image.get("height", SIZE[0]), image.get("width", SIZE[1]))
        if not (tmp_path / "export" / image["file_name"]).exists():
            write_picture(tmp_path / "export" / image["file_name"], size)
    return import_annotations("coco", tmp_path / "export", tmp_path / "out", **options)


def random_mask(seed):
    mask = np.random.default_rng(seed).random((5, 6)) < 0.4
    return np.kron(mask, np.ones((8, 10))).astype(np.uint8)


def test_polygons_and_both_kinds_of_runs_are_drawn_as_pycocotools_does(tmp_path):
    packed = pycocotools.encode(np.asfortranarray(random_mask(0)))
    packed = {"size": list(SIZE), "counts": packed["counts"].decode()}
    flat = random_mask(1).T.reshape(-1)
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    unpacked = {"size": list(SIZE), "counts": counts}
    segmentations = [[STAR, BOX], packed, unpacked]
    images = [(f"{i}.png", SIZE) for i in range(3)]

    imported(tmp_path, coco([annotation(s, 7, i) for i, s in enumerate(segmentations, 1)], images))

    for i, segmentation in enumerate(segmentations):
        expected = mask_of(segmentation)
        assert 0 < expected.sum() < expected.size
        # Ids 3 and 7 become the classes 1 and 2.
        np.testing.assert_array_equal(stored_mask(tmp_path / "out", f"{i}.png"), 2 * expected)


def test_classes_follow_the_ids_and_later_objects_are_above(tmp_path):
    summary = imported(tmp_path, coco([annotation([BOX], 7), annotation([STAR], 3)]))

    assert summary.class_names == ("background", "Grade 2", "cat", "unused")
    expected = np.where(mask_of([STAR]), 1, np.where(mask_of([BOX]), 2, 0))
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)
    np.testing.assert_array_equal(summary.pixels[:3], np.bincount(expected.reshape(-1)))
    assert summary.notes == ["Classes that never occur: unused."]


def test_the_folder_is_read_as_a_dataset(tmp_path):
    images = [(f"{i}.png", SIZE) for i in range(4)]
    imported(tmp_path, coco([annotation([BOX], 3, i) for i in range(1, 5)], images))

    dataset = open_dataset(f"folder:{tmp_path / 'out'}")
    masks = read_masks(tmp_path / "out")

    assert dataset.labels.class_names == ("background", "Grade 2", "cat", "unused")
    assert len(masks) == 4
    for mask in masks.values():
        np.testing.assert_array_equal(mask, mask_of([BOX]))


def test_crowds_are_ignored_below_all_objects(tmp_path):
    crowd = {"size": list(SIZE), "counts": [0, SIZE[0] * 30, SIZE[0] * 30]}  # the left half

    imported(
        tmp_path,
        coco([annotation([BOX], 7), annotation(crowd, 7, iscrowd=1)]),
        options=ImportOptions(crowds="ignore"),
    )

    left = np.arange(SIZE[1]) < 30
    expected = np.where(mask_of([BOX]), 2, np.where(left, 255, 0))
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_many_crowds_are_masks_of_other_tools_and_the_user_says_so(tmp_path):
    crowd = {"size": list(SIZE), "counts": [0, SIZE[0] * 30, SIZE[0] * 30]}
    content = coco([annotation([BOX], 7), annotation(crowd, 3, iscrowd=1)])

    with pytest.raises(ValueError, match="1 of 2 objects are marked as crowds.*--crowds objects"):
        imported(tmp_path, content)
    imported(tmp_path, content, options=ImportOptions(crowds="objects"))

    left = np.arange(SIZE[1]) < 30  # above the box, as in the file
    expected = np.where(left, 1, 2 * mask_of([BOX]))
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_few_crowds_are_ignored_and_mentioned(tmp_path):
    crowd = {"size": list(SIZE), "counts": [0, SIZE[0] * 30, SIZE[0] * 30]}

    summary = imported(
        tmp_path, coco([*[annotation([BOX], 7)] * 9, annotation(crowd, 3, iscrowd=1)])
    )

    assert summary.notes[0].startswith("1 of 10 objects of annotations.json are crowds")
    assert summary.pixels[-1] == SIZE[0] * 30 - (mask_of([BOX])[:, :30]).sum()


def test_without_background_uncovered_pixels_are_ignored(tmp_path):
    summary = imported(tmp_path, coco([annotation([BOX], 7)]), background=False)

    assert summary.class_names == ("Grade 2", "cat", "unused")
    expected = np.where(mask_of([BOX]), 1, 255)
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_labels_of_background_and_void_are_no_classes_of_their_own(tmp_path):
    categories = [{"id": i, "name": name} for i, name in enumerate(("_background_", "cat", "Void"))]
    content = coco(
        [annotation([BOX], 1), annotation([STAR], 0), annotation([[0, 0, 5, 0, 5, 5]], 2)],
        categories=categories,
    )

    summary = imported(tmp_path, content)

    assert summary.class_names == ("background", "cat")
    expected = mask_of([BOX]) & ~mask_of([STAR])
    expected = np.where(mask_of([[0, 0, 5, 0, 5, 5]]), 255, expected)
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), expected)


def test_files_by_split_and_folders_of_images_are_found(tmp_path):
    root = tmp_path / "coco"
    for split, category in (("train", 3), ("val", 7)):
        write_picture(root / f"{split}2017" / "1.png", seed=category)
        content = coco([annotation([BOX], category)], [("1.png", SIZE)])
        write_json(root / "annotations" / f"instances_{split}2017.json", content)
        write_json(root / "annotations" / f"captions_{split}2017.json", {"annotations": []})

    summary = import_annotations("coco", root, tmp_path / "out")

    assert summary.splits == {"train": 1, "val": 1}
    masks = read_masks(tmp_path / "out")
    np.testing.assert_array_equal(masks["train/1"], mask_of([BOX]))
    np.testing.assert_array_equal(masks["val/1"], 2 * mask_of([BOX]))
    # Each with the image of its own split, byte for byte.
    for split in ("train", "val"):
        source = root / f"{split}2017" / "1.png"
        assert (tmp_path / f"out/images/{split}/1.png").read_bytes() == source.read_bytes()


def test_images_of_another_split_are_not_taken(tmp_path):
    root = tmp_path / "coco"
    write_picture(root / "train2017" / "1.png")
    content = coco([annotation([BOX])], [("1.png", SIZE)])
    write_json(root / "annotations" / "instances_val2017.json", content)

    with pytest.raises(ValueError, match="none of its images is in"):
        import_annotations("coco", root, tmp_path / "out")


def test_an_image_is_not_taken_for_two(tmp_path):
    write_picture(tmp_path / "export" / "x" / "1.png")
    content = coco([annotation([BOX])], [("x/1.png", SIZE), ("y/1.png", SIZE)])
    write_json(tmp_path / "export" / "a.json", content)

    with pytest.raises(ValueError, match="name the images x/1.png and y/1.png, and only .*x/1.png"):
        import_annotations("coco", tmp_path / "export", tmp_path / "out")


def test_of_two_images_of_one_name_it_must_be_clear_which(tmp_path):
    for folder in ("x", "y"):
        write_picture(tmp_path / "export" / folder / "1.png")
    content = coco([annotation([BOX])], [("1.png", SIZE)])
    write_json(tmp_path / "export" / "a.json", content)

    with pytest.raises(
        ValueError, match="name the image 1.png, and there are 2: .*--images FOLDER"
    ):
        import_annotations("coco", tmp_path / "export", tmp_path / "out")


def test_the_layout_of_roboflow_is_read(tmp_path):
    root = tmp_path / "export"
    for split in ("train", "valid"):
        write_picture(root / split / "a.png")
        write_json(root / split / "_annotations.coco.json", coco([annotation([BOX])]))

    assert import_annotations("coco", root, tmp_path / "out").splits == {"train": 1, "val": 1}


def test_images_of_one_name_in_two_folders_get_two_names(tmp_path):
    images = [("x/a.png", SIZE), ("y/a.png", SIZE), ("images/b.png", SIZE)]
    imported(tmp_path, coco([annotation([BOX], 3, 2)], images))

    assert sorted(p.name for p in (tmp_path / "out/masks").iterdir()) == [
        "b.png", "x_a.png", "y_a.png",
    ]  # fmt: skip
    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "y_a.png"), mask_of([BOX]))
    assert not stored_mask(tmp_path / "out", "x_a.png").any()


def test_missing_images_are_left_out_and_named(tmp_path):
    content = coco([annotation([BOX])], [("a.png", SIZE), ("b.png", SIZE)])
    write_picture(tmp_path / "pictures" / "a.png")
    write_json(tmp_path / "x" / "a.json", content)

    summary = import_annotations(
        "coco", tmp_path / "x" / "a.json", tmp_path / "out", images=tmp_path / "pictures"
    )

    assert summary.splits == {"": 1}
    assert summary.left_out == {f"the image is not in {tmp_path / 'pictures'}": (1, ["b.png"])}
    with pytest.raises(ValueError, match="none of its images is in .*--images FOLDER.*a.png"):
        import_annotations("coco", tmp_path / "x", tmp_path / "out2")


def test_images_with_exif_orientation_are_written_upright(tmp_path):
    # Stored 60 wide and 40 high, shown turned by 90 degrees clockwise.
    turned = Image.Exif()
    turned[0x0112] = 6
    for name in ("shown.jpg", "stored.jpg"):
        write_picture(tmp_path / "export" / name, SIZE, exif=turned, quality=95)
    # One is annotated as it is shown, the other as it is stored.
    images = [("shown.jpg", SIZE[::-1]), ("stored.jpg", SIZE)]

    imported(tmp_path, coco([annotation([BOX], 3, 1), annotation([BOX], 3, 2)], images))

    np.testing.assert_array_equal(
        stored_mask(tmp_path / "out", "shown.png"), mask_of([BOX], SIZE[::-1])
    )
    np.testing.assert_array_equal(
        stored_mask(tmp_path / "out", "stored.png"), np.rot90(mask_of([BOX]), -1)
    )
    for name in ("shown", "stored"):
        with Image.open(tmp_path / f"out/images/{name}.png") as image:
            assert image.getexif().get(0x0112, 1) == 1
            stored = np.asarray(Image.open(tmp_path / "export" / f"{name}.jpg"))
            np.testing.assert_array_equal(np.asarray(image), np.rot90(stored, -1))


def test_panoptic_segments(tmp_path):
    ids = np.zeros(SIZE, np.int64)
    ids[:10], ids[10:20], ids[20:30] = 5, 300, 70000
    colors = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype("uint8")
    root = tmp_path / "coco"
    (root / "annotations/panoptic_val").mkdir(parents=True)
    Image.fromarray(colors).save(root / "annotations/panoptic_val/a.png")
    write_picture(root / "val" / "a.jpg")
    content = coco([], [("a.jpg", SIZE)])
    content["annotations"] = [
        {
            "image_id": 1,
            "file_name": "a.png",
            "segments_info": [
                {"id": 5, "category_id": 7, "iscrowd": 0},
                {"id": 300, "category_id": 3, "iscrowd": 0},
                {"id": 70000, "category_id": 3, "iscrowd": 1},
            ],
        }
    ]
    write_json(root / "annotations" / "panoptic_val.json", content)

    summary = import_annotations(
        "coco", root, tmp_path / "out", options=ImportOptions(crowds="ignore")
    )

    assert summary.class_names == ("Grade 2", "cat", "unused")
    mask = stored_mask(tmp_path / "out", "val/a.png")
    # 0 is not labelled: ignored, as in COCO's evaluation.
    np.testing.assert_array_equal(mask[:, 0], np.repeat([1, 0, 255, 255], 10))


def broken(change):
    content = coco([annotation([BOX])])
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][0].update(category_id=8), r"annotations.json, annotation 0: "
         r"there is no category with the id 8. The file has: 7 cat, 3 Grade 2"),
        (lambda c: c["annotations"][0].update(image_id=9), "the image with the id 9, which the"),
        (lambda c: c["annotations"][0].update(segmentation=[], bbox=[1, 1, 5, 5]),
         "annotation 0: the object has a box and no outline. .*--boxes"),
        (lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
         "a polygon has 7 numbers"),
        (lambda c: c["annotations"][0].update(segmentation={"size": [60, 40], "counts": [2400]}),
         r"for the size \[60, 40\], the image has \[40, 60\]"),
        (lambda c: c["annotations"][0].update(segmentation={"size": [40, 60], "counts": [24]}),
         "must fill 60x40 .* Received: 24 pixels"),
        (lambda c: c["annotations"][0].update(segmentation=[{"size": [40, 60], "counts": "a"}]),
         "annotation 0: a segmentation must be polygons or one mask"),
        (lambda c: c.pop("categories"), "expected a value of 'categories'"),
        (lambda c: c["images"][0].pop("file_name"), "expected a value of 'file_name'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_the_file(tmp_path, change, message):
    write_picture(tmp_path / "export" / "a.png")
    write_json(tmp_path / "export" / "annotations.json", broken(change))

    with pytest.raises(ValueError, match=message) as error:
        import_annotations("coco", tmp_path / "export" / "annotations.json", tmp_path / "out")

    assert "annotations.json" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_an_image_that_was_resized_is_an_error(tmp_path):
    write_picture(tmp_path / "export" / "a.png", (20, 30))

    with pytest.raises(ValueError, match="a.png are for 60x40, the image is 30x20"):
        imported(tmp_path, coco([annotation([BOX])]))


def test_boxes_are_filled_when_asked(tmp_path):
    imported(
        tmp_path, coco([annotation([], 3, bbox=[5, 5, 20, 15])]), options=ImportOptions(boxes=True)
    )

    np.testing.assert_array_equal(stored_mask(tmp_path / "out", "a.png"), mask_of([BOX]))


def test_more_classes_than_masks_can_have_are_refused(tmp_path):
    categories = [{"id": i, "name": f"class {i}"} for i in range(255)]

    with pytest.raises(ValueError, match="256 classes with the background; .* at most 255"):
        imported(tmp_path, coco([], categories=categories))


def test_two_files_of_unknown_splits_are_refused(tmp_path):
    for name in ("one", "two"):
        write_json(tmp_path / "export" / f"{name}.json", coco([annotation([BOX])]))

    with pytest.raises(
        ValueError, match="2 JSON files of COCO, and the name of .*one.json is of no"
    ):
        import_annotations("coco", tmp_path / "export", tmp_path / "out")


def test_a_truncated_file_is_named(tmp_path):
    text = json.dumps(coco([annotation([BOX])]))
    (tmp_path / "a.json").write_text(text[: len(text) // 2])

    with pytest.raises(ValueError, match=r"a.json, line 1: the file is no valid JSON"):
        import_annotations("coco", tmp_path / "a.json", tmp_path / "out")
