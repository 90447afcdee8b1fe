"""Fingerprints of images, to find those that occur twice, especially in two splits."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from keras_fcn.data.bands import picture_of

_SIDE = 16
# Root mean square of the difference of two thumbnails, in gray levels. Measured: up to 2.4 for
# copies resized to a half or saved as JPEG of quality 30, 3.7 for neighbors in a video of a
# standing car, above 21 for different photographs.
NEAR = 3.0
_BLOCK = 1024  # thumbnails whose distances to others are in memory at a time


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """The features by which an image is recognized.

    Args:
        split: The image's split.
        file: Its file, or another name for it.
        digest: Equal for equal pixels, in whatever file format.
        thumbnail: 16x16 mean colors, float32, shape `(768,)`: nearly equal for resized copies.
    """

    split: str
    file: str
    digest: bytes
    thumbnail: np.ndarray

    @classmethod
    def of(cls, split: str, file: str, image: np.ndarray) -> "Fingerprint":
        """Returns the fingerprint of an image: RGB, uint8, or bands, float32."""
        digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(image).tobytes())
        picture = image if image.dtype == np.uint8 else picture_of(image)
        thumbnail = thumbnail_of(Image.fromarray(picture)).astype(np.float32)
        return cls(split, file, digest.digest(), thumbnail)


def thumbnail_of(image: Image.Image) -> np.ndarray:
    """Returns 16x16 mean colors of an RGB image, uint8, shape `(768,)`."""
    return np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX)).reshape(-1)


def find_duplicates(images: Sequence[Fingerprint]) -> list[tuple[str, str, bool]]:
    """Returns (file, problem, whether it is severe) of images that occur twice.

    Equal pixels are found everywhere and are severe between two splits;
    nearly equal pictures are looked for between splits only.
    """
    found = []
    first: dict[bytes, Fingerprint] = {}
    for image in images:
        other = first.setdefault(image.digest, image)
        if other.split != image.split:
            text = f"the same image is in the split {other.split!r}: {other.file}."
            found.append((image.file, text, True))
        elif other.file != image.file:
            found.append((image.file, f"the same image as {other.file}.", False))
    by_split: dict[str, list[Fingerprint]] = {}
    for image in images:
        by_split.setdefault(image.split, []).append(image)
    splits = list(by_split)
    for i, split in enumerate(splits):
        for other_split in splits[:i]:
            found += _near_duplicates(by_split[split], by_split[other_split])
    return found


def _near_duplicates(
    images: Sequence[Fingerprint], others: Sequence[Fingerprint]
) -> list[tuple[str, str, bool]]:
    if not images or not others:
        return []
    rows, columns = (np.array([each.thumbnail for each in group]) for group in (images, others))
    found = []
    for row, column in near_pairs(rows, columns):
        image, other = images[row], others[column]
        if image.digest != other.digest:
            text = f"nearly the same picture is in the split {other.split!r}: {other.file}."
            found.append((image.file, text, False))
    return found


def near_pairs(
    one: np.ndarray, other: np.ndarray, end: float = float("inf")
) -> list[tuple[int, int]]:
    """Returns the positions (row, column) of thumbnails that are nearly equal, in order.

    Args:
        one: Shape `(rows, 768)`.
        other: Shape `(columns, 768)`.
        end: `time.monotonic()` after which no more are compared.
    """
    # A root mean square is at least as large as the mean: only pictures of like brightness can be
    # nearly equal, which are few of all pairs.
    reach = NEAR + 0.01
    row_means, column_means = (array.mean(axis=1, dtype=np.float64) for array in (one, other))
    row_order, column_order = np.argsort(row_means), np.argsort(column_means)
    sorted_means = column_means[column_order]
    found: list[tuple[int, int]] = []
    for start in range(0, len(row_order), _BLOCK):
        rows = row_order[start : start + _BLOCK]
        low = np.searchsorted(sorted_means, row_means[rows[0]] - reach)
        high = np.searchsorted(sorted_means, row_means[rows[-1]] + reach, "right")
        for first in range(int(low), int(high), _BLOCK):
            columns = column_order[first : min(first + _BLOCK, int(high))]
            table = distances(one[rows].astype(np.float32), other[columns].astype(np.float32))
            found += [(int(rows[i]), int(columns[j])) for i, j in np.argwhere(table < NEAR)]
        if time.monotonic() > end:
            break
    return sorted(found)


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the root mean square differences of all pairs of thumbnails.

    Args:
        one: float32, shape `(rows, 768)`.
        other: float32, shape `(columns, 768)`.
    """
    # |a - b|^2 = |a|^2 + |b|^2 - 2ab, so that one matrix product compares all.
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.asarray(np.sqrt(np.maximum(squares, 0) / one.shape[1]))
