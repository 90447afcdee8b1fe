"""The batches that a network is trained and validated on, and the class weights."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.data.augmentation import Augmentation
from keras_fcn.data.bands import picture_of
from keras_fcn.data.dataset import first_examples
from keras_fcn.data.dataset_fingerprint import DatasetFingerprint
from keras_fcn.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from keras_fcn.datasets import Example, SegmentationDataset, open_dataset
from keras_fcn.labels import Heads, LabelSpec

from .config import AugmentationConfig, DataConfig, LossConfig

# Validation images that are shown during a training.
NUM_SHOWN = 4
_SECONDS_FOR_COPIES = 30.0


@dataclass(frozen=True)
class ShownExample:
    """A validation image that is shown.

    Args:
        name: Its `id`.
        picture: RGB, uint8, shape `(height, width, 3)`.
        images: What the network takes, a batch of one.
        batch_labels: Their labels, as in the batches of a validation.
        labels: The label maps by head.
    """

    name: str
    picture: np.ndarray
    images: np.ndarray
    batch_labels: Any
    labels: dict[str, np.ndarray]


class TrainingData:
    """The dataset of a training: its batches, its steps, its class weights.

    Args:
        config: The dataset, the splits, batches and crops.
        augmentation: The augmentation of training examples, unless `config.augment` is false.
        modalities: Modalities of the images, for `training_batches`.
        cell_size: Pixels from one of the finest logits to the next, for `config.loss_share`.
        seed: Seed of order and augmentation.
        shard: This host's part of each batch and of the validation split, and how many parts
            there are.
        dataset: The dataset itself, if `config.dataset` cannot be opened by name.

    Raises:
        ValueError: If the dataset or a split does not exist, or lacks a modality, or `dataset`
            has another name than `config.dataset`.
    """

    def __init__(
        self,
        config: DataConfig,
        augmentation: AugmentationConfig,
        *,
        modalities: Sequence[str] = (),
        cell_size: int = 8,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
        dataset: SegmentationDataset | None = None,
    ) -> None:
        if dataset is not None and dataset.name != config.dataset:
            raise ValueError(
                "`dataset` must have the name that the configuration gives, which the network "
                f"keeps. Received: a dataset named {dataset.name!r}, config.data.dataset="
                f"{config.dataset!r}."
            )
        # The seed of the training is not the dataset's: otherwise another seed would move images
        # between the splits of a folder, and `evaluate` would use training images.
        self.dataset = dataset or open_dataset(
            config.dataset, config.source, config.data_dir, **config.folder
        )
        self.dataset.check_modalities(modalities)
        self.steps_per_epoch = steps_per_epoch(
            self.dataset, config.train_split, config.batch_size, limit=config.limit
        )
        if config.validation_split not in (None, *self.dataset.splits):
            try:
                self.dataset.check_split(str(config.validation_split))
            except ValueError as error:
                raise ValueError(
                    f"{error} Validate on one of them (--validation-split test), or on none "
                    "(--validation-split none)."
                ) from error
        self._config = config
        self._augmentation = Augmentation(**asdict(augmentation)) if config.augment else None
        self._modalities = modalities
        self._cell_size = cell_size
        self._seed = seed
        self._shard = shard

    @property
    def heads(self) -> Heads:
        """The classes by head."""
        return self.dataset.heads

    @property
    def description(self) -> list[str]:
        """How the dataset is read, and the classes with their shares of the training pixels."""
        lines = list(self.dataset.notes)
        if not self.dataset.image_reading.is_rgb:
            lines.append(f"Images of {self.num_channels} bands: colors are not augmented.")
        pixels = self.dataset.pixels.get(self._config.train_split)
        if pixels:
            for spec in self.heads.values():
                shares = [
                    f"{name} {count / max(sum(pixels), 1):.2%}"
                    for name, count in zip((*spec.class_names, "ignored"), pixels, strict=True)
                ]
                lines.append(f"Pixels in {self._config.train_split}: {', '.join(shares)}.")
                absent = [
                    name for name, count in zip(spec.class_names, pixels, strict=False) if not count
                ]
                if absent:
                    names = ", ".join(absent[:8]) + f" and {len(absent) - 8} more" * (
                        len(absent) > 8
                    )
                    lines.append(f"Classes without a pixel to train on: {names}.")
                    lines += self._only_in_validation(spec, absent)
        copies = self.dataset.find_copies(_SECONDS_FOR_COPIES)
        return lines + ([copies] if copies else [])

    def _only_in_validation(self, spec: LabelSpec, absent: Sequence[str]) -> list[str]:
        """Returns a line on the classes without a training pixel that validation contains."""
        split = self._config.validation_split
        counts = self.dataset.pixels.get(split or "", ())
        names = [
            name
            for name, count in zip(spec.class_names, counts, strict=False)
            if count and name in absent
        ]
        if not names:
            return []
        shown = ", ".join(names[:8]) + f" and {len(names) - 8} more" * (len(names) > 8)
        return [f"Classes in {split} only, which cannot be learned: {shown}."]

    def fingerprint(self, known: DatasetFingerprint | None = None) -> DatasetFingerprint:
        """Returns the fingerprint of the splits that are trained and validated on.

        Args:
            known: An earlier one, which saves reading files that are as they were.
        """
        splits = [self._config.train_split, self._config.validation_split]
        return self.dataset.fingerprint([split for split in splits if split], known)

    @property
    def num_examples(self) -> int:
        """Number of training examples."""
        count = self.dataset.splits[self._config.train_split]
        return min(count, self._config.limit or count)

    @property
    def pixels(self) -> int:
        """Pixels of a training image: of a crop, else of the first image."""
        if self._config.crop_size:
            return self._config.crop_size[0] * self._config.crop_size[1]
        first = next(iter(self.dataset.examples(self._config.train_split).take(1)))
        return int(tf.size(first["image"][..., 0]))

    @property
    def num_channels(self) -> int:
        """Number of bands of the images; 3 for RGB and where they have names."""
        return self.dataset.image_reading.num_channels

    def band_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Returns mean and deviation of each band of the training images; None for RGB."""
        if self.dataset.image_reading.is_rgb:
            return None
        return measure_bands(self.dataset, self._config.train_split, self._config.limit)

    def training_batches(self, start_step: int = 0) -> tf.data.Dataset:
        """Returns this host's part of the endless batches, from this step of the training on."""
        return self._batches(start_step, self._shard)

    def _batches(self, start_step: int, shard: tuple[int, int]) -> tf.data.Dataset:
        config = self._config
        return training_batches(
            self.dataset,
            config.train_split,
            batch_size=config.batch_size,
            augmentation=self._augmentation,
            crop_size=config.crop_size,
            seed=self._seed,
            start_step=start_step,
            shard=shard,
            replacement=config.replacement,
            limit=config.limit,
            modalities=self._modalities,
            loss_share=config.loss_share,
            cell_size=self._cell_size,
        )

    def batchnorm_batches(self, count: int) -> list[np.ndarray]:
        """Returns the images of the first training batches, on which statistics are measured."""
        batches = self._batches(0, (0, 1)).take(count) if count else tf.data.Dataset.range(0)
        return [images for images, _ in batches.as_numpy_iterator()]

    def validation_batches(self) -> tf.data.Dataset | None:
        """Returns this host's validation images at their own sizes; None without a split."""
        config = self._config
        if config.validation_split is None:
            return None
        dataset = first_examples(self.dataset, config.validation_split, config.validation_limit)
        index, count = self._shard
        if count > 1:
            whole = dataset
            dataset = replace(whole, records=lambda name: whole.records(name).shard(count, index))
        return evaluation_batches(
            dataset, config.validation_split, config.batch_size, self._modalities
        )

    def shown_examples(self) -> list[ShownExample]:
        """Returns a few validation images, spread over the split, always the same ones."""
        split = self._config.validation_split
        if split is None:
            return []
        dataset = first_examples(self.dataset, split, self._config.validation_limit)
        step = -(-dataset.splits[split] // NUM_SHOWN)
        spread = replace(dataset, records=lambda name: dataset.records(name).shard(step, 0))
        batches = evaluation_batches(spread, split, 1, self._modalities)
        examples = spread.examples(split).as_numpy_iterator()
        is_rgb = dataset.image_reading.is_rgb
        return [
            ShownExample(
                example["id"].decode(errors="replace"),
                example["image"] if is_rgb else picture_of(example["image"]),
                images,
                labels,
                dict(self.heads.by_name(example["label"])),
            )
            for example, (images, labels) in zip(examples, batches.as_numpy_iterator(), strict=True)
        ]

    def class_weights(self, loss: LossConfig) -> dict[str, list[float]]:
        """Returns one weight per class by head; an empty dictionary without class weights."""
        if loss.class_weights == "none":
            return {}
        counts = count_classes(self.dataset, self._config.train_split, self._config.limit)
        return {
            head: balanced_weights(numbers, loss.class_weight_exponent)
            for head, numbers in counts.items()
        }


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


def measure_bands(
    dataset: SegmentationDataset, split: str, limit: int | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of each band over all pixels of a split with data.

    Args:
        dataset: The dataset; every image of the split is read.
        split: One of its splits.
        limit: Number of examples to read, from the first; `None` reads all.

    Raises:
        ValueError: If a band has no data at all.
    """
    examples = dataset.examples(split).take(-1 if limit is None else limit)
    bands = dataset.image_reading.num_channels
    count, mean, squares = np.zeros(bands), np.zeros(bands), np.zeros(bands)
    for image in examples.map(lambda example: example["image"]).as_numpy_iterator():
        values = image.reshape(-1, bands).astype(np.float64)
        known = np.isfinite(values)
        number = known.sum(axis=0)
        total = np.maximum(count + number, 1)
        own = np.where(known, values, 0).sum(axis=0) / np.maximum(number, 1)
        inside = (np.where(known, values - own, 0) ** 2).sum(axis=0)
        # Chan et al.: sums of squares about the own mean lose nothing for large values.
        squares += inside + (own - mean) ** 2 * count * number / total
        mean += (own - mean) * number / total
        count += number
    if not count.all():
        raise ValueError(
            f"The band {int(np.argmin(count)) + 1} has no data in any image of the split {split!r}."
        )
    deviation = np.sqrt(squares / count)
    # A constant band is 0 after normalization, whatever it is divided by.
    deviation[deviation == 0] = 1.0
    return tuple(mean.tolist()), tuple(deviation.tolist())


def _counted(label: tf.Tensor) -> tf.Tensor:
    """Returns how often each label 0..255 occurs."""
    pixels = tf.reshape(tf.cast(label, tf.int32), (-1,))
    return tf.math.bincount(pixels, minlength=256, maxlength=256, dtype=tf.int64)


def balanced_weights(counts: np.ndarray, exponent: float) -> list[float]:
    """Returns one weight per class, its share of the pixels to the power of `-exponent`.

    They are scaled so that a pixel has weight 1 on average, which keeps the scale of the loss and
    therefore the learning rate. Classes that do not occur get 1.

    Args:
        counts: Number of pixels of each class.
        exponent: 0 gives all pixels the same weight, 1 all classes.

    >>> balanced_weights(np.array([90, 10, 0]), exponent=1.0)
    [0.5555555555555556, 5.0, 1.0]
    """
    if not counts.sum():
        raise ValueError("The training split contains no labeled pixel: every label is ignored.")
    present = counts > 0
    share = counts / counts.sum()
    weights = np.ones(len(counts))
    weights[present] = share[present] ** -exponent
    weights[present] /= np.sum(share[present] * weights[present])
    return [float(weight) for weight in weights]
