"""`keras-fcn train`."""

from pathlib import Path
from typing import Any

import click

from .errors import Failure
from .quiet import load_tensorflow
from .screen import say
from .settings import SettingsCommand, given_settings, setting_options

EXAMPLES = """\b
Examples:
  keras-fcn train --dataset folder:photos --workdir runs/photos
  keras-fcn train --recipe camvid_mobilenet_v2 --source CamVid --epochs 30
  keras-fcn train --resume --workdir runs/photos
"""


@click.command(cls=SettingsCommand, epilog=EXAMPLES)
@setting_options()
@click.pass_context
def command(context: click.Context, /, **_: Any) -> None:
    """Train a network.

    Settings come from a recipe, if one is named, then from the options; the defaults fill in what
    is left. The workdir holds best.keras and last.keras, the log, its curves, TensorBoard's
    events, and what --resume needs after Ctrl-C or a crash.
    """
    load_tensorflow()
    from keras_fcn_train import TrainingStopped, fit

    try:
        result = fit(_config(given_settings(context)))
    except TrainingStopped as error:
        raise Failure(str(error)) from error
    scores = ", ".join(f"{name} {value:.4f}" for name, value in result.scores.items())
    say(f"\nBest epoch {result.best_epoch}: {scores}")
    say(f"Network: {result.best}")
    say(f"Curves:  {result.workdir / 'curves.png'}")


def _config(given: dict[str, Any]) -> Any:
    """Returns what was given on top of a recipe, of the training to resume, or of the defaults."""
    from keras_fcn_train import Config, load_recipe

    stored = Path(given.get("workdir") or Config.workdir).expanduser() / "config.json"
    if given.get("resume") and stored.is_file():
        base = Config.from_json(stored.read_text())
    elif given.get("recipe"):
        base = load_recipe(given["recipe"])
    else:
        base = Config()
    return base.replace(**given)
