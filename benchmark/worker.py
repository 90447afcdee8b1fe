"""The process of one candidate: opens it, then runs it whenever it is asked to.

Requests and answers are one line of JSON each, on the standard input and
output. Every candidate has a process of its own, because TensorFlow fixes its
threads at the start, and because only so its memory can be told from the others'.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .peak import PEAKS
from .runtimes import RUNTIMES, Runtime

Request = dict[str, Any]


def main() -> None:
    """Answers requests until the input ends."""
    # What libraries print must not stand between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = _Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # whatever a library raises, the parent is to hear of it
            answer = {"error": f"{type(error).__name__}: {str(error).strip()[:1000]}"}
        print(json.dumps(answer), file=answers, flush=True)


class _Worker:
    runtime: Runtime
    prepared: Any

    def open(self, runtime: str, path: str, num_threads: int, signature: str) -> Request:
        start = time.perf_counter()
        table = PEAKS if runtime in PEAKS else RUNTIMES
        self.runtime = table[runtime](Path(path), num_threads, signature)
        return {"seconds": time.perf_counter() - start}

    def images(self, path: str) -> Request:
        """Takes the images that the next requests are about; runs them once."""
        self.prepared = self.runtime.prepare(np.load(path))
        start = time.perf_counter()
        self.runtime.run(self.prepared)
        return {"seconds": time.perf_counter() - start}

    def time(self, num_calls: int) -> Request:
        seconds = []
        for _ in range(num_calls):
            start = time.perf_counter()
            self.runtime.run(self.prepared)
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    def labels(self, path: str, answer: str) -> Request:
        """Writes the labels of images, one image at a time."""
        labels = [
            self.runtime.labels(self.runtime.run(self.runtime.prepare(image[None])))
            for image in np.load(path)
        ]
        np.save(answer, np.concatenate(labels))
        return {}

    def memory(self) -> Request:
        return {"peak_bytes": _peak_bytes()}


def _peak_bytes() -> int:
    """Returns the most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` would count what the parent held when it forked
        line = next(li for li in status.read_text().splitlines() if li.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
