"""Saving of the settings and the state from which a training resumes."""

from typing import Any

import keras

from ..config import Config, RunConfig
from ..hosts import ALONE, Hosts
from ..interrupts import Interrupts, TrainingInterrupted
from ..plan import Plan
from ..state import State
from ..workdir import Workdir, write_config
from .guards import StopOnDivergence
from .tracking import Tracker


class SaveConfig(keras.callbacks.Callback):
    """Writes `config.json`, and `plan.json` of a plan, before the first file that is saved.

    A training that ends before that, because of a damaged mask for example, leaves nothing in
    its workdir, so that the same command starts it again.

    Args:
        workdir: Where to write.
        config: The settings.
        plan: The plan that they follow.
    """

    def __init__(self, workdir: Workdir, config: Config, plan: Plan | None = None) -> None:
        super().__init__()
        self._workdir = workdir
        self._config = config
        self._plan = plan
        self._is_written = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.write()

    def write(self) -> None:
        """Writes the files, unless this training did so before."""
        if not self._is_written:
            if self._plan:
                self._plan.save(self._workdir.plan)
            write_config(self._workdir, self._config)
            self._is_written = True


class SaveState(keras.callbacks.Callback):
    """Saves the state after each epoch, every `save_every` steps, and when asked to stop.

    It is the last of the callbacks, so that their files are complete before the state that refers
    to them.

    Args:
        state: Where to save.
        settings: Are saved first.
        tracker: Has the position of the training.
        guard: Refuses to save weights that are not finite.
        interrupts: Has the request to stop, if there was one.
        run: How often to save, and the workdir.
        hosts: A request to stop on one of them is one on all; the first one writes.
    """

    def __init__(
        self,
        state: State,
        settings: SaveConfig,
        tracker: Tracker,
        guard: StopOnDivergence,
        interrupts: Interrupts,
        run: RunConfig,
        hosts: Hosts = ALONE,
    ) -> None:
        super().__init__()
        self._state = state
        self._settings = settings
        self._tracker = tracker
        self._guard = guard
        self._interrupts = interrupts
        self._run = run
        self._hosts = hosts
        self._resumes_inside_epoch = tracker.step > 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._resumes_inside_epoch:
            # Only now: `fit` has just reset them. At the beginning of an epoch they must stay
            # so; before its first step `fit` would not reset what had been restored.
            self._state.restore("metrics")
            self._resumes_inside_epoch = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        tracker = self._tracker
        if tracker.step == tracker.steps_per_epoch:
            return  # Validation comes first; then the epoch is complete.
        every = self._run.save_every
        stops = self._hosts.any(self._interrupts.requested)
        if stops or (every and tracker.global_step % every == 0):
            self._guard.check_weights()
            self._save(stops=stops)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._save(stops=self._hosts.any(self._interrupts.requested))

    def _save(self, *, stops: bool) -> None:
        if self._hosts.is_first:
            self._settings.write()
        self._state.save(self._tracker.position)
        is_over = self._tracker.is_over(self._run)
        if stops and not is_over:
            raise TrainingInterrupted(
                f"Stopped after {self._tracker.epoch} epochs and {self._tracker.step} steps, and "
                f"saved. To continue, run the same command with --resume (--workdir "
                f"{self._run.workdir})."
            )
