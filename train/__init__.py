"""Training of fully convolutional networks: from a recipe to a checkpoint.

Settings and recipes are imported at once, modules that need TensorFlow at their first use, so
that `keras-fcn train --help` does not wait for it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .config import (
    AugmentationConfig,
    BackboneConfig,
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
)
from .interrupts import TrainingDiverged, TrainingInterrupted, TrainingStopped
from .rates import convert_rates
from .recipes import describe_recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    from .optimizers import CaffeSGD, WarmupPolynomialDecay
    from .training import TrainingResult, fit

__all__ = [
    "AugmentationConfig",
    "BackboneConfig",
    "CaffeSGD",
    "Config",
    "DataConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "RunConfig",
    "TrainingDiverged",
    "TrainingInterrupted",
    "TrainingResult",
    "TrainingStopped",
    "WarmupPolynomialDecay",
    "convert_rates",
    "describe_recipe",
    "fit",
    "load_recipe",
    "recipe_names",
]

_MODULES = {
    "CaffeSGD": "optimizers",
    "TrainingResult": "training",
    "WarmupPolynomialDecay": "optimizers",
    "fit": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
