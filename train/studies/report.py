"""The report of a study: a table, notes and a picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table

from keras_fcn.visualization import save_picture

# Titles of the columns of `METRIC_NAMES`.
METRIC_TITLES = ("pixel acc.", "mean acc.", "mean IoU", "f.w. IoU")

# Coordinates of a line: those along x, and those along y.
Line = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class Report:
    """The result of a study. Printed with rich it is a table.

    Args:
        header: Titles of the columns.
        rows: Text of the cells.
        notes: Sentences that a reader of the table needs.
        save_picture: Writes the picture, a PNG, and returns its path.
    """

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...]
    save_picture: Callable[[str | Path], Path]

    def __rich__(self) -> Table:
        """Returns the table."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for i, title in enumerate(self.header):
            table.add_column(title, justify="right" if i else "left")
        for row in self.rows:
            table.add_row(*row)
        return table


def percent(value: float) -> str:
    """Returns the text of a share in percent.

    >>> percent(0.5938)
    '59.4'
    """
    return f"{100 * value:.1f}"


def save_lines(path: str | Path, panels: Mapping[tuple[str, str], Mapping[str, Line]]) -> Path:
    """Writes curves as a PNG.

    Args:
        path: The PNG to write.
        panels: Lines by name, by the titles of the panel's two axes. Lines of a name have the
            same color in all panels.

    Returns:
        `path`.
    """
    figure = Figure(figsize=(4.2 * len(panels), 3.6), layout="constrained")
    for axes, ((x_title, y_title), lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for name, (x, y) in lines.items():
            axes.plot(x, y, marker="o", markersize=4, label=name)
        axes.set(xlabel=x_title, ylabel=y_title)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    return save_picture(path, figure)
