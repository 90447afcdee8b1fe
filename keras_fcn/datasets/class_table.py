"""The table of classes beside a folder of masks: names, colors, and void labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_fcn.files import read_text
from keras_fcn.labels import Color, LabelSpec

FILE_NAMES = ("classes.txt", "classes.csv")

_VOID_NAMES = ("void", "ignore", "ignored")
_VOID = 255


@dataclass(frozen=True)
class ClassTable:
    """The contents of a `classes.txt`.

    Args:
        labels: Names and palette of the classes.
        colors: Label by color, void included; `None` if the file has no colors.
        label_of_line: Label by line, counted from 0, which is also the number in
            masks of numbers.
    """

    labels: LabelSpec
    colors: Mapping[Color, int] | None
    label_of_line: tuple[int, ...]


def find_class_table(folder: Path) -> ClassTable | None:
    """Returns the table in `classes.txt` or `classes.csv` of a folder, or `None`."""
    for name in FILE_NAMES:
        if (folder / name).is_file():
            return read_class_table(folder / name)
    return None


def read_class_table(path: Path) -> ClassTable:
    """Reads a table of classes.

    Each line is a name, or a name and a color: `car 64 0 128` or
    `car,64,0,128`. In masks of numbers, the first line is class 0, the second class 1. Lines
    called `void` or `ignore`, of which there may be several, are no class: their pixels are
    ignored. Empty lines, and text after a `#`, are skipped.

    Raises:
        ValueError: If a line cannot be read, a color or name repeats, or some lines have
            a color and some have none. The message names the file and the line.
    """
    names: list[str] = []
    palette: list[Color] = []
    colors: dict[Color, int] = {}
    label_of_line: list[int] = []
    for number, line in _lines(path):
        name, color = _name_and_color(line, f"{path}, line {number}")
        if label_of_line and (color is None) != (not colors):
            raise ValueError(f"{path}, line {number}: either all lines have a color or none.")
        if color in colors:
            raise ValueError(f"{path}, line {number}: the color {color} repeats.")
        label = _VOID if name.lower() in _VOID_NAMES else len(names)
        if label != _VOID:
            names.append(name)
        label_of_line.append(label)
        if color is not None:
            colors[color] = label
            if label != _VOID:
                palette.append(color)
    try:
        labels = LabelSpec(tuple(names), tuple(palette))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return ClassTable(labels, colors or None, tuple(label_of_line))


def _lines(path: Path) -> list[tuple[int, str]]:
    """Returns the lines that count, with their numbers in the file."""
    text = read_text(path)
    stripped = ((i, line.split("#")[0].strip()) for i, line in enumerate(text.splitlines(), 1))
    lines = [(number, line) for number, line in stripped if line]
    if lines and lines[0][1].lower().replace(" ", "") in ("name,r,g,b", "name", "class,r,g,b"):
        lines = lines[1:]  # the heading of a CSV file
    return lines


def _name_and_color(line: str, place: str) -> tuple[str, Color | None]:
    parts = [part.strip() for part in line.split(",")] if "," in line else line.split()
    numbers = [part for part in parts[1:] if part.lstrip("-").isdecimal()]
    if not numbers:
        return " ".join(parts), None
    if len(numbers) != 3 or parts[-3:] != numbers or not all(0 <= int(n) <= 255 for n in numbers):
        raise ValueError(
            f"{place}: expected `name` or `name red green blue` with colors from 0 to 255. "
            f"Received: {line!r}."
        )
    red, green, blue = (int(number) for number in numbers)
    return " ".join(parts[:-3]), (red, green, blue)
