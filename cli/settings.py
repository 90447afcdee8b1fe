"""The settings of a training as options of the command line."""

from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
from keras_fcn_train.config import Config

from .options import Decorator, names, size

# Where a section of the help begins, by the first of its settings.
SECTIONS = {
    "recipe": "Data",
    "variant": "Network",
    "epochs": "Batches and augmentation",
    "optimizer": "Optimizer",
    "normalization": "Loss",
    "precision": "Machine",
    "workdir": "Run",
}

# Names of the networks, without importing what builds them, `keras_fcn.models.VARIANTS`.
VARIANT_NAMES: tuple[str, ...] = get_args(get_type_hints(Config)["variant"])


class SettingsCommand(click.Command):
    """A command whose help shows the settings in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        titles = _section_titles()
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            title = titles.get(option.name or "", "Other")
            sections.setdefault(title, []).append(option.get_help_record(ctx) or ("", ""))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def setting_options(defaults: Config | None = None, without: Sequence[str] = ()) -> Decorator:
    """Returns one option for each setting of `Config`, in its order.

    Args:
        defaults: Whose values the help shows as defaults; those of `Config()` by default.
        without: Names of settings that are no options here.
    """
    hints = get_type_hints(Config)
    shown = (defaults or Config()).to_dict()

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for setting in reversed(fields(Config)):
            if setting.name not in without:
                option = _option(setting, hints[setting.name], shown[setting.name])
                function = option(function)
        return function

    return decorate


def given_settings(context: click.Context) -> dict[str, Any]:
    """Returns the settings that the user gave, by name: a recipe's stand for all others."""
    return {
        setting.name: context.params[setting.name]
        for setting in fields(Config)
        if setting.name in context.params
        and context.get_parameter_source(setting.name) is not click.core.ParameterSource.DEFAULT
    }


def _section_titles() -> dict[str, str]:
    """Returns the section of each setting."""
    titles = {}
    title = ""
    for setting in fields(Config):
        title = titles[setting.name] = SECTIONS.get(setting.name, title)
    return titles


def _option(setting: Field[Any], hint: Any, default: Any) -> Decorator:
    name = setting.name.replace("_", "-")
    kind = next((part for part in get_args(hint) if part is not NoneType), hint)
    if NoneType not in get_args(hint):
        kind = hint
    text = f"{setting.metadata['help']}{_shown_default(default)}"
    if kind is bool:
        # Without a default click takes a flag that is not given for False: it is the recipe's.
        return click.option(f"--{name}/--no-{name}", setting.name, default=None, help=text)
    return click.option(
        f"--{name}",
        setting.name,
        type=_converter(kind, optional=NoneType in get_args(hint)),
        default=None,
        metavar=setting.metadata["metavar"] or "|".join(get_args(kind)),
        help=text,
    )


def _shown_default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        value = "yes" if value else "no"
    elif isinstance(value, tuple):
        value = ",".join(str(part) for part in value)
    return f"  [default: {value}]"


def _converter(kind: Any, *, optional: bool) -> Callable[[str], Any]:
    """Returns the function from the text of an option to the value of a setting."""

    def convert(text: str) -> Any:
        if optional and text == "none":
            return None
        if get_origin(kind) is Literal:
            return click.Choice(get_args(kind)).convert(text, None, None)
        if get_origin(kind) is not tuple:
            return _number(kind, text)
        parts = get_args(kind)
        if parts == (int, int):
            return size(text)
        values = tuple(_number(parts[0], name) for name in names(text))
        if parts[-1] is not Ellipsis and len(values) != len(parts):
            raise click.BadParameter(f"{text!r} must be {len(parts)} values, such as 0.5,2.")
        return values

    return convert


def _number(kind: type, text: str) -> Any:
    return click.types.convert_type(kind).convert(text, None, None)
