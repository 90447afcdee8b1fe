"""Ends of a training before its last epoch: out of patience, or out of time."""

from typing import Any

import keras

from ..config import RunConfig
from ..hosts import ALONE, Hosts
from ..optimizers import WarmupPolynomialDecay
from .tracking import Tracker


class StopOutOfPatience(keras.callbacks.Callback):
    """Stops after `run.patience` epochs without a better value, at a validation.

    Args:
        tracker: Has the epoch of the best value.
        run: The patience.
        monitor: Name of the metric in the logs.
    """

    def __init__(self, tracker: Tracker, run: RunConfig, monitor: str) -> None:
        super().__init__()
        self._tracker = tracker
        self._run = run
        self._monitor = monitor

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        tracker, patience = self._tracker, self._run.patience
        if patience is None or self._monitor not in logs or tracker.is_over(self._run):
            return
        if tracker.epoch - tracker.best_epoch >= patience:
            tracker.stopped = (
                f"no better {self._monitor} than {tracker.best:.4f} of epoch {tracker.best_epoch} "
                f"in {patience} epochs (--patience)"
            )
            self.model.stop_training = True


class StopOutOfTime(keras.callbacks.Callback):
    """Lets the schedule follow `run.time`, and stops when only a validation fits into it.

    It comes after validation in the callbacks, whose time it measures. The epoch in which it
    stops may be cut short; its end is that of every epoch, with validation.

    Args:
        tracker: Has the time.
        run: The limit.
        monitor: Name of a metric that is in the logs of epochs with validation.
        hosts: The time of the first one counts on all.
    """

    def __init__(
        self, tracker: Tracker, run: RunConfig, monitor: str, hosts: Hosts = ALONE
    ) -> None:
        super().__init__()
        self._tracker = tracker
        self._run = run
        self._hosts = hosts
        self._limit = run.seconds
        self._monitor = monitor
        # The longest end of an epoch so far: validation, and the saving of files.
        self._longest_end = 0.0
        self._end_of_steps = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        schedule = getattr(self.model.optimizer, "_learning_rate", None)
        if self._limit is not None and isinstance(schedule, WarmupPolynomialDecay):
            share = min(1.0, self._tracker.elapsed / self._limit_of_steps)
            schedule.time_share.assign(self._hosts.first(share))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._end_of_steps = self._tracker.elapsed
        self._stop_if_late()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._longest_end = max(self._longest_end, self._tracker.elapsed - self._end_of_steps)
        if self._monitor in logs and not self._tracker.is_over(self._run):
            self._stop_if_late()

    def _stop_if_late(self) -> None:
        if self._limit is None:
            return
        if self._hosts.first(self._tracker.elapsed - self._limit_of_steps) >= 0:
            self._tracker.stopped = f"{self._run.time} have passed (--time)"
            self.model.stop_training = True

    @property
    def _limit_of_steps(self) -> float:
        """Seconds after which the last validation begins."""
        return max((self._limit or 0.0) - self._longest_end, 1e-3)
