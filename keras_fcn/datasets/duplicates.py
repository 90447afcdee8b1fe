"""Finding images that occur twice, above all in two splits of a dataset."""

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

_SIDE = 16
# Root mean square of the difference of two thumbnails, in gray levels. Measured: up to 2.4 for
# copies resized to a half or saved as JPEG of quality 30, 3.7 for neighbors in a video of a
# standing car, above 21 for different photographs.
_NEAR = 3.0

# (split, file, digest, thumbnail) of an image.
Fingerprint = tuple[str, str, bytes, np.ndarray]


def content_digest(image: np.ndarray) -> bytes:
    """Returns a number of the pixels, equal for equal images whatever file they came from."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.digest()


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Returns 16x16 mean colors, float32, shape `(768,)`: nearly equal for resized copies."""
    small = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small).astype(np.float32).reshape(-1)


def find_duplicates(images: Sequence[Fingerprint]) -> list[tuple[str, str, bool]]:
    """Returns (file, what is wrong, whether it is severe) of images that occur twice.

    Equal pixels are found everywhere and are severe between two splits;
    nearly equal pictures are looked for between splits only.
    """
    found = []
    first: dict[bytes, tuple[str, str]] = {}
    for split, file, digest, _ in images:
        other_split, other = first.setdefault(digest, (split, file))
        if other_split != split:
            text = f"the same image is in the split {other_split!r}: {other}."
            found.append((file, text, True))
        elif other != file:
            found.append((file, f"the same image as {other}.", False))
    splits = list(dict.fromkeys(split for split, *_ in images))
    for i, split in enumerate(splits):
        for other in splits[:i]:
            found += _near_duplicates(images, split, other)
    return found


def _near_duplicates(
    images: Sequence[Fingerprint], split: str, other: str
) -> list[tuple[str, str, bool]]:
    here = [image for image in images if image[0] == split]
    there = [image for image in images if image[0] == other]
    found = []
    for start in range(0, len(here), 1024):
        part = here[start : start + 1024]
        for row, column in np.argwhere(_distances(part, there) < _NEAR):
            (_, file, digest, _), (_, other_file, other_digest, _) = part[row], there[column]
            if digest != other_digest:
                text = f"nearly the same picture is in the split {other!r}: {other_file}."
                found.append((file, text, False))
    return found


def _distances(one: Sequence[Fingerprint], other: Sequence[Fingerprint]) -> np.ndarray:
    """Returns the root mean square differences of all pairs, shape `(len(one), len(other))`."""
    a, b = (np.array([image[3] for image in images]) for images in (one, other))
    # |a - b|^2 = |a|^2 + |b|^2 - 2ab, so that one matrix product compares all.
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0) / a.shape[1])
