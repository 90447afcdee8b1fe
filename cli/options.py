"""Options that several subcommands share, and the types of their values."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from .errors import Failure
from .screen import say

if TYPE_CHECKING:
    from keras_fcn.prediction import Predictor

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def size(text: str) -> tuple[int, int]:
    """Returns a height and width in pixels; for `type=` of an option.

    >>> size("360x480")
    (360, 480)
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise click.BadParameter(f"{text!r} is no height and width in pixels, such as 360x480.")
    return int(height), int(width)


def names(text: str) -> tuple[str, ...]:
    """Returns names separated by commas; for `type=` of an option.

    >>> names("sky, road")
    ('sky', 'road')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def numbers(text: str) -> tuple[float, ...]:
    """Returns numbers separated by commas; for `type=` of an option.

    >>> numbers("0.75, 1")
    (0.75, 1.0)
    """
    try:
        return tuple(float(number) for number in names(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} are no numbers, such as 0.75,1,1.25.") from error


def check_writable(path: Path) -> None:
    """Raises Failure, before any work, if nothing can be written at a path."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise Failure(f"{path} cannot be written: {folder} is a file, not a folder.")
    if not os.access(folder, os.W_OK):
        raise Failure(f"{path} cannot be written: the folder {folder} may not be changed.")


# The formats of `open_predictor`, for `model_option`.
NETWORK_FILE = "A .keras, .tflite or .onnx file, or the folder of a SavedModel."


def model_option(description: str) -> Decorator:
    """Returns the option `--model`."""
    return click.option(
        "--model", required=True, type=click.Path(path_type=Path), metavar="FILE", help=description
    )


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of prepared datasets; ~/tensorflow_datasets by default.",
)


def dataset_options(*, required: bool = True) -> Decorator:
    """Returns the options of the dataset: its name, and its folders."""
    options = (
        click.option(
            "--dataset",
            required=required,
            metavar="NAME",
            help="A dataset that `keras-fcn datasets list` shows, or folder:PATH.",
        ),
        click.option(
            "--source",
            type=click.Path(path_type=Path),
            metavar="PATH",
            help="Folder of the dataset's files as published; the dataset is prepared if "
            "necessary.",
        ),
        data_dir_option,
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def inference_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of how the network is run, which `with_inference_options` takes."""
    options = (
        click.option(
            "--precision",
            type=click.Choice(["float32", "bfloat16"]),
            help="Precision of weights and features of a .keras file. bfloat16 takes half the "
            "memory, and half the time on a processor with bfloat16 instructions.  "
            "[default: the file's own]",
        ),
        click.option(
            "--flip", is_flag=True, help="Average the logits with those of the mirrored image."
        ),
        click.option(
            "--scales",
            type=numbers,
            default="1",
            metavar="A,B,...",
            help="Average the logits over these scales of the image, such as 0.75,1,1.25.",
        ),
        click.option(
            "--tile",
            is_flag=True,
            help="Run in overlapping tiles, so that memory does not grow with the image size.",
        ),
        click.option(
            "--tile-size",
            type=size,
            metavar="HxW",
            help="Size of the tiles.  [default: 1408x1408, or the network's fixed size]",
        ),
        click.option(
            "--overlap",
            type=click.IntRange(1),
            metavar="PIXELS",
            help="Pixels that neighboring tiles share.  [default: as many as exact logits need, if "
            "that is known and at most half a tile; else a quarter of a tile]",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def with_inference_options(
    predictor: "Predictor",
    *,
    precision: Literal["float32", "bfloat16"] | None,
    flip: bool,
    scales: tuple[float, ...],
    tile: bool,
    tile_size: tuple[int, int] | None,
    overlap: int | None,
) -> "Predictor":
    """Returns a predictor that runs as `inference_options` were given."""
    from keras_fcn.models.optimize import has_bfloat16_instructions, with_precision
    from keras_fcn.prediction import AveragedPredictor, KerasPredictor, TiledPredictor

    if precision:
        if not isinstance(predictor, KerasPredictor):
            raise click.UsageError(
                "--precision is for .keras files; the precision of an exported model is fixed."
            )
        predictor = KerasPredictor(with_precision(predictor.model, precision), predictor.path)
    if precision == "bfloat16" and has_bfloat16_instructions() is False:
        say("Note: this processor has no bfloat16 instructions: less memory, but no more speed.")
    if flip or scales != (1.0,):
        predictor = AveragedPredictor(predictor, flip=flip, scales=scales)
    if tile or tile_size or overlap:
        predictor = TiledPredictor(predictor, tile_size=tile_size, overlap=overlap)
    return predictor
