"""`keras-fcn study`: experiments of the papers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .options import dataset_options
from .quiet import load_tensorflow
from .screen import output, progress, say
from .training_studies import COMMANDS, picture_option


@click.group(short_help="Repeat experiments of the papers.")
def command() -> None:
    """Repeat experiments of the FCN papers: a table on the screen, and a picture."""


for training_study in COMMANDS:
    command.add_command(training_study)


@command.command("label-downsampling", short_help="Best mean IoU that coarse scores can reach.")
@dataset_options()
@click.option("--split", default="val", show_default=True, metavar="NAME", help="Split to take.")
@click.option(
    "--images",
    "max_images",
    type=click.IntRange(1),
    metavar="N",
    help="Number of images to take.  [default: all]",
)
@picture_option
def label_downsampling(
    dataset: str,
    source: Path | None,
    data_dir: Path | None,
    split: str,
    max_images: int | None,
    path: Path,
) -> None:
    """Measure the mean IoU of labels that were downsampled by 128 to 4, against the labels.

    No network whose scores are so coarse does better (Appendix A of the paper). The paper does not
    say how labels are resampled; three ways are shown beside its row.
    """
    load_tensorflow()
    from keras_fcn_train.studies.label_downsampling import PAPER, save_chart, upper_bounds
    from rich.table import Table

    from keras_fcn.datasets import open_dataset
    from keras_fcn.labels import LabelSpec

    data = open_dataset(dataset, source, data_dir)
    data.check_split(split)
    if not isinstance(data.labels, LabelSpec):
        raise click.UsageError(f"--dataset must have one label a pixel; {data.name} has several.")
    count = min(data.splits[split], max_images or data.splits[split])
    with progress("Downsampling", count) as bar:

        def label_maps() -> Iterator[Any]:
            for example in data.examples(split).take(count).as_numpy_iterator():
                yield example["label"]
                bar.advance(bar.task_ids[0])

        bounds = upper_bounds(label_maps(), data.labels)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("mean IoU of labels downsampled by")
    for factor in PAPER:
        table.add_column(str(factor), justify="right")
    for name, values in {**bounds, "the paper, VOC 2011 (its way is not stated)": PAPER}.items():
        table.add_row(name, *(f"{100 * value:.1f}" for value in values.values()))
    output.print(table)
    say(f"{data.name}, {split}: {count} images.")
    say(f"Picture: {save_chart(path, bounds, f'{data.name}, {split}, {count} images')}")


@command.command("shift-and-stitch", short_help="Two ways to dense scores are one.")
@click.option(
    "--image",
    "image_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Image to run on.  [default: one of the built-in sample]",
)
@click.option(
    "--blocks",
    type=click.IntRange(1, 5),
    default=3,
    show_default=True,
    metavar="N",
    help="Blocks of the VGG; its stride is 2 to this power.",
)
@picture_option
def shift_and_stitch(image_path: Path | None, blocks: int, path: Path) -> None:
    """Show that shift-and-stitch and the network without strides give the same dense scores.

    A narrow VGG of random weights is run on every shift of an image within its stride, and once
    with its strides left out and its filters dilated (section 3.2 of the paper).
    """
    load_tensorflow()
    from keras_fcn_train.studies.shift_and_stitch import compare, save_maps
    from rich.table import Table

    from keras_fcn.data.image_io import read_image
    from keras_fcn.datasets import open_dataset

    if image_path is None:
        [example] = open_dataset("sample").examples("val").take(1).as_numpy_iterator()
        image = example["image"]
    else:
        image = read_image(image_path)
    result = compare(image, blocks)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "runs", "scores", "seconds"):
        table.add_column(title, justify="right" if title else "left")
    size = "x".join(str(length) for length in result.stitched.shape[:2])
    coarse = "x".join(str(length) for length in result.coarse.shape[:2])
    table.add_row(f"stride {result.stride}", "1", coarse, "")
    table.add_row("shifted and stitched", str(result.stride**2), size, f"{result.seconds[0]:.2f}")
    table.add_row("without strides, dilated", "1", size, f"{result.seconds[1]:.2f}")
    output.print(table)
    say(f"Largest difference: {result.largest_difference:.1e} of the scores' range.")
    say(f"Picture: {save_maps(path, result)}")
