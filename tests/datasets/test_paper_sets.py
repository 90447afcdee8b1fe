"""NYUDv2, SIFT Flow, PASCAL-Context and seg11valid, on tiny folders in their layouts."""

import re
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from keras_fcn.data.hha import encode_hha
from keras_fcn.data.image_io import read_depth, read_image
from keras_fcn.datasets import open_dataset
from keras_fcn.datasets.checks import check
from keras_fcn.datasets.gallery import save_examples
from keras_fcn.datasets.nyudv2.unpacking import unpack
from keras_fcn.datasets.pascal_context.pascal_context_dataset_builder import Builder as Context
from keras_fcn.datasets.tfds_reader import find_source_files

from . import devkits


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "prepared"


def by_id(dataset, split):
    return {e["id"].decode(): e for e in dataset.examples(split).as_numpy_iterator()}


# NYUDv2


@pytest.fixture
def nyudv2(tmp_path):
    lists = {"train": ["5003"], "val": ["5010", "5011"], "test": ["5001"]}
    return devkits.write_nyudv2(tmp_path / "nyud", lists)


def test_nyudv2_is_read_as_it_was_written(nyudv2, data_dir):
    dataset = open_dataset("nyudv2", nyudv2, data_dir)

    # As the papers do, it is trained on train and val.
    assert dataset.splits == {"trainval": 3, "test": 1}
    assert dataset.modalities == ("rgb", "hha", "depth")
    assert dataset.labels.class_names[0] == "wall"
    assert dataset.labels.num_classes == 40
    examples = by_id(dataset, "trainval")
    assert sorted(examples) == ["5003", "5010", "5011"]
    for id_, example in examples.items():
        np.testing.assert_array_equal(example["image"], devkits.photo(int(id_)))
        np.testing.assert_array_equal(example["hha"], devkits.photo(50 + int(id_)))
        np.testing.assert_array_equal(example["depth"][..., 0], devkits.depth(int(id_)))
        assert example["depth"].dtype == np.uint16
        # 1..40 become 0..39, and void 0 becomes 255.
        np.testing.assert_array_equal(example["label"], devkits.labels(int(id_), [255, 0, 39]))


def test_nyudv2_without_hha_makes_it_of_the_depth(nyudv2, data_dir):
    shutil.rmtree(nyudv2 / "data" / "hha")
    with pytest.raises(
        ValueError, match=r"img_5003\.png: the camera is known for images of 640x480"
    ):
        open_dataset("nyudv2", nyudv2, data_dir)

    # The reference's size: rows 46 to 470 and columns 41 to 600 of the camera's 480x640.
    size = (425, 560)
    rows, columns = np.mgrid[: size[0], : size[1]]
    millimeters = (2000 + rows + 2 * columns).astype(np.uint16)
    for id_ in ("5001", "5003", "5010", "5011"):
        Image.fromarray(millimeters).save(nyudv2 / "data" / "depth" / f"img_{id_}.png")
        photo = Image.new("RGB", size[::-1], (9, 9, 9))
        photo.save(nyudv2 / "data" / "images" / f"img_{id_}.png")
        devkits.savemat(
            nyudv2 / "segmentation" / f"img_{id_}.mat", {"segmentation": np.ones(size, np.uint8)}
        )
    for name in ("val", "test"):
        (nyudv2 / f"{name}.txt").unlink()
    (example,) = by_id(open_dataset("nyudv2", nyudv2, data_dir), "trainval").values()

    camera = [[518.8579, 0, 325.58245 - 40], [0, 519.46961, 253.73617 - 45], [0, 0, 1]]
    np.testing.assert_array_equal(example["hha"], encode_hha(millimeters / 1000, camera))


def test_nyudv2_that_lacks_files_says_which(nyudv2, data_dir, tmp_path):
    (nyudv2 / "segmentation" / "img_5010.mat").unlink()
    with pytest.raises(ValueError, match="the lists name 5010, which has no labels. Is the folder"):
        open_dataset("nyudv2", nyudv2, data_dir)

    with pytest.raises(ValueError, match="No NYUDv2 of 13 classes found in"):
        open_dataset("nyudv2_13", nyudv2, data_dir)


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (b"no MATLAB file", r"img_5003\.mat: not a MATLAB file with the label map 'segmentation'"),
        ({"labels": np.zeros((2, 2))}, r"img_5003\.mat: not a MATLAB file with the label map"),
        ({"segmentation": np.full((20, 30), 41)}, r"labels must be in \[0, 40\).*Received: 40"),
        ({"segmentation": np.full((20, 30), 894)}, r"labels must be in \[-1, 255\]"),
    ],
)
def test_broken_label_maps_are_named(nyudv2, contents, expected):
    path = nyudv2 / "segmentation" / "img_5003.mat"
    if isinstance(contents, bytes):
        path.write_bytes(contents)
    else:
        devkits.savemat(path, contents)

    problems = [str(problem) for problem in check("nyudv2", nyudv2).problems if problem.severe]

    assert len(problems) == 1
    assert re.search(expected, problems[0])


def test_depth_of_8_bits_is_refused(nyudv2):
    Image.new("L", (30, 20), 7).save(nyudv2 / "data" / "depth" / "img_5003.png")

    (problem,) = [str(problem) for problem in check("nyudv2", nyudv2).problems if problem.severe]

    assert "img_5003.png: depth must be a gray image of 16 bits" in problem


def write_nyus_own_files(folder):
    """Writes frames of 480x640 as NYU publishes them: HDF5, axes reversed, 894 labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 480, 640, 3), dtype=np.uint8)
    meters = 1 + np.arange(3 * 480 * 640, dtype=np.float32).reshape(3, 480, 640) / 250_000
    numbers = np.zeros((3, 480, 640), np.uint16)
    numbers[:, 100:] = 894
    numbers[:, 200:] = 3
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = images.transpose(0, 3, 2, 1)
        file["depths"] = meters.transpose(0, 2, 1)
        file["labels"] = numbers.transpose(0, 2, 1)
    devkits.savemat(folder / "splits.mat", {"trainNdxs": [[1], [3]], "testNdxs": [[2]]})
    mapping = np.full((1, 894), 40)
    mapping[0, 3 - 1] = 5
    devkits.savemat(folder / "classMapping40.mat", {"mapClass": mapping})
    return images, meters


def test_nyus_own_files_become_a_source(tmp_path):
    images, meters = write_nyus_own_files(tmp_path)
    target = tmp_path / "unpacked"

    assert unpack(tmp_path, target) == 3
    builder, splits = find_source_files("nyudv2", target)

    assert {split: list(found) for split, found in splits.items()} == {
        "trainval": ["5001", "5003"],
        "test": ["5002"],
    }
    files = splits["test"]["5002"]
    np.testing.assert_array_equal(read_image(files["image"]), images[1])
    np.testing.assert_allclose(read_depth(files["depth"]), 1000 * meters[1], atol=0.51)
    label = builder.read_label(files["label"])
    # Void, then label 894 of class 40, then label 3 of class 5.
    assert [set(np.unique(rows)) for rows in np.split(label, [100, 200])] == [{255}, {39}, {4}]


def test_missing_or_other_files_of_nyu_are_named(tmp_path):
    write_nyus_own_files(tmp_path)
    (tmp_path / "nyu_depth_v2_labeled.mat").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="labeled.mat: not a MATLAB file of version 7.3"):
        unpack(tmp_path, tmp_path / "unpacked")
    assert not list((tmp_path / "unpacked").glob("*.txt"))

    (tmp_path / "splits.mat").unlink()
    with pytest.raises(
        ValueError, match=r"splits\.mat is missing. Expected in the source: nyu_dep"
    ):
        unpack(tmp_path, tmp_path / "unpacked")


@pytest.mark.parametrize(
    ("name", "modalities", "count", "size"),
    [
        ("nyudv2", ("rgb",), 5, (468, 625)),
        ("nyudv2_13", ("rgb", "hha", "depth"), 8, (480, 640)),
    ],
)
def test_real_samples_of_nyudv2_are_read(shared_data, data_dir, name, modalities, count, size):
    dataset = open_dataset(name, shared_data / "NYUDv2_sample", data_dir)

    assert dataset.splits == {"trainval": count}
    assert dataset.modalities == modalities
    for example in dataset.examples("trainval").as_numpy_iterator():
        assert example["image"].shape == (*size, 3)
        used = np.unique(example["label"][example["label"] != 255])
        assert used.max() < dataset.labels.num_classes
        assert len(used) >= 4
        if "hha" in modalities:
            # The set's HHA images are of its depth maps: disparity is 310 over meters.
            meters = example["depth"][..., 0] / 1000
            expected = np.clip(310 / np.maximum(meters, 1), 0, 255)
            assert np.abs(example["hha"][..., 0] - expected).max() < 2


# SIFT Flow


@pytest.fixture
def siftflow(tmp_path):
    # The first two are in the reference's list of test images; nobody labeled the last.
    ids = ["coast_natu975", "highway_gre141", "coast_bea1", "coast_bea9", "highway_bost181"]
    return devkits.write_siftflow(tmp_path / "SiftFlowDataset", ids)


def test_siftflow_has_two_label_maps(siftflow, data_dir):
    dataset = open_dataset("siftflow", siftflow.parent, data_dir)

    assert dataset.splits == {"train": 2, "test": 2}
    assert {head: spec.num_classes for head, spec in dataset.labels.items()} == {
        "semantic": 33,
        "geometric": 3,
    }
    assert dataset.labels["semantic"].unscored == ("cow", "desert", "moon")
    test = by_id(dataset, "test")
    assert sorted(test) == ["coast_natu975", "highway_gre141"]
    label = test["highway_gre141"]["label"]
    np.testing.assert_array_equal(label["semantic"], devkits.labels(1, [255, 0, 32]))
    np.testing.assert_array_equal(label["geometric"], devkits.labels(1, [255, 0, 2]))
    assert dataset.labels["semantic"].class_names[32] == "window"
    assert dataset.labels["geometric"].class_names == ("sky", "horizontal", "vertical")


def test_siftflow_takes_the_test_list_beside_the_images(siftflow):
    (siftflow / "test.txt").write_text("coast_bea9\n")

    _, splits = find_source_files("siftflow", siftflow)

    assert list(splits["test"]) == ["coast_bea9"]
    assert list(splits["train"]) == ["coast_bea1", "coast_natu975", "highway_gre141"]


def test_every_label_map_is_checked(siftflow):
    (semantic,) = siftflow.glob("SemanticLabels/*/coast_bea1.mat")
    (geometric,) = siftflow.glob("GeoLabels/*/coast_bea9.mat")
    devkits.savemat(semantic, {"S": np.full((20, 30), 34)})
    devkits.savemat(geometric, {"S": np.ones((3, 3))})

    report = check("siftflow", siftflow)

    assert [(p.file, p.text[:25]) for p in report.problems if p.severe] == [
        (str(semantic), "labels must be in [0, 33)"),
        (str(geometric), "the mask is 3x3, its imag"),
    ]
    assert any(p.file == "test (geometric)" and "horizontal" in p.text for p in report.problems)
    # Of each map in test a third is void, a third the first class, a third the last.
    for head, last in (("semantic", 32), ("geometric", 2)):
        pixels = report.counts[head].pixels["test"]
        assert pixels[[0, last, -1]].tolist() == [400, 400, 400]
        assert pixels.sum() == 1200


# PASCAL-Context

# aeroplane, table, bedclothes, cloth, wood, sky, ceiling, unknown, and nothing at all.
NUMBERS = [2, 397, 19, 80, 458, 360, 68, 431, 0]
# Their positions in the lists of the authors and the reference.
CONTEXT = {
    "59": [0, 10, 51, 27, 58, 49, 26, 255, 255],
    "60": [1, 11, 52, 28, 59, 50, 27, 0, 0],
    "33": [0, 10, 255, 255, 255, 20, 32, 255, 255],
}


@pytest.fixture
def context(tmp_path):
    lists = {"train": ["1", "2"], "val": ["3"]}
    return devkits.write_pascal_context(tmp_path / "context", lists, NUMBERS)


def test_pascal_context_is_read_as_it_was_written(context, data_dir):
    dataset = open_dataset("pascalcontext", context, data_dir)

    assert dataset.splits == {"train": 2, "val": 1}
    assert dataset.labels.class_names[:2] == ("background", "aeroplane")
    (example,) = by_id(dataset, "val").values()
    path = context / "VOCdevkit" / "VOC2010" / "JPEGImages" / "3.jpg"
    np.testing.assert_array_equal(example["image"], read_image(path))
    expected = np.resize(np.array(CONTEXT["60"], np.uint8), devkits.PHOTO_SIZE)
    np.testing.assert_array_equal(example["label"], expected)


@pytest.mark.parametrize("variant", CONTEXT)
def test_label_maps_of_pascal_context_become_classes(context, data_dir, variant):
    builder = Context(config=variant, data_dir=data_dir)

    label = builder.read_label(context / "trainval" / "1.mat")

    assert label.reshape(-1)[: len(NUMBERS)].tolist() == CONTEXT[variant]
    names = builder.labels.class_names
    assert len(names) == int(variant)
    for name in ("aeroplane", "diningtable", "sky", "ceiling"):
        known = {"aeroplane": 2, "diningtable": 397, "sky": 360, "ceiling": 68}
        assert names.index(name) == CONTEXT[variant][NUMBERS.index(known[name])]


def test_the_59_classes_are_those_of_other_code():
    from keras_fcn.datasets.pascal_context import pascal_context_dataset_builder as module

    # The numbers in labels.txt as PyTorch-Encoding and MXNetSeg list them.
    listed = (
        "2 259 260 415 324 9 258 144 18 19 22 23 397 25 284 158 159 416 33 162 420 454 295 296 427 "
        "44 45 46 308 59 440 445 31 232 65 354 424 68 326 72 458 34 207 80 355 85 347 220 349 360 "
        "98 187 104 105 366 189 368 113 115"
    )
    labels = module._label_of_number("59")

    assert sorted(np.flatnonzero(labels != 255)) == sorted(int(n) for n in listed.split())


@pytest.mark.parametrize(("variant", "expected"), [("59", 57), ("60", 58), ("33", 32)])
def test_pascal_context_reads_the_authors_png_files(context, data_dir, variant, expected):
    shutil.rmtree(context / "trainval")
    folder = context / f"{min(int(variant), 59)}_context_labels"
    folder.mkdir()
    # 0 is what belongs to no class; the classes count from 1.
    mask = np.full(devkits.PHOTO_SIZE, 58 if variant != "33" else 33, np.uint8)
    mask[0] = 0
    Image.fromarray(mask).save(folder / "3.png")
    builder = Context(config=variant, data_dir=data_dir)

    files = builder.find_files([context], variant)["val"]["3"]
    label = builder.read_label(files["label"])

    assert set(np.unique(label[1:])) == {expected}
    assert set(np.unique(label[0])) == {0 if variant == "60" else 255}


def test_pascal_context_without_labels_says_what_was_expected(context, data_dir):
    shutil.rmtree(context / "trainval")

    with pytest.raises(ValueError, match=r"No label maps of PASCAL-Context \(trainval/ID\.mat\)"):
        open_dataset("pascalcontext59", context, data_dir)


# seg11valid


def test_seg11valid_is_vocs_val_without_sbds_train(tmp_path, data_dir):
    devkit = devkits.write_voc(tmp_path / "VOC2011", {"train": ["1"], "val": ["2", "3", "4"]})
    devkits.write_sbd(tmp_path, {"train": ["3", "7"], "val": ["2", "8"]})
    devkits.write_sbd_images(tmp_path, ["7"])

    dataset = open_dataset("voc2011_sbd", devkit, data_dir)

    assert dataset.splits == {"train": 2, "val": 2}
    train, val = by_id(dataset, "train"), by_id(dataset, "val")
    assert (sorted(train), sorted(val)) == (["3", "7"], ["2", "4"])
    # SBD's masks to train, VOC's to validate.
    np.testing.assert_array_equal(train["3"]["label"], devkits.labels(3, [0, 7, 12]))
    np.testing.assert_array_equal(val["4"]["label"], devkits.labels(4, [0, 5, 20, 255]))
    np.testing.assert_array_equal(train["3"]["image"], read_image(devkit / "JPEGImages" / "3.jpg"))
    own = tmp_path / "benchmark_RELEASE" / "dataset" / "img" / "7.jpg"
    np.testing.assert_array_equal(train["7"]["image"], read_image(own))


# Pictures of sets with several images and label maps


def test_gallery_shows_every_image_and_label_map(tmp_path):
    rgbd = save_examples(open_dataset("sample_rgbd"), tmp_path / "rgbd.png", "val", 2)
    maps = save_examples(open_dataset("sample_geometric"), tmp_path / "maps.png", "val", 2)
    plain = save_examples(open_dataset("sample"), tmp_path / "plain.png", "val", 1)

    rgbd_width, maps_width, plain_width = (read_image(p).shape[1] for p in (rgbd, maps, plain))
    cell = 320 + 8
    # color, HHA, depth, mask; color, two masks; color, mask.
    assert rgbd_width - plain_width == 2 * cell
    assert maps_width - plain_width == cell
