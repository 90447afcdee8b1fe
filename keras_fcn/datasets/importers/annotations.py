"""What the importers read from the files of a tool: images, and shapes of named classes."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from keras_fcn.datasets.folder_names import SPLIT_WORDS, picture_suffixes
from keras_fcn.datasets.importers.drawing import LeftOut, Shape
from keras_fcn.labels import BACKGROUND_NAMES, IGNORED_NAMES

# The file by which a folder that an import wrote is recognized.
RECORD = ".keras_fcn_import.json"


@dataclass(frozen=True)
class ImportOptions:
    """What the user says about an export that can be read in several ways.

    Args:
        boxes: Whether boxes of YOLO and COCO without an outline are filled.
        crowds: Whether regions that COCO's files mark as crowds are ignored, or objects.
            `None` to ignore them, and to raise an error if they are many.
    """

    boxes: bool = False
    crowds: Literal["ignore", "objects"] | None = None


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and how to draw its annotations.

    Args:
        name: Its name in the tool; parts of a path are separated by `/`.
        file: The image file; where it is embedded, a function that returns its bytes.
        split: `train`, `val`, `test`, or `None` if the tool has no splits.
        place: What to name in messages about its annotations.
        shapes: Returns the shapes in drawing order for the height and width of the image.
        size: Height and width that the tool has stored, if it has.
    """

    name: str
    file: Path | Callable[[], bytes]
    split: str | None
    place: str
    shapes: Callable[[tuple[int, int]], Iterable[Shape | LeftOut]]
    size: tuple[int, int] | None = None


@dataclass
class Annotations:
    """What a tool exported.

    Args:
        names: Labels in the tool's order.
        images: The images.
        has_background: Whether pixels in no shape are a class, unless the user chooses.
        left_out: Images that are left out: the name and the reason.
        notes: What the user should know, one sentence each.
    """

    names: Sequence[str]
    images: Sequence[AnnotatedImage]
    has_background: bool = True
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_ignored(name: str) -> bool:
    """Returns whether a label means pixels to ignore."""
    return name.strip().lower() in IGNORED_NAMES


def is_background(name: str) -> bool:
    """Returns whether a label means pixels of no object."""
    return name.strip().lower() in BACKGROUND_NAMES


def split_of(words: str) -> str | None:
    """Returns the split that a name contains as a word.

    >>> split_of("instances_train2017"), split_of("valid"), split_of("trainee")
    ('train', 'val', None)
    """
    found = [SPLIT_WORDS[w] for w in re.findall(r"[a-z]+", words.lower()) if w in SPLIT_WORDS]
    return found[-1] if found else None


def checked_split(name: str, place: str) -> str:
    """Returns the split that a tool's name of it means.

    Raises:
        ValueError: If it is none of train, val and test.
    """
    split = split_of(name)
    if split is None:
        raise ValueError(
            f"{place}: the split {name!r} is none of train, val (or valid, validation) and test "
            "(or testing). Rename it there, so that it is clear which images are trained on."
        )
    return split


def read_json(path: Path) -> Any:
    """Returns the contents of a JSON file.

    Raises:
        ValueError: If it is none. The message names the file and the line.
    """
    try:
        return json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}: the file is no valid JSON ({error.msg}). Likely cause: "
            "it was cut off or edited; export it again."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: the text is not UTF-8, which JSON must be. Export it again."
        ) from error


def is_archive(path: Path) -> bool:
    """Returns whether a path is an archive that has to be unpacked first."""
    return path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


def files_below(folder: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    """Yields the files of some suffixes below a folder; no hidden ones, no outputs of imports."""
    wanted = frozenset(suffixes)
    for parent, folders, files in os.walk(folder, followlinks=True):
        if RECORD in files:  # the output of an earlier import
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX", "@")))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in wanted:
                yield Path(parent, name)


class ImageFiles:
    """Finds images by the names that annotations give them, wherever in a folder they are.

    Args:
        folder: Folder of the images, searched with all below it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_name: dict[str, list[Path]] = {}
        self._name_of: dict[Path, str] = {}
        for path in files_below(folder, picture_suffixes()):
            self._by_name.setdefault(path.name.casefold(), []).append(path)

    def __len__(self) -> int:
        return sum(len(paths) for paths in self._by_name.values())

    def find(self, name: str, near: Path | None = None, split: str | None = None) -> Path | None:
        """Returns the image of a name; `None` if there is none.

        Of several, the one whose path has most parts of `name` at its end, then one in the
        folder of the annotations. Images in the folder of another split do not count.

        Args:
            name: File name or path, as the annotations have it.
            near: The folder of the annotations.
            split: The split of the image.

        Raises:
            ValueError: If it is not clear which of several is meant, or another name has the
                same image.
        """
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts:
            return None
        split = split or split_of("/".join(parts[:-1]))
        found = [
            path
            for path in self._by_name.get(parts[-1].casefold(), [])
            if split is None or self._split(path) in (None, split)
        ]
        for rank in (
            lambda path: _common_tail(path.parts, parts),
            lambda path: near is not None and path.is_relative_to(near),
            lambda path: self._split(path) == split,
        ):
            if len(found) > 1:
                best = max(rank(path) for path in found)
                found = [path for path in found if rank(path) == best]
        if not found:
            return None
        if len(found) > 1:
            raise ValueError(
                f"{self.folder}: the annotations name the image {name}, and there are "
                f"{len(found)}: {found[0]}, {found[1]}. Keep those that were annotated, or name "
                "their folder by --images FOLDER."
            )
        other = self._name_of.setdefault(found[0], name)
        if other != name:
            raise ValueError(
                f"{self.folder}: the annotations name the images {other} and {name}, and only "
                f"{found[0]} fits them. Keep the images in the folders that the annotations name."
            )
        return found[0]

    def _split(self, path: Path) -> str | None:
        return split_of("/".join(path.relative_to(self.folder).parts[:-1]))


def unique(names: Iterable[str]) -> list[str]:
    """Returns names in order, each once."""
    return list(dict.fromkeys(names))


def required(record: Mapping[str, Any], key: str, kind: type | tuple[type, ...], place: str) -> Any:
    """Returns a value of a record.

    Raises:
        ValueError: If it is missing or of another type.
    """
    value = record.get(key) if isinstance(record, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        shown = repr(value)[:60] if isinstance(record, Mapping) and key in record else "nothing"
        raise ValueError(
            f"{place}: expected a value of {key!r}. Received: {shown}. Likely cause: the file is "
            "of another kind or was edited; export it again."
        )
    return value


def _common_tail(first: Sequence[str], second: Sequence[str]) -> int:
    count = 0
    for a, b in zip(reversed(first), reversed(second), strict=False):
        if a.casefold() != b.casefold():
            break
        count += 1
    return count
