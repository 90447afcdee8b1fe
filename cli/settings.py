"""The settings of a training as options of the command line."""

from collections.abc import Callable, Collection
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import click
from keras_fcn_train.config import Config, Setting, settings

from .options import Decorator, names, size

# Names of the networks, without importing what builds them, `keras_fcn.models.VARIANTS`.
VARIANT_NAMES: tuple[str, ...] = get_args(settings()["variant"].type)


class SettingsCommand(click.Command):
    """A command whose help shows the settings in their sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            setting = settings().get(option.name or "")
            title = setting.section.capitalize() if setting else "Other"
            sections.setdefault(title, []).append(option.get_help_record(ctx) or ("", ""))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def setting_options(
    defaults: Config | None = None, only: Collection[str] | None = None
) -> Decorator:
    """Returns one option per setting of `Config`, in its order.

    Args:
        defaults: The defaults in the help; those of `Config()` by default.
        only: Names of the settings that are options; all by default.
    """
    shown = (defaults or Config()).to_flat()

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, setting in reversed(settings().items()):
            if only is None or name in only:
                function = _option(setting, shown[name])(function)
        return function

    return decorate


def given_settings(context: click.Context) -> dict[str, Any]:
    """Returns the settings that the user gave, by name; all others are the recipe's."""
    return {
        name: context.params[name]
        for name in settings()
        if name in context.params
        and context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }


def _option(setting: Setting, default: Any) -> Decorator:
    option = setting.option.replace("_", "-")
    is_optional = NoneType in get_args(setting.type)
    kind = setting.type
    if is_optional:
        kind = next(part for part in get_args(kind) if part is not NoneType)
    text = f"{setting.help}{_shown_default(default)}"
    if kind is bool:
        # Without this default, click sets a flag that is not given to False, but it is the
        # recipe's.
        return click.option(f"--{option}/--no-{option}", setting.name, default=None, help=text)
    return click.option(
        f"--{option}",
        setting.name,
        type=_converter(kind, optional=is_optional),
        default=None,
        metavar=setting.metavar or "|".join(get_args(kind)),
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
