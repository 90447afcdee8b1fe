"""`keras-fcn datasets`: list, prepare, check, show."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from .errors import Failure
from .options import dataset_options
from .quiet import load_tensorflow
from .screen import output, say

if TYPE_CHECKING:
    from keras_fcn.datasets.checks import CheckReport, ClassCounts
    from keras_fcn.datasets.example_checks import Problem

_SHOWN = 10  # problems that are alike


@click.group()
def command() -> None:
    """List, prepare, check and show datasets."""


@command.command("list")
def list_() -> None:
    """List the datasets that --dataset accepts."""
    load_tensorflow()
    from keras_fcn.datasets import SUMMARIES

    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    for name, summary in SUMMARIES.items():
        table.add_row(f"[bold]{name}[/]", escape(summary))
    output.print(table)


@command.command(short_help="Prepare a dataset once.")
@dataset_options(folder=False)
def prepare(dataset: str, source: Path | None, data_dir: Path | None) -> None:
    """Prepare a dataset once: from --source, else from the archives, which are downloaded."""
    load_tensorflow()
    from keras_fcn.datasets import prepare_dataset

    prepared = prepare_dataset(dataset, source, data_dir)
    splits = ", ".join(f"{count:,} {split}" for split, count in prepared.splits.items())
    say(f"{prepared.name} is ready: {splits}.")


@command.command(short_help="List the problems of a dataset.")
@dataset_options()
def check(dataset: str, source: Path | None, data_dir: Path | None, folder: dict[str, Any]) -> None:
    """Read all of a dataset and list its problems, one per line.

    It prints how a folder is read, checks its table of classes and the sizes, values, colors,
    edges and palettes of the masks, and finds missing and damaged files, and images that occur in
    two splits. With --source the files themselves are checked. The exit status is 1 if a problem
    would affect training or metrics.
    """
    load_tensorflow()
    from keras_fcn.datasets.checks import check as check_dataset

    with output.status("Reading..."):
        report = check_dataset(dataset, source, data_dir, **folder)
    _print_contents(report)
    for line in _lines(report.problems):
        say(line)
    severe = sum(problem.severe for problem in report.problems)
    if severe:
        raise Failure(f"{severe} problem{'s' * (severe > 1)} in {report.name} (listed above).")
    say("No problems.")


@command.command()
@dataset_options()
@click.option("--split", default="train", show_default=True, metavar="NAME", help="Split to show.")
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PNG",
    help="File to write.  [default: NAME_SPLIT.png]",
)
@click.option(
    "--examples",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    metavar="N",
    help="Number of examples to show.",
)
def show(
    dataset: str,
    source: Path | None,
    data_dir: Path | None,
    split: str,
    path: Path | None,
    examples: int,
    folder: dict[str, Any],
) -> None:
    """Write a picture of images with their masks."""
    load_tensorflow()
    from keras_fcn.datasets import open_dataset
    from keras_fcn.datasets.gallery import save_examples

    opened = open_dataset(dataset, source, data_dir, **folder)
    path = path or Path(f"{Path(dataset.replace(':', '/')).name}_{split}.png")
    say(f"Gallery: {save_examples(opened, path, split, examples)}")


def _lines(problems: Sequence["Problem"]) -> list[str]:
    """Returns a line for each problem; of those of many files that are alike, for the first."""
    kinds: dict[tuple[bool, str], list[Problem]] = {}
    for problem in problems:
        kind = re.sub(r"\S*[/\d]\S*", "", problem.text)  # without numbers and paths
        kinds.setdefault((problem.severe, kind), []).append(problem)
    lines = []
    for (severe, _), found in kinds.items():
        word = "Problem" if severe else "Hint"
        lines += [f"{word}: {problem}" for problem in found[:_SHOWN]]
        if len(found) > _SHOWN:
            lines.append(f"{word}: the same in {len(found) - _SHOWN:,} more files.")
    return lines


def _print_contents(report: "CheckReport") -> None:
    """Prints how often each class and each size occurs, by split and head."""
    splits = list(report.num_examples)
    say(report.name, style="bold")
    for note in report.notes:
        say(note)
    for split in splits:
        say(f"{split}: {report.num_examples[split]:,} examples, {_sizes(report, split)}")
    for head, counts in report.counts.items():
        title = f"class ({head})" if report.heads.is_named else "class"
        output.print("", _class_table(title, counts, splits), "")


def _class_table(title: str, counts: "ClassCounts", splits: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column(escape(title))
    for split in splits:
        table.add_column(f"{split}: pixels", justify="right")
        table.add_column("images", justify="right")
    for i, name in enumerate((*counts.spec.class_names, "ignored")):
        cells = []
        for split in splits:
            share = counts.pixels[split][i] / max(counts.pixels[split].sum(), 1)
            cells += [f"{share:.2%}", f"{counts.images[split][i]:,}"]
        table.add_row(escape(name), *cells)
    return table


def _sizes(report: "CheckReport", split: str) -> str:
    """Returns the most common sizes of images, height first."""
    sizes = report.sizes[split].most_common()
    shown = ", ".join(f"{height}x{width} ({count:,})" for (height, width), count in sizes[:3])
    return shown + (f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else "")
