"""Lines of lists of images: which of their fields is the image, and which other files they name."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from keras_fcn.datasets.class_table import decoded
from keras_fcn.datasets.folder_names import SPLIT_WORDS, composed, picture_suffixes

_MASK_COLUMN = re.compile(r"mask|label|annot|seg|gt|truth|target", re.I)
_IMAGE_COLUMN = re.compile(r"image|img|file|photo|picture|path|stem", re.I)
_SPLIT_COLUMNS = ("split", "subset", "set", "partition", "phase", "usage")


@dataclass(frozen=True)
class ListLine:
    """A line of a list.

    Args:
        number: Its number, from 1.
        text: The whole line.
        image: The field that names the image.
        others: The other fields that are names of pictures, such as the mask.
        split: The split that a column of this name gives it, or `None`.
        may_be_heading: Whether it may be a heading, if it names no image.
    """

    number: int
    text: str
    image: str
    others: tuple[str, ...] = ()
    split: str | None = None
    may_be_heading: bool = False


def list_lines(path: Path, most: int | None = None) -> list[ListLine]:
    """Returns the lines of a list: names or paths, with others behind them, or a table.

    In a table the image is the first column of names of pictures that is not headed as masks;
    else the column that its heading calls the image; else the first one.

    Args:
        path: The list.
        most: The most lines to read.
    """
    numbered = [
        (number, composed(line.strip().replace("\\", "/")))
        for number, line in enumerate(decoded(path).splitlines()[:most], 1)
    ]
    numbered = [(number, text) for number, text in numbered if text]
    delimiter = _delimiter(numbered[0][1]) if numbered and path.suffix.lower() == ".csv" else None
    if delimiter is None:
        may_be_heading = path.suffix.lower() == ".csv"
        return [_of_text(n, text, may_be_heading and n == 1) for n, text in numbered]
    rows = [next(csv.reader([text], delimiter=delimiter)) for _, text in numbered]
    rows = [[field.strip() for field in row] for row in rows]
    heading = rows[0] if not any(is_picture(field) for field in rows[0]) else []
    column = _image_column(rows[1:] if heading and len(rows) > 1 else rows, heading)
    at = next((i for i, name in enumerate(heading) if name.lower() in _SPLIT_COLUMNS), None)
    return [
        ListLine(
            number,
            text,
            row[column] if column < len(row) else "",
            tuple(f for i, f in enumerate(row) if i != column and is_picture(f)),
            SPLIT_WORDS.get(row[at].lower()) if at is not None and at < len(row) else None,
            number == numbered[0][0] and not any(map(is_picture, row)),
        )
        for (number, text), row in zip(numbered, rows, strict=True)
    ]


def is_picture(name: str) -> bool:
    """Returns whether a name ends as one of a picture."""
    return PurePosixPath(name).suffix.lower() in picture_suffixes()


def _delimiter(line: str) -> str | None:
    found = max(",;\t", key=line.count)
    return found if found in line else None


def _image_column(rows: Sequence[Sequence[str]], heading: Sequence[str]) -> int:
    width = min(map(len, rows))
    pictures = [i for i in range(width) if all(is_picture(row[i]) for row in rows)]
    named = [*heading, *[""] * (width - len(heading))]
    columns = pictures or [i for i in range(width) if _IMAGE_COLUMN.search(named[i])]
    images = [i for i in columns if not _MASK_COLUMN.search(named[i])]
    return next(iter(images or pictures), 0)


def _of_text(number: int, text: str, may_be_heading: bool) -> ListLine:
    """Returns a line of names with spaces, commas or tabs between them.

    A name of a picture ends with its extension, so that names may contain spaces.
    """
    names = [name.strip("\"' \t,;") for name in _ends().findall(text)]
    if not names:
        return ListLine(number, text, text, (), None, may_be_heading)
    return ListLine(number, text, names[0], tuple(names[1:]))


@cache
def _ends() -> re.Pattern[str]:
    suffixes = "|".join(re.escape(suffix) for suffix in sorted(picture_suffixes()))
    return re.compile(rf".+?(?:{suffixes})(?=[\"']?(?:[\s,;]|$))", re.I)
