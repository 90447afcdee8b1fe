"""A picture of what is in a dataset."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.data.dataset import IMAGE_KEYS, SegmentationDataset
from keras_fcn.labels import Labels, LabelSpec
from keras_fcn.visualization import save_gallery


def save_examples(
    dataset: SegmentationDataset,
    path: str | Path,
    split: str = "train",
    num_examples: int = 12,
) -> Path:
    """Writes a PNG of examples spread over a split: images beside their masks, with a legend.

    Images of every kind and label maps of every head are shown; of depth, the nearer the brighter.

    Args:
        dataset: The dataset.
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
    labels = dataset.labels
    kinds = [IMAGE_KEYS[name] for name in dataset.modalities]
    return save_gallery(
        path,
        [
            [_picture(kind, e[kind]) for kind in kinds] + _label_maps(e["label"], labels)
            for e in held
        ],
        list(dataset.heads.values()),
        titles=[*kinds, *(("mask",) if isinstance(labels, LabelSpec) else labels)],
        captions=[example["id"].decode() for example in held],
        examples_per_line=2 if kinds == ["image"] and isinstance(labels, LabelSpec) else 1,
    )


def _label_maps(label: Any, labels: Labels) -> list[np.ndarray]:
    return [label] if isinstance(labels, LabelSpec) else [label[head] for head in labels]


def _picture(kind: str, image: np.ndarray) -> np.ndarray:
    """Returns an image as it is; of a depth map, the disparity as a gray picture."""
    if kind != "depth":
        return image
    disparity = np.where(image > 0, 1000 / np.maximum(image, 1), 0.0)
    gray = np.rint(255 * disparity / max(disparity.max(), 1e-9)).astype(np.uint8)
    return np.repeat(gray, 3, axis=-1)
