"""`keras-fcn summary`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import size
from .quiet import load_tensorflow
from .screen import output, say
from .settings import VARIANT_NAMES

if TYPE_CHECKING:
    from keras_fcn.models.receptive_field import Summary

# The networks of Table 1 in the paper (CVPR 2015).
TABLE_1 = ("alexnet", "vgg16", "googlenet")


@click.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .keras file to describe, instead of networks by name.",
)
@click.option(
    "--backbone",
    "backbones",
    multiple=True,
    metavar="NAME",
    help="Backbone of a network to describe; may be repeated.  [default: alexnet, vgg16, "
    "googlenet, which are the paper's Table 1]",
)
@click.option(
    "--variant",
    type=click.Choice(VARIANT_NAMES),
    default="fcn32s",
    show_default=True,
    help="Network to describe.",
)
@click.option(
    "--geometry",
    type=click.Choice(["same", "reference"]),
    default="same",
    show_default=True,
    help="Padding of the image; affects the multiply-adds only.",
)
@click.option(
    "--num-classes", type=click.IntRange(2, 255), default=21, show_default=True, metavar="N"
)
@click.option(
    "--size",
    "image_size",
    type=size,
    default="500x500",
    show_default=True,
    metavar="HxW",
    help="Size of the image for the multiply-adds.",
)
def command(
    model: Path | None,
    backbones: tuple[str, ...],
    variant: str,
    geometry: str,
    num_classes: int,
    image_size: tuple[int, int],
) -> None:
    """Describe networks: parameters, layers, receptive fields, multiply-adds.

    All numbers are computed from the layers. The parameters of the upsampling layers have their
    own column; the layers of a path are the convolutions from the image to the score layer.
    """
    if model is not None and backbones:
        raise click.UsageError("Give either --model or --backbone.")
    load_tensorflow()
    from keras_fcn.backbones import create
    from keras_fcn.models import VARIANTS
    from keras_fcn.models.receptive_field import summarize
    from keras_fcn.prediction import load_model

    def summaries() -> Iterator["Summary"]:
        if model is not None:
            yield summarize(load_model(model), image_size)
            return
        for backbone in backbones or TABLE_1:
            # The values of the weights do not matter.
            zeros = create(backbone, geometry=geometry).with_zeros()
            yield summarize(VARIANTS[variant](num_classes, backbone=zeros), image_size)

    _show(list(summaries()), image_size)


def _show(summaries: list["Summary"], image_size: tuple[int, int]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("network")
    for title in (
        "parameters",
        "upsampling",
        "score",
        "layers",
        "receptive field",
        "stride",
        f"multiply-adds at {image_size[0]}x{image_size[1]}",
    ):
        table.add_column(title, justify="left" if title == "score" else "right")
    for summary in summaries:
        for index, score in enumerate(summary.scores):
            first = index == 0
            table.add_row(
                summary.name if first else "",
                f"{summary.parameters:,}" if first else "",
                f"{summary.upsampling_parameters:,}" if first else "",
                score.name,
                str(score.convolutions),
                str(score.receptive_field),
                str(score.stride),
                f"{summary.multiply_adds / 1e9:.1f} G" if first else "",
            )
    output.print(table)
    for summary in summaries:
        if summary.paper_receptive_field:
            say(
                f"{summary.name}: {summary.paper_receptive_field} with the final average pooling, "
                "which the paper's table counts and its network leaves out."
            )
