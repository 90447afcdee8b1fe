"""Recipes: complete settings for a network and a data set, one file each.

A recipe is a module with a docstring (source, command, measured time and
score) and `CONFIG`. Where its `CONFIG` lacks something that only the user
has, such as the network to start from, `NEEDS` says so by setting.
"""

import difflib
import importlib
import pkgutil
import runpy
from pathlib import Path
from typing import Any

from ..config import Config


def recipe_names() -> tuple[str, ...]:
    """Returns the names of the recipes that come with the package.

    >>> "camvid_mobilenet_v2" in recipe_names()
    True
    """
    return tuple(module.name for module in pkgutil.iter_modules(__path__))


def load_recipe(name: str) -> Config:
    """Returns the settings of a recipe.

    Args:
        name: One of `recipe_names()`, or a path to a Python file of yours that
            sets `CONFIG`.

    Raises:
        ValueError: If there is no such recipe; the text names those that are nearest.

    Example:
        >>> load_recipe("camvid_mobilenet_v2").replace(epochs=1).dataset
        'camvid'
    """
    config: Config = _contents(name)["CONFIG"]
    return config.replace(recipe=name)


def describe_recipe(name: str) -> str:
    """Returns the docstring of a recipe: source, command, and what was measured."""
    return str(_contents(name)["__doc__"] or "").strip()


def check_needs(config: Config) -> None:
    """Raises ValueError if the recipe needs a setting that the configuration does not have."""
    if config.recipe is None:
        return
    for name, why in _contents(config.recipe).get("NEEDS", {}).items():
        if getattr(config, name) is None:
            raise ValueError(f"Recipe {config.recipe!r} needs --{name.replace('_', '-')}: {why}")


def _contents(name: str) -> dict[str, Any]:
    if name in recipe_names():
        return vars(importlib.import_module(f"{__name__}.{name}"))
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise ValueError(f"There is no recipe file {name}.")
        contents = runpy.run_path(name)
        if not isinstance(contents.get("CONFIG"), Config):
            raise ValueError(
                f"The recipe {name} must set CONFIG = keras_fcn_train.Config(...). "
                f"Received: CONFIG={contents.get('CONFIG')!r}."
            )
        return contents
    nearest = difflib.get_close_matches(name, recipe_names(), n=3)
    hint = f" Did you mean {' or '.join(repr(match) for match in nearest)}?" if nearest else ""
    raise ValueError(
        f"Unknown recipe {name!r}.{hint} Expected one of: {', '.join(recipe_names())}, "
        "or a .py file of yours."
    )
