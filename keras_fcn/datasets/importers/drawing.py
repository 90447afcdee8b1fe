"""Polygons, ellipses, runs and bitmaps of annotation tools, drawn into a class map.

A pixel belongs to a polygon if its center is inside. The rule is pycocotools' (`rleFrPoly` of its
`maskApi.c`), rounding included, so that masks of COCO files are equal to those that pycocotools
decodes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# As in maskApi.c: outlines are followed on a grid this much finer than the pixels.
_SCALE = 5

Size = tuple[int, int]


@dataclass(frozen=True)
class Patch:
    """Part of a mask: what lies outside of it is not set.

    Args:
        top: Row of the mask's first row.
        left: Column of the mask's first column.
        mask: Boolean, shape `(height, width)`.
    """

    top: int
    left: int
    mask: np.ndarray

    @property
    def area(self) -> int:
        """Number of pixels that are set."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True)
class Shape:
    """A region of one class.

    Args:
        name: The label that it has in the tool.
        patches: Its pixels: all that are in one of them.
    """

    name: str
    patches: tuple[Patch, ...]


@dataclass(frozen=True)
class LeftOut:
    """Something that is not drawn.

    Args:
        reason: What it is and why it is left out, such as "points have no area".
    """

    reason: str


_NOTHING = Patch(0, 0, np.zeros((0, 0), bool))


def draw(
    shapes: Iterable[Shape | LeftOut], size: Size, label_of: Mapping[str, int], uncovered: int
) -> np.ndarray:
    """Returns the class map of shapes, later ones above earlier ones.

    Args:
        shapes: What to draw; the entries that are left out are skipped.
        size: Height and width of the image.
        label_of: Label by the name of a class.
        uncovered: Label of pixels in no shape.

    Returns:
        Labels, uint8, shape `(height, width)`.
    """
    labels = np.full(size, uncovered, np.uint8)
    for shape in shapes:
        if isinstance(shape, Shape):
            for patch in shape.patches:
                paint(labels, patch, label_of[shape.name])
    return labels


def paint(labels: np.ndarray, patch: Patch, label: int) -> None:
    """Sets the pixels of a patch, as far as they are in the image."""
    top, left = max(patch.top, 0), max(patch.left, 0)
    mask = patch.mask[top - patch.top :, left - patch.left :]
    area = labels[top : top + mask.shape[0], left : left + mask.shape[1]]
    area[mask[: area.shape[0], : area.shape[1]]] = label


def polygon(points: ArrayLike, size: Size) -> Patch:
    """Returns the pixels whose centers are in a polygon; crossing lines leave holes (even-odd).

    Args:
        points: Corners `(x, y)` in pixels from the top left corner of the image. It is closed
            by a line from the last to the first.
        size: Height and width of the image.

    Raises:
        ValueError: If the corners are no numbers, or far outside the image.

    Example:
        >>> polygon([(1, 0), (3, 0), (3, 2), (1, 2)], (4, 5))
        Patch(top=0, left=1, mask=array([[ True,  True],
               [ True,  True]]))
    """
    height, width = size
    corners = _checked(points, size)
    if len(corners) < 3:
        return _NOTHING
    # Conversions to int cut the fraction off, as in C, also below 0.
    starts = np.trunc(_SCALE * corners + 0.5).astype(np.int64)
    u, v = _fine_outline(starts, np.roll(starts, -1, axis=0))
    # Where the outline passes the center of a column, the mask changes from there downwards.
    is_left, is_above = u[1:] < u[:-1], v[1:] < v[:-1]
    fine_column = np.where(is_left, u[1:], u[1:] - 1)
    column, at_center = np.divmod(fine_column, _SCALE)
    is_crossing = (u[1:] != u[:-1]) & (at_center == _SCALE // 2)
    is_crossing &= (column >= 0) & (column < width)
    if not is_crossing.any():
        return _NOTHING
    row = (np.where(is_above, v[1:], v[:-1]) + _SCALE // 2) // _SCALE
    columns, rows = column[is_crossing], row[is_crossing].clip(0, height)
    left, top, bottom = columns.min(), rows.min(), rows.max()
    shape = (columns.max() - left + 1, bottom - top + 1)
    position = (columns - left) * shape[1] + rows - top
    changes = np.bincount(position, minlength=shape[0] * shape[1]).reshape(shape) % 2 == 1
    mask = np.logical_xor.accumulate(changes, axis=1)[:, :-1].T
    return Patch(int(top), int(left), mask)


def rotated(points: np.ndarray, degrees: float, center: ArrayLike) -> np.ndarray:
    """Returns points turned clockwise (as seen in the image) around a center."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return (points - np.asarray(center)) @ turn + np.asarray(center)


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Returns the corners of a rectangle, shape `(4, 2)`."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)


def ellipse(
    center: ArrayLike,
    radii: ArrayLike,
    degrees: float,
    size: Size,
) -> Patch:
    """Returns the pixels whose centers are in an ellipse.

    Args:
        center: `(x, y)` in pixels.
        radii: Half of the width and half of the height, before it is turned.
        degrees: By how much it is turned clockwise.
        size: Height and width of the image.
    """
    height, width = size
    (x, y), (radius_x, radius_y) = _checked(np.stack([center, radii]), size)
    if radius_x <= 0 or radius_y <= 0:
        return _NOTHING
    reach = max(radius_x, radius_y) + 1
    left, right = max(math.floor(x - reach), 0), min(math.ceil(x + reach), width)
    top, bottom = max(math.floor(y - reach), 0), min(math.ceil(y + reach), height)
    if left >= right or top >= bottom:
        return _NOTHING
    columns, rows = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    points = rotated(np.stack([columns, rows], -1), -degrees, (x, y)) - (x, y)
    inside = (points[..., 0] / radius_x) ** 2 + (points[..., 1] / radius_y) ** 2 <= 1
    return Patch(top, left, inside)


def runs(counts: Sequence[int], size: Size, *, by_columns: bool) -> np.ndarray:
    """Returns the mask of run lengths, of which the first is outside.

    Args:
        counts: Lengths of the runs, outside and inside in turn.
        size: Height and width of the mask.
        by_columns: Whether the runs go down the columns, as COCO's, or along the rows.

    Raises:
        ValueError: If the runs do not fill the mask.
    """
    lengths = np.asarray(counts, np.int64)
    height, width = size
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(
            f"the runs of a mask must fill {width}x{height} (width x height) = {height * width} "
            f"pixels. Received: {int(lengths.sum())} pixels in {len(lengths)} runs."
        )
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return flat.reshape(width, height).T if by_columns else flat.reshape(height, width)


def unpacked_counts(text: str) -> list[int]:
    """Returns the run lengths that COCO's compressed form contains.

    Each number is written in groups of five bits from the lowest, in characters from "0"; from
    the fourth on it is the difference to the one before the last.

    >>> unpacked_counts("52203")
    [5, 2, 2, 2, 5]
    """
    counts: list[int] = []
    value = shift = 0
    for character in text.encode("ascii", "replace"):
        group = character - 48
        if not 0 <= group < 64:
            raise ValueError(f"{chr(character)!r} is no character of compressed runs.")
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            if group & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the compressed runs of a mask end in the middle of a number.")
    return counts


def _checked(points: ArrayLike, size: Size) -> np.ndarray:
    height, width = size
    try:
        corners = np.asarray(points, np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise ValueError("the corners of a shape must be pairs of numbers.") from error
    # The fine outline takes memory by its length.
    if not (np.abs(corners) < 10 * max(height, width, 100)).all():
        x, y = corners[np.argmax(np.nan_to_num(np.abs(corners), nan=np.inf).max(-1))]
        raise ValueError(f"a corner at ({x:g}, {y:g}) is far outside an image of {width}x{height}.")
    return corners


def _fine_outline(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the points of lines on the fine grid, each in steps of at most one point."""
    lengths = np.abs(ends - starts)
    along_x = lengths[:, 0] >= lengths[:, 1]
    steps = lengths.max(-1)
    # Lines are rounded the same way in both directions, from the lower end.
    axis = np.where(along_x, 0, 1)[:, None]
    begin, end = (np.take_along_axis(corners, axis, 1)[:, 0] for corners in (starts, ends))
    flipped = begin > end
    low = np.where(flipped[:, None], ends, starts)
    high = np.where(flipped[:, None], starts, ends)
    low_along, low_across = _split(low, axis)
    _, high_across = _split(high, axis)
    slope = (high_across - low_across) / np.maximum(steps, 1)
    line = np.repeat(np.arange(len(steps)), steps + 1)
    step = np.arange(len(line)) - np.repeat(np.cumsum(steps + 1) - (steps + 1), steps + 1)
    step = np.where(flipped[line], steps[line] - step, step)
    along = low_along[line] + step
    across = np.trunc(low_across[line] + slope[line] * step + 0.5).astype(np.int64)
    return np.where(along_x[line], along, across), np.where(along_x[line], across, along)


def _split(points: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the coordinates along and across each line."""
    return (
        np.take_along_axis(points, axis, 1)[:, 0],
        np.take_along_axis(points, 1 - axis, 1)[:, 0],
    )
