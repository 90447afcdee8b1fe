"""`keras-fcn` in a process of its own, with its memory."""

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PROGRAM = (sys.executable, "-c", "from keras_fcn_cli.main import main; main()")
POLL_SECONDS = 0.5
_GIB = 2**30


def run_program(arguments: Sequence[str], log: Path) -> tuple[float, float]:
    """Runs `keras-fcn`, with its output in a file.

    Returns:
        Its seconds, 0 if it failed, and the largest memory of it and its children, in GiB.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begin, peak = time.monotonic(), 0
    with log.open("w") as file:
        process = subprocess.Popen([*PROGRAM, *arguments], stdout=file, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                peak = max(peak, _memory_of_tree(process.pid))
                time.sleep(POLL_SECONDS)
        finally:
            process.terminate()  # if this script is interrupted
            process.wait()
    seconds = time.monotonic() - begin
    if process.returncode:
        lines = log.read_text(errors="replace").splitlines()[-5:]
        print(f"keras-fcn {arguments[0]} failed. {log} ends with:", *lines, sep="\n", flush=True)
        return 0.0, 0.0
    return seconds, peak / _GIB


def _memory_of_tree(root: int) -> int:
    """Returns the resident bytes of a process and all its children; 0 where there is no /proc.

    Memory that they share counts for each of them. A peak between two calls counts if it was that
    of one process.
    """
    parents, resident, largest = {}, {}, {}
    for path in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError, ValueError, KeyError):
            values = dict(line.split(":", 1) for line in path.read_text().splitlines())
            pid = int(values["Pid"])
            parents[pid] = int(values["PPid"])
            resident[pid], largest[pid] = (
                1024 * int(values[key].split()[0]) for key in ("VmRSS", "VmHWM")
            )
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    now = sum(resident.get(pid, 0) for pid in tree)
    return max(now, *(largest.get(pid, 0) for pid in tree))
