"""Fingerprints of images, to find those that occur twice, especially in two splits."""

import hashlib
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
    found = []
    columns = np.array([other.thumbnail for other in others])
    for start in range(0, len(images), 1024):
        part = images[start : start + 1024]
        rows = np.array([image.thumbnail for image in part])
        for row, column in np.argwhere(distances(rows, columns) < NEAR):
            image, other = part[row], others[column]
            if image.digest != other.digest:
                text = f"nearly the same picture is in the split {other.split!r}: {other.file}."
                found.append((image.file, text, False))
    return found


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the root mean square differences of all pairs of thumbnails.

    Args:
        one: float32, shape `(rows, 768)`.
        other: float32, shape `(columns, 768)`.
    """
    # |a - b|^2 = |a|^2 + |b|^2 - 2ab, so that one matrix product compares all.
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.asarray(np.sqrt(np.maximum(squares, 0) / one.shape[1]))
