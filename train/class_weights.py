"""Weights of the classes in the loss, from how often they occur."""

import numpy as np
import tensorflow as tf

from keras_fcn.datasets import Example, SegmentationDataset


def count_classes(
    dataset: SegmentationDataset, split: str, limit: int | None = None
) -> dict[str, np.ndarray]:
    """Returns by head the number of pixels of each class in a split, int64, `(num_classes,)`.

    Args:
        dataset: The dataset; every mask of the split is read.
        split: One of its splits.
        limit: Number of examples to count, from the first; `None` counts all.
    """
    heads = dataset.heads

    def count(example: Example) -> dict[str, tf.Tensor]:
        return {head: _counted(label) for head, label in heads.by_name(example["label"]).items()}

    examples = dataset.examples(split).take(-1 if limit is None else limit)
    counts = list(examples.map(count, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator())
    return {
        head: np.sum([count[head] for count in counts], axis=0)[: spec.num_classes]
        for head, spec in heads.items()
    }


def _counted(label: tf.Tensor) -> tf.Tensor:
    """Returns how often each label 0..255 occurs."""
    pixels = tf.reshape(tf.cast(label, tf.int32), (-1,))
    return tf.math.bincount(pixels, minlength=256, maxlength=256, dtype=tf.int64)


def balanced_weights(counts: np.ndarray, exponent: float) -> list[float]:
    """Returns one weight a class, its share of the pixels to the power of `-exponent`.

    They are scaled so that a pixel has weight 1 on average, which keeps the
    size of the loss and so the fitting learning rate. Classes that do not
    occur get 1.

    Args:
        counts: Number of pixels of each class.
        exponent: 0 weighs all pixels alike, 1 all classes alike.

    >>> balanced_weights(np.array([90, 10, 0]), exponent=1.0)
    [0.5555555555555556, 5.0, 1.0]
    """
    if not counts.sum():
        raise ValueError("The training split holds no labeled pixel: every label is ignored.")
    present = counts > 0
    share = counts / counts.sum()
    weights = np.ones(len(counts))
    weights[present] = share[present] ** -exponent
    weights[present] /= np.sum(share[present] * weights[present])
    return [float(weight) for weight in weights]
