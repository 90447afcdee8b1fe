"""What the values of a folder's masks mean: numbers or colors, and which label each one is.

All masks decide together: a gray mask among color masks is a color mask with one color, and numbers
of which most never occur are no class numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_fcn.data.masks import VOID, StoredMask, code_of, describe_numbers
from keras_fcn.datasets.class_table import ClassTable
from keras_fcn.datasets.mask_values import (
    MaskSummary,
    check_numbers,
    count_numbers,
    palettes_by_level,
)
from keras_fcn.labels import Color, Heads, LabelSpec

_FIRST_NAMES = ("void", "ignore", "ignored", "unlabeled", "unlabelled", "none", "other", "others")


@dataclass(frozen=True, eq=False)
class MaskReading:
    """How the masks of a folder are read.

    Args:
        labels: The classes.
        colors: Label by color; `None` if none is read by its colors.
        numbers: Label by number; `None` if the numbers are the labels.
        by_color: Kinds of masks that are read by their colors.
        gray_palettes: Whether palette masks are read by their gray levels, not their indices.
        class_labels: Label of each mask, where there is one mask per class.
        rest: Label of the pixels that are in no mask of a class.
    """

    labels: LabelSpec
    colors: Mapping[Color, int] | None = None
    numbers: Mapping[int, int] | None = None
    by_color: frozenset[str] = frozenset()
    gray_palettes: bool = False
    class_labels: Mapping[Path, int] = field(default_factory=dict)
    rest: int = VOID

    def read(self, masks: Sequence[Path]) -> np.ndarray:
        """Returns the labels of an image from its mask, or from its masks of one class each.

        Raises:
            ValueError: If a mask cannot be read, or contains what is no class. The message names
                the file.
            FileNotFoundError: If a file is missing.
        """
        if masks[0] in self.class_labels:
            return self._of_classes(masks)
        stored = StoredMask.read(masks[0])
        if stored.kind in self.by_color and self.colors:
            return stored.by_color(self.colors)
        if self.gray_palettes:
            return stored.by_gray_level(self.numbers)
        return stored.by_number(self.numbers)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values that are equal if masks are read equally, but `class_labels`."""
        return {
            "classes": Heads(self.labels).to_dict(),
            "colors": sorted((self.colors or {}).items()),
            "numbers": sorted((self.numbers or {}).items()),
            "kinds": sorted(self.by_color),
            "palettes": self.gray_palettes,
            "rest": self.rest,
        }

    def _of_classes(self, masks: Sequence[Path]) -> np.ndarray:
        label: np.ndarray | None = None
        for path in masks:
            stored = StoredMask.read(path)
            inside = stored.is_set
            if label is None:
                label = np.full(inside.shape, self.rest, np.uint8)
                taken = np.zeros(inside.shape, bool)
            if inside.shape != label.shape:
                raise ValueError(
                    f"{path}: the mask is {inside.shape[1]}x{inside.shape[0]}, {masks[0]} is "
                    f"{label.shape[1]}x{label.shape[0]} (width x height). They must be equal."
                )
            both = int((taken & inside).sum())
            if both:
                raise ValueError(
                    f"{path}: {both} of its pixels are in the mask of another class too; it is not "
                    "clear which counts. Save one mask with all classes."
                )
            label[inside] = self.class_labels[path]
            taken |= inside
        assert label is not None
        return label


@dataclass
class Reading:
    """What `choose_reading` found.

    Args:
        reading: How masks are read; `None` if that is not clear.
        notes: What was taken, a sentence each.
        problems: What is wrong with the masks as a whole, or with files that can be read.
        wrong: Masks that cannot be read so.
        counts: By mask, pixels of each label, shape `(256,)`.
    """

    reading: MaskReading | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    wrong: list[Path] = field(default_factory=list)
    counts: dict[Path, np.ndarray] = field(default_factory=dict)


def choose_reading(
    summaries: Sequence[MaskSummary],
    table: ClassTable | None,
    *,
    place: str,
    ignore: Sequence[int] = (),
    num_classes: int | None = None,
    class_masks: Mapping[Path, str] | None = None,
) -> Reading:
    """Decides how masks are read, from their values and the table of classes.

    Args:
        summaries: The values of all masks.
        table: The table of classes, if there is one.
        place: The folder, for messages.
        ignore: Numbers that are ignored.
        num_classes: Number of classes, where there is no table.
        class_masks: Name of the class of each mask, where there is one mask per class.
    """
    result = Reading()
    readable = [summary for summary in summaries if not summary.error]
    result.wrong += [summary.path for summary in summaries if summary.error]
    for summary in readable:
        if summary.lossy:
            result.problems.append(
                f"{summary.path}: the values of the mask were changed by a lossy compression or by "
                f"smoothing: {len(summary.values):,} of them, of which many occur in single pixels "
                "along edges. Export it again without, as PNG."
            )
    thin = [summary for summary in readable if summary.thin and not summary.lossy]
    if table is None and num_classes is None and 2 * len(thin) > len(readable):
        result.problems.append(
            f"{thin[0].path}: half of the {len(thin[0].values)} values of the mask form no areas, "
            f"only lines and points, as after a lossy compression or smoothing ({len(thin)} of "
            f"{len(readable)} masks). Export them again without; if they are right, a table of "
            "classes (classes.txt) says so."
        )
    if table is not None and num_classes not in (None, table.labels.num_classes):
        result.problems.append(
            f"{table.path}: the table has {table.labels.num_classes} classes, --num-classes is "
            f"{num_classes}. Leave the option out, or move the table."
        )
    if not readable:
        return result
    if class_masks:
        _choose_class_masks(result, readable, table, class_masks)
        return result
    by_color: set[str] = set()
    if table is not None and table.colors:
        by_color = _kinds_by_color(result, readable, table)
    numbered = [summary for summary in readable if summary.kind not in by_color]
    # Reading them says that they need a table of colors.
    colored = [summary for summary in numbered if summary.kind == "rgb" and not summary.is_gray]
    result.wrong += [summary.path for summary in colored]
    numbered = [summary for summary in numbered if summary not in colored]
    if not numbered and not by_color:
        return result
    gray_palettes = palettes_by_level(numbered, table, result.problems)
    if gray_palettes is None:
        return result
    found = count_numbers(numbered, gray_palettes)
    _check_mixture(result, numbered, table)
    numbers, labels = _meaning(result, found, table, place, ignore, num_classes, bool(by_color))
    if labels is None:
        return result
    result.reading = MaskReading(
        labels,
        table.colors if table else None,
        numbers,
        frozenset(by_color),
        gray_palettes,
    )
    _count(result, [summary for summary in readable if summary not in colored])
    return result


def _kinds_by_color(
    result: Reading, summaries: Sequence[MaskSummary], table: ClassTable
) -> set[str]:
    """Returns the kinds of masks that the colors of the table explain."""
    assert table.colors is not None
    codes = {int(code_of(np.array(color))): label for color, label in table.colors.items()}
    of_kind = {
        kind: [summary for summary in summaries if summary.kind == kind]
        for kind in ("rgb", "palette", "gray")
    }
    chosen: set[str] = set()
    rgb = of_kind["rgb"]
    if rgb and (
        any(not summary.is_gray for summary in rgb)
        or all(_fits_color(summary, codes) for summary in rgb)
        or not all(_fits_number(summary, table) for summary in rgb)
    ):
        chosen.add("rgb")
    palette = of_kind["palette"]
    if palette:
        trivial = {0, 0xFFFFFF}
        matched = any(
            int(code) in codes and int(code) not in trivial
            for summary in palette
            for code in summary.codes
        )
        if all(_fits_color(s, codes) for s in palette) or (
            matched or not all(_fits_number(s, table) for s in palette)
        ):
            chosen.add("palette")
    gray = of_kind["gray"]
    if gray:
        by_color = all(_fits_color(summary, codes) for summary in gray)
        by_number = all(_fits_number(summary, table) for summary in gray)
        all_gray = all(red == green == blue for red, green, blue in table.colors)
        if by_color or (
            not by_number and (all_gray or chosen or _are_brightnesses(gray, table.colors))
        ):
            chosen.add("gray")
        elif by_number and chosen:
            _check_agreement(result, gray, codes, table)
        elif by_number:
            _check_white(result, gray, codes, table)
    if not chosen:
        result.notes.append(
            f"The masks contain numbers; the colors in {table.path.name} are for pictures only."
        )
    return chosen


def _fits_color(summary: MaskSummary, codes: Mapping[int, int]) -> bool:
    return all(
        _label_by_color(summary, value, code, codes) is not None
        for value, code in zip(summary.values, summary.codes, strict=True)
    )


def _label_by_color(
    summary: MaskSummary, value: int, code: int, codes: Mapping[int, int]
) -> int | None:
    """Returns the label of a stored value by its color, as `StoredMask.by_color` does."""
    label = codes.get(int(code))
    if value != VOID:
        return label
    if summary.kind == "palette" and summary.padded:
        return VOID
    may_be_void = summary.kind == "palette" or (summary.kind == "gray" and summary.white == 255)
    return VOID if label is None and may_be_void else label


def _fits_number(summary: MaskSummary, table: ClassTable) -> bool:
    return (summary.kind != "rgb" or summary.is_gray) and all(
        int(number) in table.numbers or number == VOID for number in summary.numbers
    )


def _are_brightnesses(summaries: Sequence[MaskSummary], colors: Mapping[Color, int]) -> bool:
    """Returns whether gray values are those of the colors; reading them by color says so."""
    levels = {(299 * red + 587 * green + 114 * blue) // 1000 for red, green, blue in colors}
    return all(
        levels & {int(value) - 1, int(value), int(value) + 1}
        for summary in summaries
        for value in summary.values
    )


def _check_agreement(
    result: Reading,
    gray: Sequence[MaskSummary],
    codes: Mapping[int, int],
    table: ClassTable,
) -> None:
    """Adds a problem if a value of gray masks has two meanings, among masks in color."""
    values = {int(value) for summary in gray for value in summary.values}
    if values <= {0, VOID}:
        result.problems.append(
            f"{gray[0].path}: the mask is black{' and white' if VOID in values else ''}, others "
            f"are in color, and {table.path.name} gives these colors to no class. Add them there, "
            "as `void` if they are to be ignored."
        )
        return
    for summary in gray:
        for value, code in zip(summary.values, summary.codes, strict=True):
            by_color, by_number = codes.get(int(code)), table.numbers.get(int(value))
            if by_color is not None and by_number is not None and by_color != by_number:
                result.problems.append(
                    f"{summary.path}: the mask is gray, others are in color. Its value {value} is "
                    f"the number of one class of {table.path.name} and the color of another. Save "
                    "all masks in color."
                )
                return


def _check_white(
    result: Reading, gray: Sequence[MaskSummary], codes: Mapping[int, int], table: ClassTable
) -> None:
    """Adds a problem if some masks contain numbers, and others black and white of the table."""
    if table.has_ids or not {0, 0xFFFFFF} <= set(codes):
        return
    for summary in gray:
        if {int(code) for code in summary.codes} == {0, 0xFFFFFF}:
            result.problems.append(
                f"{summary.path}: the mask contains 0 and {summary.values.max()}, which are colors "
                f"of {table.path.name}; others contain numbers, among which 255 is ignored. Save "
                "all masks in one way, or give numbers in the place of the colors, if they are "
                "all numbers (`0,background` and `1,object` in a classes.csv)."
            )
            return


def _check_mixture(
    result: Reading, summaries: Sequence[MaskSummary], table: ClassTable | None
) -> None:
    """Adds a problem if some masks are black and white, and others contain 0 and 1.

    No mask contains both 1 and 255 then, as where 255 is a border that is ignored.
    """
    if table is not None and table.has_ids:
        return
    numbers = [{int(number) for number in summary.numbers} for summary in summaries]
    if set().union(*numbers) != {0, 1, VOID} or any({1, VOID} <= one for one in numbers):
        return
    of_white = [s for s, one in zip(summaries, numbers, strict=True) if VOID in one]
    of_one = next(s for s, one in zip(summaries, numbers, strict=True) if 1 in one)
    if all(summary.kind == "palette" for summary in of_white):
        return
    result.problems.append(
        f"{of_white[0].path}: the mask contains 255 where {of_one.path} contains 1, and 255 means "
        f"ignored ({len(of_white)} of {len(summaries)} masks). Save all masks in one way; if 255 "
        "is to be ignored, the lines `0,background` and `1,object` in a classes.csv say so."
    )


def _meaning(
    result: Reading,
    found: Mapping[int, int],
    table: ClassTable | None,
    place: str,
    ignore: Sequence[int],
    num_classes: int | None,
    has_colors: bool,
) -> tuple[Mapping[int, int] | None, LabelSpec | None]:
    """Returns the label of each number, and the classes."""
    if ignore and not found and has_colors:
        result.problems.append(
            f"{place}: --ignore takes numbers, and the masks are in color. Call the color to "
            "ignore `void` in the table of classes."
        )
    if table is not None:
        return _meaning_by_table(result, found, table, ignore, has_colors)
    kept = {number: count for number, count in found.items() if number not in ignore}
    if any(number > VOID or number < 0 for number in kept):
        return None, LabelSpec.numbered(2)  # reading the mask says why
    try:
        if num_classes is None or not set(kept) - {VOID}:
            check_numbers(kept, place)
    except ValueError as error:
        result.problems.append(str(error))
        return None, None
    highest = max(number for number in kept if number != VOID)
    used = [number for number in range(255) if number not in ignore]
    count = num_classes if num_classes is not None else used.index(highest) + 1
    if highest not in used[:count]:
        result.problems.append(
            f"{place}: the masks contain the number {highest}; with --num-classes {num_classes} "
            f"the numbers are {describe_numbers(dict.fromkeys(used[:count], 0))}."
        )
        return None, None
    if num_classes is not None:
        present = [number for number in kept if number != VOID]
        if len(present) < 2 and VOID in kept:
            check = f"{place}: the masks contain only {present[0]} and 255 (ignored)."
            result.problems.append(f"{check} There is nothing to learn; see --write-classes.")
            return None, None
        absent = [number for number in used[:count] if number not in kept]
        if absent:
            shown = ", ".join(map(str, absent[:12]))
            shown += f" and {len(absent) - 12} more" * (len(absent) > 12)
            result.notes.append(f"{len(absent)} of {count} classes never occur: {shown}.")
    if not ignore:
        numbers = {number: number for number in range(count)} if num_classes else None
        return numbers, LabelSpec.numbered(count)
    numbers = {number: label for label, number in enumerate(used[:count])}
    numbers |= dict.fromkeys(ignore, VOID)
    names = tuple(f"class {number}" for number in used[:count])
    result.notes.append(
        f"Ignored: {', '.join(map(str, ignore))}. The number {used[0]} becomes label 0, "
        f"{highest} label {used.index(highest)}."
    )
    return numbers, LabelSpec(names)


def _meaning_by_table(
    result: Reading,
    found: Mapping[int, int],
    table: ClassTable,
    ignore: Sequence[int],
    has_colors: bool,
) -> tuple[Mapping[int, int] | None, LabelSpec | None]:
    classes = {table.numbers.get(number) for number in found} - {None, VOID}
    if VOID in found and VOID not in table.numbers and len(classes) < 2 and not has_colors:
        shown = " and ".join(map(str, sorted(found)))
        result.problems.append(
            f"{table.path}: the masks contain only the labels {shown}, and 255 means ignored, so "
            "that there is nothing to learn. If white is a class, give it the number in the table "
            "(`255,object` and `0,background` on two lines of classes.csv), or the colors "
            "(`background 0 0 0` and `object 255 255 255` in classes.txt)."
        )
        return None, None
    if not ignore:
        return table.numbers, table.labels
    lines = sorted(table.numbers)
    highest = max((number for number in found if number != VOID), default=0)
    if not table.has_ids and all(number < len(lines) for number in ignore):
        count = len(lines)
        first = table.labels.class_names[0].lower() if table.numbers[0] != VOID else "void"
        if highest == count + len(ignore) - 1:
            # The lines are for the numbers that are left.
            used = [number for number in range(count + len(ignore)) if number not in ignore]
            numbers = {number: table.numbers[line] for line, number in enumerate(used)}
            result.notes.append(
                f"Ignored: {', '.join(map(str, ignore))}. The first line of {table.path.name} is "
                f"the number {used[0]}, the last {used[-1]}."
            )
            return numbers | dict.fromkeys(ignore, VOID), table.labels
        if 0 in ignore and first.strip("_") not in (*_FIRST_NAMES, "background", "bg"):
            result.problems.append(
                f"{table.path}: with --ignore 0 it is not clear whether the first line, "
                f"{first!r}, is number 0 or 1. Write the numbers into the table (`1 {first}`)."
            )
            return None, None
    dropped = {table.numbers[number] for number in ignore if number in table.numbers} - {VOID}
    keep = [label for label in range(table.labels.num_classes) if label not in dropped]
    if len(keep) < 2:
        result.problems.append(f"{table.path}: --ignore leaves fewer than two classes.")
        return None, None
    labels = LabelSpec(
        tuple(table.labels.class_names[label] for label in keep),
        tuple(table.labels.palette[label] for label in keep) if table.colors else (),
    )
    numbers = {
        number: VOID if label in dropped or label == VOID else keep.index(label)
        for number, label in table.numbers.items()
    }
    names = [table.labels.class_names[label] for label in sorted(dropped)]
    result.notes.append(
        f"Ignored: {', '.join(map(str, ignore))}" + f" ({', '.join(names)})." * bool(names)
    )
    return numbers | dict.fromkeys(ignore, VOID), labels


def _choose_class_masks(
    result: Reading,
    summaries: Sequence[MaskSummary],
    table: ClassTable | None,
    class_masks: Mapping[Path, str],
) -> None:
    assert table is not None
    names = table.labels.class_names
    labels = {path: names.index(name) for path, name in class_masks.items()}
    for summary in summaries:
        if summary.path not in labels:
            result.problems.append(
                f"{summary.path}: this mask is of no single class, those of other images are. Save "
                "all masks in the same way."
            )
            continue
        by_palette = summary.kind == "palette" and summary.codes.any()
        if len(set((summary.codes if by_palette else summary.values).tolist()) - {0}) > 1:
            shown = ", ".join(str(value) for value in summary.values[:6])
            result.problems.append(
                f"{summary.path}: the mask of one class must have two values, 0 and another. "
                f"Received: {shown}."
            )
    present = set(labels.values())
    absent = [label for label in range(len(names)) if label not in present]
    rest = VOID
    if len(absent) == 1:
        rest = absent[0]
        result.notes.append(
            f"One mask per class; pixels in no mask are {names[rest]!r}, which has none."
        )
    elif 0 in absent and names[0].lower().strip("_") in ("background", "bg"):
        rest = 0
        result.notes.append(f"One mask per class; pixels in no mask are {names[0]!r}.")
    else:
        result.notes.append("One mask per class; pixels in no mask are ignored.")
    result.reading = MaskReading(table.labels, class_labels=labels, rest=rest)


def _count(result: Reading, summaries: Sequence[MaskSummary]) -> None:
    """Counts the labels of each mask; masks with values that have none are wrong."""
    reading = result.reading
    assert reading is not None
    codes = {
        int(code_of(np.array(color))): label for color, label in (reading.colors or {}).items()
    }
    for summary in summaries:
        counts = np.zeros(256, np.int64)
        is_wrong = False
        by_color = summary.kind in reading.by_color
        numbers = summary.numbers
        if reading.gray_palettes and summary.kind == "palette":
            numbers = summary.levels
        table = reading.numbers
        for value, code, number, count in zip(
            summary.values, summary.codes, numbers, summary.counts, strict=True
        ):
            if by_color:
                label = _label_by_color(summary, value, code, codes)
            elif table is None:
                label = int(number) if 0 <= number <= VOID else None
            else:
                label = table.get(int(number), VOID if number == VOID else None)
            if label is None:
                is_wrong = True
            else:
                counts[label] += int(count)
        result.counts[summary.path] = counts
        if is_wrong:
            result.wrong.append(summary.path)
