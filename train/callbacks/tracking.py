"""Additions to the logs: position and speed of the training, and the mean IoU."""

import time
from typing import Any

import keras

from keras_fcn.labels import Heads

from ..config import RunConfig
from ..heads import mean_over_heads
from ..state import Position


class Tracker(keras.callbacks.Callback):
    """Counts epochs, steps and seconds, and adds the speed to the logs.

    It is the first of the callbacks, because the others use it. To the logs of an
    epoch it adds `learning_rate`, `images_per_second` (of training alone,
    without its first step, which compiles), and `seconds` (of all steps; validation comes later).

    Args:
        position: Start of the training.
        steps_per_epoch: Number of steps of a whole epoch.
        batch_size: Number of images per step.
    """

    def __init__(self, position: Position, steps_per_epoch: int, batch_size: int) -> None:
        super().__init__()
        self.epoch = position.epoch
        self.step = position.step
        self.best, self.best_epoch = position.best, position.best_epoch
        self.stopped = position.stopped
        self._elapsed_before = position.elapsed
        self.steps_per_epoch = steps_per_epoch
        self._batch_size = batch_size
        self._is_partial_epoch = position.step > 0
        self._seconds_before = position.seconds
        self._begin = self._first_step_end = self._last_step_end = time.monotonic()
        self._steps_now = 0
        self._start = self._begin

    @property
    def elapsed(self) -> float:
        """Seconds of the training so far, with validation and before interruptions."""
        return self._elapsed_before + time.monotonic() - self._start

    def is_over(self, run: RunConfig) -> bool:
        """Returns whether the epoch that ended is the last."""
        return bool(self.stopped) or self.epoch >= run.epochs

    @property
    def global_step(self) -> int:
        """Steps since the beginning of the training."""
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def position(self) -> Position:
        """The current position."""
        return Position(
            self.epoch,
            self.step,
            self.best,
            self._seconds(),
            self.best_epoch,
            self.elapsed,
            self.stopped,
        )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begin = time.monotonic()
        self._steps_now = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self._steps_now += 1
        self._last_step_end = time.monotonic()
        if self._steps_now == 1:
            self._first_step_end = self._last_step_end

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        timed = self._last_step_end - self._first_step_end
        if timed > 0:
            images = (self._steps_now - 1) * self._batch_size
            logs["images_per_second"] = round(images / timed, 2)
        logs["seconds"] = round(self._seconds(), 2)
        self._seconds_before = 0.0
        self._begin = time.monotonic()
        self.epoch, self.step = epoch + 1, 0
        # The next epoch has more steps than this one had, which takes another `fit`.
        self.model.stop_training = self._is_partial_epoch or bool(self.stopped)
        self._is_partial_epoch = False

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._begin


class MeanOverHeads(keras.callbacks.Callback):
    """Adds `mean_iou` to the logs of an epoch: the mean IoU averaged over the heads.

    Args:
        heads: The classes of each head.
    """

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self._heads = heads

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["mean_iou"] = mean_over_heads(logs, self._heads)
