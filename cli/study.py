"""`keras-fcn study`: experiments of the papers, a command for each of `STUDIES`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from keras_fcn_train.studies import STUDIES, Option, Study

from .errors import Failure
from .options import Decorator, check_output, names, overwrite_option, written
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


@click.group(short_help="Repeat experiments of the papers.")
def command() -> None:
    """Repeat experiments of the FCN papers: a table on the screen, and a picture."""


def _command_of(study: Study) -> click.Command:
    def run(context: click.Context, /, path: Path, overwrite: bool, **_: Any) -> None:
        options = {option.name: context.params[option.name] for option in study.options}
        check_output(path, overwrite=overwrite)
        _run(study, given_settings(context), options, path)

    function: Callable[..., Any] = overwrite_option(click.pass_context(run))
    for option in reversed(study.options):
        function = _option(option)(function)
    function = setting_options(study.defaults, only=study.settings)(function)
    return click.command(
        study.name,
        cls=SettingsCommand if study.settings else click.Command,
        help=study.help,
        short_help=study.summary,
    )(picture_option(function))


def _option(option: Option) -> Decorator:
    types: dict[type, Any] = {
        int: click.IntRange(option.least, option.most),
        Path: click.Path(path_type=Path),
        tuple: names,
    }
    is_tuple = isinstance(option.default, tuple)
    return click.option(
        f"--{option.name}",
        type=types.get(option.type, option.type),
        default=",".join(option.default) if is_tuple else option.default,
        show_default=option.default is not None,
        metavar=option.metavar,
        help=option.help,
    )


def _run(study: Study, given: dict[str, Any], options: dict[str, Any], path: Path) -> None:
    load_tensorflow()
    from keras_fcn_train import TrainingInterrupted, TrainingStopped
    from keras_fcn_train.studies.runs import open_base, train_all

    base, dataset = open_base(study.base(given))
    try:
        trained = train_all(study.runs(base, dataset, **options), base.run.workdir)
    except TrainingInterrupted as error:
        raise Failure("The study was stopped. Run it again to continue.") from error
    except TrainingStopped as error:
        raise Failure(str(error)) from error
    report = study.report(trained, dataset, **options)
    if trained:
        say("")
    output.print(report)
    for note in report.notes:
        say(note)
    if trained:
        data = f"{dataset.name}, {base.data.validation_split}"
        say(f"{base.backbone.name} on {data}; runs in {base.run.workdir}.")
    say(f"Picture: {report.save_picture(path)}")
    written(path)


for each in STUDIES.values():
    command.add_command(_command_of(each))
