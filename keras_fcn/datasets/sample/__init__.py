"""The built-in sample dataset: shapes over textures, generated from a seed, without a download.

A class is a shape. Textures and colors are drawn from the same distribution
for every class and for the background, so that a pixel's color does not
depend on its class: a network has to use the outlines. `scenes` defines the objects, `rendering`
draws them. `sample_rgbd` adds the images of a depth camera, `sample_geometric` a second, coarser
label map.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.data.dataset import Example, SegmentationDataset
from keras_fcn.data.hha import encode_hha
from keras_fcn.datasets.sample.rendering import camera_matrix, render, render_depth
from keras_fcn.datasets.sample.scenes import SHAPES, random_scene
from keras_fcn.labels import Heads, LabelSpec

SPLITS = {"train": 1000, "val": 100}

DESCRIPTION = (
    "Generated images of discs, rings, squares, triangles, crosses and stars over textures, with "
    "a 255 outline around each object. Colors do not depend on the class. Five image sizes."
)

# Whether an object's outline is curved: the classes of a second head.
OUTLINES = ("background", "curved", "straight")
_OUTLINE_OF = {"disc": "curved", "ring": "curved"}


def sample_dataset(seed: int = 0) -> SegmentationDataset:
    """Returns the sample dataset of a seed.

    An image is drawn when it is read, in about 2 ms. It is the same, bit for bit, for the same
    seed, split and position.

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


def open_sample(name: str, seed: int = 0) -> SegmentationDataset:
    """Returns `sample`, `sample_rgbd` or `sample_geometric`."""
    makers = {
        "sample": sample_dataset,
        "sample_rgbd": sample_rgbd_dataset,
        "sample_geometric": sample_geometric_dataset,
    }
    return makers[name](seed)


def sample_rgbd_dataset(seed: int = 0) -> SegmentationDataset:
    """Returns the sample dataset with a depth camera: examples also have `depth` and `hha`.

    Images and labels are those of `sample_dataset`. The objects stand in a room: its floor and
    wall are in the depth maps, but not in the RGB images.

    Example:
        >>> example = next(iter(sample_rgbd_dataset().examples("val")))
        >>> example["depth"].shape, example["hha"].shape
        (TensorShape([96, 128, 1]), TensorShape([96, 128, 3]))
    """
    plain = sample_dataset(seed)

    def decode(record: Example) -> Example:
        depth, hha = tf.numpy_function(
            partial(_draw_depth, seed),
            [record["split"], record["position"]],
            (tf.uint16, tf.uint8),
            stateful=False,
        )
        return {
            **plain.decode(record),
            "depth": tf.ensure_shape(depth, (None, None, 1)),
            "hha": tf.ensure_shape(hha, (None, None, 3)),
        }

    return replace(
        plain,
        name="sample_rgbd",
        decode=decode,
        description=f"{DESCRIPTION} With depth maps, and HHA images made of them.",
        modalities=("rgb", "hha", "depth"),
    )


def sample_geometric_dataset(seed: int = 0) -> SegmentationDataset:
    """Returns the sample dataset with two label maps, `semantic` and `geometric`.

    The geometric classes are whether an object's outline is curved or straight.

    Example:
        >>> dataset = sample_geometric_dataset()
        >>> {head: spec.num_classes for head, spec in dataset.labels.items()}
        {'semantic': 7, 'geometric': 3}
        >>> sorted(next(iter(dataset.examples("val")))["label"])
        ['geometric', 'semantic']
    """
    plain = sample_dataset(seed)
    spec = plain.heads[Heads.ONLY]
    outlines = [_OUTLINE_OF.get(shape, "straight") for shape in SHAPES]
    geometric = np.full(256, spec.ignore_class, np.uint8)
    geometric[: 1 + len(SHAPES)] = [0, *(OUTLINES.index(outline) for outline in outlines)]

    def decode(record: Example) -> Example:
        example = plain.decode(record)
        semantic = example["label"]
        label = tf.gather(tf.constant(geometric), tf.cast(semantic, tf.int32))
        return {**example, "label": {"semantic": semantic, "geometric": label}}

    return replace(
        plain,
        name="sample_geometric",
        labels={"semantic": spec, "geometric": LabelSpec(OUTLINES)},
        decode=decode,
        description=f"{DESCRIPTION} With a second label map: curved or straight outlines.",
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


def _draw_depth(seed: int, split: int, position: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the depth map in millimeters and its HHA image."""
    scene = random_scene((seed, int(split), int(position)))
    depth = render_depth(scene)
    # A room's camera is level: gravity need not be found.
    hha = encode_hha(depth, camera_matrix(scene.size), gravity=(0, 1, 0))
    return np.rint(depth * 1000).astype(np.uint16)[..., None], hha
