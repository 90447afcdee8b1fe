"""The table of classes beside a folder of masks: names, numbers, colors, and what is ignored."""

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_fcn.labels import Color, LabelSpec

# Names of files that are tables, in the order in which they are preferred; any case.
_STEMS = (
    "classes",
    "class_names",
    "classnames",
    "class_dict",
    "classdict",
    "_classes",
    "class_table",
    "labelmap",
    "label_map",
    "label_colors",
    "labels",
    "label_names",
    "categories",
    "names",
    "obj",
    "predefined_classes",
)
_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".names")
_YAML_STEMS = ("data", "dataset")  # data.yaml of YOLO, whose `names` are the classes

_VOID = 255
_VOID_NAMES = ("void", "ignore", "ignored", "__ignore__")
_UNNUMBERED = "__ignore__"  # labelme's first line, which is number -1

_NAME = (
    *("name", "class", "classname", "label", "labelname", "category", "categoryname", "title"),
    *("classes", "names", "labels"),
)
_ID = (
    *("id", "index", "idx", "value", "pixelvalue", "pixel", "number", "no", "classid", "labelid"),
    *("classindex", "classvalue", "categoryid", "labelvalue", "gray", "grayvalue", "greyvalue"),
)
_RED, _GREEN, _BLUE = ("r", "red"), ("g", "green"), ("b", "blue")
_COLOR = ("color", "colour", "rgb", "hex", "colorrgb", "rgbcolor", "hexcolor", "colorhex")
_COLUMNS = {"name": _NAME, "id": _ID, "r": _RED, "g": _GREEN, "b": _BLUE, "color": _COLOR}

_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
_NUMBER = re.compile(r"[-+]?(\d+([.]\d*)?|[.]\d+)([eE][-+]?\d+)?")
_CVAT = re.compile(r"(?P<name>[^:]+):(?P<color>\s*\d+\s*,\s*\d+\s*,\s*\d+\s*)?:[^:]*:[^:]*")


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


@dataclass(frozen=True)
class _Entry:
    """A line of a table: its place in the file, a name, and what else it gives."""

    place: str
    name: str
    number: int | None = None
    parts: tuple[str, ...] = ()  # red, green and blue as they are written


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


def find_class_table(folder: Path) -> ClassTable | None:
    """Returns the first table of classes in a folder, or `None`."""
    tables = by_preference(path for path in folder.iterdir() if path.is_file())
    return read_class_table(tables[0]) if tables else None


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
    text = decoded(path)
    suffix = path.suffix.lower()
    if suffix == ".json" or text.lstrip()[:2] in ("[{", '["', '{"'):
        return _table(path, _json_entries(path, text))
    if suffix in (".yaml", ".yml"):
        return _table(path, _yaml_entries(path, text))
    return _table(path, _line_entries(path, text))


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
        return contents.decode("cp1252", errors="replace")


def _table(path: Path, entries: list[_Entry]) -> ClassTable:
    """Puts entries in the order of their numbers, and checks that they agree."""
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


def _is_void(entry: _Entry) -> bool:
    return entry.name.lower() in _VOID_NAMES or entry.number == -1


def _is_free(entry: _Entry) -> bool:
    """Returns whether an entry may lack what the others have."""
    return entry.name.lower() == _UNNUMBERED


# Text and CSV


def _line_entries(path: Path, text: str) -> list[_Entry]:
    lines = [
        (f"{path}, line {number}", line)
        for number, raw in enumerate(text.splitlines(), 1)
        if (line := _without_comment(raw))
    ]
    if not lines:
        return []
    if sum(bool(_CVAT.fullmatch(line)) for _, line in lines) * 2 > len(lines):
        return [_cvat_entry(place, line) for place, line in lines]
    delimiter = _delimiter([line for _, line in lines])
    rows = [(place, _cells(line, delimiter, place)) for place, line in lines]
    columns = _heading(rows)
    if columns:
        return [_entry_of_columns(place, cells, columns) for place, cells in rows[1:]]
    if delimiter is None:
        return _entries_of_words([(place, line) for place, line in lines])
    kinds = [[_kind(cell) for cell in cells] for _, cells in rows]
    if len(rows) == 1 and set(kinds[0]) == {"text"}:  # all names in one line
        return [_Entry(rows[0][0], cell) for cell in rows[0][1]]
    return [
        _entry_of_cells(place, cells, kind)
        for (place, cells), kind in zip(rows, kinds, strict=True)
    ]


def _without_comment(line: str) -> str:
    """Returns a line without what follows a `#` that begins no color."""
    line = line.replace("\ufeff", "").strip()
    position = -1
    while (position := line.find("#", position + 1)) >= 0:
        if not _HEX.match(line, position) or (position and line[position - 1].isalnum()):
            return line[:position].strip()
    return line


def _delimiter(lines: list[str]) -> str | None:
    """Returns what separates the cells in all lines; `None` for spaces."""
    for delimiter in ("\t", ";", ","):
        bare = [re.sub(r'"[^"]*"', "", line) for line in lines]
        counts = [line.count(delimiter) for line in bare]
        if all(counts) or (counts[0] and len(lines) > 1 and delimiter != ","):
            return delimiter
        # Some lines without: names alone, of which some contain a comma, or a table with gaps.
        if any(counts) and any(
            re.search(rf"{delimiter}\s*[-\d.#]", line) for line in bare if delimiter in line
        ):
            return delimiter
    return None


def _cells(line: str, delimiter: str | None, place: str) -> list[str]:
    if delimiter is None:
        return [part.strip("\"'") for part in re.findall(r'"[^"]*"|\'[^\']*\'|\S+', line)]
    try:
        (cells,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True)
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{place}: the quotes are not closed. Received: {line!r}.") from error
    cells = [cell.strip().strip("'") for cell in cells]
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    return cells


def _heading(rows: list[tuple[str, list[str]]]) -> dict[str, int] | None:
    """Returns the columns that the first row names, or `None` if it is no heading."""
    first = [re.sub(r"[^a-z]", "", cell.lower()) for cell in rows[0][1]]
    if any(_kind(cell) != "text" for cell in rows[0][1] if cell):
        return None
    columns: dict[str, int] = {}
    for position, word in enumerate(first):
        for column, words in _COLUMNS.items():
            if word in words and column not in columns:
                columns[column] = position
                break
    known = len(columns)
    if "name" not in columns:
        return None
    if known == len(first):
        # `label` alone may be a heading or a class; a class called so is rare.
        return columns if len(rows) > 1 else None
    further = [cells for _, cells in rows[1:]]
    numeric = [
        any(position < len(cells) and _kind(cells[position]) != "text" for cells in further)
        for position in range(len(first))
    ]
    return columns if known > 1 and any(numeric) else None


def _entry_of_columns(place: str, cells: list[str], columns: Mapping[str, int]) -> _Entry:
    def cell(column: str) -> str | None:
        position = columns.get(column)
        if position is None or position >= len(cells) or not cells[position]:
            return None
        return cells[position]

    name = cell("name")
    if name is None:
        raise ValueError(f"{place}: there is no name in column {columns['name'] + 1}.")
    number = None
    if "id" in columns:
        number = _whole(cell("id"), place)
    parts: tuple[str, ...] = ()
    if "color" in columns:
        parts = _color_of_text(cell("color") or "", place)
    elif {"r", "g", "b"} <= set(columns):
        parts = _parts([cell(channel) or "" for channel in "rgb"])
    return _Entry(place, name, number, parts)


def _kind(cell: str) -> str:
    if _HEX.fullmatch(cell):
        return "hex"
    return "number" if _NUMBER.fullmatch(cell.replace(",", ".")) else "text"


def _entry_of_cells(place: str, cells: list[str], kinds: list[str]) -> _Entry:
    """Reads a row without a heading, by where its numbers are."""
    texts = [k for k, kind in enumerate(kinds) if kind == "text"]
    numbers = [k for k, kind in enumerate(kinds) if kind == "number"]
    hexes = [k for k, kind in enumerate(kinds) if kind == "hex"]
    wrong = ValueError(
        f"{place}: expected `name`, `name,red,green,blue` with colors from 0 to 255, "
        f"`number,name` or `number,name,red,green,blue`. Received: {','.join(cells)!r}. A heading "
        "such as `id,name,r,g,b` says which column is which."
    )
    if len(texts) != 1 or len(hexes) > 1 or (hexes and len(numbers) > 1):
        raise wrong
    name = cells[texts[0]]
    if not name:
        raise wrong
    if hexes:
        number = _whole(cells[numbers[0]], place) if numbers else None
        return _Entry(place, name, number, _color_of_text(cells[hexes[0]], place))
    if len(numbers) == 0:
        return _Entry(place, name)
    if len(numbers) == 1:
        return _Entry(place, name, _whole(cells[numbers[0]], place))
    if len(numbers) == 3:
        return _Entry(place, name, None, _parts([cells[k] for k in numbers]))
    # Four numbers are a number and a color, if the name separates the two.
    if len(numbers) == 4 and texts[0] == 1:
        return _Entry(place, name, _whole(cells[0], place), _parts(cells[2:5]))
    if len(numbers) == 4 and texts[0] == 3:
        return _Entry(place, name, _whole(cells[4], place), _parts(cells[:3]))
    raise wrong


# Words that spaces separate


def _entries_of_words(lines: list[tuple[str, str]]) -> list[_Entry]:
    """Reads lines in which spaces separate, and may be part of names as well.

    The lines decide together: a number belongs to a name unless every line has one.
    """
    if all(_HEX.search(line) for _, line in lines):
        return [_entry_with_hex(place, line) for place, line in lines]
    tails = [_trailing_numbers(line) for _, line in lines]
    if any(len(tail) >= 3 for tail in tails):
        return _entries_with_colors(lines, tails)
    leading = [re.match(r"([-+]?\d+)[\s:.=)-]+(?=\S*[^\W\d])(.+)", line) for _, line in lines]
    if any(re.match(r"\d+\s+\d+\s+\d+\s+\D", line) for _, line in lines):
        return [_entry_color_first(place, line) for place, line in lines]
    if all(leading):
        return [
            _Entry(place, _unquoted(match[2]), int(match[1]))
            for (place, _), match in zip(lines, leading, strict=True)
            if match
        ]
    trailing = [re.fullmatch(r"(.*?\S)[\s:=]+(\d+)", line) for _, line in lines]
    if len(lines) > 1 and all(trailing) and not any(line[-1] in "\"'" for _, line in lines):
        names = [match[1].rstrip(" :=") for match in trailing if match]
        numbers = [int(match[2]) for match in trailing if match]
        if len(set(names)) == len(names):
            if sorted(numbers) != list(range(len(numbers))):
                raise ValueError(
                    f"{lines[0][0]}: it is not clear whether {lines[0][1]!r} is a name that ends "
                    "in a number, or a name and a number. Put names in quotes, or write a "
                    "heading: `name` alone, or `name,id` with commas in all lines."
                )
            return [
                _Entry(place, _unquoted(name), number)
                for (place, _), name, number in zip(lines, names, numbers, strict=True)
            ]
    return [_Entry(place, _unquoted(line)) for place, line in lines]


def _unquoted(name: str) -> str:
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1].strip()
    return " ".join(name.split())


def _trailing_numbers(line: str) -> list[str]:
    words = line.split()
    tail: list[str] = []
    while words and _NUMBER.fullmatch(words[-1]):
        tail.insert(0, words.pop())
    return tail


def _entries_with_colors(lines: list[tuple[str, str]], tails: list[list[str]]) -> list[_Entry]:
    leading = [re.match(r"\d+\s+\D", line) for _, line in lines]
    # Four numbers at the end of every line: the first may be an id or the end of a name.
    if all(len(tail) >= 4 for tail in tails) and not all(leading):
        raise ValueError(
            f"{lines[0][0]}: expected `name red green blue`. Received: {lines[0][1]!r}. If the "
            "numbers before the color are ids, write them first (`1 car 64 0 128`); if they are "
            "part of the names, separate with commas (`Grade 2,64,0,128`)."
        )
    entries: list[_Entry] = []
    for (place, line), tail in zip(lines, tails, strict=True):
        words = line.split()
        if not tail and entries:
            raise ValueError(f"{place}: either all lines have a color or none.")
        if not tail and not entries and len(lines) > 1:
            raise ValueError(f"{lines[1][0]}: either all lines have a color or none.")
        if len(tail) < 3 or len(words) < 4:
            raise ValueError(
                f"{place}: expected `name` or `name red green blue` with colors from 0 to 255. "
                f"Received: {line!r}."
            )
        name = " ".join(words[:-3])
        number = None
        if all(leading):
            number, name = int(words[0]), " ".join(words[1:-3])
        entries.append(_Entry(place, _unquoted(name), number, _parts(words[-3:])))
    return entries


def _entry_color_first(place: str, line: str) -> _Entry:
    match = re.fullmatch(r"(\d+)\s+(\d+)\s+(\d+)\s+(\D.*)", line)
    if match is None:
        raise ValueError(
            f"{place}: expected `red green blue name`, as in other lines. Received: {line!r}."
        )
    return _Entry(place, _unquoted(match[4]), None, _parts(match.groups()[:3]))


def _entry_with_hex(place: str, line: str) -> _Entry:
    match = _HEX.search(line)
    assert match is not None
    rest = (line[: match.start()] + " " + line[match.end() :]).strip()
    number = None
    if leading := re.fullmatch(r"(\d+)[\s:]+(.+)", rest):
        number, rest = int(leading[1]), leading[2]
    name = _unquoted(rest).strip(" :=")
    if not name:
        raise ValueError(f"{place}: expected `name #rrggbb`. Received: {line!r}.")
    return _Entry(place, name, number, _color_of_text(match[0], place))


def _cvat_entry(place: str, line: str) -> _Entry:
    match = _CVAT.fullmatch(line)
    if match is None:
        raise ValueError(f"{place}: expected `name:red,green,blue::`. Received: {line!r}.")
    color = match["color"]
    return _Entry(
        place,
        match["name"].strip(),
        None,
        _parts(color.split(",")) if color and color.strip() else (),
    )


# Numbers and colors


def _whole(text: str | None, place: str) -> int | None:
    if text is None:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = 0.5
    if value != int(value):
        raise ValueError(f"{place}: {text!r} is no whole number.")
    return int(value)


def _are_unit_colors(entries: Iterable[_Entry]) -> bool:
    """Returns whether colors go from 0.0 to 1.0: there is a fraction, and nothing above 1."""
    parts = [part for entry in entries for part in entry.parts]
    return any("." in part for part in parts) and all(0 <= float(part) <= 1 for part in parts)


def _parts(parts: Sequence[Any]) -> tuple[str, ...]:
    """Returns red, green and blue as they are written, with decimal points."""
    return tuple(str(part).strip().replace(",", ".") for part in parts)


def _color(entry: _Entry, as_unit: bool) -> Color:
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


def _color_of_text(text: str, place: str) -> tuple[str, ...]:
    text = text.strip()
    if re.fullmatch(r"#?[0-9a-fA-F]{6}", text):
        value = int(text.lstrip("#"), 16)
        return _parts([value >> 16, (value >> 8) & 0xFF, value & 0xFF])
    bare = re.sub(r"^rgb|[()\[\]{}]", " ", text, flags=re.IGNORECASE)
    parts = re.split(r"[\s,;]+", bare.strip())
    if len(parts) != 3 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise ValueError(f"{place}: {text!r} is no color, such as #4000ff or 64,0,255.")
    return _parts(parts)


# JSON and YAML


def _json_entries(path: Path, text: str) -> list[_Entry]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{path}: the name {key!r} repeats.")
        return dict(items)

    try:
        contents = json.loads(text.lstrip("\ufeff"), object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: no JSON ({error.msg}).") from error
    return _structured_entries(path, contents)


def _yaml_entries(path: Path, text: str) -> list[_Entry]:
    import yaml

    try:
        contents = yaml.safe_load(text.replace("\t", "  "))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", error)).split())
        raise ValueError(f"{path}{line}: no YAML ({reason}).") from error
    return _structured_entries(path, contents)


def _structured_entries(path: Path, contents: Any) -> list[_Entry]:
    """Reads a list of names or objects, or a mapping, from JSON or YAML."""
    num_classes = None
    if isinstance(contents, dict):
        lowered = {re.sub(r"[^a-z]", "", str(key).lower()): key for key in contents}
        num_classes = contents.get("nc")
        for word in ("names", "classes", "categories", "labels", "classnames", "labelmap", "items"):
            if word in lowered and isinstance(contents[lowered[word]], list | dict):
                contents = contents[lowered[word]]
                break
    if isinstance(contents, list):
        entries = [
            _structured_entry(f"{path}, entry {k}", item) for k, item in enumerate(contents, 1)
        ]
    elif isinstance(contents, dict):
        entries = [
            _entry_of_pair(f"{path}, entry {k}", key, value)
            for k, (key, value) in enumerate(contents.items(), 1)
        ]
    else:
        raise ValueError(
            f"{path}: expected a list of names, or a mapping of names to numbers or colors."
        )
    if isinstance(num_classes, int) and num_classes != len(entries):
        raise ValueError(f"{path}: `nc` is {num_classes}, but there are {len(entries)} names.")
    return entries


def _structured_entry(place: str, item: Any) -> _Entry:
    if isinstance(item, str | int | float) and not isinstance(item, bool):
        return _Entry(place, str(item).strip())
    if isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str):
        return _entry_of_pair(place, item[0], item[1])
    if not isinstance(item, dict):
        raise ValueError(f"{place}: expected a name, or an object with a name. Received: {item!r}.")
    values: dict[str, Any] = {}
    for key, value in item.items():
        word = re.sub(r"[^a-z]", "", str(key).lower())
        for column, words in _COLUMNS.items():
            if word in words and column not in values:
                values[column] = value
    if not isinstance(values.get("name"), str | int):
        raise ValueError(f"{place}: there is no name. Received: {item!r}.")
    number = values.get("id")
    color = values.get("color")
    if color is None and {"r", "g", "b"} <= set(values):
        color = [values[channel] for channel in "rgb"]
    return _Entry(
        place,
        str(values["name"]).strip(),
        None if number is None else _whole(str(number), place),
        () if color is None else _color_of_value(color, place),
    )


def _entry_of_pair(place: str, key: Any, value: Any) -> _Entry:
    """Reads `name: number`, `number: name`, `name: color` or `name: {...}`."""
    is_number = re.fullmatch(r"-?\d+", str(key).strip()) is not None
    if isinstance(value, dict):
        extra = {"id": int(key)} if is_number else {"name": str(key)}
        return _structured_entry(place, {**extra, **value})
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{place}: expected a number, a color or a name. Received: {value!r}.")
    if isinstance(value, int | float):
        return _Entry(place, str(key).strip(), _whole(str(value), place))
    if isinstance(value, list | tuple) or (isinstance(value, str) and _HEX.fullmatch(value)):
        return _Entry(place, str(key).strip(), None, _color_of_value(value, place))
    if is_number:
        return _Entry(place, str(value).strip(), int(key))
    if re.fullmatch(r"-?\d+", str(value).strip()):
        return _Entry(place, str(key).strip(), int(value))
    raise ValueError(
        f"{place}: expected a number, a color or a name. Received: {key!r}: {value!r}."
    )


def _color_of_value(value: Any, place: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return _color_of_text(value, place)
    if isinstance(value, dict):
        value = [value.get(channel) for channel in "rgb"]
    if isinstance(value, list | tuple) and len(value) == 4 and value[3] in (255, 1):
        value = value[:3]  # opaque
    if not (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(part, int | float) for part in value)
    ):
        raise ValueError(f"{place}: expected a color of three numbers. Received: {value!r}.")
    return _parts(value)
