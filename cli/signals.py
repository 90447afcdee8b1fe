"""Signals that ask a command to end: it ends as after Ctrl-C, and removes what is not complete."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """A signal other than that of Ctrl-C asked the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


@contextmanager
def ending_like_ctrl_c() -> Iterator[None]:
    """Lets SIGTERM, and SIGHUP of a closed terminal, raise KeyboardInterrupt in this context.

    Signals that are ignored, as SIGHUP by `nohup`, stay so. `Interrupts` of a training takes the
    signals over while it trains.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
