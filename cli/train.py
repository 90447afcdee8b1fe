"""`keras-fcn train`."""

from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from .errors import Failure
from .quiet import load_tensorflow
from .screen import output, say
from .settings import SettingsCommand, given_settings, setting_options

EXAMPLES = """\b
Examples:
  keras-fcn train --dataset folder:photos --workdir runs/photos
  keras-fcn train --recipe camvid_mobilenet_v2 --source CamVid --epochs 30
  keras-fcn train --resume --workdir runs/photos
"""


def _list_recipes(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from keras_fcn_train import describe_recipe, recipe_names

    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    for name in recipe_names():
        table.add_row(f"[bold]{name}[/]", escape(describe_recipe(name).splitlines()[0]))
    output.print(table)
    context.exit()


def _describe_recipe(context: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is None:
        return
    from keras_fcn_train import describe_recipe

    output.print(describe_recipe(name), markup=False, highlight=False, soft_wrap=True)
    context.exit()


@click.command(cls=SettingsCommand, epilog=EXAMPLES)
@setting_options()
@click.option(
    "--list-recipes",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_recipes,
    help="List the recipes and exit.",
)
@click.option(
    "--describe-recipe",
    is_eager=True,
    expose_value=False,
    callback=_describe_recipe,
    metavar="NAME",
    help="Show the source, the needs and the results of a recipe, and exit.",
)
@click.pass_context
def command(context: click.Context, /, **_: Any) -> None:
    """Train a network.

    Settings come from the options, then from the recipe, if there is one, then from the defaults.
    The workdir contains best.keras and last.keras, the log, its curves, TensorBoard's events, and
    the state for --resume after Ctrl-C or a crash.
    """
    load_tensorflow()
    from keras_fcn_train import TrainingStopped, fit

    try:
        result = fit(configuration(given_settings(context)))
    except TrainingStopped as error:
        raise Failure(str(error)) from error
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in result.metrics.items())
    say(f"\nBest epoch {result.best_epoch}: {metrics}")
    say(f"Network: {result.best}")
    say(f"Curves:  {result.workdir / 'curves.png'}")


def configuration(given: dict[str, Any]) -> Any:
    """Returns the given settings over those of a recipe, a resumed training, or the defaults."""
    from keras_fcn_train import Config, RunConfig, load_recipe

    stored = Path(given.get("workdir") or RunConfig.workdir).expanduser() / "config.json"
    if given.get("resume") and stored.is_file():
        base = Config.from_file(stored)
    elif given.get("recipe"):
        base = load_recipe(given["recipe"])
    else:
        base = Config()
    return base.replace(**given)
