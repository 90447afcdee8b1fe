"""Pictures that are nearly equal, found by thumbnails, which are kept between runs."""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_fcn.data.bands import picture_of, turned
from keras_fcn.data.image_io import StoredImage
from keras_fcn.data.parallel import parallel_map
from keras_fcn.datasets.fingerprint import near_pairs, thumbnail_of
from keras_fcn.files import replacing
from keras_fcn.modalities import ImageReading

_DRAFT = 64  # JPEG files are decoded at an eighth of their size, but not below this
_SLOW = 2.0  # seconds; what took longer is kept


class Thumbnails:
    """Thumbnails of the images of a folder, by name, size and time of the files.

    Those that took long to make are kept in the user's folder of caches (`XDG_CACHE_HOME`).

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        digest = hashlib.sha256(str(self._root).encode()).hexdigest()[:24]
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._file = caches / "keras_fcn" / f"thumbnails-{digest}.npz"
        self._kept = self._load()

    def read(
        self, paths: Iterable[Path], seconds: float = float("inf")
    ) -> tuple[dict[Path, np.ndarray], int]:
        """Returns the thumbnails of images, and how many were skipped because time was over.

        Args:
            paths: The images; those that cannot be read have no thumbnail.
            seconds: After this time only those that are kept are taken.
        """
        start = time.monotonic()
        keys = {path: key for path in paths if (key := self._key(path)) is not None}
        found = {path: self._kept[key] for path, key in keys.items() if key in self._kept}
        new = [path for path in keys if path not in found]
        read = 0
        for path, thumbnail in zip(new, parallel_map(_thumbnail, new), strict=False):
            read += 1
            if thumbnail is not None:
                found[path] = self._kept[keys[path]] = thumbnail
            if time.monotonic() - start > seconds:
                break
        if time.monotonic() - start > _SLOW and read:
            self._save(set(keys.values()))
        return found, len(new) - read

    def _key(self, path: Path) -> tuple[str, int, int] | None:
        try:
            status = path.stat()
            return (
                path.resolve().relative_to(self._root).as_posix()
                if path.resolve().is_relative_to(self._root)
                else str(path.resolve()),
                status.st_size,
                status.st_mtime_ns,
            )
        except OSError:
            return None  # reported where it is read

    def _load(self) -> dict[tuple[str, int, int], np.ndarray]:
        try:
            with np.load(self._file, allow_pickle=False) as stored:
                names, stats, thumbnails = (stored[name] for name in ("names", "stats", "pixels"))
        except (OSError, ValueError, KeyError, EOFError):
            return {}
        return {
            (str(name), int(size), int(changed)): pixels
            for name, (size, changed), pixels in zip(names, stats, thumbnails, strict=True)
        }

    def _save(self, used: set[tuple[str, int, int]]) -> None:
        kept = {key: pixels for key, pixels in self._kept.items() if key in used}
        try:
            with replacing(self._file) as temporary, temporary.open("wb") as file:
                np.savez(
                    file,
                    names=np.array([key[0] for key in kept]),
                    stats=np.array([key[1:] for key in kept], np.int64),
                    pixels=np.array(list(kept.values()), np.uint8),
                )
        except OSError:
            pass  # the next run makes them again


def near_groups(thumbnails: Mapping[Path, np.ndarray]) -> list[list[Path]]:
    """Returns the images that are nearly equal, directly or by others between: two or more each."""
    paths = list(thumbnails)
    parent = list(range(len(paths)))

    def top(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for one, other in _near_pairs(paths, paths, thumbnails):
        parent[top(max(one, other))] = top(min(one, other))
    groups: dict[int, list[Path]] = {}
    for k, path in enumerate(paths):
        groups.setdefault(top(k), []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def copies_across_splits(
    root: Path, images: Mapping[str, Sequence[Path]], seconds: float = 30.0
) -> str | None:
    """Returns a sentence about images that are nearly equal to one of another split, if any.

    Args:
        root: The folder.
        images: The images by split.
        seconds: Time after which no more are looked at; the sentence says how many were not.
    """
    if len(images) < 2:
        return None
    start = time.monotonic()
    # In turns, so that images of all splits are looked at if time is short.
    splits = [list(paths) for paths in images.values()]
    turns = [paths[k] for k in range(max(map(len, splits))) for paths in splits if k < len(paths)]
    thumbnails, skipped = Thumbnails(root).read(turns, 0.8 * seconds)
    names = list(images)
    found: list[tuple[Path, str, Path, str]] = []
    for k, split in enumerate(names):
        for other in names[:k]:
            one, two = ([path for path in images[s] if path in thumbnails] for s in (split, other))
            seen: set[int] = set()
            for i, j in _near_pairs(one, two, thumbnails, start + seconds):
                if i not in seen:
                    seen.add(i)
                    found.append((one[i], split, two[j], other))
    missed = f" {skipped:,} images were not looked at, for lack of time." * bool(skipped)
    if not found:
        return missed.strip() or None
    image, split, copy, other = found[0]
    return (
        f"Near copies across splits: {len(found):,} images, such as {image} ({split}) and {copy} "
        f"({other}). Metrics of copies are too high; move them into one split.{missed}"
    )


def _near_pairs(
    one: Sequence[Path],
    other: Sequence[Path],
    thumbnails: Mapping[Path, np.ndarray],
    end: float = float("inf"),
) -> Iterable[tuple[int, int]]:
    """Yields the positions of pairs that are nearly equal; of a list with itself, each once."""
    if not one or not other:
        return
    arrays = [np.stack([thumbnails[path] for path in paths]) for paths in (one, other)]
    for i, j in near_pairs(arrays[0], arrays[1], end):
        if one is not other or i < j:
            yield i, j


def _thumbnail(path: Path) -> np.ndarray | None:
    try:
        with Image.open(path) as image:
            image.draft("RGB", (_DRAFT, _DRAFT))
            if image.mode in ("RGB", "L"):
                return thumbnail_of(image.convert("RGB"))
        # The first three bands of more.
        stored = StoredImage.read(path, ImageReading(3))
        picture = turned(stored.values, stored.orientation)
        if picture.dtype != np.uint8 or picture.shape[-1] != 3:
            picture = picture_of(picture.astype(np.float32))
        return thumbnail_of(Image.fromarray(np.ascontiguousarray(picture)))
    except (OSError, ValueError, SyntaxError):
        return None  # reported where it is read
