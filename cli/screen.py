"""Output to the screen."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

# A pipe or file has no width of its own; tables fit into this one.
output = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
errors = Console(stderr=True, highlight=False)


def say(text: str, style: str | None = None) -> None:
    """Writes a line without wrapping it, because it may contain a path."""
    output.print(text, style=style, markup=False, soft_wrap=True)


@contextmanager
def progress(title: str, total: int) -> Iterator[Progress]:
    """Shows a bar on the standard error stream while the block runs; none without a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
    with bar:
        bar.add_task(title, total=total)
        yield bar
