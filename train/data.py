"""The batches that a configuration trains and validates on."""

from dataclasses import fields, replace
from typing import Any

import tensorflow as tf

from keras_fcn.data.augmentation import Augmentation
from keras_fcn.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from keras_fcn.datasets import SegmentationDataset, open_dataset
from keras_fcn.labels import Labels

from .class_weights import balanced_weights, count_classes
from .config import Config

# Pixels from one of the finest scores to the next.
_STRIDES = {"fcn32s": 32, "fcn16s": 16}


class TrainingData:
    """The dataset of a configuration: its batches, its steps, its class weights.

    Args:
        config: Names the dataset, the splits, crops and augmentation.
        dataset: The dataset itself, where `config.dataset` is none that can be opened by name.

    Raises:
        ValueError: If the dataset or a split does not exist, or lacks a modality, or `dataset`
            has another name than `config.dataset`.
    """

    def __init__(self, config: Config, dataset: SegmentationDataset | None = None) -> None:
        self._config = config
        if dataset is not None and dataset.name != config.dataset:
            raise ValueError(
                "`dataset` must have the name that the configuration gives, which the network "
                f"keeps. Received: a dataset named {dataset.name!r}, config.dataset="
                f"{config.dataset!r}."
            )
        # The seed of the training is not the dataset's: else another seed would move images
        # between the splits of a folder, and `evaluate` would see what was trained on.
        self.dataset = dataset or open_dataset(config.dataset, config.source, config.data_dir)
        self.labels: Labels = self.dataset.labels
        self._modalities = config.modalities or ()
        self.dataset.check_modalities(self._modalities)
        self.steps_per_epoch = steps_per_epoch(
            self.dataset, config.train_split, config.batch_size, limit=config.limit
        )
        if config.validation_split:
            self.dataset.check_split(config.validation_split)

    @property
    def pixels(self) -> int:
        """Pixels of a training image: of a crop, else of the first image."""
        if self._config.crop:
            return self._config.crop[0] * self._config.crop[1]
        first = next(iter(self.dataset.examples(self._config.train_split).take(1)))
        return int(tf.size(first["image"][..., 0]))

    def training_batches(self, start_step: int = 0) -> tf.data.Dataset:
        """Returns the endless batches of images and labels from this step of the training on."""
        config = self._config
        return training_batches(
            self.dataset,
            config.train_split,
            batch_size=config.batch_size,
            augmentation=augmentation_of(config) if config.augment else None,
            crop_size=config.crop,
            seed=config.seed,
            start_step=start_step,
            replacement=config.replacement,
            limit=config.limit,
            modalities=self._modalities,
            loss_share=config.loss_share,
            cell_size=_STRIDES.get(config.variant, 8),
        )

    def batchnorm_batches(self) -> list[tf.Tensor]:
        """Returns the images of the first training batches, on which statistics are measured."""
        count = self._config.batchnorm_batches
        return [images for images, _ in self.training_batches().take(count)] if count else []

    def validation_batches(self) -> tf.data.Dataset | None:
        """Returns the validation images at their own sizes, or None without such a split."""
        config = self._config
        if config.validation_split is None:
            return None
        dataset = first_examples(self.dataset, config.validation_split, config.validation_limit)
        return evaluation_batches(
            dataset, config.validation_split, config.batch_size, self._modalities
        )

    def class_arguments(self) -> dict[str, dict[str, Any]]:
        """Returns by head the arguments of its loss that have one number a class."""
        config = self._config
        if config.class_weights == "none":
            return {}
        counts = count_classes(self.dataset, config.train_split, config.limit)
        return {
            head: {"class_weights": balanced_weights(numbers, config.class_weight_exponent)}
            for head, numbers in counts.items()
        }


def augmentation_of(config: Config) -> Augmentation:
    """Returns the augmentation whose settings have the same names in the configuration."""
    names = [field.name for field in fields(Augmentation)]
    return Augmentation(**{name: getattr(config, name) for name in names})


def first_examples(
    dataset: SegmentationDataset, split: str, limit: int | None
) -> SegmentationDataset:
    """Returns the dataset with at most `limit` examples in this split."""
    if limit is None or limit >= dataset.splits[split]:
        return dataset
    return replace(
        dataset,
        splits={**dataset.splits, split: limit},
        records=lambda name: dataset.records(name).take(limit if name == split else -1),
    )
