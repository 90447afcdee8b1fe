"""A picture of what is in a data set."""

from pathlib import Path

import tensorflow as tf

from keras_fcn.datasets.base import SegmentationDataset
from keras_fcn.labels import LabelSpec
from keras_fcn.visualization import save_gallery


def save_examples(
    dataset: SegmentationDataset,
    path: str | Path,
    split: str = "train",
    num_examples: int = 12,
) -> Path:
    """Writes a PNG of examples spread over a split: images beside their masks, with a legend.

    Args:
        dataset: The data set, with one label map an image.
        path: The PNG to write.
        split: One of its splits.
        num_examples: How many to show, at most.

    Returns:
        `path`.

    Raises:
        ValueError: If there is no such split, or `num_examples` is below 1.
    """
    if num_examples < 1:
        raise ValueError(f"`num_examples` must be at least 1. Received: {num_examples}.")
    if not isinstance(dataset.labels, LabelSpec):
        raise ValueError(f"{dataset.name!r} has several label maps an image; one can be shown.")
    dataset.check_split(split)
    count = dataset.splits[split]
    shown = min(num_examples, count)
    chosen = tf.constant([position * count // shown for position in range(shown)], tf.int64)
    examples = (
        dataset.records(split)
        .enumerate()
        .filter(lambda position, _: tf.reduce_any(chosen == position))
        .map(lambda _, record: dataset.decode(record))
    )
    held = list(examples.as_numpy_iterator())
    return save_gallery(
        path,
        [(example["image"], example["label"]) for example in held],
        dataset.labels,
        titles=("image", "mask"),
        captions=[example["id"].decode() for example in held],
        examples_per_line=2,
    )
