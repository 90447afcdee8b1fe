"""A dataset of one pixel row per image, for the studies."""

import numpy as np

from keras_fcn import LabelSpec
from keras_fcn.datasets import from_arrays

SPEC = LabelSpec(("background", "cat", "dog"))
IMAGE = np.full((1, 4, 3), 9, "uint8")
LABEL = np.array([[0, 1, 2, 255]], "uint8")


def dataset_of(num_train):
    one = {"image": IMAGE, "label": LABEL}
    return from_arrays("tiny", SPEC, {"train": [one] * num_train, "val": [one]})
