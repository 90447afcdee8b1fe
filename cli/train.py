"""`keras-fcn train`."""

import os
import sys
from pathlib import Path
from typing import Any

import click
from keras_fcn_train import RunConfig
from keras_fcn_train.hosts import ALONE, Hosts, find_hosts
from rich.markup import escape
from rich.table import Table

from .errors import Failure
from .hosts import is_child, supervise, training_command
from .plan import memory_option, planned, show
from .quiet import load_tensorflow
from .screen import output, say
from .settings import SettingsCommand, given_settings, setting_options

EXAMPLES = """\b
Examples:
  keras-fcn train --dataset folder:photos --workdir runs/photos --time 30m
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
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="JSON",
    help="Follow this plan of `keras-fcn plan`.",
)
@click.option(
    "--no-plan",
    is_flag=True,
    help="Make no plan: the settings that are not given have the defaults below.",
)
@memory_option
@click.option(
    "--hosts",
    metavar="HOST:PORT,...",
    help="Train on several hosts, on JAX: the same command on each, with the port that the first "
    "one listens at. Or node[1-4]:PORT, or slurm.",
)
@click.option(
    "--host-index",
    type=int,
    metavar="I",
    help="Which of --hosts this one is, from 0; known under SLURM and in indexed jobs of "
    "Kubernetes.",
)
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
def command(
    context: click.Context,
    /,
    plan_file: Path | None,
    no_plan: bool,
    memory: float | None,
    hosts: str | None,
    host_index: int | None,
    **_: Any,
) -> None:
    """Train a network.

    Settings come from the options, then from the recipe, or else from a plan, which is made from
    the dataset: it looks at the images and tries some steps. The workdir contains best.keras and
    last.keras, plan.json, the log, its curves, TensorBoard's events, and the state for --resume
    after Ctrl-C or a crash.
    """
    given = given_settings(context)
    among = _hosts(hosts, host_index)
    if among.count > 1 and not is_child():
        # Each host would make another plan.
        if not (plan_file or no_plan or _settings_sources(given)):
            raise click.UsageError(
                "--hosts needs settings that are the same on all hosts: --recipe NAME, --plan FILE "
                "(of keras-fcn plan), or --no-plan."
            )
        workdir = given.get("workdir") or RunConfig.workdir
        supervise(among, workdir, training_command(sys.argv[1:]), debug="--debug" in sys.argv)
        return
    load_tensorflow()
    from keras_fcn_train import TrainingStopped, fit

    config = configuration(given)
    plan = _plan(config, given, plan_file, memory, no_plan=no_plan, is_first=among.is_first)
    if plan:
        if among.is_first:
            show(plan)
        config = plan.apply(config).replace(**given)
    try:
        result = fit(config, plan=plan, hosts=among)
    except TrainingStopped as error:
        raise Failure(str(error)) from error
    if not among.is_first:
        say(f"\nHost {among.index} has finished. The files are on host 0.")
        return
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in result.metrics.items())
    say(f"\nBest epoch {result.best_epoch}: {metrics}")
    say(f"Network: {result.best}")
    say(f"Curves:  {result.workdir / 'curves.png'}")


def _hosts(text: str | None, index: int | None) -> Hosts:
    if text is None and index is not None:
        raise click.UsageError("--host-index needs --hosts.")
    return ALONE if text is None else find_hosts(text, index, os.environ)


def configuration(given: dict[str, Any]) -> Any:
    """Returns the given settings over those of a recipe, a resumed training, or the defaults."""
    from keras_fcn_train import Config, load_recipe

    stored = Path(given.get("workdir") or RunConfig.workdir).expanduser() / "config.json"
    if given.get("resume") and stored.is_file():
        base = Config.from_file(stored)
    elif given.get("recipe"):
        base = load_recipe(given["recipe"])
    else:
        base = Config()
    return base.replace(**given)


def _settings_sources(given: dict[str, Any]) -> list[str]:
    """Returns the given options that bring all settings along."""
    return [name for name in ("resume", "recipe", "smoke") if given.get(name)]


def _plan(
    config: Any,
    given: dict[str, Any],
    path: Path | None,
    memory: float | None,
    *,
    no_plan: bool,
    is_first: bool,
) -> Any:
    """Returns the plan to follow, from a file or made now; None if the settings come otherwise."""
    from keras_fcn_train.workdir import open_workdir

    others = _settings_sources(given) + (["no-plan"] if no_plan else [])
    if path and others:
        raise click.UsageError(
            f"--plan and --{others[0]} exclude each other: each has all settings."
        )
    if others:
        return None
    if is_first:
        open_workdir(config)  # refuses a folder of another training before the plan is made
    return _read_plan(path).with_given(given) if path else planned(given, memory)


def _read_plan(path: Path) -> Any:
    from keras_fcn_train.plan import Plan

    try:
        return Plan.from_json(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
