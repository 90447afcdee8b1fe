"""The training on several hosts: a process that trains, and its parent, which tells how it ended.

JAX ends a process from C++ when another host is lost, so that it cannot tell by itself.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Thread
from typing import IO, Any

from keras_fcn_train.hosts import Hosts

from .errors import Failure
from .screen import say

# In the environment of the process that trains.
_MARK = "KERAS_FCN_TRAINS_ON_HOSTS"
# A line of the log of C++ libraries, such as `F1127 18:12:06.535203 1 client.h:80] ...`.
_NATIVE = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d|^WARNING: All log messages before absl")
_CRASHED = re.compile(r"tasks are unhealthy[^\n]*\n((?:[^\n]*\d\n)+)")
_FIRST_LOST = re.compile(r"Failed to send RPC to coordination service|leader task was preempted")
_NOT_STARTED = re.compile(r"Barrier timed out|DEADLINE_EXCEEDED|failed to connect", re.IGNORECASE)
_KEPT_LINES = 400


def is_child() -> bool:
    """Returns whether this process is the one that trains."""
    return _MARK in os.environ


def run_child() -> None:
    """Runs the command line in the process that trains; its arguments are those of the program."""
    from .main import main

    Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        main(prog_name="keras-fcn")
    except SystemExit as end:
        if end.code:
            # At a regular end JAX would wait for hosts that wait for this one.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)


def _end_with(parent: int) -> None:
    """Ends this process after its parent, which may be killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def training_command(arguments: Sequence[str]) -> list[str]:
    """Returns the command of the process that trains, from the arguments of the program."""
    return [sys.executable, "-c", f"from {__name__} import run_child; run_child()", *arguments]


def supervise(hosts: Hosts, workdir: str, command: Sequence[str], *, debug: bool = False) -> None:
    """Trains in a process of its own.

    Args:
        hosts: The hosts.
        workdir: The folder of the training, on the first host.
        command: That of the process.
        debug: Whether the log of C++ libraries is shown.

    Raises:
        ValueError: If JAX is not installed.
        Failure: If the process ended because another host was lost, or by a signal.
        SystemExit: If it ended with an error, which it has shown.
    """
    if find_spec("jax") is None:
        raise ValueError(
            "Training on several hosts needs JAX, which is not installed: "
            'pip install "keras_fcn[hosts]", on all of them.'
        )
    say(f"This is host {hosts.index} of {hosts.count}, {hosts.addresses[hosts.index]}.")
    process = subprocess.Popen(
        command,
        env={**os.environ, "KERAS_BACKEND": "jax", _MARK: "1"},
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    assert process.stderr
    lines: list[str] = []
    reader = Thread(target=_forward, args=(process.stderr, lines, debug), daemon=True)
    reader.start()
    with _signals_go_to(process):
        code = process.wait()
    reader.join(timeout=5)
    if code == 0:
        return
    if text := _how_it_ended(code, "".join(lines), hosts):
        raise Failure(f"{text} {_how_to_go_on(hosts, workdir)}")
    raise SystemExit(code)


def _forward(stream: IO[str], lines: list[str], debug: bool) -> None:
    """Shows what a process writes, but for the log of C++ libraries; keeps the last lines."""
    is_native = False
    with stream:
        for line in stream:
            lines.append(line)
            del lines[:-_KEPT_LINES]
            # A fatal one goes on over several lines, to the end of the process.
            is_native = bool(_NATIVE.match(line)) or (is_native and _has_fatal(lines))
            if debug or not is_native:
                sys.stderr.write(line)
                sys.stderr.flush()


def _has_fatal(lines: list[str]) -> bool:
    """Returns whether the last message of C++ is fatal, and what follows belongs to it."""
    return any(line.startswith("F") and _NATIVE.match(line) for line in lines)


@contextmanager
def _signals_go_to(process: "subprocess.Popen[str]") -> Any:
    """Leaves Ctrl-C to a process, which the terminal sends it too, and passes other signals on."""
    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    for name in ("SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            before[number] = signal.signal(number, lambda n, _: process.send_signal(n))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _how_it_ended(code: int, log: str, hosts: Hosts) -> str | None:
    """Returns why a process ended; None if it has shown that itself."""
    if lost := lost_hosts(log):
        names = " and ".join(f"host {i} ({hosts.addresses[i]})" for i in lost if i < hosts.count)
        return (
            f"{names[0].upper()}{names[1:]} was lost: its process ended, or the network to it "
            "failed. Its own output has the cause."
        )
    if code < 0:
        name = signal.Signals(-code).name
        cause = " (often because of too little memory)" if name == "SIGKILL" else ""
        if name == "SIGABRT" and _NOT_STARTED.search(log):
            cause = ": not all hosts came in time, or they cannot reach each other"
        return f"The training on this host was ended by {name}{cause}."
    return None


def lost_hosts(log: str) -> list[int]:
    r"""Returns the hosts that JAX names as lost in the log of a process.

    >>> lost_hosts("UNAVAILABLE: The following tasks are unhealthy (stopped ...):\n1\nThe tasks")
    [1]
    """
    if found := _CRASHED.search(log):
        return [int(number) for number in re.findall(r"(\d+)\s*$", found[1], re.MULTILINE)]
    return [0] if _FIRST_LOST.search(log) else []


def _how_to_go_on(hosts: Hosts, workdir: str) -> str:
    return (
        f"To go on from the state that was saved last, in {workdir} on host 0, run the same "
        f"command with --resume on all {hosts.count} hosts, or on any other number of them. "
        "(--save-every saves more often than after each epoch. If nothing was saved yet, leave "
        "out --resume.)"
    )
