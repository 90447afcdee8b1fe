"""Early ends of a training: errors, and Ctrl-C as a request to stop."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any


class TrainingStopped(RuntimeError):
    """A training ended early; the text contains the next step for the user."""


class TrainingInterrupted(TrainingStopped):
    """Stopped by the user, with its state saved: it can be resumed."""


class TrainingDiverged(TrainingStopped):
    """Stopped because the loss or the weights were no longer finite."""


class Interrupts:
    """Turns the first Ctrl-C (or SIGTERM, SIGHUP) into a request to stop; the second stops at once.

    SIGHUP comes when the terminal is closed; what is printed afterwards is lost. If it is
    ignored, as by `nohup`, it stays so.

    Use it as a context. Outside the main thread, where Python handles no signals, it does nothing.

    Example:
        >>> with Interrupts() as interrupts:
        ...     interrupts.requested
        False
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            # Asked now: a closed terminal is none.
            self._terminals = [number for number in (1, 2) if os.isatty(number)]
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)  # Windows has no SIGHUP
                if number is None or (
                    name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN
                ):
                    continue
                self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()
        if number == getattr(signal, "SIGHUP", None):
            self._leave_terminal()
        print(
            "\nStopping at the end of this step (of the epoch, if it is being validated). "
            "Press Ctrl-C again to stop at once, at the cost of the steps since the last save.",
            file=sys.stderr,
        )

    def _leave_terminal(self) -> None:
        """Sends to nowhere what would be written to the closed terminal, which raises errors."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in self._terminals:
            os.dup2(nowhere, number)
        os.close(nowhere)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
