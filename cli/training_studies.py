"""The commands of `keras-fcn study` that train networks."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from keras_fcn_train.config import Config
from keras_fcn_train.studies.defaults import CHOSEN, DEFAULTS

from .errors import Failure
from .options import Decorator, names
from .quiet import load_tensorflow
from .screen import output, say
from .settings import SettingsCommand, given_settings, setting_options

picture_option = click.option(
    "--output",
    "path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PNG",
    help="Picture to write.",
)


def _study_options(name: str) -> Decorator:
    """Returns the picture's option, and the settings that a study leaves to the user."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function = click.pass_context(function)
        function = setting_options(DEFAULTS[name], without=("resume", *CHOSEN[name]))(function)
        return picture_option(function)

    return decorate


@click.command(
    "networks", cls=SettingsCommand, short_help="FCN-32s, 16s, 8s and 8s at once, side by side."
)
@_study_options("networks")
def networks(context: click.Context, /, path: Path, **_: Any) -> None:
    """Train FCN-32s, 16s from it, 8s from that, and 8s at once (Table 2 of the paper).

    --epochs is the length of a stage. 8s at once takes three times as many, and FCN-32s is also
    trained on for as long as the other stages take. A study that was interrupted goes on where it
    was; --recipe gives other defaults.
    """
    _run("networks", context, path)


@click.command(
    "upsampling", cls=SettingsCommand, short_help="Fixed against learned upsampling of scores."
)
@_study_options("upsampling")
def upsampling(context: click.Context, /, path: Path, **_: Any) -> None:
    """Train a network whose upsampling stays bilinear, and others that learn it.

    A study that was interrupted goes on where it was; --recipe gives other defaults.
    """
    _run("upsampling", context, path)


@click.command(
    "patch-sampling", cls=SettingsCommand, short_help="Whole images against random patches of more."
)
@_study_options("patch-sampling")
def patch_sampling(context: click.Context, /, path: Path, **_: Any) -> None:
    """Train with all, a half and a quarter of the cells in the loss, drawn at random.

    The batch is --batch-size images, twice and four times as many, so that each step counts as
    many cells (section 3.4 and figure 5 of the paper); --epochs is for whole images. A study that
    was interrupted goes on where it was; --recipe gives other defaults.
    """
    _run("patch-sampling", context, path)


@click.command(
    "masking", cls=SettingsCommand, short_help="Foreground or background hidden, in six settings."
)
@_study_options("masking")
@click.option(
    "--background",
    type=names,
    default="background",
    show_default=True,
    metavar="LIST",
    help="Classes that are background.",
)
def masking(context: click.Context, /, path: Path, background: tuple[str, ...], **_: Any) -> None:
    """Train and test with foreground or background hidden behind the dataset's mean color.

    Four trainings make the six settings of the later paper's Table 8 (PAMI 2016). A study that was
    interrupted goes on where it was; --recipe gives other defaults.
    """
    _run("masking", context, path, background=background)


COMMANDS = (networks, upsampling, patch_sampling, masking)


def _run(name: str, context: click.Context, path: Path, **options: Any) -> None:
    load_tensorflow()
    from keras_fcn_train import TrainingInterrupted, TrainingStopped, load_recipe
    from keras_fcn_train.studies.runs import check_base, train_all

    study = importlib.import_module(f"keras_fcn_train.studies.{name.replace('-', '_')}")
    given = given_settings(context)
    start = load_recipe(given["recipe"]) if given.get("recipe") else _defaults(name, given)
    base, dataset = check_base(start.replace(**{"workdir": DEFAULTS[name].run.workdir, **given}))
    try:
        trained = train_all(study.runs(base, dataset, **options), base.run.workdir)
    except TrainingInterrupted as error:
        raise Failure("The study was stopped. Start it again, and it goes on.") from error
    except TrainingStopped as error:
        raise Failure(str(error)) from error
    report = study.report(trained, dataset, **options)
    say("")
    output.print(report)
    for note in report.notes:
        say(note)
    data, run = base.data, base.run
    say(f"{base.backbone.name} on {dataset.name}, {data.validation_split}; runs in {run.workdir}.")
    say(f"Picture: {report.save_picture(path)}")


def _defaults(name: str, given: dict[str, Any]) -> Config:
    """Returns a study's defaults, without what is for their backbone or their dataset alone."""
    defaults = DEFAULTS[name]
    if "backbone" in given:
        defaults = defaults.replace(alpha=None)
    if "dataset" in given:
        defaults = defaults.replace(limit=None)
    return defaults
