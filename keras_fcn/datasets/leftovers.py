"""What preparations that were killed, and changed sources, leave in the folder of datasets."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_fcn import files

# Datasets of TensorFlow Datasets (tfds) itself can be in the same folder; they are left alone.
_NAMES = ("camvid", "nyudv2", "pascal_context", "siftflow", "voc")
# A download or unpacking by tfds has no lock: one that wrote a file since is taken to be running.
_IDLE_SECONDS = 3600


@dataclass(frozen=True)
class Leftover:
    """A folder that no dataset needs.

    Attributes:
        path: The folder.
        size: Size of its files in bytes.
        reason: Why it is not needed.
    """

    path: Path
    size: int
    reason: str


def default_data_dir() -> Path:
    """Returns the folder in which tfds keeps prepared datasets."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def find_leftovers(data_dir: str | Path | None = None) -> list[Leftover]:
    """Returns the unfinished and the older copies in the folder of prepared datasets.

    These are: preparations whose process has ended; downloads and unpacked archives that are not
    complete and did not change for an hour; and copies prepared from a folder of yours, of which
    a later one exists.

    Args:
        data_dir: Folder of the prepared datasets; that of tfds by default.
    """
    root = Path(data_dir).expanduser() if data_dir else default_data_dir()
    found = [(path, "unfinished preparation") for path in files.leftovers(root)]
    found += [(path, "unfinished download") for path in _idle(root / "downloads", "*.tmp.*")]
    extracted = root / "downloads" / "extracted"
    found += [(path, "unfinished unpacking") for path in _idle(extracted, "incomplete.*")]
    for name in _NAMES:
        found += [(path, "unfinished preparation") for path in _idle(root / name, "*/incomplete.*")]
        found += [(path, "older copy of a changed folder") for path in _older(root / name)]
    return [Leftover(path, size_of(path), reason) for path, reason in found]


def remove_leftovers(data_dir: str | Path | None = None) -> list[Leftover]:
    """Removes what `find_leftovers` returns, and returns it."""
    root = Path(data_dir).expanduser() if data_dir else default_data_dir()
    found = find_leftovers(root)
    for leftover in found:
        shutil.rmtree(leftover.path, ignore_errors=True)
    files.remove_leftovers(root)
    return found


def size_of(folder: Path) -> int:
    """Returns the size of all files below a folder in bytes."""
    return sum(path.lstat().st_size for path in _files(folder))


def _idle(folder: Path, pattern: str) -> list[Path]:
    before = time.time() - _IDLE_SECONDS
    return [
        path
        for path in sorted(folder.glob(pattern))
        if path.is_dir() and all(each.lstat().st_mtime < before for each in (path, *_files(path)))
    ]


def _older(folder: Path) -> Iterator[Path]:
    """Yields all copies prepared from folders but the newest of each variant."""
    copies: dict[str, list[Path]] = {}
    for path in folder.glob("*_local_*"):
        copies.setdefault(path.name.rpartition("_local_")[0], []).append(path)
    for paths in copies.values():
        yield from sorted(paths, key=_time)[:-1]


def _time(copy: Path) -> float:
    # That of the folder of the version, as in `open_prepared`.
    return max((path.stat().st_mtime for path in copy.iterdir()), default=0.0)


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)
