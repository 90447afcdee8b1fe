"""Output to the screen."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from keras_fcn_train.terminal import printable
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text


class _SafeConsole(Console):
    """Writes the names of files and classes without the escape sequences that they contain."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        # All text passes here, in parts that do not contain the colors yet.
        for segment in super().render(renderable, options):
            if segment.control:  # of rich itself, to move the cursor
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


# A pipe or file has no width of its own; tables fit into this one.
output = _SafeConsole(highlight=False, width=None if sys.stdout.isatty() else 120)
errors = _SafeConsole(stderr=True, highlight=False)


def say(text: str, style: str | None = None) -> None:
    """Writes a line without wrapping it, because it may contain a path."""
    output.print(text, style=style, markup=False, soft_wrap=True)


class _ImagesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.3g} images/s" if speed else "")


@contextmanager
def progress(title: str, total: int) -> Iterator[Progress]:
    """Shows a bar of images, their rate and the time left while the block runs.

    It is on the standard error stream; there is none without a terminal.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _ImagesPerSecond(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
    with bar:
        bar.add_task(title, total=total)
        yield bar
