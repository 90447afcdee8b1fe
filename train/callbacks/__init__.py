"""What happens beside the steps of a training: one file per duty."""

from .guards import StopOnNonFinite, WarnOfOneClass
from .log import CsvLog, Curves, TensorBoardLog
from .saving import SaveState
from .tracking import MeanOverHeads, Tracker
from .validation import Checkpoints, Validation

__all__ = [
    "Checkpoints",
    "CsvLog",
    "Curves",
    "MeanOverHeads",
    "SaveState",
    "StopOnNonFinite",
    "TensorBoardLog",
    "Tracker",
    "Validation",
    "WarnOfOneClass",
]
