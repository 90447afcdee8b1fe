"""The interface of a dataset."""

import subprocess
import sys

import numpy as np
import pytest

from keras_fcn import LabelSpec
from keras_fcn.data.parallel import parallel_map
from keras_fcn.datasets import DATASET_NAMES, from_arrays, open_dataset


def test_examples_of_different_sizes_keep_their_order():
    sizes = [(4, 6), (3, 3), (9, 2)]
    examples = [
        {"image": np.full((*size, 3), i, np.uint8), "label": np.zeros(size, np.uint8)}
        for i, size in enumerate(sizes)
    ]
    dataset = from_arrays("mine", LabelSpec.numbered(2), {"val": examples})

    read = list(dataset.examples("val").as_numpy_iterator())

    assert [e["image"].shape[:2] for e in read] == sizes
    assert [e["id"] for e in read] == [b"val/0", b"val/1", b"val/2"]
    assert dataset.examples("val").cardinality() == 3
    assert dataset.splits == {"val": 3}


def test_further_inputs_and_several_label_maps_are_examples_too():
    size = (4, 6)
    example = {
        "image": np.zeros((*size, 3), np.uint8),
        "depth": np.ones((*size, 1), np.uint16),
        "label": {"semantic": np.zeros(size, np.uint8), "geometric": np.ones(size, np.uint8)},
    }
    labels = {"semantic": LabelSpec.numbered(33), "geometric": LabelSpec.numbered(3)}
    dataset = from_arrays("mine", labels, {"train": [example]})

    (read,) = dataset.examples("train").as_numpy_iterator()

    assert read["depth"].dtype == np.uint16
    np.testing.assert_array_equal(read["label"]["geometric"], np.ones(size))
    assert dataset.modalities == ("rgb", "depth")
    with pytest.raises(ValueError, match="'mine' has no modality 'hha'. It has: rgb"):
        dataset.check_modalities(["depth", "hha"])


def test_unknown_split_names_those_there_are():
    dataset = open_dataset("sample")

    with pytest.raises(ValueError, match=r"no split 'tset'.*train \(1000\), val \(100\)"):
        dataset.examples("tset")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("voc2021", "Unknown dataset 'voc2021'. Did you mean voc201"),
        ("folder", "folder:PATH for your own images"),
        ("camvid:x", "Unknown dataset 'camvid:x'. Expected one of: sample, sample_rgbd, "),
        ("", "Unknown dataset ''"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name, expected):
    with pytest.raises(ValueError, match=expected):
        open_dataset(name)


def test_source_is_refused_where_it_has_no_meaning(tmp_path):
    with pytest.raises(ValueError, match="`source` has no meaning for 'sample'"):
        open_dataset("sample", tmp_path)


def test_tfds_is_imported_only_for_sets_that_it_prepares():
    code = (
        "import sys; from keras_fcn.datasets import open_dataset; open_dataset('sample');"
        "assert 'tensorflow_datasets' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
    assert "camvid" in DATASET_NAMES


def test_parallel_map_keeps_order_and_does_not_run_far_ahead():
    started = []

    def double(number: int) -> int:
        started.append(number)
        return 2 * number

    results = parallel_map(double, range(100), ahead=4)

    assert next(results) == 0
    assert len(started) <= 5
    assert list(results) == [2 * number for number in range(1, 100)]


def test_parallel_map_raises_what_the_function_raises():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda number: 1 // number, [1, 0, 2]))
