"""The values that occur in the masks of a folder, without their places."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_fcn.data.masks import (
    VOID,
    StoredMask,
    color_of,
    is_lossy,
    is_thin,
    value_counts,
)
from keras_fcn.data.parallel import parallel_map
from keras_fcn.datasets.class_table import ClassTable
from keras_fcn.labels import Color

_MOST_VALUES = 4096  # kept of a mask; more are no labels
_MOST_ABSENT = 20  # up to this number, numbers that never occur are no sign of a mistake


@dataclass(frozen=True, eq=False)
class MaskSummary:
    """The values of a mask, without their places.

    Args:
        path: The file.
        kind: As of `StoredMask`.
        values: The stored values that occur; color codes of RGB.
        counts: Their pixels.
        codes: Their colors, -1 where one has none.
        white: The gray value that is white.
        padded: Whether the index 255 of a palette has the color of another index.
        is_gif: Whether it is a GIF.
        lossy: Whether a lossy compression changed the values.
        thin: Whether many of the values form no areas.
        error: Why the file cannot be read, else "".
    """

    path: Path
    kind: str = "gray"
    values: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    codes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    white: int = 255
    padded: bool = False
    is_gif: bool = False
    lossy: bool = False
    thin: bool = False
    error: str = ""

    @classmethod
    def of(cls, path: Path) -> "MaskSummary":
        """Reads a mask; what is wrong with the file becomes `error`."""
        try:
            stored = StoredMask.read(path)
        except FileNotFoundError:
            return cls(path, error=f"{path}: the file is missing.")
        except (ValueError, OSError) as error:
            return cls(path, error=str(error))
        values, counts = value_counts(stored.values)
        codes = stored.codes_of(values).astype(np.int64)
        padded = stored.palette is not None and bool(
            (stored.palette[:VOID] == stored.palette[VOID]).any()
        )
        return cls(
            path,
            stored.kind,
            values[:_MOST_VALUES].astype(np.int64),
            counts[:_MOST_VALUES],
            codes[:_MOST_VALUES],
            stored.white,
            padded,
            stored.is_gif,
            len(values) >= 12 and is_lossy(stored.values),
            len(values) >= 7 and is_thin(stored.values),
        )

    @property
    def is_gray(self) -> bool:
        """Whether all its colors are gray."""
        levels = self.codes & 0xFF
        return bool((self.codes == levels * 0x010101).all())

    @property
    def levels(self) -> np.ndarray:
        """The brightness of each value, of a mask that is gray."""
        return self.codes & 0xFF

    @property
    def numbers(self) -> np.ndarray:
        """The numbers that occur: those stored, of RGB the gray levels."""
        return self.levels if self.kind == "rgb" else self.values


def summarize(paths: Iterable[Path]) -> list[MaskSummary]:
    """Returns the values of masks, read in threads; no pixels are kept."""
    return list(parallel_map(MaskSummary.of, paths))


def colors_found(summaries: Sequence[MaskSummary]) -> list[Color] | None:
    """Returns the colors of masks that are colored, black first; `None` if all are gray."""
    codes = {int(code) for summary in summaries for code in summary.codes if code >= 0}
    if all(summary.is_gray for summary in summaries):
        return None
    return [color_of(code) for code in sorted(codes)]


def numbers_found(summaries: Sequence[MaskSummary]) -> list[int]:
    """Returns the numbers of masks, as they would be read without a table."""
    readable = [summary for summary in summaries if not summary.error]
    gray_palettes = bool(palettes_by_level(readable, None, []))
    return sorted(count_numbers(readable, gray_palettes))


def check_numbers(found: Mapping[int, int], place: str) -> None:
    """Raises ValueError unless numbers without a table can be class numbers.

    Args:
        found: Pixels of each number.
        place: The folder, for messages.
    """
    values = sorted(value for value in found if value != VOID)
    shown = ", ".join(map(str, sorted(found)[:24])) + ", ..." * (len(found) > 24)
    if len(found) <= 2 and VOID in found and len(values) <= 1:
        what = f"only the labels {shown.replace(', ', ' and ')}" if values else "only 255"
        raise ValueError(
            f"{place}: the masks contain {what}, and 255 means ignored, so that there is nothing "
            "to learn. If white is a class, write a classes.txt beside the folders: `background 0 "
            "0 0` and `object 255 255 255` on two lines; --write-classes writes such a table."
        )
    if len(values) == 1:
        raise ValueError(
            f"{place}: all masks contain only label {values[0]}; there is nothing to learn."
        )
    highest = values[-1]
    if highest > _MOST_ABSENT and 2 * len(values) < highest + 1:
        raise ValueError(
            f"{place}: the masks contain the values {shown}, and no table says what they mean. As "
            f"class numbers they would make {highest + 1} classes, of which "
            f"{highest + 1 - len(values)} never occur. If each value is a class, --write-classes "
            "writes a table that numbers them 0, 1, 2, ...; if they are class numbers, "
            f"--num-classes {highest + 1} (or more) says so."
        )


def palettes_by_level(
    summaries: Sequence[MaskSummary], table: ClassTable | None, problems: list[str]
) -> bool | None:
    """Returns whether palettes are read by gray level; `None` if they cannot be read."""
    palettes = [summary for summary in summaries if summary.kind == "palette"]
    if not palettes:
        return False
    first: dict[int, tuple[int, Path]] = {}
    conflict: tuple[int, Path, Path] | None = None
    for summary in palettes:
        for index, code in zip(summary.values, summary.codes, strict=True):
            known, path = first.setdefault(int(index), (int(code), summary.path))
            if known != code and index != VOID and conflict is None:
                conflict = int(index), path, summary.path
    all_gray = all(summary.is_gray for summary in palettes)
    if conflict and not all_gray:
        index, one, other = conflict
        colors = [
            color_of(int(s.codes[list(s.values).index(index)]))
            for path in (one, other)
            for s in palettes
            if s.path == path
        ]
        problems.append(
            f"{other}: the palette gives index {index} the color {colors[1]}, in {one} it is "
            f"{colors[0]}. Likely cause: a program renumbered the palette of one of them. Give a "
            "table of colors (classes.txt, lines such as `car 64 0 128`), by which they are read; "
            "--write-classes writes one of the colors that occur."
        )
        return None
    if not all_gray:
        return False
    levels = {int(level) for summary in palettes for level in summary.levels}
    indices = {int(index) for summary in palettes for index in summary.values}
    if conflict:
        return True
    if any(summary.is_gif for summary in palettes) and not levels <= {0, 255}:
        return True
    others = {
        int(number) for summary in summaries if summary.kind != "palette"
        for number in summary.numbers
    }  # fmt: skip
    if table is not None and not others:
        numbers = set(table.numbers) | {VOID}
        return levels <= numbers and not indices <= numbers
    return bool(others) and levels <= others | {VOID}


def count_numbers(summaries: Sequence[MaskSummary], gray_palettes: bool) -> dict[int, int]:
    """Returns the pixels of each number."""
    found: dict[int, int] = {}
    for summary in summaries:
        use_levels = gray_palettes and summary.kind == "palette"
        numbers = summary.levels if use_levels else summary.numbers
        for number, count in zip(numbers, summary.counts, strict=True):
            found[int(number)] = found.get(int(number), 0) + int(count)
    return found
