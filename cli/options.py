"""Options that several subcommands share, and the types of their values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

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


def model_option(description: str) -> Decorator:
    """Returns the option `--model`."""
    return click.option(
        "--model", required=True, type=click.Path(path_type=Path), metavar="FILE", help=description
    )


def dataset_options(*, required: bool = True) -> Decorator:
    """Returns the options that say which data set is opened, and from where."""
    options = (
        click.option(
            "--dataset",
            required=required,
            metavar="NAME",
            help="camvid, voc2011, voc2012, voc2012_aug, sample, or folder:PATH.",
        ),
        click.option(
            "--source",
            type=click.Path(path_type=Path),
            metavar="PATH",
            help="Folder of the data set's files as published; prepared when needed.",
        ),
        click.option(
            "--data-dir",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Where prepared data sets lie; ~/tensorflow_datasets by default.",
        ),
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
