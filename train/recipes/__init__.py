"""Recipes: complete settings for a network and a dataset, by name.

A recipe is a module with a docstring (source, command, measured time and
metrics) and `CONFIG`, in this folder or a file of the user's. If its `CONFIG` lacks something
that only the user has, such as the network to start from, `NEEDS` describes it by setting. The
module `reference` has `RECIPES` instead: one per network of the reference.

A recipe in a file of the user's is a program, and is executed only where it is named: by
`load_recipe` and `describe_recipe` (`--recipe FILE.py`, `--describe-recipe FILE.py`). A
configuration only records its path: neither `fit` nor `--resume` executes it.
"""

import difflib
import importlib
import pkgutil
import runpy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..config import Config

# Of the recipes in files that this process has executed, by path.
_needs_of_files: dict[str, Mapping[str, str]] = {}


@dataclass(frozen=True)
class Recipe:
    """Complete settings with their description.

    Args:
        name: The name for `--recipe`.
        config: The settings.
        description: Source, command, and measurements.
        needs: What the user must add, by setting, such as the network to start from.
    """

    name: str
    config: Config
    description: str
    needs: Mapping[str, str] = field(default_factory=dict)


def recipe_names() -> tuple[str, ...]:
    """Returns the names of the recipes that come with the package.

    >>> "camvid_mobilenet_v2" in recipe_names()
    True
    """
    return tuple(_recipes())


def load_recipe(name: str) -> Config:
    """Returns the settings of a recipe.

    Args:
        name: One of `recipe_names()`, or a path to a Python file of yours that
            sets `CONFIG`.

    Raises:
        ValueError: If there is no such recipe; the text has the most similar names.

    Example:
        >>> load_recipe("camvid_mobilenet_v2").replace(epochs=1).data.dataset
        'camvid'
    """
    recipe = _find(name)
    if name not in _recipes():
        _needs_of_files[name] = recipe.needs
    return recipe.config.replace(recipe=name)


def describe_recipe(name: str) -> str:
    """Returns the description of a recipe: source, command, and measurements."""
    return _find(name).description


def check_needs(config: Config) -> None:
    """Raises ValueError if the recipe needs a setting that the configuration does not have.

    A recipe in a file is not executed here; its needs are known where `load_recipe` did so before.
    """
    recipe = config.run.recipe
    if recipe is None:
        return
    if recipe.endswith(".py") and recipe not in _recipes():
        needs = _needs_of_files.get(recipe, {})
    else:
        needs = _find(recipe).needs
    for name, why in needs.items():
        if config.to_flat()[name] is None:
            raise ValueError(f"Recipe {recipe!r} needs --{name.replace('_', '-')}: {why}")


@cache
def _recipes() -> dict[str, Recipe]:
    found: list[Recipe] = []
    for module in pkgutil.iter_modules(__path__):
        contents = vars(importlib.import_module(f"{__name__}.{module.name}"))
        found += contents.get("RECIPES") or [_of_module(module.name, contents)]
    return {recipe.name: recipe for recipe in sorted(found, key=lambda recipe: recipe.name)}


def _of_module(name: str, contents: dict[str, Any]) -> Recipe:
    description = str(contents["__doc__"] or "").strip()
    return Recipe(name, contents["CONFIG"], description, contents.get("NEEDS", {}))


def _find(name: str) -> Recipe:
    if name in _recipes():
        return _recipes()[name]
    if name.endswith(".py"):
        return _of_module(name, _contents_of_file(name))
    nearest = difflib.get_close_matches(name, recipe_names(), n=3)
    hint = f" Did you mean {' or '.join(repr(match) for match in nearest)}?" if nearest else ""
    raise ValueError(
        f"Unknown recipe {name!r}.{hint} Expected one of: {', '.join(recipe_names())}, "
        "or a .py file of yours."
    )


def _contents_of_file(name: str) -> dict[str, Any]:
    if not Path(name).is_file():
        raise ValueError(f"There is no recipe file {name}.")
    contents = runpy.run_path(name)
    if not isinstance(contents.get("CONFIG"), Config):
        raise ValueError(
            f"The recipe {name} must set CONFIG = keras_fcn_train.Config(...). "
            f"Received: CONFIG={contents.get('CONFIG')!r}."
        )
    return contents
