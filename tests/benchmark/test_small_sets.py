import numpy as np
import pytest
import tifffile
from keras_fcn_benchmark.small_sets import write_bands, write_binary, write_nyu40, write_photos
from PIL import Image

from keras_fcn.datasets import open_dataset

FRAMES = ("0001", "0002", "0009", "0014", "0015", "0016", "0017", "0018")


@pytest.fixture
def nyud(tmp_path):
    """NYUDv2's frames, 4 pixels each."""
    deep, wide = tmp_path / "nyud" / "rgbd_hha_label13", tmp_path / "nyud" / "rgb_label40"
    for folder in (deep, wide):
        folder.mkdir(parents=True)
    for name in FRAMES:
        rgb = np.full((2, 2, 3), [10, 20, 30], "uint8")
        Image.fromarray(rgb).save(deep / f"img_{name}.png")
        Image.fromarray(np.full((2, 2), 7000, "uint16")).save(deep / f"depth_{name}.png")
        Image.fromarray(np.full((2, 2, 3), [1, 2, 3], "uint8")).save(deep / f"hha_{name}.png")
        labels = np.array([[0, 4], [13, 12]], "uint8")
        Image.fromarray(labels).save(deep / f"label13_{name}.png")
    for name in ("5", "6", "7"):
        Image.fromarray(rgb).save(wide / f"{name}.png")
        mask = np.array([[0, 39], [19, 255]], "uint8")
        Image.fromarray(mask).save(wide / f"{name}_mask.png")
    return tmp_path / "nyud"


@pytest.fixture
def devkit(tmp_path):
    """VOCdevkit with an image of a dog for each split, and a larger one of a chair before it."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name, label, width in (("a", 9, 6), ("b", 12, 4), ("c", 12, 4)):
        Image.new("RGB", (width, 3)).save(root / "JPEGImages" / f"{name}.jpg")
        labels = np.full((3, width), label, "uint8")
        labels[0, :2] = 0, 255
        Image.fromarray(labels).save(root / "SegmentationClass" / f"{name}.png")
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("a\nb\n")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nc\n")
    return root.parent


def labels_in(dataset, split):
    return [np.array(example["label"]) for example in dataset.examples(split)]


def test_bands_are_colors_depth_and_height(nyud, tmp_path):
    write_bands(nyud, tmp_path / "bands")

    bands = tifffile.imread(tmp_path / "bands" / "train" / "images" / "0009.tif")
    assert (bands.dtype, bands.shape) == (np.uint16, (2, 2, 5))
    assert bands[1, 0].tolist() == [10, 20, 30, 7000, 2]
    dataset = open_dataset(f"folder:{tmp_path / 'bands'}", channels=5)
    assert dict(dataset.splits) == {"train": 6, "val": 2}
    assert dataset.labels.class_names[:2] == ("bed", "books")
    # 0 is void, 4 the chair, which is the fourth class.
    assert labels_in(dataset, "val")[0].tolist() == [[255, 3], [12, 11]]


def test_binary_masks_are_of_0_and_255(devkit, tmp_path):
    write_binary(devkit, tmp_path / "binary")

    mask = np.asarray(Image.open(tmp_path / "binary" / "train" / "masks" / "b.png"))
    assert mask.tolist() == [[0, 128, 255, 255]] + [[255] * 4] * 2
    dataset = open_dataset(f"folder:{tmp_path / 'binary'}")
    assert dict(dataset.splits) == {"train": 1, "val": 1}
    assert dataset.labels.class_names == ("background", "alive")
    assert labels_in(dataset, "val")[0].tolist() == [[0, 255, 1, 1]] + [[1] * 4] * 2


def test_each_frame_of_40_classes_is_left_out_once(nyud, tmp_path):
    write_nyu40(nyud, tmp_path / "nyu40")

    folds = sorted((tmp_path / "nyu40").iterdir())
    left_out = [[path.stem for path in fold.glob("val/images/*")] for fold in folds]
    assert left_out == [["5"], ["6"], ["7"]]
    dataset = open_dataset(f"folder:{folds[0]}")
    assert dict(dataset.splits) == {"train": 2, "val": 1}
    names = dataset.labels.class_names
    assert (len(names), names[0], names[19], names[39]) == (40, "wall", "floor mat", "other prop")
    assert labels_in(dataset, "val")[0].tolist() == [[0, 39], [19, 255]]


def test_photos_are_large_and_their_masks_sharp(devkit, tmp_path):
    write_photos(devkit, tmp_path / "photos")

    with Image.open(tmp_path / "photos" / "train" / "images" / "b.jpg") as image:
        size = image.size
    mask = np.asarray(Image.open(tmp_path / "photos" / "train" / "masks" / "b.png"))
    assert (size, mask.shape) == ((4000, 3000), (3000, 4000))
    assert np.unique(mask).tolist() == [0, 12, 255]
    assert (mask[:1000, 1000:2000] == 255).all()
