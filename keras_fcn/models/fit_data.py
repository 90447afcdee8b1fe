"""What `fit` of a network checks of its first batch."""

import sys
import warnings
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any

import keras
import numpy as np

from keras_fcn.labels import Heads, LabelSpec

Look = Callable[[Any, Any], None]


def check_class_weight(arguments: dict[str, Any]) -> None:
    """Raises ValueError if `fit` is given `class_weight`, which is an argument of the loss."""
    if arguments.get("class_weight") is not None:
        raise ValueError(
            "`class_weight` of `fit` must be None: Keras cannot apply it to label maps. Give the "
            "factors to the loss, one per class: "
            "`keras_fcn.losses.PixelwiseCrossentropy(class_weights=[...])`."
        )


def watched(x: Any, y: Any, batch_size: int | None, look: Look) -> tuple[Any, Any]:
    """Returns the data of `fit` after, or so that, `look` is called with its first batch.

    Args:
        x: As for `fit`: arrays, a `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator. Data
            of other kinds are not looked at.
        y: The labels, if they are not in `x`.
        batch_size: As for `fit`.
        look: Called with the images and labels of a batch, as NumPy arrays.
    """
    tf = sys.modules.get("tensorflow")  # which a dataset of its own has imported
    if tf is not None and isinstance(x, tf.data.Dataset):
        return _watched_dataset(x, look), y
    if isinstance(x, GeneratorType):
        return _watched_generator(x, look), y
    if isinstance(x, keras.utils.PyDataset):
        _look_at(x[0], look)
    elif y is not None:
        size = batch_size or 32
        _look_at(keras.tree.map_structure(lambda array: array[:size], (x, y)), look)
    return x, y


def _watched_dataset(dataset: Any, look: Look) -> Any:
    import tensorflow as tf

    spec = dataset.element_spec
    has_labels = isinstance(spec, tuple) and len(spec) >= 2
    if not has_labels or not all(isinstance(s, tf.TensorSpec) for s in tf.nest.flatten(spec)):
        return dataset
    looked: list[bool] = []

    def first(*tensors: np.ndarray) -> np.ndarray:
        if not looked:  # not in later epochs
            looked.append(True)
            look(*tf.nest.pack_sequence_as(spec[:2], list(tensors)))
        return np.zeros((), "int32")

    def same(index: Any, batch: Any) -> Any:
        tensors = tf.nest.flatten(batch[:2])
        done = tf.cond(
            tf.equal(index, 0),
            lambda: tf.numpy_function(first, tensors, tf.int32),
            lambda: tf.zeros((), tf.int32),
        )
        with tf.control_dependencies([done]):
            return tf.nest.map_structure(tf.identity, batch)

    return dataset.enumerate().map(same)


def _watched_generator(batches: Iterator[Any], look: Look) -> Iterator[Any]:
    # `fit` wants a generator.
    for index, batch in enumerate(batches):
        if index == 0:
            _look_at(batch, look)
        yield batch


def _look_at(batch: Any, look: Look) -> None:
    if isinstance(batch, tuple | list) and len(batch) >= 2:
        look(*keras.tree.map_structure(keras.ops.convert_to_numpy, tuple(batch[:2])))


def warn_of_batch(images: Any, labels: Any, heads: Heads, *, expects_bytes: bool) -> None:
    """Warns if a batch looks as if its images or labels were prepared for another network.

    Args:
        images: Images, an array or the only one of a structure.
        labels: Labels, with several heads a dictionary of them.
        heads: The classes of each head.
        expects_bytes: Whether the network takes colors of 0..255.
    """
    image = np.asarray(keras.tree.flatten(images)[0])
    if expects_bytes and image.dtype.kind == "f" and image.size:
        low, high = image.min(), image.max()
        if -1 <= low <= high <= 1 and low < high:
            warnings.warn(
                f"The images in the first batch of `fit` are in [{low:g}, {high:g}]. The network "
                "expects colors of 0..255 and normalizes them itself: pass the images as they "
                "are in their files, not divided by 255.",
                stacklevel=2,
            )
    if heads.is_named and not isinstance(labels, dict):
        return
    for head, label in heads.by_name(labels).items():
        if head in heads and (text := _one_class(np.asarray(label), heads[head])):
            of_head = f" for {head!r}" if heads.is_named else ""
            warnings.warn(f"The labels{of_head} in the first batch of `fit` {text}", stacklevel=2)


def _one_class(label: np.ndarray, spec: LabelSpec) -> str | None:
    """Returns the end of a warning if, of two classes, one is left beside the ignored label."""
    values = np.unique(label).tolist() if spec.num_classes == 2 else []
    ignored = spec.ignore_class
    if len(values) != 2 or values[1] != ignored or values[0] not in (0, 1):
        return None
    low = int(values[0])
    return (
        f"are {low} and {ignored} only. {ignored} means ignored, so one class is left, {low}, and "
        "a network that predicts nothing else gets a mean IoU of 1. If "
        f"{ignored} marks the second class, as in black-and-white masks, change it to "
        f"{1 - low}: `np.where(labels == {ignored}, {1 - low}, labels)`."
    )
