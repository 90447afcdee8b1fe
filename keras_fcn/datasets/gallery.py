"""A picture of examples of a dataset."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_fcn.data.bands import picture_of
from keras_fcn.data.dataset import IMAGE_KEYS, SegmentationDataset
from keras_fcn.visualization import save_gallery


def save_examples(
    dataset: SegmentationDataset,
    path: str | Path,
    split: str = "train",
    num_examples: int = 12,
) -> Path:
    """Writes a PNG of examples spread over a split: images beside their masks, with a legend.

    All modalities and the label maps of all heads are shown; in depth images, near pixels are
    bright.

    Args:
        dataset: The dataset.
        path: The PNG to write.
        split: One of its splits.
        num_examples: Largest number of examples.

    Returns:
        `path`.

    Raises:
        ValueError: If there is no such split, or `num_examples` is below 1.
    """
    if num_examples < 1:
        raise ValueError(f"`num_examples` must be at least 1. Received: {num_examples}.")
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
    heads = dataset.heads
    images = [IMAGE_KEYS[name] for name in dataset.modalities or ("rgb",)]
    read = list(examples.as_numpy_iterator())
    rows = [
        [_picture(key, example[key]) for key in images]
        + [heads.by_name(example["label"])[head] for head in heads]
        for example in read
    ]
    return save_gallery(
        path,
        rows,
        list(heads.values()),
        titles=[*images, *(heads if heads.is_named else ("mask",))],
        captions=[example["id"].decode() for example in read],
        examples_per_line=2 if len(rows[0]) == 2 else 1,
    )


def _picture(key: str, image: np.ndarray) -> np.ndarray:
    """Returns RGB unchanged; bands as `picture_of` shows them; of depth the disparity in gray."""
    if key != "depth" and image.dtype != np.uint8:
        return picture_of(image.astype(np.float32))
    if key != "depth":
        return image
    disparity = np.where(image > 0, 1000 / np.maximum(image, 1), 0.0)
    gray = np.rint(255 * disparity / max(disparity.max(), 1e-9)).astype(np.uint8)
    return np.repeat(gray, 3, axis=-1)
