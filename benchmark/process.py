"""A worker, seen from the process that measures."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class WorkerError(RuntimeError):
    """A candidate could not be opened or run."""


class Worker:
    """A process that has opened one candidate; `with` ends it.

    Args:
        runtime: Key into `runtimes.RUNTIMES` or `peak.PEAKS`.
        path: The file or folder that it runs.
        num_threads: Threads that it computes on.
        signature: Of a SavedModel.

    Raises:
        WorkerError: If it cannot be opened.
    """

    def __init__(self, runtime: str, path: Path, num_threads: int, signature: str = "") -> None:
        # A pipe that nobody reads would fill up; a file does not.
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (`close` closes it)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "keras_fcn_benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._input: Any = self._process.stdin
        self._output: Any = self._process.stdout
        try:
            self._ask(
                "open",
                runtime=runtime,
                path=str(path),
                num_threads=num_threads,
                signature=signature,
            )
        except WorkerError:
            self.close()
            raise

    def take_images(self, path: Path) -> float:
        """Loads images, uint8 `(batch, height, width, 3)`; returns the first run's seconds."""
        return float(self._ask("images", path=str(path))["seconds"])

    def time(self, num_calls: int) -> list[float]:
        """Returns the seconds of each call."""
        return list(self._ask("time", num_calls=num_calls)["seconds"])

    def write_labels(self, images: Path, answer: Path) -> None:
        """Runs the images one by one, and writes their labels, uint8 `(num, height, width)`."""
        self._ask("labels", path=str(images), answer=str(answer))

    def peak_bytes(self) -> int:
        """Returns the most memory that the process has held so far, libraries included."""
        return int(self._ask("memory")["peak_bytes"])

    def close(self) -> None:
        """Ends the process."""
        self._input.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
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

    def _ask(self, do: str, **request: Any) -> dict[str, Any]:
        try:
            print(json.dumps({"do": do, **request}), file=self._input, flush=True)
            line = self._output.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"The process ended. {self._last_words()}".strip())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1][:500] if lines else "The system may have been out of memory."
