"""The built-in sample set: shapes over textures, generated from a seed, nothing to download.

A class is a shape. Textures and colours are drawn from the same distribution
for every class and for the background, so that a pixel's colour says nothing
about its class: a network has to look at outlines. `scenes` says what there
is to see, `rendering` draws it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.datasets.base import Example, SegmentationDataset
from keras_fcn.datasets.sample.rendering import render
from keras_fcn.datasets.sample.scenes import SHAPES, random_scene
from keras_fcn.labels import LabelSpec

SPLITS = {"train": 1000, "val": 100}

DESCRIPTION = (
    "Generated images of discs, rings, squares, triangles, crosses and stars over textures, with "
    "a 255 outline around each object. The class cannot be told from colour. Five image sizes."
)


def sample_dataset(seed: int = 0) -> SegmentationDataset:
    """Returns the sample set of a seed.

    An image is drawn when it is read, in about 2 ms, and always the same for
    the same seed, split and position, bit for bit.

    Args:
        seed: Seed of all scenes, at least 0; different seeds share no image.

    Example:
        >>> dataset = sample_dataset()
        >>> dataset.labels.class_names
        ('background', 'disc', 'ring', 'square', 'triangle', 'cross', 'star')
        >>> next(iter(dataset.examples("val")))["image"].shape
        TensorShape([96, 128, 3])
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be a whole number, at least 0. Received: seed={seed!r}.")
    return SegmentationDataset(
        name="sample",
        labels=LabelSpec(("background", *SHAPES)),
        splits=SPLITS,
        records=_records,
        decode=_decoder(partial(_draw, seed)),
        description=DESCRIPTION,
    )


def _records(split: str) -> tf.data.Dataset:
    ids = tf.constant([f"{split}/{position:04d}" for position in range(SPLITS[split])])
    number = list(SPLITS).index(split)
    return (
        tf.data.Dataset.from_tensor_slices(ids)
        .enumerate()
        .map(lambda position, id_: {"id": id_, "split": number, "position": position})
    )


def _decoder(draw: Callable[..., Any]) -> Callable[[Example], Example]:
    def decode(record: Example) -> Example:
        image, label = tf.numpy_function(
            draw, [record["split"], record["position"]], (tf.uint8, tf.uint8), stateful=False
        )
        return {
            "image": tf.ensure_shape(image, (None, None, 3)),
            "label": tf.ensure_shape(label, (None, None)),
            "id": record["id"],
        }

    return decode


def _draw(seed: int, split: int, position: int) -> tuple[np.ndarray, np.ndarray]:
    return render(random_scene((seed, int(split), int(position))))
