"""What happens beside the steps of a training: one file, one duty."""

from .averaging import AverageWeights
from .curves import Curves
from .guards import StopOnNonFinite, WarnOfOneClass
from .log import CsvLog
from .saving import SaveState
from .tensorboard import TensorBoardLog
from .tracking import MeanOverHeads, Tracker
from .validation import Checkpoints, Validation

__all__ = [
    "AverageWeights",
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
