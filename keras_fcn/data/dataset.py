"""The interface of a segmentation dataset: named splits of images with their label maps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.data.dataset_fingerprint import DatasetFingerprint, Stamps, stamp_arrays
from keras_fcn.labels import Heads, Labels
from keras_fcn.modalities import ImageReading

# The key of each modality (`keras_fcn.modalities`) in an example.
IMAGE_KEYS = {"rgb": "image", "hha": "hha", "depth": "depth"}

# By name: tensors, or what they are made from (encoded bytes, paths, seeds).
Example = dict[str, Any]


@dataclass(frozen=True, eq=False)
class SegmentationDataset:
    """Named splits of images with their label maps.

    A split is read in two steps, so that a pipeline can shuffle, shard and
    cache what is small, and decode in parallel what is large: `records` returns
    what identifies each example (a path, encoded bytes, a seed), `decode` turns
    one record into an example. `examples` does both.

    An example is a dictionary with at least:

    * `image`: uint8, shape `(height, width, 3)`, RGB; where `image_reading` has another number of
      channels, their bands, float32, NaN where there is no data;
    * `label`: uint8, shape `(height, width)`, each value a class or
      `ignore_class`; a dictionary of such maps, with the keys of `labels`,
      where `labels` is a dictionary;
    * `id`: string scalar, unique in the split.

    Datasets with further `modalities` have, of the same height and width,

    * `depth`: uint16, shape `(height, width, 1)`, distance in millimeters, 0 where unknown;
    * `hha`: uint8, shape `(height, width, 3)`, as `keras_fcn.data.hha` makes it.

    Args:
        name: Its name for `open_dataset`, such as `camvid`.
        labels: What the labels mean.
        splits: Number of examples by split, such as `{"train": 367, "val": 101}`.
        records: Function from a split to a finite `tf.data.Dataset` of
            records, dictionaries of tensors, in a fixed order.
        decode: Function from a record to an example, in TensorFlow operations.
        description: A few sentences on its contents and origin.
        citation: BibTeX of the papers to cite, or "".
        modalities: The modalities that every example has, of those in `IMAGE_KEYS`. None if
            `image` has another number of channels than RGB.
        notes: What a user should know of how it is read, a sentence each.
        pixels: By split, the pixels of each class, then those ignored, where they are counted.
        find_copies: Function that looks for images nearly equal to one of another split, for at
            most so many seconds, and returns a sentence on them, or `None`.
        image_reading: How many channels `image` has, and how it was read from files.
        find_fingerprint: Function from splits and an earlier fingerprint to that of the dataset,
            where it knows the contents of its examples; see `fingerprint`.

    Example:
        >>> import numpy as np
        >>> from keras_fcn import LabelSpec
        >>> one = {"image": np.zeros((4, 6, 3), "uint8"), "label": np.ones((4, 6), "uint8")}
        >>> dataset = from_arrays("tiny", LabelSpec.numbered(2), {"train": [one]})
        >>> [(e["id"].numpy(), e["label"].shape) for e in dataset.examples("train")]
        [(b'train/0', TensorShape([4, 6]))]
    """

    name: str
    labels: Labels
    splits: Mapping[str, int]
    records: Callable[[str], tf.data.Dataset] = field(repr=False)
    decode: Callable[[Example], Example] = field(repr=False)
    description: str = field(default="", repr=False)
    citation: str = field(default="", repr=False)
    modalities: tuple[str, ...] = ("rgb",)
    notes: tuple[str, ...] = field(default=(), repr=False)
    pixels: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    find_copies: Callable[[float], str | None] = field(default=lambda seconds: None, repr=False)
    image_reading: ImageReading = field(default_factory=ImageReading, repr=False)

    def __post_init__(self) -> None:
        if not self.image_reading.is_rgb:
            others = tuple(name for name in self.modalities if name != "rgb")
            object.__setattr__(self, "modalities", others)

    find_fingerprint: (
        Callable[[Sequence[str], DatasetFingerprint | None], DatasetFingerprint] | None
    ) = field(default=None, repr=False)

    @property
    def heads(self) -> Heads:
        """The classes of each label map by name; of a single label map, a mapping of one."""
        return Heads(self.labels)

    def examples(self, split: str) -> tf.data.Dataset:
        """Returns the decoded examples of a split, in a fixed order.

        Raises:
            ValueError: If there is no such split.
        """
        self.check_split(split)
        return self.records(split).map(
            self.decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )

    def fingerprint(
        self, splits: Sequence[str], known: DatasetFingerprint | None = None
    ) -> DatasetFingerprint:
        """Returns what a later run compares to find out whether the dataset changed.

        A dataset that does not know the contents of its examples, such as a generated one, has
        their numbers and the classes only.

        Args:
            splits: The splits that are used.
            known: An earlier fingerprint, which saves reading files that are as they were.
        """
        if self.find_fingerprint is not None:
            return self.find_fingerprint(splits, known).of_splits(splits)
        ids: dict[str, Stamps] = {
            split: {f"{split}/{position}": () for position in range(self.splits[split])}
            for split in splits
        }
        return DatasetFingerprint(ids, {"classes": self.heads.to_dict()})

    def check_split(self, split: str) -> None:
        """Raises ValueError, which names the splits, unless `split` is one of them."""
        if split not in self.splits:
            raise ValueError(
                f"Dataset {self.name!r} has no split {split!r}. Its splits: "
                f"{', '.join(f'{name} ({count})' for name, count in self.splits.items())}."
            )

    def check_modalities(self, modalities: Sequence[str]) -> None:
        """Raises ValueError, which names the modalities, unless examples have all of these."""
        missing = [name for name in modalities if name not in self.modalities]
        if missing and not self.image_reading.is_rgb:
            raise ValueError(
                f"Dataset {self.name!r} has images of {self.image_reading.num_channels} bands, "
                f"which have no names. Received: modalities={tuple(modalities)}."
            )
        if missing:
            raise ValueError(
                f"Dataset {self.name!r} has no modality {missing[0]!r}. It has: "
                f"{', '.join(self.modalities)}."
            )


def modalities_of(keys: Iterable[str]) -> tuple[str, ...]:
    """Returns the modalities among the keys of an example.

    >>> modalities_of(["id", "image", "depth", "label"])
    ('rgb', 'depth')
    """
    present = set(keys)
    return tuple(name for name, key in IMAGE_KEYS.items() if key in present)


def from_arrays(
    name: str, labels: Labels, splits: Mapping[str, list[Mapping[str, Any]]]
) -> SegmentationDataset:
    """Returns a dataset of examples in memory: NumPy arrays that may differ in size.

    Args:
        name: Name of the dataset.
        labels: What the labels mean.
        splits: Lists of examples, as `SegmentationDataset` describes them; an
            example without `id` gets `split/position`.
    """
    stored = {
        split: [{"id": f"{split}/{i}", **example} for i, example in enumerate(examples)]
        for split, examples in splits.items()
    }

    def records(split: str) -> tf.data.Dataset:
        examples = stored[split]
        signature = tf.nest.map_structure(_spec_of_any_size, examples[0])
        count = tf.data.experimental.assert_cardinality(len(examples))
        return tf.data.Dataset.from_generator(
            lambda: iter(examples), output_signature=signature
        ).apply(count)

    first = next((e[0] for e in stored.values() if e), {})
    channels = np.shape(first["image"])[-1] if "image" in first else 3

    def fingerprint(splits: Sequence[str], _: DatasetFingerprint | None) -> DatasetFingerprint:
        stamps: dict[str, Stamps] = {
            split: {id_: stamp_arrays(id_, arrays) for id_, arrays in map(_arrays, stored[split])}
            for split in splits
        }
        return DatasetFingerprint(stamps, {"classes": Heads(labels).to_dict()})

    return SegmentationDataset(
        name=name,
        labels=labels,
        splits={split: len(examples) for split, examples in stored.items()},
        records=records,
        decode=dict,
        modalities=modalities_of(first),
        image_reading=ImageReading(None if channels == 3 else channels),
        find_fingerprint=fingerprint,
    )


def _arrays(example: Mapping[str, Any]) -> tuple[str, list[tuple[str, Any]]]:
    """Returns the id of an example and its arrays with their names, label maps by head too."""
    found: list[tuple[str, Any]] = []
    for name, value in example.items():
        if isinstance(value, Mapping):
            found += [(f"{name} {head}", array) for head, array in value.items()]
        elif name != "id":
            found.append((name, value))
    id_ = example["id"]
    return id_.decode(errors="replace") if isinstance(id_, bytes) else str(id_), found


def _spec_of_any_size(value: Any) -> tf.TensorSpec:
    tensor = tf.convert_to_tensor(value)
    # Height and width may differ between examples; channels may not.
    shape = (None, None, *tensor.shape[2:]) if len(tensor.shape) > 1 else tensor.shape
    return tf.TensorSpec(shape, tensor.dtype)


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


def spread_examples(data: SegmentationDataset, split: str, num_images: int) -> list[dict[str, Any]]:
    """Returns examples at equal distances through a split, because neighbors are often alike.

    Args:
        data: The dataset.
        split: Name of the split; where the dataset has none of that name, its first is taken.
        num_images: Number of examples at most.
    """
    split = split if split in data.splits else next(iter(data.splits))
    step = max(1, data.splits[split] // num_images)
    records = data.records(split).shard(step, 0).take(num_images)
    return list(records.map(data.decode).as_numpy_iterator())
