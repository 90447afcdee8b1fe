"""Batches for training and evaluation, from a segmentation dataset.

Training batches are a function of the seed and the step: every random number is made
from (seed, epoch, position in the epoch), so that neither the number of
threads nor an interruption changes them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.data.augmentation import BANDS, Augmentation, augment, keep_cells
from keras_fcn.data.dataset import IMAGE_KEYS, SegmentationDataset

# Decoded examples are kept in memory up to this many bytes in all.
CACHE_BYTES = 2 * 2**30

# Images of one size are evaluated in batches of up to this many pixels: with 21 classes, their
# logits take 340 MiB.
EVALUATION_PIXELS = 2**22

# The images of an example by modality, and its label maps by head.
_Pair = tuple[dict[str, Any], dict[str, Any]]


def training_batches(
    dataset: SegmentationDataset,
    split: str = "train",
    *,
    batch_size: int,
    augmentation: Augmentation | None = None,
    crop_size: tuple[int, int] | None = None,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
    replacement: bool = False,
    limit: int | None = None,
    shard: tuple[int, int] = (0, 1),
    cache_bytes: int = CACHE_BYTES,
    modalities: Sequence[str] = (),
    loss_share: float = 1.0,
    cell_size: int = 32,
) -> tf.data.Dataset:
    """Returns the batches of all epochs, one after the other without end.

    An epoch is `steps_per_epoch` batches: every example once, in a new order,
    without the last ones that do not fill a batch. A split smaller than a
    batch is gone through several times.

    The split is read once, now. Decoded examples are kept in memory if they fit
    `cache_bytes`; else the records are (paths, encoded images), which are decoded
    again in each epoch. The batches are the same.

    Args:
        dataset: The dataset.
        split: One of its splits.
        batch_size: Examples in a batch, over all replicas and shards.
        augmentation: What may happen to an example; `None` for nothing but the crop.
        crop_size: Height and width of the images in pixels. `None` keeps
            images whole, padded at the bottom and right to the largest of the
            batch, with 0 in the image and `ignore_class` in the labels.
        seed: Seed of the order and the augmentation.
        start_step: Number of batches to leave out, for a training that resumes at that step.
        shuffle: Whether each epoch has a new order, else the order of the split.
        replacement: Whether examples are drawn at random with replacement, as
            in the reference, instead of once per epoch.
        limit: Number of examples to keep, from the first; `None` keeps all.
        shard: `(index, count)`: this process' part of each batch, and how many
            parts there are. The parts of a batch, joined, are the batch.
        cache_bytes: Memory that decoded examples may take.
        modalities: Modalities, of `"rgb"`, `"hha"` and `"depth"`, one after the other along the
            channels, as `FCN` takes them. Empty for `image` unchanged: RGB, or any other
            number of bands.
        loss_share: Share of the cells whose labels are kept, chosen anew for each image; the
            others get `ignore_class` (`keep_cells`). 1 keeps all.
        cell_size: Pixels along each side of such a cell.

    Returns:
        A `tf.data.Dataset` of `(images, labels)`: uint8, shapes
        `(batch, height, width, 3)` and `(batch, height, width)`. Labels are
        a dictionary if those of the dataset are. Images of another number of
        channels in all are float32; of bands NaN where there is no data, such as outside the
        image.

    Raises:
        ValueError: If an argument is out of range, there is no such split, or the examples
            have no such modality.

    Example:
        >>> from keras_fcn.datasets import open_dataset
        >>> dataset = open_dataset("sample")
        >>> batches = training_batches(dataset, batch_size=4, crop_size=(96, 96), limit=8)
        >>> images, labels = next(iter(batches))
        >>> images.shape, labels.shape
        (TensorShape([4, 96, 96, 3]), TensorShape([4, 96, 96]))
    """
    num_steps = steps_per_epoch(dataset, split, batch_size, limit=limit)
    _check_training_arguments(batch_size, crop_size, seed, start_step, shard)
    if not 0 < loss_share <= 1:
        raise ValueError(f"`loss_share` must be in (0, 1]. Received: loss_share={loss_share}.")
    _check_at_least("cell_size", cell_size, 1)
    dataset.check_modalities(modalities)
    heads = dataset.heads
    ignored = {head: spec.ignore_class for head, spec in heads.items()}
    fetch = _random_access(dataset, split, limit, cache_bytes, modalities)
    key = tf.constant([seed % 2**31, seed // 2**31], tf.int32)

    def order_of_epoch(epoch: Any) -> tf.data.Dataset:
        indices = _order(
            num_examples=_num_examples(dataset, split, limit),
            length=num_steps * batch_size,
            key=_fold(key, 0, epoch) if shuffle or replacement else None,
            replacement=replacement,
        )
        positions = tf.reshape(tf.range(num_steps * batch_size), (num_steps, shard[1], -1))
        # A resumed training starts inside its first epoch.
        first_step = tf.where(epoch == start_step // num_steps, start_step % num_steps, 0)
        mine = tf.reshape(positions[first_step:, shard[0]], (-1,))
        return tf.data.Dataset.from_tensor_slices((mine, tf.gather(indices, mine))).map(
            lambda position, index: (_fold(key, 1, epoch, position), index)
        )

    def example(draw: Any, index: Any) -> tuple[Any, Any]:
        images, labels = fetch(index)
        if not (augmentation is None and crop_size is None):
            images, labels = augment(images, labels, draw, crop_size, ignored, augmentation)
        if loss_share < 1:
            labels = keep_cells(labels, _fold(draw, 0), loss_share, cell_size, ignored)
        return _joined(images, modalities), heads.unwrapped(labels)

    epochs = tf.data.Dataset.range(start_step // num_steps, tf.int64.max)
    examples = epochs.flat_map(order_of_epoch).map(
        example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    if crop_size is None:
        padding = {head: tf.constant(label, tf.uint8) for head, label in ignored.items()}
        is_named = dataset.image_reading.is_rgb or modalities
        black = tf.constant(0 if is_named else np.nan, examples.element_spec[0].dtype)
        batches = examples.padded_batch(
            batch_size // shard[1],
            padding_values=(black, heads.unwrapped(padding)),
            drop_remainder=True,
        )
    else:
        batches = examples.batch(batch_size // shard[1], drop_remainder=True)
    return batches.with_options(_options()).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(
    dataset: SegmentationDataset,
    split: str = "val",
    batch_size: int = 1,
    modalities: Sequence[str] = (),
    *,
    ids: bool = False,
) -> tf.data.Dataset:
    """Returns every example of a split once, at its own size.

    A batch contains images of one size, so that nothing is padded and batching
    cannot change a metric. Sizes that occur rarely come last. The order is
    always the same.

    Args:
        dataset: The dataset.
        split: One of its splits.
        batch_size: Largest number of examples in a batch. Of large images a batch has fewer, so
            that it has at most `EVALUATION_PIXELS` pixels, or one image.
        modalities: As for `training_batches`.
        ids: Whether the ids of the examples are part of each batch.

    Returns:
        A finite `tf.data.Dataset` of `(images, labels)`, as `training_batches` describes it, or of
        `(images, labels, ids)`.

    Raises:
        ValueError: If `batch_size` is below 1, there is no such split, or the examples have no
            such modality.

    Example:
        >>> from keras_fcn.datasets import open_dataset
        >>> batches = evaluation_batches(open_dataset("sample"), batch_size=4)
        >>> len({tuple(images.shape[1:3]) for images, _ in batches})
        5
    """
    _check_at_least("batch_size", batch_size, 1)
    dataset.check_modalities(modalities)

    has_bands = not dataset.image_reading.is_rgb

    def parts(example: dict[str, Any]) -> tuple[Any, ...]:
        image = _joined(_images(example, modalities, has_bands=has_bands), modalities)
        return (image, example["label"], *([example["id"]] if ids else []))

    examples = dataset.examples(split).map(parts)
    if batch_size == 1:
        batches = examples.batch(1)
    else:
        batches = examples.group_by_window(
            key_func=lambda image, *_: tf.tensordot(
                tf.shape(image, tf.int64)[:2], tf.constant([2**31, 1], tf.int64), 1
            ),
            reduce_func=lambda _, window: window.batch(batch_size),
            window_size_func=lambda key: tf.clip_by_value(
                EVALUATION_PIXELS // tf.maximum((key // 2**31) * (key % 2**31), 1), 1, batch_size
            ),
        )
    return batches.with_options(_options()).prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(
    dataset: SegmentationDataset, split: str, batch_size: int, limit: int | None = None
) -> int:
    """Returns the number of full batches in an epoch, at least 1.

    >>> from keras_fcn.datasets import open_dataset
    >>> steps_per_epoch(open_dataset("sample"), "train", batch_size=32)
    31
    """
    _check_at_least("batch_size", batch_size, 1)
    return max(1, _num_examples(dataset, split, limit) // batch_size)


def _num_examples(dataset: SegmentationDataset, split: str, limit: int | None) -> int:
    dataset.check_split(split)
    count = dataset.splits[split]
    if limit is not None:
        _check_at_least("limit", limit, 1)
        count = min(count, limit)
    if not count:
        raise ValueError(f"Split {split!r} of dataset {dataset.name!r} has no examples.")
    return count


def _random_access(
    dataset: SegmentationDataset,
    split: str,
    limit: int | None,
    cache_bytes: int,
    modalities: Sequence[str],
) -> Any:
    """Returns a function from an index to the images and label maps of that example."""
    count = _num_examples(dataset, split, limit)
    records = dataset.records(split).take(count)

    has_bands = not dataset.image_reading.is_rgb

    def decode(record: Any) -> _Pair:
        example = dataset.decode(record)
        images = _images(example, modalities, has_bands=has_bands)
        return images, dataset.heads.by_name(example["label"])

    decoded = records.map(
        decode,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if count * _mean_bytes(decoded.take(16)) <= cache_bytes:
        return _in_memory(decoded, count)
    read = _in_memory(records, count)
    return lambda index: decode(read(index))


def _in_memory(elements: tf.data.Dataset, count: int) -> Any:
    """Reads all elements now; returns a function from an index to that element.

    Tensors of any shape and dtype are kept as strings, so that examples of different sizes
    fit one tensor. To read one takes 0.1 ms for an image of 480x360.
    """
    spec = tf.nest.flatten(elements.element_spec)
    strings = elements.map(
        lambda *element: tuple(tf.io.serialize_tensor(part) for part in tf.nest.flatten(element)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    stored = strings.batch(count).get_single_element()

    def read(index: Any) -> Any:
        parts = [
            tf.ensure_shape(tf.io.parse_tensor(column[index], part.dtype), part.shape)
            for column, part in zip(stored, spec, strict=True)
        ]
        return tf.nest.pack_sequence_as(elements.element_spec, parts)

    return read


def _mean_bytes(examples: tf.data.Dataset) -> float:
    sizes = [sum(part.nbytes for part in tf.nest.flatten(e)) for e in examples.as_numpy_iterator()]
    return sum(sizes) / len(sizes)


def _order(num_examples: int, length: int, key: Any, replacement: bool) -> Any:
    """Returns the indices of an epoch's examples, int64, shape `(length,)`."""
    if replacement:
        return tf.random.stateless_uniform([length], key, 0, num_examples, tf.int64)
    num_laps = -(-length // num_examples)
    in_order = tf.range(num_examples, dtype=tf.int64)
    laps = [
        in_order
        if key is None
        else tf.random.experimental.stateless_shuffle(in_order, seed=_fold(key, lap))
        for lap in range(num_laps)
    ]
    return tf.concat(laps, axis=0)[:length]


def _fold(key: Any, *numbers: Any) -> Any:
    """Returns the int32 seed, shape `(2,)`, that belongs to these numbers under a key."""
    for number in numbers:
        key = tf.random.fold_in(key, number)
    return key


def _images(
    example: dict[str, Any], modalities: Sequence[str], *, has_bands: bool
) -> dict[str, Any]:
    """Returns the images of an example by modality: RGB, or bands, unless others are asked for."""
    if has_bands and not modalities:
        bands = tf.cast(example["image"], tf.float32)
        return {BANDS: tf.where(tf.math.is_finite(bands), bands, np.nan)}  # no data
    if not modalities and example["image"].shape[-1] not in (3, None):
        return {BANDS: _finite(tf.cast(example["image"], tf.float32), "image", example)}
    return {
        name: _finite(example[IMAGE_KEYS[name]], name, example) for name in modalities or ("rgb",)
    }


def _finite(image: Any, name: str, example: dict[str, Any]) -> Any:
    """Returns an image, after a check if it is of floating-point numbers.

    A single NaN would make all weights NaN in one step; augmentation would make it black.
    """
    if not image.dtype.is_floating:
        return image

    def check(values: np.ndarray, identity: bytes) -> np.ndarray:
        if not np.isfinite(values).all():
            raise ValueError(
                f"The image ({name}) of the example {identity.decode(errors='replace')!r} must be "
                f"finite. It contains NaN or infinite values in {(~np.isfinite(values)).sum()} of "
                f"{values.size} places."
            )
        return values

    checked = tf.numpy_function(check, [image, example.get("id", "")], image.dtype)
    return tf.ensure_shape(checked, image.shape)


def _joined(images: dict[str, Any], modalities: Sequence[str]) -> Any:
    """Returns the modalities as one image, as `Predictor` and exported models take it."""
    parts = [images[name] for name in modalities or images]
    if not modalities or sum(part.shape[-1] for part in parts) == 3:
        return parts[0]
    return tf.concat([tf.cast(part, tf.float32) for part in parts], axis=-1)


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # By examples, not by files: then several workers share one batch and no number changes.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


def _check_training_arguments(
    batch_size: int,
    crop_size: tuple[int, int] | None,
    seed: int,
    start_step: int,
    shard: tuple[int, int],
) -> None:
    _check_at_least("seed", seed, 0)
    _check_at_least("start_step", start_step, 0)
    if crop_size is not None and (len(crop_size) != 2 or min(crop_size) < 1):
        raise ValueError(
            "`crop_size` must be a height and a width in pixels, both at least 1. "
            f"Received: crop_size={crop_size}."
        )
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(
            "`shard` must be (index, count), with the index in [0, count). "
            f"Received: shard={shard}."
        )
    if batch_size % count:
        raise ValueError(
            f"`batch_size` must be a multiple of the number of shards. Received: "
            f"batch_size={batch_size}, shard={shard}."
        )


def _check_at_least(name: str, value: int, smallest: int) -> None:
    if value < smallest:
        raise ValueError(f"`{name}` must be at least {smallest}. Received: {name}={value}.")
