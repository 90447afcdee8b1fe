"""Files that list the images of each split: `train.txt`, `val.txt`, VOC's `ImageSets`."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from keras_fcn.datasets.class_table import decoded, is_table
from keras_fcn.datasets.folder_names import SPLIT_WORDS, composed, may_be_split
from keras_fcn.datasets.list_lines import is_picture, list_lines
from keras_fcn.datasets.pairing import PlacedFile

_SUFFIXES = (".txt", ".lst", ".csv")
_UNSPLIT = ("trainval", "default", "all")  # lists of images that are to be split
_PARTS = (("train", "trainval"), ("val", "trainval"))  # splits that are part of a list
_FOLDERS = ("", "imagesets/segmentation", "imagesets", "splits", "split", "lists", "list")
_ELSEWHERE = len(_FOLDERS)
# Files that may contain the split, and cannot be searched for names.
_BINARY = (
    *(".pkl", ".pickle", ".npz", ".npy", ".mat", ".parquet", ".feather", ".arrow"),
    *(".xlsx", ".xls", ".ods", ".db", ".sqlite", ".sqlite3"),
)
_DATA = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".yaml", ".yml", ".xml", ".toml")
# Programs, texts and what else is called `train` and lists no images.
_NO_SPLITS = (
    *(".py", ".pyc", ".ipynb", ".sh", ".bat", ".md", ".rst", ".log", ".html", ".pdf", ".doc"),
    *(".docx", ".zip", ".tar", ".gz", ".7z", ".rar", ".h5", ".hdf5", ".keras", ".pt", ".pth"),
    *(".onnx", ".tflite", ".ckpt", ".mp4", ".avi", ".mov", ".tfrecord", ".record"),
)
_MOST_BYTES = 1 << 24  # of a file that is searched for names of images


@dataclass
class SplitLists:
    """The lists of a folder.

    Args:
        files: The list of each split; "trainval" is to be split further.
        unread: Lists that are not used.
        unknown: Lists that may be of a split, whose names say none.
        problems: What is wrong with them, one sentence each.
    """

    files: dict[str, Path] = field(default_factory=dict)
    unread: list[Path] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_lists(
    texts: Sequence[Path], pictures: Sequence[Path], roots: Collection[Path]
) -> SplitLists:
    """Finds the lists of splits: those of one folder, so that lists of two tasks do not mix.

    Args:
        texts: The files that are no pictures.
        pictures: The pictures.
        roots: Folders below which lists are expected.
    """
    result = SplitLists()
    stems = {composed(path.stem) for path in pictures}
    by_rank: dict[int, dict[str, list[Path]]] = {}
    unknown: list[tuple[int, Path]] = []
    for path in texts:
        if path.suffix.lower() not in _SUFFIXES or is_table(path):
            continue
        word = re.sub(r"([-_ ]?(list|ids|files|names|set|split))+$", "", path.stem.lower())
        split = "trainval" if word in _UNSPLIT else SPLIT_WORDS.get(word)
        rank = _rank(path, roots)
        if split and (rank < _ELSEWHERE or _is_list(path, stems)):
            by_rank.setdefault(rank, {}).setdefault(split, []).append(path)
        elif (rank < _ELSEWHERE or may_be_split(path.stem)) and _is_list(path, stems):
            unknown.append((rank, path))
    if not by_rank:
        result.unknown = [path for _, path in unknown]
        return result

    best = min(by_rank)
    chosen = by_rank.pop(best)
    for split, files in chosen.items():
        result.files[split] = files[0]
        for path in files[1:]:
            result.problems.append(
                f"{path}: {files[0].name} is a list of the split {split!r} too. Remove one of them."
            )
    if "trainval" in result.files and not {"train", "val"}.isdisjoint(result.files):
        result.unread.append(result.files.pop("trainval"))
    trains = not {"train", "trainval"}.isdisjoint(result.files)
    beside = next(iter(result.files.values()))
    for of_split in by_rank.values():
        for split, files in of_split.items():
            result.unread += files
            if split == "train" and not trains:
                result.problems.append(
                    f"{files[0]}: the list of the split 'train' is in another folder than "
                    f"{beside}. Put the lists of all splits into one folder."
                )
    for rank, path in unknown:
        if rank == best and not trains:
            result.problems.append(
                f"{path}: the file lists images, and there is no list of the split 'train' beside "
                f"{beside.name}. Rename it to train.txt if that is meant, or remove it."
            )
        else:
            result.unread.append(path)
    return result


def unknown_list_problem(path: Path, pictures: Sequence[Path]) -> str | None:
    """Returns why a list may say the split and is not read; `None` if it names all images."""
    lines = [line.strip() for line in decoded(path).splitlines() if line.strip()]
    is_bare = all(len(line.split()) == 1 and "," not in line for line in lines)
    if is_bare and len(set(lines)) >= len(pictures) // 2:
        return None  # of images and masks, one of the two: no split
    return (
        f"{path}: the file lists images, and its name is that of no known split "
        f"({', '.join(f'{word}.txt' for word in SPLIT_WORDS)}). Rename or remove it."
    )


def other_split_files(texts: Sequence[Path], pictures: Sequence[Path]) -> Iterator[str]:
    """Yields a problem for each file that may say the split in a form that is not read."""
    stems = {composed(path.stem) for path in pictures}
    way_out = (
        "it is not read. Write their names into train.txt and val.txt, or move the file away to "
        "split at random."
    )
    for path in texts:
        suffix = path.suffix.lower()
        is_called_so = may_be_split(path.stem)
        of_image = {composed(path.stem), PurePosixPath(composed(path.stem)).stem} & stems
        if suffix in _NO_SPLITS or (not is_called_so and (suffix not in _DATA or of_image)):
            continue
        if suffix in _BINARY:
            yield f"{path}: the file may say in which split the images are; {way_out}"
        elif path.stat().st_size <= _MOST_BYTES:
            words = set(re.findall(r"[^\s\"',;/\\\[\]{}<>:]+", composed(decoded(path))))
            named = {PurePosixPath(word).stem for word in words} & stems
            if len(named) >= 2 and (is_called_so or _has_splits({word.lower() for word in words})):
                yield (
                    f"{path}: the file names {len(named)} images and may say in which split they "
                    f"are; {way_out}"
                )


def _has_splits(words: Collection[str]) -> bool:
    """Returns whether words of a file name two splits, or are those of a column for them."""
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return len(splits) > 1 or not {"split", "is_valid", "is_val", "fold"}.isdisjoint(words)


class ListReader:
    """Finds the images that lines of lists name.

    Args:
        images: All images.
        base: The folder that contains them.
    """

    def __init__(self, images: Sequence[PlacedFile], base: Path) -> None:
        self.problems: list[str] = []
        self._by_name: dict[str, set[PlacedFile]] = {}
        self._others: dict[PlacedFile, tuple[str, tuple[str, ...]]] = {}  # place, other names
        for image in images:
            relative = image.path.relative_to(base).with_suffix("")
            parts = PurePosixPath(composed(relative.as_posix())).parts
            for name in (*("/".join(parts[start:]) for start in range(len(parts))), image.key()):
                self._by_name.setdefault(name, set()).add(image)

    def lines(self, path: Path, split: str = "") -> Iterator[tuple[str, str, PlacedFile | None]]:
        """Yields (place, entry, image or `None`) by line; headings and comments are left out.

        Args:
            path: The list: a name or path in each line, with or without extension, and
                perhaps the mask or other words behind it; or a table with a column of these.
            split: Its split; lines of a table that has a column for it may name another one.
        """
        for line in list_lines(path):
            place = f"{path}, line {line.number}"
            whole = self._by_name.get(_without_suffix(line.text), set())
            image = next(iter(whole)) if len(whole) == 1 else self._image(line.image)
            if image is None and (line.text[0] == "#" or line.may_be_heading):
                continue
            if line.split not in (None, split, "train" if split == "trainval" else None):
                self.problems.append(
                    f"{place}: the line is of the split {line.split!r}, and the file is the list "
                    f"of the split {split!r}. Write the names of each split into a file of its own."
                )
            if image is not None and line.others:
                self._others[image] = place, line.others
            yield place, line.text, image

    def named_mask(self, image: PlacedFile) -> str | None:
        """Returns the file that a line names beside an image, if it is a single one."""
        _, names = self._others.get(image, ("", ()))
        return names[0] if len(names) == 1 else None

    def other_masks(
        self, pairs: Mapping[PlacedFile, tuple[Path, ...]], pictures: Sequence[Path]
    ) -> Iterator[str]:
        """Yields a problem for each line that names other files than the mask that is read."""
        tails = {composed_parts(path)[-count:] for path in pictures for count in (1, 2)}
        for image, (place, names) in self._others.items():
            masks = pairs.get(image, ())
            if len(masks) != 1:
                continue
            read = composed_parts(masks[0])
            known = []
            for name in names:
                parts = PurePosixPath(name).parts
                tail = parts[-2:] if parts[-2:] in tails else parts[-1:]
                if tail in tails and tail != composed_parts(image.path)[-len(tail) :]:
                    known.append((name, read[-len(tail) :] == tail))
            if known and not any(is_read for _, is_read in known):
                yield (
                    f"{place}: the line names the mask {known[0][0]!r}, but {masks[0]} would be "
                    "read. Choose the masks with --masks GLOB; their names must be those of the "
                    "images."
                )

    def _image(self, entry: str) -> PlacedFile | None:
        words = [entry] if is_picture(entry) else [entry, *re.split(r"[\s,]+", entry)[:1]]
        for word in words:
            parts = [part for part in word.split("/") if part not in ("", ".")]
            for start in range(len(parts)):
                name = "/".join(parts[start:])
                for key in (name, _without_suffix(name)):
                    found = self._by_name.get(key, set())
                    if len(found) == 1:
                        return next(iter(found))
        return None


def listed_splits(
    lists: Mapping[str, Path], reader: ListReader, problems: list[str]
) -> dict[str, list[PlacedFile]]:
    """Returns the images of each split, as the lists name them; what is wrong is added."""
    first: dict[PlacedFile, tuple[str, str]] = {}
    splits: dict[str, list[PlacedFile]] = {}
    for split, path in lists.items():
        splits[split] = []
        for place, entry, image in reader.lines(path, split):
            if image is None:
                problems.append(f"{place}: there is no image {entry!r}.")
            elif image in first and first[image][0] == split:
                problems.append(f"{place}: {entry!r} is listed twice.")
            elif image in first:
                other, where = first[image]
                problems.append(
                    f"{place}: {entry!r} is also in the list of the split {other!r} ({where})."
                )
            elif image.split and image.split != split and (image.split, split) not in _PARTS:
                problems.append(
                    f"{place}: {entry!r} lies in a folder of the split {image.split!r}."
                )
            else:
                first[image] = split, place.rpartition("/")[2]
                splits[split].append(image)
        if not splits[split]:
            problems.append(f"{path}: the list of the split {split!r} names no image.")
    problems += reader.problems
    return splits


def composed_parts(path: Path) -> tuple[str, ...]:
    """Returns the parts of a path in the form in which lists are compared."""
    return PurePosixPath(composed(path.as_posix())).parts


def _without_suffix(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix() if is_picture(name) else name


def _rank(path: Path, roots: Collection[Path]) -> int:
    """Returns the place of a list's folder among those where lists are expected."""
    folders = [
        path.parent.relative_to(root).as_posix().lower()
        for root in roots
        if path.is_relative_to(root)
    ]
    names = ["" if folder == "." else folder for folder in folders]
    return min((_FOLDERS.index(name) for name in names if name in _FOLDERS), default=_ELSEWHERE)


def _is_list(path: Path, stems: set[str]) -> bool:
    """Returns whether most lines of a file are names of pictures."""
    lines = list_lines(path, 200)
    named = [
        line
        for line in lines
        for first in [re.split(r"[\s,]", line.text)[0]]
        if not stems.isdisjoint((PurePosixPath(line.image).stem, PurePosixPath(first).stem))
    ]
    return len(named) * 2 > len(lines)
