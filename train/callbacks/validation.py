"""Validation, and the files of the last and the best network."""

import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ..config import RunConfig
from ..evaluation_model import EvaluationModel
from ..workdir import Workdir
from .tracking import Tracker


class Validation(keras.callbacks.Callback):
    """Validates every few epochs and after the last, with the prefix `val_` in the logs.

    Not by `fit`, which would split each batch over the devices: images of native sizes cannot be
    split.

    Args:
        evaluation_model: The network that is validated.
        batches: The validation split.
        run: How often to validate.
        tracker: Knows which epoch is the last.
    """

    def __init__(
        self,
        evaluation_model: EvaluationModel,
        batches: tf.data.Dataset,
        run: RunConfig,
        tracker: Tracker,
    ) -> None:
        super().__init__()
        self._evaluation_model = evaluation_model
        self._batches = batches
        self._run = run
        self._tracker = tracker

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if (epoch + 1) % self._run.validate_every and not self._tracker.is_over(self._run):
            return
        begin = time.monotonic()
        self._evaluation_model.refresh(epoch, measure=True)
        logs.update(
            {f"val_{k}": v for k, v in self._evaluation_model.evaluate(self._batches).items()}
        )
        logs["val_seconds"] = round(time.monotonic() - begin, 2)


class Checkpoints(keras.callbacks.Callback):
    """Writes `last.keras` after each epoch, and `best.keras` if the epoch is the best so far.

    Args:
        evaluation_model: The network that is saved.
        workdir: Folder of the files.
        tracker: Keeps the best value.
        monitor: Name of the metric in the logs by which epochs are compared; larger is better.
        origin: Function from the logs of an epoch to the `origin` of the saved network.
    """

    def __init__(
        self,
        evaluation_model: EvaluationModel,
        workdir: Workdir,
        tracker: Tracker,
        monitor: str,
        origin: Callable[[dict[str, float]], dict[str, Any]],
    ) -> None:
        super().__init__()
        self._evaluation_model = evaluation_model
        self._workdir = workdir
        self._tracker = tracker
        self._monitor = monitor
        self._origin = origin

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._evaluation_model.refresh(epoch)
        self._evaluation_model.save(self._workdir.last, self._origin(logs))
        value = logs.get(self._monitor)
        if value is not None and value > self._tracker.best:
            self._tracker.best, self._tracker.best_epoch = float(value), epoch + 1
            self._evaluation_model.save(self._workdir.best, self._origin(logs))
