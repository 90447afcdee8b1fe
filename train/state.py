"""The state of a training, from which it continues as if it had not stopped."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.files import replacing


@dataclass(frozen=True)
class Position:
    """The position of a training.

    Args:
        epoch: Complete epochs.
        step: Complete steps of the epoch after them.
        best: Best validation mean IoU so far; -1 before the first.
        seconds: Duration of the current epoch so far.
        best_epoch: Complete epochs when `best` was reached.
        elapsed: Seconds of the training so far, validation included.
        stopped: Why the training ended before its last epoch; "" if it did not.
    """

    epoch: int = 0
    step: int = 0
    best: float = -1.0
    seconds: float = 0.0
    best_epoch: int = 0
    elapsed: float = 0.0
    stopped: str = ""


class State:
    """Saves and restores variables, together with the position.

    The file contains every variable: weights, BatchNorm statistics, dropout seeds,
    the optimizer's, metrics', a moving average, and the dropout seeds of the network that is
    validated. The data need no state, because every random
    choice is a function of the position.

    Args:
        path: The `.npz` file.
        groups: Lists of variables by name, each in an order that does not
            change. (Their own names do: Keras numbers layers across a process.)
    """

    def __init__(self, path: Path, groups: dict[str, list[Any]]) -> None:
        self.path = path
        self._variables = {
            f"{group}/{index:04d}": variable
            for group, variables in groups.items()
            for index, variable in enumerate(variables)
        }

    def save(self, position: Position) -> None:
        """Writes the current values; the previous file stays until they are complete."""
        values: dict[str, Any] = {name: np.asarray(v) for name, v in self._variables.items()}
        values["position"] = json.dumps(asdict(position))
        with replacing(self.path) as temporary:
            np.savez(temporary, **values)

    def restore(self, *groups: str) -> Position:
        """Sets the variables of these groups to the values in the file.

        Raises:
            ValueError: If the file contains other variables.
        """
        with np.load(self.path) as values:
            shapes = {name: values[name].shape for name in values.files if name != "position"}
            if shapes != {name: tuple(v.shape) for name, v in self._variables.items()}:
                raise ValueError(
                    f"{self.path} must contain the variables of this network, but contains others. "
                    "It was written by another version of the package: start a new training."
                )
            for name, variable in self._variables.items():
                if name.split("/")[0] in groups:
                    _assign(variable, values[name])
            return Position(**json.loads(str(values["position"])))


def _assign(variable: Any, value: np.ndarray) -> None:
    parts = getattr(getattr(variable, "value", variable), "values", None)
    if parts and getattr(variable, "synchronization", None) == "on_read":
        # The parts on the devices are added up when such a variable is read; assigning to it
        # would divide by their number, and round where it is an integer.
        parts[0].assign(value)
        for part in parts[1:]:
            part.assign(np.zeros_like(value))
    else:
        variable.assign(tf.convert_to_tensor(value))
