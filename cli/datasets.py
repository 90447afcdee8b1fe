"""`keras-fcn datasets`: list, clean, import, prepare, check, show."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.markup import escape
from rich.table import Table

from .errors import Failure
from .options import (
    check_output,
    data_dir_option,
    dataset_options,
    overwrite_option,
    written,
)
from .quiet import load_tensorflow
from .screen import output, progress, say

if TYPE_CHECKING:
    from keras_fcn.datasets.checks import CheckReport, ClassCounts
    from keras_fcn.datasets.example_checks import Problem
    from keras_fcn.datasets.importers import ImportSummary

_SHOWN = 10  # problems that are alike
# `keras_fcn.datasets.importers.TOOLS`, which imports too much for `--help`.
_TOOLS = ("coco", "labelme", "yolo", "cvat", "labelstudio")


@click.group()
def command() -> None:
    """List, import, prepare, check and show datasets, and remove leftovers."""


@command.command("list")
@data_dir_option
def list_(data_dir: Path | None) -> None:
    """List the datasets that --dataset accepts, and what could be removed."""
    load_tensorflow()
    from keras_fcn.datasets import SUMMARIES
    from keras_fcn.datasets.leftovers import find_leftovers

    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    for name, summary in SUMMARIES.items():
        table.add_row(f"[bold]{name}[/]", escape(summary))
    output.print(table)
    leftovers = find_leftovers(data_dir)
    for leftover in leftovers:
        say(f"{leftover.reason}, {_megabytes(leftover.size)}: {leftover.path}")
    if leftovers:
        say("Remove these by: keras-fcn datasets clean")


@command.command(short_help="Remove unfinished and older copies of datasets.")
@data_dir_option
def clean(data_dir: Path | None) -> None:
    """Remove what killed preparations left, and older copies of folders that changed.

    `keras-fcn datasets list` shows what is removed. What a running process prepares is left; do
    not clean while a training reads an older copy.
    """
    if data_dir is not None and not data_dir.expanduser().is_dir():
        raise Failure(f"{data_dir}: there is no such folder. Nothing was removed.")
    load_tensorflow()
    from keras_fcn.datasets.leftovers import remove_leftovers

    removed = remove_leftovers(data_dir)
    for leftover in removed:
        say(f"Removed {leftover.path} ({leftover.reason}, {_megabytes(leftover.size)})")
    say(f"{_megabytes(sum(leftover.size for leftover in removed))} freed.")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


@command.command("import", short_help="Make masks of the polygons of a labelling tool.")
@click.option(
    "--from",
    "tool",
    required=True,
    type=click.Choice(_TOOLS),
    help="The tool, or format, of the export.",
)
@click.option(
    "--output",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder to write, for --dataset folder:FOLDER. Only one that an import wrote is replaced.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the images, searched with all below it.  [default: that of the export]",
)
@click.option(
    "--background/--no-background",
    default=None,
    help="Whether pixels in no shape are a class, or ignored.  [default: a class; for COCO's "
    "panoptic files ignored]",
)
@click.option("--boxes", is_flag=True, help="Fill boxes of YOLO and COCO that have no outline.")
@click.option(
    "--crowds",
    type=click.Choice(["ignore", "objects"]),
    help="What regions are that a COCO file marks as crowds.  [default: ignore; an error if they "
    "are many]",
)
@click.argument("path", type=click.Path(path_type=Path))
def import_(
    tool: str,
    path: Path,
    folder: Path,
    images: Path | None,
    background: bool | None,
    boxes: bool,
    crowds: Literal["ignore", "objects"] | None,
) -> None:
    """Write the annotations of a labelling tool as a folder of images and masks.

    PATH is what the tool exported, unpacked: a file or a folder. Polygons, run lengths and bitmaps
    become FOLDER/images, FOLDER/masks and FOLDER/classes.txt, with the splits of the tool.
    """
    load_tensorflow()
    from keras_fcn.datasets.importers import ImportOptions, import_annotations

    with progress("Importing", 0) as bar:
        (task,) = bar.task_ids

        def count(total: int) -> None:
            if total:
                bar.update(task, total=total)
            else:
                bar.advance(task)

        summary = import_annotations(
            tool,
            path,
            folder,
            images=images,
            background=background,
            options=ImportOptions(boxes, crowds),
            on_image=count,
        )
    _print_import(summary)
    say(f"Next: keras-fcn datasets check --dataset folder:{folder}")


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
@overwrite_option
def show(
    dataset: str,
    source: Path | None,
    data_dir: Path | None,
    split: str,
    path: Path | None,
    examples: int,
    overwrite: bool,
    folder: dict[str, Any],
) -> None:
    """Write a picture of images with their masks."""
    load_tensorflow()
    from keras_fcn.datasets import open_dataset
    from keras_fcn.datasets.gallery import save_examples

    path = path or Path(f"{Path(dataset.replace(':', '/')).name}_{split}.png")
    check_output(path, overwrite=overwrite)
    opened = open_dataset(dataset, source, data_dir, **folder)
    say(f"Gallery: {save_examples(opened, path, split, examples)}")
    written(path)


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


def _print_import(summary: "ImportSummary") -> None:
    """Prints how often each class occurs, what was left out and what to know."""
    counts = ", ".join(f"{count:,} {split}".strip() for split, count in summary.splits.items())
    say(f"{summary.folder}: images {counts}.")
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("class")
    table.add_column("pixels", justify="right")
    table.add_column("images", justify="right")
    for i, name in enumerate((*summary.class_names, "ignored")):
        share = summary.pixels[i] / max(summary.pixels.sum(), 1)
        table.add_row(escape(name), f"{share:.2%}", f"{summary.images[i]:,}")
    output.print("", table, "")
    for reason, (count, examples) in summary.left_out.items():
        more = ", ..." if count > len(examples) else ""
        say(f"Left out: {count:,} times, {reason} ({', '.join(examples)}{more}).")
    for note in summary.notes:
        say(f"Note: {note}")


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
