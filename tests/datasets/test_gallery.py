"""The gallery shows examples of the whole split, image beside mask."""

import numpy as np
import pytest
from PIL import Image

from keras_fcn import LabelSpec
from keras_fcn.datasets import from_arrays
from keras_fcn.datasets.gallery import save_examples

SPEC = LabelSpec(("background", "thing"), ((0, 0, 0), (200, 0, 0)))


def dataset_of(count: int):
    examples = [
        {"image": np.full((30, 40, 3), i, np.uint8), "label": np.full((30, 40), i % 2, np.uint8)}
        for i in range(count)
    ]
    return from_arrays("tiny", SPEC, {"train": examples})


def test_gallery_spreads_over_the_split(tmp_path):
    path = save_examples(dataset_of(100), tmp_path / "page.png", num_examples=4)

    shown = np.asarray(Image.open(path).convert("RGB"))
    # Of 100 examples, number 0, 25, 50 and 75 are shown; image i has the color (i, i, i).
    for number in (0, 25, 50, 75):
        assert (shown == number).all(axis=-1).any()
    assert not (shown == 1).all(axis=-1).any()
    assert (shown == (200, 0, 0)).all(axis=-1).any()


def test_small_split_is_shown_whole(tmp_path):
    assert save_examples(dataset_of(2), tmp_path / "page.png", num_examples=9).is_file()


def test_errors_say_what_there_is(tmp_path):
    with pytest.raises(ValueError, match=r"no split 'val'.*train \(2\)"):
        save_examples(dataset_of(2), tmp_path / "page.png", "val")
    with pytest.raises(ValueError, match="`num_examples` must be at least 1"):
        save_examples(dataset_of(2), tmp_path / "page.png", num_examples=0)
