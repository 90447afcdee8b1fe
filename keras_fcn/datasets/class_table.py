"""The table of classes beside a folder of masks: names, numbers, colors, and what is ignored."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_fcn.datasets.table_formats import Entry, read_entries
from keras_fcn.labels import IGNORED_NAMES, Color, LabelSpec

# Names of files that are tables, in the order in which they are preferred; any case.
_STEMS = (
    *("classes", "class_names", "classnames", "class_dict", "classdict", "_classes"),
    *("class_table", "labelmap", "label_map", "label_colors", "labels", "label_names"),
    *("categories", "names", "obj", "predefined_classes"),
)
_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".names")
_YAML_STEMS = ("data", "dataset")  # data.yaml of YOLO, whose `names` are the classes

_WINDOWS = "cp1252"  # of Western languages, where a file is neither UTF-8 nor UTF-16

_VOID = 255
_UNNUMBERED = "__ignore__"  # labelme's first line, which is number -1


@dataclass(frozen=True)
class ClassTable:
    """The contents of a table of classes.

    Args:
        path: The file.
        labels: Names and palette of the classes.
        colors: Label by color, that of ignored pixels included; `None` if the file has no
            colors.
        numbers: Label by number in masks of numbers.
        has_ids: Whether the file gives the numbers; else they are those of the lines.
    """

    path: Path
    labels: LabelSpec
    colors: Mapping[Color, int] | None
    numbers: Mapping[int, int]
    has_ids: bool = False


def is_table(path: Path) -> bool:
    """Returns whether a file is called as tables of classes are."""
    return _rank(path) is not None


def has_classes(path: Path) -> bool:
    """Returns whether a table names classes; a `data.yaml` may contain other settings."""
    if path.stem.lower() not in _YAML_STEMS:
        return True
    return re.search(r"^names\s*:", decoded(path), re.MULTILINE) is not None


def may_be_table(path: Path) -> bool:
    """Returns whether a file may be a table of classes under another name."""
    words = r"class|label|colou?r|legend|codes|categor|palette|objectinfo"
    return path.suffix.lower() in _SUFFIXES and re.search(words, path.stem.lower()) is not None


def by_preference(paths: Iterable[Path]) -> list[Path]:
    """Returns the tables among files, those first whose names are the plainest."""
    ranked = [(rank, path) for path in paths if (rank := _rank(path)) is not None]
    return [path for _, path in sorted(ranked)]


def read_class_table(path: Path) -> ClassTable:
    """Reads a table of classes.

    Text and CSV have a class in each line: a name, a number and a name, or either with a color,
    which is red, green and blue from 0 to 255 or from 0.0 to 1.0, or `#rrggbb`. Commas,
    semicolons, tabs or spaces separate them; a heading names the columns. The lines of CVAT
    (`name:r,g,b::`) and of labelme (`__ignore__`, `_background_`) are known. JSON and YAML
    contain a list of names or of objects, or a mapping from names to numbers or colors or
    from numbers to names.

    Without numbers, the first line is number 0, the second 1. Lines called `void` or
    `ignore`, of which there may be several, are no class: their pixels count nowhere. Empty
    lines, and what follows a `#`, are skipped.

    Raises:
        ValueError: If a line cannot be understood, or a name, number or color repeats. The message
            names the file and the line.
    """
    return _table(path, read_entries(path, decoded(path)))


def write_class_table(path: Path, rows: Sequence[tuple[int | None, str, Color | None]]) -> None:
    """Writes a table of classes: numbers, names and colors, as far as there are any."""
    from keras_fcn.files import write_text

    lines = ["value,name" if rows[0][2] is None else "name,r,g,b"]
    for number, name, color in rows:
        cells = [str(number), name] if color is None else [name, *map(str, color)]
        lines.append(",".join(cells))
    write_text(path, "\n".join(lines) + "\n")


def _rank(path: Path) -> int | None:
    stem, suffix = path.stem.lower(), path.suffix.lower()
    if suffix in (".yaml", ".yml") and stem in _YAML_STEMS:
        return 1000
    stem = re.sub(r"[- ]", "_", stem)
    if suffix not in _SUFFIXES or stem not in _STEMS:
        return None
    return 10 * _STEMS.index(stem) + _SUFFIXES.index(suffix)


def decoded(path: Path) -> str:
    """Returns the text of a file in any of the encodings that editors write."""
    contents = path.read_bytes()
    for mark, encoding in (
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if contents.startswith(mark):
            return contents.decode(encoding, errors="replace")
    if contents[1:2] == b"\0" or contents[:1] == b"\0":  # UTF-16 without its mark
        return contents.decode("utf-16-le" if contents[1:2] == b"\0" else "utf-16-be", "replace")
    try:
        return contents.decode("utf-8")
    except UnicodeDecodeError:
        return contents.decode(_WINDOWS, errors="replace")


def has_guessed_encoding(path: Path) -> bool:
    """Returns whether the encoding is that of one language of Windows, taken to be Western."""
    contents = path.read_bytes()
    return decoded(path) == contents.decode(_WINDOWS, "replace") and not contents.isascii()


def _table(path: Path, entries: list[Entry]) -> ClassTable:
    """Puts entries in the order of their numbers, and checks that they agree."""
    if not entries:
        raise ValueError(f"{path}: the file names no classes. Write one per line, or remove it.")
    for given, what in (("number", "a number"), ("parts", "a color")):
        having = [
            getattr(entry, given) not in (None, ()) for entry in entries if not _is_free(entry)
        ]
        if any(having) and not all(having):
            # The first that differs from the first line.
            counted = [entry for entry in entries if not _is_free(entry)]
            entry = counted[having.index(not having[0])]
            raise ValueError(f"{entry.place}: either all lines have {what} or none.")
    has_ids = any(entry.number is not None for entry in entries)
    as_unit = _are_unit_colors(entries)
    color_of = {entry.place: _color(entry, as_unit) for entry in entries if entry.parts}
    seen: dict[tuple[str, Any], str] = {}
    for entry in entries:
        color = color_of.get(entry.place)
        facts: list[tuple[str, Any]] = [("number", entry.number), ("color", color)]
        if not _is_void(entry):
            facts.append(("name", entry.name))
        for key, value in facts:
            if value is None:
                continue
            if (key, value) in seen:
                raise ValueError(
                    f"{entry.place}: the {key} {value!r} repeats (first in "
                    f"{seen[key, value].rpartition(', ')[2]})."
                )
            seen[key, value] = entry.place
        if entry.number is not None and not -1 <= entry.number <= 65535:
            raise ValueError(
                f"{entry.place}: the number {entry.number} of {entry.name!r} is in no mask; "
                "expected 0 to 255."
            )
    if has_ids:
        entries = sorted(entries, key=lambda entry: -1 if entry.number is None else entry.number)
    names: list[str] = []
    palette: list[Color] = []
    colors: dict[Color, int] = {}
    numbers: dict[int, int] = {}
    line = 0
    for entry in entries:
        label = _VOID if _is_void(entry) else len(names)
        if label != _VOID:
            names.append(entry.name)
        number = entry.number
        if not has_ids and entry.name.lower() != _UNNUMBERED:
            number, line = line, line + 1
        if number is not None and number >= 0:
            numbers[number] = label
        if entry.place in color_of:
            colors[color_of[entry.place]] = label
            if label != _VOID:
                palette.append(color_of[entry.place])
    try:
        labels = LabelSpec(tuple(names), tuple(palette))
    except ValueError as error:
        hint = " The background is a class too; write it as the first line." * (len(names) == 1)
        raise ValueError(f"{path}: {error}{hint}") from error
    return ClassTable(path, labels, colors or None, numbers, has_ids)


def _is_void(entry: Entry) -> bool:
    return entry.name.lower() in IGNORED_NAMES or entry.number == -1


def _is_free(entry: Entry) -> bool:
    """Returns whether an entry may lack what the others have."""
    return entry.name.lower() == _UNNUMBERED


def _are_unit_colors(entries: Iterable[Entry]) -> bool:
    """Returns whether colors go from 0.0 to 1.0: there is a fraction, and nothing above 1."""
    parts = [part for entry in entries for part in entry.parts]
    return any("." in part for part in parts) and all(0 <= float(part) <= 1 for part in parts)


def _color(entry: Entry, as_unit: bool) -> Color:
    try:
        values = [float(part) for part in entry.parts]
    except ValueError:
        values = [-1.0]
    if as_unit:
        values = [float(int(255 * value + 0.5)) for value in values]
    if len(values) != 3 or not all(0 <= value <= 255 and value == int(value) for value in values):
        raise ValueError(
            f"{entry.place}: expected `name` or `name red green blue` with colors from 0 to 255. "
            f"Received: {entry.name!r} with {' '.join(entry.parts)!r}."
        )
    red, green, blue = (int(value) for value in values)
    return red, green, blue
