"""Callbacks of a training: one file per task."""

from .guards import StopOnDivergence, WarnOfOneClass
from .log import CsvLog, Curves, TensorBoardLog
from .saving import SaveState
from .stopping import StopOutOfPatience, StopOutOfTime
from .strip import ValidationStrip
from .tracking import MeanOverHeads, Tracker
from .validation import Checkpoints, Validation

__all__ = [
    "Checkpoints",
    "CsvLog",
    "Curves",
    "MeanOverHeads",
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
