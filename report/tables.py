"""Tables and numbers as HTML."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

# In the place of an undefined number.
NONE = "\N{EN DASH}"


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: Its heading.
        first: To sort by it, the order of the first click: `"ascending"` or `"descending"`.
        is_number: Whether its heading is at the right, as its numbers are.
    """

    title: str
    first: str | None = None
    is_number: bool = True


def html_table(
    label: str,
    columns: Iterable[Column],
    rows: Sequence[str],
    id_: str = "",
    *,
    is_tall: bool = False,
    is_narrow: bool = False,
    sorted_by: str | None = None,
) -> str:
    """Returns a table that scrolls if it is wide.

    Args:
        label: What it is, for screen readers.
        columns: Its columns.
        rows: The HTML of each row.
        id_: Its id.
        is_tall: Whether it scrolls in itself.
        is_narrow: Whether it is only as wide as it needs to be.
        sorted_by: The column by which the rows are sorted already, ascending.
    """
    kind = "scroll" + " tall" * is_tall + " narrow" * is_narrow
    name = f' id="{id_}"' if id_ else ""
    headings = (_heading(column, column.title == sorted_by) for column in columns)
    return (
        f'<div class="{kind}" tabindex="0" role="region" '
        f'aria-label="Table of {escape(label)}">'
        f"<table{name}><thead><tr>{''.join(headings)}</tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></div>"
    )


def _heading(column: Column, is_sorted: bool) -> str:
    side = ' class="num"' if column.is_number else ""
    if column.first is None:
        return f'<th scope="col"{side}>{column.title}</th>'
    present = "ascending" if is_sorted else "none"
    return (
        f'<th scope="col"{side} aria-sort="{present}" data-first="{column.first}">'
        f'<button type="button">{column.title}</button></th>'
    )


def number_cell(value: float | None) -> str:
    """Returns a cell with a number; a script sorts by its `data-value`."""
    exact = "" if value is None else f"{value:.6f}"
    return f'<td class="num" data-value="{exact}">{number_text(value)}</td>'


def meter_cell(value: float | None) -> str:
    """Returns a cell with a number over a bar of that share."""
    if value is None:
        return number_cell(None)
    return (
        f'<td class="num meter" data-value="{value:.6f}" style="--v:{value:.4f}">'
        f"{number_text(value)}</td>"
    )


def number_text(value: float | None) -> str:
    """Returns a number with three decimals."""
    return NONE if value is None or np.isnan(value) else f"{value:.3f}"


def range_text(interval: Sequence[float] | None) -> str:
    """Returns the ends of an interval; nothing if there is none."""
    return "" if interval is None else f"{interval[0]:.3f}{NONE}{interval[1]:.3f}"
