"""What a plan is made from: sizes, classes and regions of the training images."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.data.dataset import IMAGE_KEYS, SegmentationDataset

# Images that are read of a split; of larger splits a part, spread evenly.
MOST_IMAGES = 400
# Regions are found in masks of at most this many pixels along a side; larger ones are thinned out.
_MOST_MASK_PIXELS = 1024
# The share of a class's pixels that lie in regions thinner than its `thin_width`.
_THIN_SHARE = 0.25


@dataclass(frozen=True)
class ClassFingerprint:
    """What a split shows of a class.

    Args:
        name: Its name.
        share: Its share of the labeled pixels.
        images: Share of the images that it occurs in.
        thin_width: A quarter of its pixels are in connected regions thinner than this, in pixels:
            the area of a region divided by its longer side. 0 if it does not occur.
    """

    name: str
    share: float
    images: float
    thin_width: float


@dataclass(frozen=True)
class Fingerprint:
    """What a dataset shows to a plan. Numbers are rounded, so that equal data give equal plans.

    Args:
        dataset: Name of the dataset.
        num_images: Training images.
        num_read: How many of them were read.
        num_duplicates: How many of those have the pixels of an earlier one.
        num_validation: Validation images; 0 without such a split.
        size: Median height and width of the training images.
        largest: Height and width of the image with the most pixels, of both splits.
        channels: Channels of an image.
        modalities: The modalities that examples have.
        classes: The classes by head.
    """

    dataset: str
    num_images: int
    num_read: int
    num_duplicates: int
    num_validation: int
    size: tuple[int, int]
    largest: tuple[int, int]
    channels: int
    modalities: tuple[str, ...]
    classes: Mapping[str, tuple[ClassFingerprint, ...]]

    @property
    def every_class(self) -> tuple[ClassFingerprint, ...]:
        """The classes of all heads that occur."""
        return tuple(one for head in self.classes.values() for one in head if one.share > 0)

    @property
    def digest(self) -> str:
        """Equal for equal fingerprints."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Returns what `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Fingerprint":
        """Returns the fingerprint that `to_dict` returned, also from JSON."""
        classes = {
            head: tuple(ClassFingerprint(**one) for one in ones)
            for head, ones in values["classes"].items()
        }
        tuples = {name: tuple(values[name]) for name in ("size", "largest", "modalities")}
        return cls(**{**values, **tuples, "classes": classes})


def fingerprint_of(
    dataset: SegmentationDataset,
    train_split: str = "train",
    validation_split: str | None = "val",
    limit: int | None = None,
    modalities: tuple[str, ...] = (),
    validation_limit: int | None = None,
) -> Fingerprint:
    """Returns the fingerprint of a dataset.

    Args:
        dataset: The dataset.
        train_split: The split to read.
        validation_split: The split whose sizes are read too.
        limit: Only the first examples of the training split count.
        modalities: Those that a network gets; RGB if there are none.
        validation_limit: Only the first examples of the validation split count.

    Raises:
        ValueError: If there is no such split, or no pixel is labeled.
    """
    dataset.check_split(train_split)
    dataset.check_modalities(modalities)
    count = min(dataset.splits[train_split], limit or dataset.splits[train_split])
    sizes, digests = [], set()
    pixels = {head: np.zeros(spec.num_classes, np.int64) for head, spec in dataset.heads.items()}
    images = {head: np.zeros(spec.num_classes, np.int64) for head, spec in dataset.heads.items()}
    regions: dict[str, list[np.ndarray]] = {head: [] for head in dataset.heads}
    for example in _spread(dataset, train_split, count):
        parts = [example[IMAGE_KEYS[name]] for name in modalities or ("rgb",)]
        sizes.append(parts[0].shape[:2])
        digests.add(hashlib.blake2b(b"".join(part.tobytes() for part in parts)).digest())
        for head, label in dataset.heads.by_name(example["label"]).items():
            counts = np.bincount(label.reshape(-1), minlength=256)[: len(pixels[head])]
            pixels[head] += counts
            images[head] += counts > 0
            regions[head].append(_regions(label, len(pixels[head])))
    num_validation = 0
    validation_sizes: list[Any] = []
    if validation_split:
        dataset.check_split(validation_split)
        count_of_split = dataset.splits[validation_split]
        num_validation = min(count_of_split, validation_limit or count_of_split)
        validation_sizes = [
            example["image"].shape[:2]
            for example in _spread(dataset, validation_split, num_validation, most=64)
        ]
    if not any(counts.sum() for counts in pixels.values()):
        raise ValueError(f"The split {train_split!r} contains no labeled pixel: all are ignored.")
    median = np.median(np.array(sizes), axis=0)
    largest = max([*sizes, *validation_sizes], key=lambda size: size[0] * size[1])
    return Fingerprint(
        dataset=dataset.name,
        num_images=count,
        num_read=len(sizes),
        num_duplicates=len(sizes) - len(digests),
        num_validation=num_validation,
        size=(int(median[0]), int(median[1])),
        largest=(int(largest[0]), int(largest[1])),
        channels=sum(part.shape[-1] for part in parts),
        modalities=dataset.modalities,
        classes={
            head: _classes(spec.class_names, pixels[head], images[head] / len(sizes), regions[head])
            for head, spec in dataset.heads.items()
        },
    )


def _spread(
    dataset: SegmentationDataset, split: str, count: int, most: int = MOST_IMAGES
) -> Iterable[dict[str, Any]]:
    step = -(-count // most)
    records = dataset.records(split).take(count).shard(step, 0)
    decoded = records.map(dataset.decode, num_parallel_calls=2, deterministic=True)
    iterator: Iterable[dict[str, Any]] = decoded.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()
    return iterator


def _classes(
    names: tuple[str, ...], pixels: np.ndarray, images: np.ndarray, regions: list[np.ndarray]
) -> tuple[ClassFingerprint, ...]:
    found = np.concatenate(regions)
    shares = pixels / max(pixels.sum(), 1)
    return tuple(
        ClassFingerprint(
            name,
            rounded(float(shares[label]), 3),
            rounded(float(images[label]), 2),
            rounded(_thin_width(found[found[:, 0] == label]), 2),
        )
        for label, name in enumerate(names)
    )


def _thin_width(regions: np.ndarray) -> float:
    """Returns the width below which the thinnest regions have a quarter of the pixels."""
    if not len(regions):
        return 0.0
    ordered = regions[np.argsort(regions[:, 2], kind="stable")]
    areas = np.cumsum(ordered[:, 1])
    return float(ordered[np.searchsorted(areas, _THIN_SHARE * areas[-1]), 2])


def _regions(label: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the connected regions of a label map: rows of (class, area, width), in pixels."""
    step = -(-max(label.shape) // _MOST_MASK_PIXELS)
    thinned = label[::step, ::step]
    classes, areas, heights, widths = connected_regions(thinned)
    counted = classes < num_classes
    area = areas[counted].astype(np.float64)
    width = area / np.maximum(heights, widths)[counted]
    return np.stack([classes[counted], area * step**2, width * step], axis=1)


def connected_regions(label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns class, area, height and width of each region of pixels that are equal and adjacent.

    Pixels are adjacent along a side, not at a corner.

    Args:
        label: Any integers, shape `(height, width)`.

    Example:
        >>> connected_regions(np.array([[1, 1, 0], [0, 1, 0]]))
        (array([1, 0, 0]), array([3, 2, 1]), array([2, 2, 1]), array([2, 1, 1]))
    """
    height, width = label.shape
    # Runs of equal pixels in rows. Every pixel is in one, so those above a run are consecutive.
    begins = np.ones(label.shape, bool)
    begins[:, 1:] = label[:, 1:] != label[:, :-1]
    run_of_pixel = np.cumsum(begins).reshape(label.shape) - 1
    rows, lefts = np.nonzero(begins)
    ends = np.append(np.flatnonzero(begins)[1:], label.size) - rows * width
    classes = label[rows, lefts]
    lower = np.flatnonzero(rows > 0)
    first = run_of_pixel[rows[lower] - 1, lefts[lower]]
    counts = run_of_pixel[rows[lower] - 1, ends[lower] - 1] - first + 1
    below = np.repeat(lower, counts)
    above = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    above = above + np.repeat(first, counts)
    same = classes[below] == classes[above]
    root = _roots(len(rows), below[same], above[same])

    regions, inverse = np.unique(root, return_inverse=True)
    areas = np.bincount(inverse, weights=ends - lefts).astype(np.int64)
    bounds = [np.full(len(regions), height), np.zeros(len(regions), np.int64)]
    bounds += [np.full(len(regions), width), np.zeros(len(regions), np.int64)]
    np.minimum.at(bounds[0], inverse, rows)
    np.maximum.at(bounds[1], inverse, rows + 1)
    np.minimum.at(bounds[2], inverse, lefts)
    np.maximum.at(bounds[3], inverse, ends)
    return classes[regions], areas, bounds[1] - bounds[0], bounds[3] - bounds[2]


def _roots(count: int, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the smallest of the numbers that each number is connected to by pairs."""
    root = np.arange(count)
    while True:
        smallest = np.minimum(root[ones], root[others])
        before = root.copy()
        np.minimum.at(root, before[ones], smallest)
        np.minimum.at(root, before[others], smallest)
        while not np.array_equal(root, root[root]):
            root = root[root]
        if np.array_equal(root, before):
            return root


def rounded(value: float, digits: int = 1) -> float:
    """Returns a number with so many significant digits.

    >>> rounded(0.0347), rounded(5678.0, 2)
    (0.03, 5700.0)
    """
    return float(f"{value:.{digits - 1}e}")
