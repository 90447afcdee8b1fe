"""The fingerprint of a dataset, by which a later run finds what changed since."""

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_fcn.data.parallel import parallel_map

_SHOWN = 4  # names of each kind of change in a message
_FILES_PER_CALL = 64  # of a thread, because most files are small
_DIGEST_BYTES = 8


@dataclass(frozen=True)
class FileStamp:
    """What is recorded of a file.

    Args:
        role: What it is in its example, such as `image`.
        name: Its path below the dataset's folder.
        size: Its size in bytes.
        time: When it was modified, in nanoseconds; 0 of an array in memory.
        digest: Hash of its content, hexadecimal.
    """

    role: str
    name: str
    size: int
    time: int
    digest: str

    @property
    def content(self) -> tuple[str, int, str]:
        """What makes two files equal: neither their names nor their times."""
        return self.role, self.size, self.digest


# Id of an example -> its files.
Stamps = Mapping[str, Sequence[FileStamp]]


@dataclass(frozen=True)
class SplitChanges:
    """What changed in a split.

    Args:
        added: Ids of examples that are new.
        removed: Ids of examples that are gone.
        changed: Names of files with another content.
        is_reordered: Whether the same examples are in another order.
    """

    added: list[str]
    removed: list[str]
    changed: list[str]
    is_reordered: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.is_reordered)

    def __str__(self) -> str:
        parts = [
            f"{len(names):,} {what} ({_shown(names)})"
            for what, names in (
                ("added", self.added),
                ("removed", self.removed),
                ("changed", self.changed),
            )
            if names
        ]
        return ", ".join(parts) or "in another order"


@dataclass(frozen=True)
class DatasetChanges:
    """What changed in a dataset: nothing if it is false.

    Args:
        splits: By split, what changed there.
        reading: What changed in the classes and the meaning of masks, a phrase each.
    """

    splits: Mapping[str, SplitChanges] = field(default_factory=dict)
    reading: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.splits or self.reading)

    def __str__(self) -> str:
        return "; ".join(
            [*(f"{name}: {found}" for name, found in self.splits.items()), *self.reading]
        )

    def affects(self, split: str) -> bool:
        """Returns whether metrics on a split are no longer comparable with those before."""
        return bool(self.reading) or split in self.splits


@dataclass(frozen=True)
class DatasetFingerprint:
    """The examples of a dataset with their files, and how masks are read.

    Files are equal if their contents are: a copy of a folder has other times, and a prepared copy
    other places. A file whose name, size and time are those of an earlier fingerprint is not read
    again.

    Args:
        splits: The files of each example by split and id, in the order of the dataset.
        reading: The classes and the meaning of masks: plain values by name. `table`, the file
            that they are read from, is shown but not compared.

    Example:
        >>> before = DatasetFingerprint({"train": {"a": (), "b": ()}}, {})
        >>> str(DatasetFingerprint({"train": {"a": ()}}, {}).changes_since(before))
        'train: 1 removed (b)'
    """

    splits: Mapping[str, Stamps]
    reading: Mapping[str, Any]

    def __post_init__(self) -> None:
        # As JSON has them, so that one that was read equals the one that was written.
        object.__setattr__(self, "reading", json.loads(json.dumps(self.reading)))

    def of_splits(self, names: Iterable[str]) -> "DatasetFingerprint":
        """Returns the fingerprint of some of the splits."""
        return DatasetFingerprint({name: self.splits.get(name, {}) for name in names}, self.reading)

    def changes_since(self, before: "DatasetFingerprint") -> DatasetChanges:
        """Returns what is different in this fingerprint."""
        names = dict.fromkeys([*before.splits, *self.splits])
        splits = {
            name: changes
            for name in names
            if (changes := _changes(before.splits.get(name, {}), self.splits.get(name, {})))
        }
        return DatasetChanges(splits, _changes_of_reading(before.reading, self.reading))

    @property
    def content(self) -> str:
        """A text that is equal where the examples, their order and the meaning of masks are."""
        splits = {
            name: [[id_, sorted(stamp.content for stamp in files)] for id_, files in stamps.items()]
            for name, stamps in self.splits.items()
        }
        reading = {name: value for name, value in self.reading.items() if name != "table"}
        return json.dumps([splits, reading], sort_keys=True)

    def to_bytes(self) -> bytes:
        """Returns what `from_bytes` reads: compressed JSON."""
        splits = {
            name: [
                [id_, [[s.role, s.name, s.size, s.time, s.digest] for s in files]]
                for id_, files in stamps.items()
            ]
            for name, stamps in self.splits.items()
        }
        text = json.dumps({"splits": splits, "reading": self.reading}, separators=(",", ":"))
        return zlib.compress(text.encode(), 1)

    @classmethod
    def from_bytes(cls, content: bytes) -> "DatasetFingerprint":
        """Returns the fingerprint that `to_bytes` described.

        Raises:
            ValueError: If it is damaged.
        """
        try:
            values = json.loads(zlib.decompress(content))
            splits = {
                str(name): {
                    str(id_): tuple(
                        FileStamp(str(role), str(file), int(size), int(time), str(digest))
                        for role, file, size, time, digest in files
                    )
                    for id_, files in examples
                }
                for name, examples in values["splits"].items()
            }
            return cls(splits, dict(values["reading"]))
        except (zlib.error, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no fingerprint of a dataset: {error}") from error


def stamp_files(
    splits: Mapping[str, Mapping[str, Iterable[tuple[str, Path]]]],
    root: Path,
    known: DatasetFingerprint | None = None,
) -> dict[str, Stamps]:
    """Returns the stamps of files, for `DatasetFingerprint.splits`.

    Args:
        splits: Roles and paths of the files by split and id.
        root: Folder to which names are relative; files may be beside it.
        known: An earlier fingerprint; files of equal name, size and time are not read.

    Raises:
        OSError: If a file is missing, or cannot be read.
    """
    digests = {
        (stamp.name, stamp.size, stamp.time): stamp.digest
        for stamps in (known.splits.values() if known else ())
        for files in stamps.values()
        for stamp in files
    }
    folder = str(root)

    def stamp(item: tuple[str, Path]) -> FileStamp:
        role, path = item
        status = path.stat()
        text = str(path)
        inside = text.startswith(folder + os.sep)
        name = text[len(folder) + 1 :] if inside else os.path.relpath(text, folder)
        name = name.replace(os.sep, "/")
        key = name, status.st_size, status.st_mtime_ns
        return FileStamp(role, *key, digests.get(key) or _digest(path))

    flat = [
        (split, id_, item)
        for split, examples in splits.items()
        for id_, files in examples.items()
        for item in files
    ]
    parts = [flat[k : k + _FILES_PER_CALL] for k in range(0, len(flat), _FILES_PER_CALL)]
    stamped = parallel_map(lambda part: [stamp(item) for _, _, item in part], parts)
    found: dict[str, dict[str, list[FileStamp]]] = {
        split: {id_: [] for id_ in examples} for split, examples in splits.items()
    }
    for part, stamps in zip(parts, stamped, strict=True):
        for (split, id_, _), one in zip(part, stamps, strict=True):
            found[split][id_].append(one)
    return {
        split: {id_: tuple(stamps) for id_, stamps in examples.items()}
        for split, examples in found.items()
    }


def stamp_arrays(id_: str, arrays: Iterable[tuple[str, Any]]) -> tuple[FileStamp, ...]:
    """Returns the stamps of an example in memory, from the roles and values of its arrays."""
    stamps = []
    for role, value in arrays:
        array = np.ascontiguousarray(value)
        digest = hashlib.blake2b(f"{array.dtype}{array.shape}".encode(), digest_size=_DIGEST_BYTES)
        digest.update(array.tobytes())
        stamps.append(FileStamp(role, id_, array.nbytes, 0, digest.hexdigest()))
    return tuple(stamps)


def _digest(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(
            file,
            lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES),
        ).hexdigest()


def _changes(before: Stamps, now: Stamps) -> SplitChanges:
    changed = []
    for id_, files in now.items():
        if id_ not in before:
            continue
        old = [stamp.content for stamp in before[id_]]
        contents = [stamp.content for stamp in files]
        if contents != old:
            names = [stamp.name for stamp in files if stamp.content not in old]
            changed += list(dict.fromkeys(names or [id_]))  # arrays of an example have one name
    added = [id_ for id_ in now if id_ not in before]
    removed = [id_ for id_ in before if id_ not in now]
    is_reordered = not added and not removed and list(before) != list(now)
    return SplitChanges(added, removed, changed, is_reordered)


def _changes_of_reading(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    table = now.get("table") or before.get("table")
    place = f" ({table})" if table else ""
    different = [
        name
        for name in dict.fromkeys([*before, *now])
        if name != "table" and before.get(name) != now.get(name)
    ]
    if "classes" not in different:
        return [f"how masks are read: their {name}{place}" for name in different]
    # The meaning of their numbers and colors changes with them.
    old, new = (_class_names(values.get("classes")) for values in (before, now))
    if old == new:
        return [f"the colors of the classes, or the ignored label{place}"]
    added = [name for name in new if name not in old]
    removed = [name for name in old if name not in new]
    return [f"classes{place}: {SplitChanges(added, removed, [], is_reordered=True)}"]


def _class_names(classes: Any) -> list[str]:
    """Returns the names of all classes in what `Heads.to_dict` returned."""
    specs = classes.get("heads", {"": classes}).values() if isinstance(classes, dict) else ()
    return [str(name) for spec in specs for name in spec.get("class_names", ())]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)
