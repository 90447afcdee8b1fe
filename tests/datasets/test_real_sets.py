"""The real data that lie beside the project: what is read has the published counts."""

import numpy as np
import pytest

from keras_fcn.data.image_io import decode_image, read_image
from keras_fcn.datasets import open_dataset
from keras_fcn.datasets.tfds_reader import find_source_files


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


@pytest.mark.parametrize(
    ("name", "folder", "expected"),
    [
        ("camvid", "CamVid", {"train": 367, "val": 101}),
        ("voc2012", "VOCdevkit", {"train": 440, "val": 150}),
        ("voc2012_aug", "VOCdevkit/VOC2012", {"train": 860, "val": 150}),
    ],
)
def test_splits_have_the_expected_sizes(shared_data, name, folder, expected):
    _, splits = find_source_files(name, shared_data / folder)

    found = {split: len(files) for split, files in splits.items() if split != "test"}
    assert found == expected


def test_camvid_is_prepared(shared_data, data_dir):
    dataset = open_dataset("camvid", shared_data / "CamVid", data_dir)

    assert (dataset.splits["train"], dataset.splits["val"]) == (367, 101)
    example = next(dataset.examples("val").as_numpy_iterator())
    assert example["image"].shape == (360, 480, 3)
    assert set(np.unique(example["label"])) <= {*range(11), 255}


@pytest.mark.full
def test_voc2012_part_is_prepared(shared_data, data_dir):
    dataset = open_dataset("voc2012", shared_data / "VOCdevkit", data_dir)

    assert dataset.splits == {"train": 440, "val": 150}
    assert sum(1 for _ in dataset.examples("train")) == 440


@pytest.mark.full
def test_photographs_decode_alike_with_pillow_and_tensorflow(shared_data):
    for path in sorted((shared_data / "VOCdevkit/VOC2012/JPEGImages").glob("*.jpg"))[::20]:
        assert (decode_image(path.read_bytes()).numpy() == read_image(path)).all()
