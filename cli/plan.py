"""`keras-fcn plan`."""

from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from .options import check_output, overwrite_option, written
from .quiet import load_tensorflow
from .screen import output, say
from .settings import SettingsCommand, given_settings, setting_options

EXAMPLES = """\b
Examples:
  keras-fcn plan --dataset folder:photos --output plan.json
  keras-fcn plan --dataset folder:photos --time 30m --weights-dir weights --output plan.json
  keras-fcn train --plan plan.json --workdir runs/photos
"""

memory_option = click.option(
    "--memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GIB",
    help="Memory that a training may take; by default 80% of what is free.",
)


@click.command(cls=SettingsCommand, epilog=EXAMPLES, short_help="Plan a training from the data.")
@click.option(
    "--output",
    "path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="JSON",
    help="File of the plan to write.",
)
@overwrite_option
@memory_option
@setting_options()
@click.pass_context
def command(
    context: click.Context, /, path: Path, overwrite: bool, memory: float | None, **_: Any
) -> None:
    """Plan a training: look at the dataset, try some steps, choose the settings.

    Settings that are given as options are kept, and the others chosen to fit them. The plan
    contains the reason of each; `keras-fcn train --plan` follows it. Values in it may be edited;
    a file that was edited is not replaced, except with --overwrite.
    """
    check_output(path, overwrite=overwrite)
    plan = planned(given_settings(context), memory)
    plan.save(path)
    written(path)
    show(plan)
    say(f"Plan: {path}")


def planned(given: dict[str, Any], memory: float | None) -> Any:
    """Returns the plan for the given settings."""
    load_tensorflow()
    from keras_fcn_train import Config
    from keras_fcn_train.plan import make_plan

    from keras_fcn.datasets import open_dataset

    base = Config().replace(**given)
    dataset = open_dataset(
        base.data.dataset, base.data.source, base.data.data_dir, **base.data.folder
    )
    return make_plan(base, given, dataset, memory, say=say)


def show(plan: Any) -> None:
    """Prints the choices of a plan with their reasons."""
    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    for name, choice in plan.choices.items():
        table.add_row(f"[bold]{name}[/]", escape(_text(choice.value)), escape(choice.reason))
    output.print(table)
    for warning in plan.warnings:
        say(f"Warning: {warning}")


def _text(value: Any) -> str:
    """Returns a value as the option takes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, int | float) else str(value or "none")
