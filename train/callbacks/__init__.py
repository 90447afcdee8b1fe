"""Callbacks of a training: one file per task."""

from .guards import StopOnDivergence, WarnOfOneClass
from .log import CsvLog, Curves, TensorBoardLog
from .saving import SaveConfig, SaveState
from .stopping import StopOutOfPatience, StopOutOfTime
from .strip import ValidationStrip
from .tracking import MeanOverHeads, Tracker
from .validation import Checkpoints, Validation

__all__ = [
    "Checkpoints",
    "CsvLog",
    "Curves",
    "MeanOverHeads",
    "SaveConfig",
    "SaveState",
    "StopOnDivergence",
    "StopOutOfPatience",
    "StopOutOfTime",
    "TensorBoardLog",
    "Tracker",
    "Validation",
    "ValidationStrip",
    "WarnOfOneClass",
]
