"""Callbacks of a training: one file per task."""

from .guards import StopOnNonFinite, WarnOfOneClass
from .log import CsvLog, Curves, TensorBoardLog
from .saving import SaveConfig, SaveState
from .tracking import MeanOverHeads, Tracker
from .validation import Checkpoints, Validation

__all__ = [
    "Checkpoints",
    "CsvLog",
    "Curves",
    "MeanOverHeads",
    "SaveConfig",
    "SaveState",
    "StopOnNonFinite",
    "TensorBoardLog",
    "Tracker",
    "Validation",
    "WarnOfOneClass",
]
