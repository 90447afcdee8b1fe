"""The state of a training, from which it continues as if it had not stopped."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_fcn.data.dataset_fingerprint import DatasetFingerprint
from keras_fcn.files import replacing

from .hosts import ALONE, Hosts

_DATA, _POSITION = "data", "position"  # in the file, beside the variables


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
    validated. The order of the data needs no state, because every random
    choice is a function of the position; of the data themselves the file contains the fingerprint.

    Args:
        path: The `.npz` file.
        groups: Lists of variables by name, each in an order that does not
            change. (Their own names do: Keras numbers layers across a process.)
        fingerprint: That of the data.
        hosts: The first of them has the file.
    """

    def __init__(
        self,
        path: Path,
        groups: dict[str, list[Any]],
        fingerprint: DatasetFingerprint | None = None,
        hosts: Hosts = ALONE,
    ) -> None:
        self.path = path
        self._hosts = hosts
        self._data = fingerprint.to_bytes() if fingerprint else b""
        self._variables = {
            f"{group}/{index:04d}": variable
            for group, variables in groups.items()
            for index, variable in enumerate(variables)
        }

    def save(self, position: Position) -> None:
        """Writes the current values; the previous file stays until they are complete."""
        if not self._hosts.is_first:
            return
        values: dict[str, Any] = {name: np.asarray(v) for name, v in self._variables.items()}
        values[_DATA] = np.frombuffer(self._data, np.uint8)
        values[_POSITION] = json.dumps(asdict(position))
        with replacing(self.path) as temporary:
            np.savez(temporary, **values)

    def restore(self, *groups: str) -> Position:
        """Sets the variables of these groups to the values in the file, on all hosts.

        Raises:
            ValueError: If the file is damaged, or contains other variables. The text has its path.
        """
        position = self._checked_position() if self._hosts.is_first else Position()
        position = _position(self._hosts.share_text(json.dumps(asdict(position))))
        first = self._hosts.is_first
        opened: AbstractContextManager[Any] = _opened(self.path) if first else nullcontext({})
        with opened as file:
            for name, variable in self._variables.items():
                if name.split("/")[0] in groups:
                    _assign(variable, self._shared(file.get(name), variable))
        return position

    def _shared(self, value: np.ndarray | None, variable: Any) -> np.ndarray:
        """Returns the value of a variable that the first host has."""
        if value is not None and self._hosts.count == 1:
            return value
        like = np.asarray(variable)
        return self._hosts.share(like if value is None else value.astype(like.dtype))

    def _checked_position(self) -> Position:
        # All of it is read once before anything is set, one array at a time.
        with _opened(self.path) as file:
            shapes = {
                name: file[name].shape for name in file.files if name not in (_DATA, _POSITION)
            }
            position = _position(str(file[_POSITION]))
        if shapes != {name: tuple(v.shape) for name, v in self._variables.items()}:
            raise ValueError(
                f"{self.path} must contain the variables of this network, but contains others: "
                "the classes of the dataset, or the package, changed since. Restore them, or start "
                "a new training."
            )
        return position


def saved_fingerprint(path: Path) -> DatasetFingerprint | None:
    """Returns the fingerprint of the data in the file of a state, if there is one.

    Raises:
        ValueError: If the file is damaged. The text has its path.
    """
    if not path.is_file():
        return None
    with _opened(path) as file:
        content = file[_DATA].tobytes() if _DATA in file.files else b""
        return DatasetFingerprint.from_bytes(content) if content else None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        # NumPy would not close a damaged file that it opened itself.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            yield file
    except Exception as error:  # of zipfile, zlib, NumPy and json, whatever the damage is
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{path} cannot be read as the state of a training: it is damaged. "
            f"({reason.rstrip('.')}.) Restore it, or start a new training from the last "
            "complete epoch: --init WORKDIR/last.keras, with another --workdir."
        ) from error


def _position(text: str) -> Position:
    position = Position(**json.loads(text))
    counts = (position.epoch, position.step)
    if not all(isinstance(count, int) and count >= 0 for count in counts) or not all(
        isinstance(number, int | float) for number in (position.best, position.seconds)
    ):
        raise ValueError(f"{position} is not possible")
    return position


def _assign(variable: Any, value: np.ndarray) -> None:
    parts = getattr(getattr(variable, "value", variable), "values", None)
    if parts and getattr(variable, "synchronization", None) == "on_read":
        # The parts on the devices are added up when such a variable is read; assigning to it
        # would divide by their number, and round where it is an integer.
        parts[0].assign(value)
        for part in parts[1:]:
            part.assign(np.zeros_like(value))
    else:
        variable.assign(value)
