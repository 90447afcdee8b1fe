"""A child process with one object; its methods are called here and run in the child.

Every candidate has a process of its own: TensorFlow fixes its threads at the start, memory can
only be measured per process, and a library that aborts or never returns affects its own process
only.

Imports the standard library only, because libraries read the environment when they are loaded.
"""

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TIMEOUT_SECONDS = 1800.0


class WorkerError(RuntimeError):
    """A call in the child process failed, or the process ended; the text contains the cause."""


class Worker:
    """A child process with one object in it; `with` ends it.

    Args:
        make: A function or class that can be imported; it is called in the child, and its result
            is the object.
        *arguments: Its arguments.
        environment: Variables that are set in the child before it imports `make`.
        timeout_seconds: How long one call may take. After that the child is ended.

    Raises:
        WorkerError: If `make` fails.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        *arguments: Any,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        # A pipe without a reader would block when it is full; a file does not.
        self._log = tempfile.NamedTemporaryFile()  # noqa: SIM115 (`close` closes it)
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._log.name, dict(environment or {})), daemon=True
        )
        self._process.start()
        theirs.close()
        try:
            self._request(make, arguments)
        except BaseException:
            self.close()
            raise

    def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the object, and returns its result.

        Raises:
            WorkerError: If the method raises, the process ends, or there is no result in time.
        """
        return self._request(method, arguments)

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _request(self, what: Callable[..., Any] | str, arguments: tuple[Any, ...]) -> Any:
        try:
            self._connection.send((what, arguments))
            if not self._connection.poll(self._timeout_seconds):
                self._process.kill()
                raise WorkerError(
                    f"There was no result after {self._timeout_seconds:g} seconds; the process "
                    "was ended."
                )
            succeeded, value = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise WorkerError(self._how_it_ended()) from error
        if not succeeded:
            raise WorkerError(value)
        return value

    def _how_it_ended(self) -> str:
        self._process.join(10)
        code = self._process.exitcode
        if code is not None and code < 0:
            text = f"The system ended the process ({signal.Signals(-code).name})."
            text += " Was there too little memory?" if code == -signal.SIGKILL else ""
        else:
            text = f"The process ended with exit code {code}."
        lines = Path(self._log.name).read_text(errors="replace").strip().splitlines()
        return f"{text} Its last line: {lines[-1][:500]}" if lines else text


def _serve(connection: Connection, log: str, environment: dict[str, str]) -> None:
    """Runs in the child: processes requests until the connection is closed."""
    os.environ.update(environment)
    with open(log, "ab") as file:  # noqa: PTH123 (what libraries print, from C++ too)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    kept: Any = None
    while True:
        try:
            what, arguments = connection.recv()
        except EOFError:
            return
        result = None
        try:
            if isinstance(what, str):
                result = getattr(kept, what)(*arguments)
            else:
                kept = what(*arguments)
        except Exception as error:  # the type depends on the library
            connection.send((False, f"{type(error).__name__}: {str(error).strip()[:1000]}"))
        else:
            connection.send((True, result))
