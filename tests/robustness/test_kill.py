"""Trainings that are killed at random moments and resumed until they end.

The weights, the log and the state must be those of a training that nobody disturbed, bit for bit.
"""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "train" / "run_tiny.py"


def start(workdir: Path, **settings: object) -> subprocess.Popen:
    order = {"settings": {"workdir": str(workdir), "save_every": 2, "epochs": 4, **settings}}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), json.dumps(order)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def end(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def contents(workdir: Path) -> dict[str, bytes | np.ndarray]:
    """Returns all arrays of the state, and the log without the times."""
    with np.load(workdir / "state" / "state.npz") as state:
        arrays = {name: state[name] for name in state.files if name != "position"}
        position = json.loads(str(state["position"]))
    rows = (workdir / "log.csv").read_text().splitlines()
    names = rows[0].split(",")
    kept = [index for index, name in enumerate(names) if "second" not in name]
    log = "\n".join(",".join(row.split(",")[index] for index in kept) for row in rows)
    return {**arrays, "log": log.encode(), "epoch": str(position["epoch"]).encode()}


def killed_and_resumed(undisturbed: Path, workdir: Path, seed: int, times: int) -> None:
    generator = random.Random(seed)
    started = time.monotonic()
    end(start(undisturbed))
    duration = time.monotonic() - started
    kills = 0
    while kills < times:
        resume = (workdir / "config.json").is_file()
        process = start(workdir, resume=resume)
        number = generator.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP))
        # From the start of Python to the end of the training, most often while it trains.
        time.sleep(duration * generator.choice((generator.random(), generator.uniform(0.6, 1))))
        process.send_signal(number)
        _, errors = process.communicate(timeout=300)
        kills += 1
        assert "Traceback" not in errors, errors
        if process.returncode == 0:
            break
    if (workdir / "config.json").is_file():
        end(start(workdir, resume=True))
    else:
        end(start(workdir))

    expected, received = contents(undisturbed), contents(workdir)
    assert expected.keys() == received.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(received[name], value, err_msg=name)
    assert sorted(p.name for p in workdir.iterdir()) == sorted(
        p.name for p in undisturbed.iterdir()
    )


def test_a_training_that_is_killed_and_resumed_is_that_of_an_undisturbed_one(tmp_path):
    # SIGKILL after two thirds of the time; `test_many_kills` has every signal, at all times.
    killed_and_resumed(tmp_path / "all", tmp_path / "run", seed=3, times=1)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1, 6))
def test_many_kills(tmp_path, seed):
    killed_and_resumed(tmp_path / "all", tmp_path / "run", seed, times=8)
