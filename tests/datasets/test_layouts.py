"""Where images and masks lie in folders, and which belong together."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_fcn.datasets import open_dataset
from keras_fcn.datasets.folder import FolderOptions, find_folder_files
from keras_fcn.datasets.folder_names import parse_folder

# Each row: image, mask, split ("" if the folder does not say), id. `*` stands for two names.
LAYOUTS = {
    "plain": [("images/*.jpg", "masks/*.png", "", "*")],
    "upper case": [("Images/*.JPG", "Masks/*.PNG", "", "*")],
    "imgs and labels": [("imgs/*.png", "labels/*.png", "", "*")],
    "img and annot": [("img/*.png", "annot/*.png", "", "*")],
    "data and gt": [("data/*.png", "gt/*.png", "", "*")],
    "image and mask": [("image/*.png", "mask/*.png", "", "*")],
    "in a lone folder": [("Photos of us/images/*.png", "Photos of us/masks/*.png", "", "*")],
    "in data": [("data/images/*.png", "data/masks/*.png", "", "*")],
    "data with splits": [
        ("data/train/images/*.png", "data/train/masks/*.png", "train", "*"),
        ("data/test/images/*.png", "data/test/masks/*.png", "test", "*"),
    ],
    "split below": [
        ("images/training/*.png", "annotations/training/*.png", "train", "*"),
        ("images/validation/*.png", "annotations/validation/*.png", "val", "*"),
    ],
    "split above": [
        ("Train/Images/*.png", "Train/Labels/*.png", "train", "*"),
        ("Dev/Images/*.png", "Dev/Labels/*.png", "val", "*"),
        ("Testing/Images/*.png", "Testing/Labels/*.png", "test", "*"),
    ],
    "CamVid": [
        ("train/*.png", "trainannot/*.png", "train", "*"),
        ("val/*.png", "valannot/*.png", "val", "*"),
        ("test/*.png", "testannot/*.png", "test", "*"),
    ],
    "CamVid's suffix": [
        ("train/*.png", "train_labels/*_L.png", "train", "*"),
        ("val/*.png", "val_labels/*_L.png", "val", "*"),
    ],
    "Kaggle": [("train/*.jpg", "train_masks/*_mask.gif", "train", "*")],
    "Keras tutorials": [
        ("images_prepped_train/*.png", "annotations_prepped_train/*.png", "train", "*"),
        ("images_prepped_test/*.png", "annotations_prepped_test/*.png", "test", "*"),
    ],
    "split and role in one": [
        ("train_images/*.jpg", "train_masks/*.png", "train", "*"),
        ("valid_images/*.jpg", "valid_masks/*.png", "val", "*"),
    ],
    "camel case": [
        ("TrainImages/*.jpg", "TrainMasks/*.png", "train", "*"),
        ("ValImages/*.jpg", "ValMasks/*.png", "val", "*"),
    ],
    "years": [
        ("images/train2017/*.jpg", "annotations/train2017/*.png", "train", "*"),
        ("images/val2017/*.jpg", "annotations/val2017/*.png", "val", "*"),
    ],
    "mmsegmentation": [
        ("img_dir/train/*.jpg", "ann_dir/train/*.png", "train", "*"),
        ("img_dir/val/*.jpg", "ann_dir/val/*.png", "val", "*"),
    ],
    "Cityscapes": [
        (
            "leftImg8bit/train/bonn/*_leftImg8bit.png",
            "gtFine/train/bonn/*_gtFine_labelTrainIds.png",
            "train",
            "bonn/*_leftImg8bit",
        ),
        (
            "leftImg8bit/val/ulm/*_leftImg8bit.png",
            "gtFine/val/ulm/*_gtFine_labelTrainIds.png",
            "val",
            "ulm/*_leftImg8bit",
        ),
    ],
    "side by side": [("*.jpg", "*_mask.png", "", "*")],
    "side by side in splits": [
        ("train/*.jpg", "train/*_mask.png", "train", "*"),
        ("valid/*.jpg", "valid/*_mask.png", "val", "*"),
        ("test/*.jpg", "test/*_mask.png", "test", "*"),
    ],
    "satellite": [("train/*_sat.jpg", "train/*_mask.png", "train", "*_sat")],
    "side by side in images": [("images/*.jpg", "images/*_mask.png", "", "*")],
    "side by side by kind": [
        ("benign/* (1).png", "benign/* (1)_mask.png", "", "benign/* (1)"),
        ("malign/* (1).png", "malign/* (1)_mask.png", "", "malign/* (1)"),
    ],
    "numbered folders": [
        ("01_train/images/*.png", "01_train/mask_images/*.png", "train", "*"),
        ("02_val/images/*.png", "02_val/mask_images/*.png", "val", "*"),
    ],
    "ground truth": [
        ("train/Images/*.png", "train/Ground Truth/*.png", "train", "*"),
        ("test/Images/*.png", "test/Ground Truth/*.png", "test", "*"),
    ],
    "CVAT's CamVid": [("default/*.png", "defaultannot/*.png", "", "default/*")],
    "splits on one side": [
        ("images/train/*.png", "train/masks/*.png", "train", "*"),
        ("images/val/*.png", "val/masks/*.png", "val", "*"),
    ],
    "two kinds of files": [("*.jpg", "*.png", "", "*")],
    "doubled extension": [("images/*.jpg", "masks/*.jpg.png", "", "*")],
    "prefixes": [("images/image_*.png", "masks/mask_*.png", "", "image_*")],
    "label suffix": [("images/*.png", "labels/*_label.png", "", "*")],
    "gt suffix": [("images/*.png", "gt/*_gt.png", "", "*")],
    "hyphen": [("images/*.png", "masks/*-mask.png", "", "*")],
    "dots in names": [("images/v1.2.*.png", "masks/v1.2.*.png", "", "v1.2.*")],
    "other case": [("images/IMG_*.JPG", "masks/img_*.png", "", "IMG_*")],
    "cities": [
        ("images/train/bonn/*.png", "masks/train/bonn/*.png", "train", "bonn/*"),
        ("images/val/ulm/*.png", "masks/val/ulm/*.png", "val", "ulm/*"),
    ],
    "groups without splits": [
        ("images/bonn/*.png", "masks/bonn/*.png", "", "bonn/*"),
        ("images/ulm/*.png", "masks/ulm/*.png", "", "ulm/*"),
    ],
    "masks in a folder of their own": [("images/*.png", "annotations/trimaps/*.png", "", "*")],
    "labelme": [("JPEGImages/*.jpg", "SegmentationClassPNG/*.png", "", "*")],
    "Label Studio": [("JPEGImages/*.jpg", "SegmentationClass/*.png", "", "*")],
    "masks in one folder for all splits": [
        ("images/train/*.png", "masks/*.png", "train", "*"),
        ("images/val/*.png", "masks/*.png", "val", "*"),
    ],
}


def write_image(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16, 3), 8 * number + 40, np.uint8)).save(path, quality=100)


def mask_of(number: int) -> np.ndarray:
    """Class 1 in as many pixels as the number says, and class 0."""
    return (np.arange(256) < number).astype(np.uint8).reshape(16, 16)


def write_mask(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(mask_of(number))
    mask.putpalette([0, 0, 0, 200, 0, 0])
    mask.save(path)


def write(root: Path, rows: list[tuple[str, str, str, str]]) -> dict[str, tuple[str, int]]:
    """Writes two pairs of each row; returns the split and number of each id."""
    expected = {}
    number = 0
    for image, mask, split, name in rows:
        for letter in "ab":
            number += 1
            stem = f"{letter}{number}"
            write_image(root / image.replace("*", stem), number)
            write_mask(root / mask.replace("*", stem), number)
            expected[name.replace("*", stem)] = split, number
    return expected


def read(root: Path, **options) -> dict[str, tuple[str, int]]:
    """Returns split and number of each example, after comparing those of image and mask."""
    dataset = open_dataset(f"folder:{root}", **options)
    found = {}
    for split in dataset.splits:
        for example in dataset.examples(split).as_numpy_iterator():
            number = int((example["label"] == 1).sum())
            np.testing.assert_array_equal(example["label"], mask_of(number))
            assert abs(int(example["image"][0, 0, 0]) - 8 * number - 40) <= 2
            found[example["id"].decode()] = split, number
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_read(tmp_path, name):
    expected = write(tmp_path, LAYOUTS[name])

    found = read(tmp_path)

    assert sorted(found) == sorted(expected)
    assert {key: number for key, (_, number) in found.items()} == {
        key: number for key, (_, number) in expected.items()
    }
    if all(split for split, _ in expected.values()):
        assert found == expected
    else:
        assert {split for split, _ in found.values()} == {"train", "val"}


def notes(root: Path, **options) -> str:
    return "\n".join(find_folder_files(root, options=FolderOptions(**options)).notes)


def refused(root: Path, expected: str, **options) -> None:
    with pytest.raises(ValueError, match=expected):
        open_dataset(f"folder:{root}", **options)


def test_what_was_taken_is_told(tmp_path):
    write(tmp_path, LAYOUTS["split below"])

    assert notes(tmp_path).splitlines()[0] == (
        "Images in images/training/, images/validation/, masks in annotations/training/, "
        "annotations/validation/, splits: train 2, val 2."
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("images/holdout/{}.png", "holdout"),
        ("images/train_old/{}.png", "train_old"),
        ("images/fold1/{}.png", "fold1"),
        ("images/val2/{}.png", "val2"),
        ("images/Unseen/{}.png", "Unseen"),
        ("images/bonn/{}.png", "bonn"),
    ],
)
def test_unknown_folders_beside_splits_are_named(tmp_path, path, name):
    write(tmp_path, [("images/train/*.png", "masks/train/*.png", "train", "*")])
    write(tmp_path, [(path.format("*"), path.format("*").replace("images", "masks"), "", "")])

    refused(tmp_path, f"images/{name}: this folder .*no.*split that is known.*--images")


@pytest.mark.parametrize("name", ["holdout", "fold_1", "set2", "testset_b", "unlabeled"])
def test_folders_that_may_be_splits_are_named_without_known_ones(tmp_path, name):
    write(tmp_path, [(f"images/{name}/*.png", f"masks/{name}/*.png", "", "")])
    write(tmp_path, [("images/more/*.png", "masks/more/*.png", "", "")])

    refused(tmp_path, f"{name}: this folder may be a split")


@pytest.mark.parametrize("layout", ["{}/images/*.png", "{}/*.jpg"])
def test_unknown_folders_above_images_are_named(tmp_path, layout):
    mask = layout.replace("images", "masks").replace(".jpg", "_mask.png")
    for split in ("train", "valid", "extra"):
        write(tmp_path, [(layout.format(split), mask.format(split), "", "")])

    refused(tmp_path, "extra: this folder")


def test_folders_above_images_without_any_split_are_named(tmp_path):
    for site in ("alpha", "beta"):
        write(tmp_path, [(f"{site}/images/*.png", f"{site}/masks/*.png", "", "")])

    refused(tmp_path, "alpha: this folder contains images or masks of its own")


def test_files_beside_folders_of_splits_are_named(tmp_path):
    write(tmp_path, LAYOUTS["split below"])
    write_image(tmp_path / "images" / "stray.png", 9)
    write_mask(tmp_path / "annotations" / "stray.png", 9)

    refused(tmp_path, r"stray\.png: 1 file beside the folders of splits")


@pytest.mark.parametrize("val", ["val/images/*.jpg", "val_images/*.jpg", "val/*.jpg"])
def test_images_without_a_split_beside_some_with_one_are_named(tmp_path, val):
    # Were all split at random, images of val/ would be trained on.
    write(tmp_path, [("images/*.jpg", "masks/*.png", "", "")])
    mask = val.replace("images", "masks") if "images" in val else "val_masks/*.jpg"
    write(tmp_path, [(val, mask.replace(".jpg", ".png"), "", "")])

    refused(tmp_path, r"images/a1\.jpg: this image .* is in no folder of a split")


def test_two_folders_of_one_split_are_named(tmp_path):
    for split in ("train", "val", "dev"):
        write(tmp_path, [(f"images/{split}/*.png", f"masks/{split}/*.png", "", "")])

    refused(tmp_path, "dev: this folder and val are both of the split 'val'")


def test_links_to_folders_are_followed_and_loops_are_not(tmp_path):
    store = tmp_path / "store"
    expected = write(store, LAYOUTS["plain"])
    root = tmp_path / "root"
    root.mkdir()
    (root / "images").symlink_to(store / "images")
    (root / "masks").symlink_to(store / "masks")
    (store / "masks" / "loop").symlink_to(store / "masks")

    assert sorted(read(root)) == sorted(expected)


def test_pictures_beside_the_folders_are_not_read(tmp_path):
    expected = write(tmp_path, LAYOUTS["split below"])
    write_image(tmp_path / "logo.png", 9)
    write_image(tmp_path / "figures" / "a1.png", 9)

    assert read(tmp_path) == expected
    assert "Not read: logo.png." in notes(tmp_path)
    assert "Not read: figures/." in notes(tmp_path)


def test_a_split_in_a_split_is_named(tmp_path):
    write(tmp_path, [("train/test/images/*.png", "train/test/masks/*.png", "", "")])

    refused(tmp_path, "'test' lies in one of the split 'train'")


def test_images_without_masks_in_test_are_left_out(tmp_path):
    expected = write(tmp_path, [("train/*.jpg", "train_masks/*_mask.png", "train", "*")])
    write_image(tmp_path / "test" / "x.jpg", 9)

    assert read(tmp_path) == expected
    assert "1 image of the split 'test' without masks: left out" in notes(tmp_path)


def test_images_without_masks_in_other_splits_are_problems(tmp_path):
    write(tmp_path, [("images/train/*.png", "masks/train/*.png", "train", "*")])
    write_image(tmp_path / "images" / "val" / "x.png", 9)

    refused(tmp_path, r"val/x\.png: there is no mask")


@pytest.mark.parametrize(
    "leftover",
    [
        ".ipynb_checkpoints/a1-checkpoint.png",
        "@eaDir/a1.png",
        "__MACOSX/a1.png",
        ".thumbnails/a1.png",
        "._a1.png",
        "__pycache__/a1.png",
    ],
)
def test_leftovers_are_skipped(tmp_path, leftover):
    expected = write(tmp_path, LAYOUTS["plain"])
    for folder in ("images", "masks"):
        write_image(tmp_path / folder / leftover, 9)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / "images" / name).write_bytes(b"no image")

    assert sorted(read(tmp_path)) == sorted(expected)


def test_what_tools_write_beside_masks_is_no_mask(tmp_path):
    expected = write(tmp_path, LAYOUTS["labelme"])
    for folder in ("SegmentationClassVisualization", "SegmentationObject", "predictions"):
        write_image(tmp_path / folder / "a1.jpg", 9)
    (tmp_path / "SegmentationClass").mkdir()
    np.save(tmp_path / "SegmentationClass" / "a1.npy", mask_of(1))
    (tmp_path / "class_names.txt").write_text("_background_\ncat\n")

    assert sorted(read(tmp_path)) == sorted(expected)
    labels = open_dataset(f"folder:{tmp_path}").labels
    assert labels.class_names == ("_background_", "cat")


def test_of_several_folders_of_masks_one_is_taken_and_the_others_are_told(tmp_path):
    rows = LAYOUTS["Label Studio"]
    expected = write(tmp_path, rows)
    for name, (_, number) in expected.items():
        write_mask(tmp_path / "SegmentationClassAug" / f"{name}.png", number + 9)

    assert sorted(read(tmp_path).items())[0][1][1] == 1
    assert "Masks not read: SegmentationClassAug/" in notes(tmp_path)
    found = read_numbers(tmp_path, mask_files="SegmentationClassAug/*.png")
    assert found == {name: number + 9 for name, (_, number) in expected.items()}


def read_numbers(root: Path, **options) -> dict[str, int]:
    dataset = open_dataset(f"folder:{root}", **options)
    return {
        example["id"].decode(): int((example["label"] == 1).sum())
        for split in dataset.splits
        for example in dataset.examples(split).as_numpy_iterator()
    }


def test_the_train_ids_of_cityscapes_are_taken(tmp_path):
    expected = write(tmp_path, LAYOUTS["Cityscapes"])
    for path in sorted((tmp_path / "gtFine").rglob("*.png")):
        for ending in ("labelIds", "color", "instanceIds"):
            write_mask(path.with_name(path.name.replace("labelTrainIds", ending)), 77)

    assert read(tmp_path) == expected
    assert "Masks not read: *labelids in gtFine/train/bonn/" in notes(tmp_path)


def test_patterns_choose_the_files(tmp_path):
    expected = {}
    for site in ("alpha", "beta"):
        for number in (1, 2):
            write_image(tmp_path / site / "pictures of day" / f"{number}.png", number)
            write_mask(tmp_path / site / "drawn" / f"{number}.png", number)
            write_mask(tmp_path / site / "other" / f"{number}.png", number + 9)
            expected[f"{site}/{number}"] = number
    refused(tmp_path, "alpha|no masks")

    found = read_numbers(
        tmp_path, image_files="*/pictures of day/*.png", mask_files="*/drawn/*.png"
    )

    assert found == expected
    wild = read_numbers(tmp_path, image_files="**/pictures*/*.png", mask_files="**/drawn/*.png")
    assert wild == {
        name.replace("/", "/pictures of day/"): number for name, number in expected.items()
    }


def test_patterns_keep_the_splits(tmp_path):
    for split in ("train", "valid", "holdout"):
        write(tmp_path, [(f"{split}/rgb8/*.png", f"{split}/truth/*.png", "", "")])

    dataset = open_dataset(
        f"folder:{tmp_path}",
        image_files="[tv]*/rgb8/*.png",
        mask_files="[tv]*/truth/*.png",
    )

    assert dict(dataset.splits) == {"train": 2, "val": 2}


def test_the_only_image_and_mask_of_a_folder_with_other_names_do_not_belong_together(tmp_path):
    write(tmp_path, [("images/bonn/*.jpg", "masks/bonn/*.png", "", "")])
    write_image(tmp_path / "images" / "ulm" / "x.jpg", 8)
    write_mask(tmp_path / "masks" / "ulm" / "y.png", 9)

    refused(tmp_path, r"x\.jpg: there is no mask")


def test_equal_names_in_folders_of_other_names_do_not_belong_together(tmp_path):
    write(tmp_path, [("images/bonn/*.jpg", "masks/bonn/*.png", "", "")])
    write(tmp_path, [("images/ulm/*x.jpg", "masks/ulm/*x.png", "", "")])
    write_image(tmp_path / "images" / "bonn" / "c7.jpg", 7)
    write_mask(tmp_path / "masks" / "ulm" / "c7.png", 7)

    refused(tmp_path, r"bonn/c7\.jpg: there is no mask")


@pytest.mark.parametrize("names", [("image", "mask"), ("img", "label"), ("x", "y")])
def test_a_folder_for_each_image(tmp_path, names):
    for number, folder in enumerate(("p", "q", "r"), 1):
        write_image(tmp_path / folder / f"{names[0]}.jpg", number)
        write_mask(tmp_path / folder / f"{names[1]}.png", number)
    options = {} if names[0] != "x" else {"image_files": "*/x.jpg", "mask_files": "*/y.png"}

    found = read(tmp_path, **options)

    assert {name: number for name, (_, number) in found.items()} == {
        f"p/{names[0]}": 1,
        f"q/{names[0]}": 2,
        f"r/{names[0]}": 3,
    }


def test_patterns_may_contain_alternatives(tmp_path):
    for split in ("train", "val", "test2"):
        write(tmp_path, [(f"images/{split}/*.png", f"masks/{split}/*.png", "", "")])
    # The way out of the message about test2.
    patterns = {"image_files": "images/{train,val}/*", "mask_files": "masks/{train,val}/*"}

    assert open_dataset(f"folder:{tmp_path}", **patterns).splits == {"train": 2, "val": 2}
    refused(
        tmp_path,
        r"test2/.*png: this image .* is in no folder of a split",
        image_files="images/*/*.png",
        mask_files="masks/*/*.png",
    )


def test_names_with_composed_and_decomposed_letters_match(tmp_path):
    # macOS writes the umlaut as two characters, others as one.
    for number in (1, 2):
        write_image(tmp_path / "images" / f"Ba\u0308ume{number}.png", number)
        write_mask(tmp_path / "masks" / f"B\u00e4ume{number}.png", number)
    (tmp_path / "train.txt").write_text("B\u00e4ume1\n")
    (tmp_path / "val.txt").write_text("Ba\u0308ume2\n")

    assert sorted(read(tmp_path).values()) == [("train", 1), ("val", 2)]


def test_patterns_may_be_whole_paths(tmp_path):
    expected = write(tmp_path, [("left/*.png", "drawn/*.png", "", "*")])

    found = read_numbers(tmp_path, image_files=f"{tmp_path}/left/*.png", mask_files="./drawn/*.png")
    assert found == {name: number for name, (_, number) in expected.items()}


def test_patterns_that_match_nothing_are_named(tmp_path):
    write(tmp_path, LAYOUTS["plain"])

    refused(
        tmp_path,
        r"no images match nowhere/\*\.png",
        image_files="nowhere/*.png",
        mask_files="no/*.png",
    )


# Lists


@pytest.mark.parametrize("folder", ["", "ImageSets/Segmentation", "ImageSets", "splits"])
@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_lists_give_the_splits(tmp_path, folder, val):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "*")] * 2)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "train.txt").write_text("a1\nb2\n")
    (tmp_path / folder / f"{val}.txt").write_text("a3\n")

    assert read(tmp_path) == {"a1": ("train", 1), "b2": ("train", 2), "a3": ("val", 3)}
    assert "1 image in no list: left out" in notes(tmp_path)


@pytest.mark.parametrize(
    "lines",
    [
        "images/a1.png masks/a1.png\nimages/b2.png masks/b2.png\n",
        "/home/me/set/images/a1.png\n/home/me/set/images/b2.png\n",
        ".\\images\\a1.png\r\n.\\images\\b2.png\r\n",
        "a1.png,a1.png\nb2.png,b2.png\n",
    ],
    ids=["pairs", "absolute", "Windows", "commas"],
)
def test_lines_of_lists_may_be_paths_and_pairs(tmp_path, lines):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "*")] * 2)
    (tmp_path / "train.txt").write_text(lines)
    (tmp_path / "val.txt").write_text("a3\nb4\n")

    assert {name for name, (split, _) in read(tmp_path).items() if split == "train"} == {
        "a1",
        "b2",
    }


def test_lists_that_name_another_mask_than_is_read_are_refused(tmp_path):
    write(
        tmp_path, [("images/*.png", "masks/*.png", "", ""), ("images/*.png", "masks/*.png", "", "")]
    )
    for name in ("a1", "b2", "a3", "b4"):
        write_mask(tmp_path / "labels" / f"{name}.png", 9)
    (tmp_path / "train.txt").write_text(
        "images/a1.png labels/a1.png\nimages/b2.png labels/b2.png\n"
    )
    (tmp_path / "val.txt").write_text("images/a3.png labels/a3.png\n")

    refused(
        tmp_path, r"train\.txt, line 1: the line names the mask 'labels/a1\.png', but .*--masks"
    )

    assert open_dataset(f"folder:{tmp_path}", mask_files="labels/*").splits == {
        "train": 2,
        "val": 1,
    }


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("train.csv", "image,mask,weight\nimages/a1.png,masks/b2.png,1\n"),
        ("train.csv", "image;mask\na1.png;b2.png\n"),
        ("train.csv", ",image,mask\n0,a1.png,b2.png\n"),
        ("train.csv", '"images/a1.png","masks/b2.png"\n'),
        ("train.csv", "mask,image\nb2.png,a1.png\n"),
        ("train.txt", "images/a1.png,\tmasks/b2.png 7\n"),
        ("train.txt", "/home/My Data/x/images/a1.png /home/My Data/x/masks/b2.png\n"),
        ("train.txt", "C:\\My Data\\images\\a1.png C:\\My Data\\masks\\b2.png\n"),
        ("train.txt", "imgs/a1.png annos/b2.png\n"),
    ],
)
def test_lines_that_name_the_mask_of_another_image_are_refused(tmp_path, name, lines):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "")] * 2)
    (tmp_path / name).write_text(lines)
    (tmp_path / "val.txt").write_text("a3\nb4\n")

    refused(tmp_path, rf"{name}, line \d: the line names the mask '[^']*b2\.png', but .*a1\.png")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("train.csv", "id,image_filename,mask_filename\n3,a1.png,a1.png\n4,b2.png,b2.png\n"),
        (
            "train.csv",
            "mask_path,rgb\nmasks/a1.png,images/a1.png\nmasks/b2.png,images/b2.png\n",
        ),
        ("train.csv", "3,a1.png\n4,b2.png\n"),
        ("train.csv", "width,file_name,height\n3,a1,5\n4,b2,5\n"),
        ("train.txt", "/home/My Data/x/images/a1.png\n/home/My Data/x/images/b2.png\n"),
        ("train.txt", "'images/a1.png' 'masks/a1.png'\n'images/b2.png' 'masks/b2.png'\n"),
        ("train.txt", "a1 1\nb2 -1\n"),
    ],
)
def test_images_are_found_in_the_columns_of_lists(tmp_path, name, lines):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "*")] * 2)
    for number in (3, 4, 5):  # what a column of numbers would name
        write_mask(tmp_path / "masks" / f"{number}.png", 0)
        write_mask(tmp_path / "images" / f"{number}.png", 0)
    (tmp_path / name).write_text(lines)
    (tmp_path / "val.txt").write_text("a3\nb4\n")

    dataset = open_dataset(f"folder:{tmp_path}")

    ids = {example["id"].decode() for example in dataset.examples("train").as_numpy_iterator()}
    assert ids == {"a1", "b2"}


def test_names_with_spaces_are_not_read_as_their_last_words(tmp_path):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "")] * 2)
    (tmp_path / "train.txt").write_text("a1.png\nmy b2.png\nb2 old.png\n")
    (tmp_path / "val.txt").write_text("a3\nb4\n")

    refused(tmp_path, "line 2: there is no image 'my b2.png'")


def test_lists_with_a_column_of_other_splits_are_refused(tmp_path):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "")] * 2)
    (tmp_path / "train.csv").write_text("image,split\na1.png,train\nb2.png,valid\n")
    (tmp_path / "val.txt").write_text("a3\n")

    refused(tmp_path, r"train\.csv, line 3: the line is of the split 'val'")


@pytest.mark.parametrize("line", ["missing.png", "missing.png,x.png", '"a1.png,a1.png'])
def test_a_first_line_that_names_a_picture_is_no_heading(tmp_path, line):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "")] * 2)
    (tmp_path / "train.csv").write_text(f"{line}\nb2.png\n")
    (tmp_path / "val.csv").write_text("name\na3.png\n")

    refused(tmp_path, r"train\.csv, line 1: there is no image ")


def test_a_list_without_images_is_named(tmp_path):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "")] * 2)
    (tmp_path / "train.txt").write_text("a1\n")
    (tmp_path / "val.txt").write_text("\n")

    refused(tmp_path, r"val\.txt: the list of the split 'val' names no image")


def test_a_list_that_names_masks_of_other_names_says_the_way_out(tmp_path):
    write_mask(tmp_path / "images" / "a.png", 0)
    write_mask(tmp_path / "masks" / "mask_of_a.png", 1)
    (tmp_path / "train.csv").write_text("image,mask\nimages/a.png,masks/mask_of_a.png\n")

    refused(tmp_path, r"a\.png: there is no mask .*The list names 'masks/mask_of_a\.png'.*rename")


@pytest.mark.parametrize(
    "name", ["splits.pkl", "train.parquet", "split.npz", "folds.xlsx", "dev.db"]
)
def test_files_that_cannot_be_read_and_may_say_the_split_are_named(tmp_path, name):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "")] * 2)
    (tmp_path / name).write_bytes(b"\x80\x04\x00")

    refused(tmp_path, rf"{name}: the file may say in which split .* train\.txt and val\.txt")


@pytest.mark.parametrize("name", ["train", "train.jsonl", "split.xml", "val.toml"])
def test_texts_of_other_formats_that_may_say_the_split_are_named(tmp_path, name):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "")] * 2)
    (tmp_path / name).write_text('{"x": "a1.png"}\n<y>b2</y>\n')

    refused(tmp_path, rf"{name}: the file names 2 images and may say in which split")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"file": "a1.png", "x": "train"}\n{"file": "b2.png", "x": "val"}\n'),
        ("meta.tsv", "name\tis_valid\na1.png\tTrue\nb2.png\tFalse\n"),
        ("dataset.json", '[{"id": "a1", "split": 0}, {"id": "b2", "split": 1}]'),
    ],
)
def test_tables_that_say_the_split_of_images_are_named(tmp_path, name, text):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "")] * 2)
    (tmp_path / name).write_text(text)

    refused(tmp_path, rf"{name}: the file names 2 images and may say in which split")


def test_tables_about_images_without_splits_are_no_problem(tmp_path):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "*")] * 2)
    (tmp_path / "metadata.jsonl").write_text('{"file": "a1.png", "train": 1}\n{"file": "b2.png"}\n')

    assert len(read(tmp_path)) == 4


@pytest.mark.parametrize("name", ["train.py", "train.log", "best.h5"])
def test_programs_beside_the_images_are_no_splits(tmp_path, name):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "*")] * 2)
    (tmp_path / name).write_text("a1.png b2.png\n")

    assert len(read(tmp_path)) == 4


def test_lists_of_unknown_splits_are_named(tmp_path):
    write(tmp_path, LAYOUTS["plain"])
    (tmp_path / "holdout.txt").write_text("a1\n")

    refused(
        tmp_path, r"holdout\.txt: the file lists images, and its name is that of no known split"
    )


def test_lists_that_name_all_images_or_lie_beside_folders_of_splits_are_not_read(tmp_path):
    expected = write(tmp_path / "all", LAYOUTS["plain"])
    (tmp_path / "all" / "files.txt").write_text("".join(f"{name}.jpg\n" for name in expected))
    assert "Not read: files.txt." in notes(tmp_path / "all")

    expected = write(tmp_path / "ADE", LAYOUTS["split below"])
    (tmp_path / "ADE" / "sceneCategories.txt").write_text("a1 bedroom\nb2 bar\na3 bar\n")
    assert read(tmp_path / "ADE") == expected
    assert "Not read: sceneCategories.txt." in notes(tmp_path / "ADE")


def test_lists_of_one_folder_are_read(tmp_path):
    # VOC's Main/ lists other images; `train_aug.txt` may be meant, or not.
    write(tmp_path, [("JPEGImages/*.jpg", "SegmentationClass/*.png", "", "*")] * 2)
    lists = {"Main/train": "a3\n", "Main/val": "b4\n", "Main/cat_train": "a3 1\n"}
    lists |= {"Segmentation/train": "a1\n", "Segmentation/val": "b2\n"}
    for name, text in lists.items():
        path = tmp_path / "ImageSets" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert read(tmp_path) == {"a1": ("train", 1), "b2": ("val", 2)}
    assert "Not read: ImageSets/Main/train.txt." in notes(tmp_path)

    folder = tmp_path / "ImageSets" / "Segmentation"
    (folder / "train.txt").rename(folder / "train_aug.txt")
    refused(tmp_path, r"Main/train\.txt: the list of the split 'train' is in another folder")
    (tmp_path / "ImageSets" / "Main" / "train.txt").unlink()
    refused(tmp_path, r"train_aug\.txt: the file lists images, and there is no list of .*'train'")


def test_lists_in_other_folders_count_too(tmp_path):
    # As the Oxford pets: annotations/trainval.txt and annotations/test.txt beside the masks.
    rows = [("images/*.jpg", "annotations/trimaps/*.png", "", "*")] * 3
    write(tmp_path, rows)
    (tmp_path / "annotations" / "list.txt").write_text("#Image CLASS\n" + "a1 1 1\nb2 1 1\n")
    (tmp_path / "annotations" / "trainval.txt").write_text("a1 1\nb2 1\na3 1\nb4 1\n")
    (tmp_path / "annotations" / "test.txt").write_text("a5 1 1\nb6 1 1\n")

    found = read(tmp_path)

    assert {name for name, (split, _) in found.items() if split == "test"} == {"a5", "b6"}
    assert sorted(split for split, _ in found.values()) == [*["test"] * 2, *["train"] * 3, "val"]


def test_the_default_list_of_cvat_is_split(tmp_path):
    expected = write(tmp_path, LAYOUTS["Label Studio"] * 2)
    folder = tmp_path / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    (folder / "default.txt").write_text("".join(f"{name}\n" for name in expected))
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\na:0,0,0::\nb:200,0,0::\n"
    )

    found = read(tmp_path)

    assert sorted(split for split, _ in found.values()) == ["train", "train", "train", "val"]
    assert open_dataset(f"folder:{tmp_path}").labels.class_names == ("a", "b")


def test_what_may_be_a_table_is_mentioned(tmp_path):
    write(tmp_path, LAYOUTS["plain"])
    (tmp_path / "my legend.csv").write_text("0,sky\n1,car\n")
    assert "Not used: my legend.csv. If it is the table of classes, call it classes.csv" in notes(
        tmp_path
    )

    (tmp_path / "classes.txt").write_text("a\nb\n")
    (tmp_path / "labels.txt").write_text("c\nd\n")
    assert "Classes: classes.txt." in notes(tmp_path)
    assert "Not used: labels.txt, another table." in notes(tmp_path)


def test_a_table_in_an_encoding_of_one_language_is_mentioned(tmp_path):
    write(tmp_path, LAYOUTS["plain"])
    (tmp_path / "classes.txt").write_bytes("жизнь\nдля\n".encode("cp1251"))
    assert "classes.txt is not in UTF-8 and was read as Western Windows: æèçíü" in notes(tmp_path)

    (tmp_path / "classes.txt").write_text("жизнь\nдля\n", "utf-8")
    assert "UTF-8" not in notes(tmp_path)


def test_tables_beside_the_images_of_splits_must_agree(tmp_path):
    write(tmp_path, LAYOUTS["side by side in splits"])
    for split in ("train", "valid", "test"):
        (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n0, a\n1, b\n")
    assert open_dataset(f"folder:{tmp_path}").labels.class_names == ("a", "b")

    (tmp_path / "valid" / "_classes.csv").write_text("Pixel Value, Class\n1, a\n0, b\n")
    refused(tmp_path, r"valid/_classes\.csv: the table gives other classes than")


def test_lists_with_a_heading(tmp_path):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "*")] * 2)
    (tmp_path / "train.csv").write_text("image,mask\na1.png,a1.png\nb2.png,b2.png\n")
    (tmp_path / "val.csv").write_text("image,mask\na3.png,a3.png\n")

    assert {name: split for name, (split, _) in read(tmp_path).items()} == {
        "a1": "train",
        "b2": "train",
        "a3": "val",
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("splits.json", '{"train": ["a1", "b2"], "val": ["a3"]}'),
        ("folds.csv", "image,fold\na1.png,0\nb2.png,1\n"),
        ("train_test_split.yaml", "train: [a1, b2]\n"),
    ],
)
def test_files_that_may_say_the_split_are_named(tmp_path, name, text):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "*")] * 2)
    (tmp_path / name).write_text(text)

    refused(tmp_path, rf"{name}: the file (names 2|names 3|lists) ?images")


def test_other_texts_are_no_lists(tmp_path):
    expected = write(tmp_path, LAYOUTS["plain"])
    (tmp_path / "README.txt").write_text("These are my photos.\n")
    (tmp_path / "requirements.txt").write_text("numpy\n")

    assert sorted(read(tmp_path)) == sorted(expected)


def test_an_image_in_two_lists_is_named(tmp_path):
    write(tmp_path, LAYOUTS["plain"])
    (tmp_path / "train.txt").write_text("a1\nb2\n")
    (tmp_path / "val.txt").write_text("b2\n")

    refused(tmp_path, r"val\.txt, line 1: 'b2' is also in the list of the split 'train'")


def test_lists_that_contradict_folders_are_named(tmp_path):
    write(tmp_path, LAYOUTS["split below"])
    (tmp_path / "train.txt").write_text("a1\na3\n")

    refused(tmp_path, r"train\.txt, line 2: 'a3' lies in a folder of the split 'val'")


# One mask per class


def write_class_masks(root: Path, pattern: str) -> None:
    (root / "classes.txt").write_text("background\ncat\nbig dog\n")
    for number, name in enumerate(("p", "q", "r"), 1):
        write_image(root / "images" / f"{name}.jpg", number)
        cat, dog = np.zeros((2, 16, 16), np.uint8)
        cat[:number], dog[10:] = 255, 255
        for word, mask in (("cat", cat), ("big_dog", dog)):
            path = root / "masks" / pattern.format(image=name, name=word)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)


@pytest.mark.parametrize(
    "pattern",
    [
        "{image}_{name}.png",
        "{image}-{name}.png",
        "{image}/{name}.png",
        "{name}/{image}.png",
        "{name}_{image}.png",
        "{image}_{name}_mask.png",
        "{name}/{image}_mask.png",
        "{name}_masks/{image}.png",
    ],
)
def test_one_mask_per_class_is_read_by_the_table(tmp_path, pattern):
    write_class_masks(tmp_path, pattern)
    dataset = open_dataset(f"folder:{tmp_path}")

    found = {
        example["id"].decode(): np.bincount(example["label"].reshape(-1), minlength=256)
        for split in dataset.splits
        for example in dataset.examples(split).as_numpy_iterator()
    }

    assert sorted(found) == ["p", "q", "r"]
    for number, name in enumerate("pqr", 1):
        # Rows 0 to number - 1 are the cat, 10 to 15 the dog, the others background.
        assert found[name][:3].tolist() == [16 * (10 - number), 16 * number, 16 * 6]
    assert "'background'" in " ".join(dataset.notes)


def test_images_in_which_one_class_only_has_a_mask(tmp_path):
    write_class_masks(tmp_path, "{name}/{image}.png")
    (tmp_path / "masks" / "big_dog" / "p.png").unlink()

    dataset = open_dataset(f"folder:{tmp_path}")
    labels = {
        example["id"].decode(): np.unique(example["label"]).tolist()
        for split in dataset.splits
        for example in dataset.examples(split).as_numpy_iterator()
    }

    assert labels == {"p": [0, 1], "q": [0, 1, 2], "r": [0, 1, 2]}

    (tmp_path / "masks" / "cat" / "p.png").unlink()
    refused(tmp_path, r"p\.jpg: there is no mask .* needs one that is empty")


def test_palettes_of_a_class_whose_first_color_is_not_black(tmp_path):
    write_class_masks(tmp_path, "{image}_{name}.png")
    path = tmp_path / "masks" / "p_cat.png"
    with Image.open(path) as stored:
        inverted = Image.fromarray(1 - np.asarray(stored) // 255)
    inverted.putpalette([255, 255, 255, 0, 0, 0])
    inverted.save(path)

    labels = {
        example["id"].decode(): example["label"]
        for split in ("train", "val")
        for example in open_dataset(f"folder:{tmp_path}").examples(split).as_numpy_iterator()
    }

    assert (labels["p"][0] == 1).all() and (labels["p"][1:10] == 0).all()


def test_masks_per_class_without_a_table_say_so(tmp_path):
    write_class_masks(tmp_path, "{image}_{name}.png")
    (tmp_path / "classes.txt").unlink()

    refused(tmp_path, r"there is no mask of that name.*masks per class\?.*classes\.txt")


def test_pixels_of_two_classes_are_refused(tmp_path):
    write_class_masks(tmp_path, "{image}_{name}.png")
    both = np.full((16, 16), 255, np.uint8)
    Image.fromarray(both).save(tmp_path / "masks" / "p_cat.png")

    with pytest.raises(Exception, match="96 of its pixels are in the mask of another class"):
        read_numbers(tmp_path)


def test_smoothed_masks_of_a_class_are_refused(tmp_path):
    write_class_masks(tmp_path, "{image}_{name}.png")
    smooth = np.repeat(np.array([0, 90, 255, 255], np.uint8), 64).reshape(16, 16)
    Image.fromarray(smooth).save(tmp_path / "masks" / "p_cat.png")

    refused(tmp_path, r"p_cat\.png: the mask of one class must have two values")


# Labels that are no masks


@pytest.mark.parametrize(
    ("path", "text", "tool"),
    [
        ("labels/a.txt", "0 0.1 0.2 0.3 0.2 0.3 0.4\n", "yolo"),
        ("labels/train/a.txt", "3 0.5 0.5 0.25 0.125\n", "yolo"),
        ("annotations/instances.json", '{"images": [], "annotations": []}', "coco"),
        ("images/a.json", '{"version": "5", "shapes": []}', "labelme"),
        ("export.json", '[{"id": 1, "annotations": [{"from_name": "x"}]}]', "labelstudio"),
        ("annotations.xml", "<?xml version='1.0'?><annotations></annotations>", "cvat"),
    ],
)
def test_polygons_point_to_the_import(tmp_path, path, text, tool):
    write_image(tmp_path / "images" / "a.jpg", 1)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)

    refused(tmp_path, f"keras-fcn datasets import --from {tool} {tmp_path} --output FOLDER")


def test_label_maps_in_arrays_are_named(tmp_path):
    write_image(tmp_path / "images" / "a.jpg", 1)
    (tmp_path / "masks").mkdir()
    np.save(tmp_path / "masks" / "a.npy", mask_of(1))

    refused(tmp_path, r"a\.npy: label maps in \.npy files are not read.*PNG")


def test_pictures_among_masks_are_named_with_the_way_out(tmp_path):
    expected = write(tmp_path, LAYOUTS["plain"])
    write_mask(tmp_path / "masks" / "a1_view.png", 9)

    refused(tmp_path, r"a1_view\.png: there is no image of that name.*--masks GLOB")
    found = read_numbers(tmp_path, mask_files="masks/[ab][0-9].png")
    assert found == {name: number for name, (_, number) in expected.items()}


def test_images_without_any_masks_say_how_to_choose(tmp_path):
    write_image(tmp_path / "images" / "a.jpg", 1)

    refused(tmp_path, "1 images .*no masks that are recognized.*--images")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train", (None, "", "train")),
        ("VALIDATION", (None, "", "val")),
        ("train-masks", ("mask", "masks", "train")),
        ("masks_train", ("mask", "masks", "train")),
        ("imagestrain", ("image", "images", "train")),
        ("test_set", (None, "", "test")),
        ("leftImg8bit", ("image", "leftimg8bit", None)),
        ("SegmentationClassAug", ("mask", "segmentationclassaug", None)),
        ("train1", None),
        ("train_val", None),
        ("holdout", None),
        ("traininglog", None),
        ("bonn", None),
    ],
)
def test_words_of_folders(name, expected):
    assert parse_folder(name) == expected


@pytest.mark.parametrize("ending", ["instanceIds", "color"])
def test_masks_of_cityscapes_that_are_no_label_maps_are_named(tmp_path, ending):
    for name in ("a", "b"):
        write_mask(tmp_path / f"leftImg8bit/train/x/{name}_leftImg8bit.png", 0)
        write_mask(tmp_path / f"gtFine/train/x/{name}_gtFine_{ending}.png", 1)

    refused(tmp_path, rf"a_gtFine_{ending}\.png contains instances or colors.*_labelTrainIds")


def test_masks_of_one_name_in_two_folders_are_named(tmp_path):
    for name in ("a", "b"):
        for folder in ("img", "masks_human", "masks_machine"):
            write_mask(tmp_path / "x" / folder / f"{name}.png", 1)

    refused(tmp_path, r"Several folders .*masks_human/ and masks_machine/.*--masks GLOB")


def test_files_of_formats_that_are_not_read_are_named(tmp_path):
    write(tmp_path, [("images/*.png", "masks/*.png", "", "")] * 2)
    (tmp_path / "images" / "e.heic").write_bytes(b"x")
    write_mask(tmp_path / "masks" / "e.png", 1)

    refused(tmp_path, r"masks/e\.png: .*e\.heic is of a format that is not read: convert it")


def test_a_split_without_any_masks_is_named(tmp_path):
    for name in ("a", "b"):
        write_mask(tmp_path / "images" / "train" / f"{name}.png", 0)
        write_mask(tmp_path / "masks" / "train" / f"{name}.png", 1)
    write_mask(tmp_path / "images" / "val" / "c.png", 0)

    refused(tmp_path, r"val/c\.png: .*No image of the split 'val' has a mask\. Add them, or move")
