"""Options that several subcommands share, and the types of their values."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from .errors import Failure
from .quiet import load_tensorflow
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


overwrite_option = click.option(
    "--overwrite",
    is_flag=True,
    help="Also replace files that keras-fcn did not write, or that were changed since.",
)


def check_output(*paths: Path, overwrite: bool, option: str = "--output") -> None:
    """Raises an error, before any work, if files cannot be written, or are the user's.

    Args:
        *paths: The files to write.
        overwrite: Whether the user's are replaced.
        option: The option that names them, for the text.
    """
    for path in paths:
        check_writable(path)
    load_tensorflow()
    from keras_fcn.files import WrittenFiles

    WrittenFiles().check(paths, overwrite=overwrite, option=option)


def written(*paths: Path) -> None:
    """Records files that a command has written, so that it replaces them the next time."""
    from keras_fcn.files import WrittenFiles

    record = WrittenFiles()
    for path in paths:
        record.add(path)


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

_READING_OPTIONS = ("channels", "value_range", "page")
_FOLDER_OPTIONS = (
    *("image_files", "mask_files", "ignore", "num_classes", "write_classes", "exif"),
    *_READING_OPTIONS,
)


def integers(text: str) -> tuple[int, ...]:
    """Returns whole numbers separated by commas; for `type=` of an option.

    >>> integers("0, 255")
    (0, 255)
    """
    if not all(name.isdecimal() for name in names(text)):
        raise click.BadParameter(f"{text!r} are no whole numbers, such as 0,255.")
    return tuple(int(name) for name in names(text))


def value_range(text: str) -> tuple[float, float]:
    """Returns two numbers separated by a comma, the first smaller; for `type=` of an option.

    >>> value_range("0,4095")
    (0.0, 4095.0)
    """
    limits = numbers(text)
    if len(limits) != 2 or not limits[0] < limits[1]:
        raise click.BadParameter(f"{text!r} is no smallest and largest value, such as 0,4095.")
    return limits[0], limits[1]


def dataset_options(
    *, required: bool = True, folder: bool = True, patterns: bool = True
) -> Decorator:
    """Returns the options that say which dataset is opened, and from where.

    Args:
        required: Whether a dataset must be named.
        folder: Whether there are options of how folder:PATH is read. The command gets them, as far
            as they are given, as the dictionary `folder`, for `open_dataset`.
        patterns: Whether `--images` is one of them; some commands have another option of that name.
    """
    options: tuple[Decorator, ...] = (
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
    if folder:
        options += _folder_options(patterns)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if folder:
            function = _with_folder(function)
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _folder_options(patterns: bool) -> tuple[Decorator, ...]:
    images = click.option(
        "--images",
        "image_files",
        metavar="GLOB",
        help="folder:PATH: the images, such as 'photos/**/*.jpg', where they are not found.",
    )
    return (
        *((images,) if patterns else ()),
        click.option(
            "--masks", "mask_files", metavar="GLOB", help="folder:PATH: the masks, likewise."
        ),
        click.option(
            "--ignore",
            type=integers,
            metavar="N,...",
            help="folder:PATH: numbers in the masks that are ignored, such as 0.",
        ),
        click.option(
            "--num-classes",
            type=click.IntRange(2, 255),
            metavar="N",
            help="folder:PATH without a table of classes: the numbers in the masks are 0 to N - 1.",
        ),
        click.option(
            "--write-classes",
            is_flag=True,
            help="folder:PATH: write a table of the values that occur in the masks.",
        ),
        click.option(
            "--channels",
            type=click.IntRange(1),
            metavar="N",
            help="folder:PATH: bands of the images, where they are not RGB; 3 takes the first "
            "three of more as red, green and blue.",
        ),
        *reading_options("folder:PATH: "),
        click.option(
            "--exif",
            type=click.Choice(["apply", "ignore"]),
            help="folder:PATH: whether images are turned by an EXIF orientation that their masks "
            "lack; by default the sizes decide.",
        ),
    )


def reading_options(prefix: str = "") -> tuple[Decorator, ...]:
    """Returns the options `--value-range` and `--page`, which say how image files are read.

    Args:
        prefix: Start of their help.
    """
    return (
        click.option(
            "--value-range",
            type=value_range,
            metavar="LOW,HIGH",
            help=f"{prefix}the values that become black and white, for RGB of 16 bits or floats.",
        ),
        click.option(
            "--page",
            type=click.IntRange(1),
            metavar="N",
            help=f"{prefix}the page of images with several pages or frames, from 1.",
        ),
    )


def _with_folder(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a command that gets the options of folders as one dictionary."""

    @functools.wraps(function)
    def command(*arguments: Any, **options: Any) -> Any:
        given = {name: options.pop(name, None) for name in _FOLDER_OPTIONS}
        folder = {name: value for name, value in given.items() if value}
        return function(*arguments, folder=folder, **options)

    return command


def folder_of_training(model: Any, dataset: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """Returns how a folder is read: as given, else as in the training, if that was on the same.

    Of another folder, the images are read as in the training.

    Args:
        model: A network, or a predictor with one.
        dataset: Name of the dataset.
        given: The options that were given.
    """
    from keras_fcn.prediction.keras_model import image_reading_of

    if dataset is None or not dataset.startswith("folder:"):
        return given
    network = getattr(model, "model", model)
    origin = getattr(network, "origin", None) or {}
    settings = origin.get("config", {}).get("data", {})
    has_reading = hasattr(model, "image_reading")
    reading = (model.image_reading if has_reading else image_reading_of(network)).to_dict()
    if given or origin.get("dataset") != dataset:
        return {**reading, **given}
    return reading | {
        name: settings[name]
        for name in _FOLDER_OPTIONS
        if settings.get(name) and name != "write_classes"
    }


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
