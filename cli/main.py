"""The command `keras-fcn`: its subcommands, loaded when they are needed, and its errors."""

import importlib
from typing import Any

import click
from keras_fcn_train.terminal import printable

from .errors import failure_of
from .quiet import quiet_libraries
from .signals import Terminated, ending_like_ctrl_c

# In the order of `--help`. Each is a module of this package with a click command `command`.
SUBCOMMANDS = (
    "quickstart",
    "plan",
    "train",
    "evaluate",
    "predict",
    "export",
    "verify",
    "benchmark",
    "datasets",
    "convert",
    "summary",
    "study",
)


class Program(click.Group):
    """A group whose subcommands are imported by name, and whose errors are one paragraph."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        module = importlib.import_module(f"{__package__}.{cmd_name}")
        command: click.Command = module.command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # `--debug` is accepted anywhere, so that it can be appended to a command that failed.
        if "--debug" in args:
            args = ["--debug", *[argument for argument in args if argument != "--debug"]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with ending_like_ctrl_c():
                return super().invoke(ctx)
        except Terminated as signal:
            raise click.exceptions.Exit(128 + signal.number) from signal
        except click.ClickException as error:
            vars(error)["message"] = printable(error.message)
            raise
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params["debug"]:
                raise
            raise failure_of(error) from error


@click.group("keras-fcn", cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="keras_fcn", prog_name="keras-fcn")
def main(debug: bool) -> None:
    """Fully convolutional networks: train on your masks, evaluate, predict, export.

    `keras-fcn quickstart` runs all steps in a few minutes, on generated images. Exit status: 0
    success, 1 failure, 2 wrong usage.
    """
    if not debug:
        quiet_libraries()
