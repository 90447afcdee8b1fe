"""The lines of tables of classes in the formats that people and tools write."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
class Entry:
    """A line of a table: its place in the file, a name, and what else it gives."""

    place: str
    name: str
    number: int | None = None
    parts: tuple[str, ...] = ()  # red, green and blue as they are written


def read_entries(path: Path, text: str) -> list[Entry]:
    """Returns the lines of a table as they are written.

    Args:
        path: The file; its extension decides between YAML and lines of text.
        text: Its contents.

    Raises:
        ValueError: If a line cannot be understood. The message names the file and the line.
    """
    if path.suffix.lower() == ".json" or text.lstrip()[:2] in ("[{", '["', '{"'):
        return _json_entries(path, text)
    is_python = text.lstrip()[:2] in ("['", "{'")  # a printed list, which YAML reads too
    if path.suffix.lower() in (".yaml", ".yml") or is_python:
        return _yaml_entries(path, text)
    entries = _line_entries(path, text)
    _check_first(entries)
    return entries


# Text and CSV


def _check_first(entries: Sequence[Entry]) -> None:
    """Raises ValueError if the first of some names is how many there are."""
    names = [entry.name for entry in entries]
    if (
        len(names) > 1
        and names[0] == str(len(names) - 1)
        and not any(name.isdecimal() for name in names[1:])
        and not any(entry.parts or entry.number is not None for entry in entries)
    ):
        raise ValueError(
            f"{entries[0].place}: {names[0]!r} would be the first class, and is how many lines "
            "follow. Remove it if it is their number."
        )


def _line_entries(path: Path, text: str) -> list[Entry]:
    lines = [
        (f"{path}, line {number}", line)
        for number, raw in enumerate(text.splitlines(), 1)
        if (line := _without_comment(raw))
    ]
    if lines and re.fullmatch(r'"?sep=.?"?', lines[0][1]):  # for Excel
        lines = lines[1:]
    if not lines:
        return []
    if sum(bool(_CVAT.fullmatch(line)) for _, line in lines) * 2 > len(lines):
        return [_cvat_entry(place, line) for place, line in lines]
    delimiter = _delimiter([line for _, line in lines])
    rows = [(place, _cells(line, delimiter, place)) for place, line in lines]
    columns = _heading(rows, path.suffix.lower() in (".csv", ".tsv"))
    if columns:
        return [_entry_of_columns(place, cells, columns) for place, cells in rows[1:]]
    if delimiter is None:
        return _entries_of_words(lines)
    rows = [(place, _unpacked(cells)) for place, cells in rows]
    kinds = [[_kind(cell) for cell in cells] for _, cells in rows]
    if len(rows) == 1 and set(kinds[0]) == {"text"}:  # all names in one line
        return [Entry(rows[0][0], cell) for cell in rows[0][1]]
    return [
        _entry_of_cells(place, cells, kind)
        for (place, cells), kind in zip(rows, kinds, strict=True)
    ]


def _without_comment(line: str) -> str:
    """Returns a line without its comment: a `#` that begins no color, and is in no word (`C#`)."""
    line = line.replace("\ufeff", "").strip()
    position = -1
    while (position := line.find("#", position + 1)) >= 0:
        is_in_word = position > 0 and line[position - 1].isalnum()
        if not is_in_word and not _HEX.match(line, position):
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


def _heading(rows: list[tuple[str, list[str]]], has_headings: bool) -> dict[str, int] | None:
    """Returns the columns that the first row names, or `None` if it is no heading.

    Args:
        rows: The cells of each line.
        has_headings: Whether files of this kind begin with a heading, as CSV does. In a text file
            `name` alone is a class.
    """
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
        return columns if len(rows) > 1 and (known > 1 or has_headings) else None
    further = [cells for _, cells in rows[1:]]
    numeric = [
        any(position < len(cells) and _kind(cells[position]) != "text" for cells in further)
        for position in range(len(first))
    ]
    return columns if known > 1 and any(numeric) else None


def _entry_of_columns(place: str, cells: list[str], columns: Mapping[str, int]) -> Entry:
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
    return Entry(place, name, number, parts)


def _unpacked(cells: list[str]) -> list[str]:
    """Returns cells in which a color such as `64 128 0` is three; empty ones are left out."""
    unpacked: list[str] = []
    for cell in cells:
        parts = re.split(r"[\s,]+", cell)
        is_color = len(parts) == 3 and all(_NUMBER.fullmatch(part) for part in parts)
        unpacked += parts if is_color else [cell] * bool(cell)
    return unpacked


def _kind(cell: str) -> str:
    if _HEX.fullmatch(cell):
        return "hex"
    return "number" if _NUMBER.fullmatch(cell.replace(",", ".")) else "text"


def _entry_of_cells(place: str, cells: list[str], kinds: list[str]) -> Entry:
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
        return Entry(place, name, number, _color_of_text(cells[hexes[0]], place))
    if len(numbers) == 0:
        return Entry(place, name)
    if len(numbers) == 1:
        return Entry(place, name, _whole(cells[numbers[0]], place))
    if len(numbers) == 3:
        return Entry(place, name, None, _parts([cells[k] for k in numbers]))
    # Four numbers are a number and a color, if the name separates the two.
    if len(numbers) == 4 and texts[0] == 1:
        return Entry(place, name, _whole(cells[0], place), _parts(cells[2:5]))
    if len(numbers) == 4 and texts[0] == 3:
        return Entry(place, name, _whole(cells[4], place), _parts(cells[:3]))
    raise wrong


# Words that spaces separate


def _entries_of_words(lines: list[tuple[str, str]]) -> list[Entry]:
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
            Entry(place, _unquoted(match[2]), int(match[1]))
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
                Entry(place, _unquoted(name), number)
                for (place, _), name, number in zip(lines, names, numbers, strict=True)
            ]
    return [Entry(place, _unquoted(line)) for place, line in lines]


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


def _entries_with_colors(lines: list[tuple[str, str]], tails: list[list[str]]) -> list[Entry]:
    leading = [re.match(r"\d+\s+\D", line) for _, line in lines]
    # Four numbers at the end of every line: the first may be an id or the end of a name.
    if all(len(tail) >= 4 for tail in tails) and not all(leading):
        raise ValueError(
            f"{lines[0][0]}: expected `name red green blue`. Received: {lines[0][1]!r}. If the "
            "numbers before the color are ids, write them first (`1 car 64 0 128`); if they are "
            "part of the names, separate with commas (`Grade 2,64,0,128`)."
        )
    entries: list[Entry] = []
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
        entries.append(Entry(place, _unquoted(name), number, _parts(words[-3:])))
    return entries


def _entry_color_first(place: str, line: str) -> Entry:
    match = re.fullmatch(r"(\d+)\s+(\d+)\s+(\d+)\s+(\D.*)", line)
    if match is None:
        raise ValueError(
            f"{place}: expected `red green blue name`, as in other lines. Received: {line!r}."
        )
    return Entry(place, _unquoted(match[4]), None, _parts(match.groups()[:3]))


def _entry_with_hex(place: str, line: str) -> Entry:
    match = _HEX.search(line)
    assert match is not None
    rest = (line[: match.start()] + " " + line[match.end() :]).strip()
    number = None
    if leading := re.fullmatch(r"(\d+)[\s:]+(.+)", rest):
        number, rest = int(leading[1]), leading[2]
    name = _unquoted(rest).strip(" :=")
    if not name:
        raise ValueError(f"{place}: expected `name #rrggbb`. Received: {line!r}.")
    return Entry(place, name, number, _color_of_text(match[0], place))


def _cvat_entry(place: str, line: str) -> Entry:
    match = _CVAT.fullmatch(line)
    if match is None:
        raise ValueError(f"{place}: expected `name:red,green,blue::`. Received: {line!r}.")
    color = match["color"]
    return Entry(
        place,
        match["name"].strip(),
        None,
        _parts(color.split(",")) if color and color.strip() else (),
    )


# JSON and YAML


def _json_entries(path: Path, text: str) -> list[Entry]:
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


def _yaml_entries(path: Path, text: str) -> list[Entry]:
    import yaml

    try:
        contents = yaml.safe_load(text.replace("\t", "  "))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", error)).split())
        raise ValueError(f"{path}{line}: no YAML ({reason}).") from error
    return _structured_entries(path, contents)


def _structured_entries(path: Path, contents: Any) -> list[Entry]:
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


def _structured_entry(place: str, item: Any) -> Entry:
    if isinstance(item, str | int | float) and not isinstance(item, bool):
        return Entry(place, str(item).strip())
    if isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str):
        return _entry_of_pair(place, item[0], item[1])
    if not isinstance(item, dict):
        hint = " Put names such as no and yes in quotes." * isinstance(item, bool)
        raise ValueError(
            f"{place}: expected a name, or an object with a name. Received: {item!r}.{hint}"
        )
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
    return Entry(
        place,
        str(values["name"]).strip(),
        None if number is None else _whole(str(number), place),
        () if color is None else _color_of_value(color, place),
    )


def _entry_of_pair(place: str, key: Any, value: Any) -> Entry:
    """Reads `name: number`, `number: name`, `name: color` or `name: {...}`."""
    is_number = re.fullmatch(r"-?\d+", str(key).strip()) is not None
    if isinstance(value, dict):
        extra = {"id": int(key)} if is_number else {"name": str(key)}
        return _structured_entry(place, {**extra, **value})
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{place}: expected a number, a color or a name. Received: {value!r}.")
    if isinstance(value, int | float):
        return Entry(place, str(key).strip(), _whole(str(value), place))
    if isinstance(value, list | tuple) or (isinstance(value, str) and _HEX.fullmatch(value)):
        return Entry(place, str(key).strip(), None, _color_of_value(value, place))
    if is_number:
        return Entry(place, str(value).strip(), int(key))
    if re.fullmatch(r"-?\d+", str(value).strip()):
        return Entry(place, str(key).strip(), int(value))
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


def _parts(parts: Sequence[Any]) -> tuple[str, ...]:
    """Returns red, green and blue as they are written, with decimal points."""
    return tuple(str(part).strip().replace(",", ".") for part in parts)


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
