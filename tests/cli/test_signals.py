"""Signals to commands in processes of their own."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from keras_fcn.files import RECORD

# Waits inside `predict` while a file is written, and says so. One long sleep would not end by a
# signal that arrives immediately before it begins.
PROGRAM = """
import sys, time
from PIL import Image
from keras_fcn_cli.main import main
save = Image.Image.save
def slow(self, path, **options):
    save(self, path, **options)
    print("writing", flush=True)
    for _ in range(600):
        time.sleep(0.1)
Image.Image.save = slow
main(sys.argv[1:])
"""


@pytest.fixture
def start(photos, channel_model, tmp_path):
    """Starts a command that writes; what a failed test leaves of it is killed."""
    processes = []

    def started(ignored=None):
        def prepare():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.default_int_handler if number == 2 else signal.SIG_DFL)
            if ignored:
                signal.signal(ignored, signal.SIG_IGN)

        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "predict", "--model", channel_model,
             "--output", tmp_path / "out", photos / "images"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=prepare,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout.readline() == "writing\n"
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_end_a_command_and_nothing_half_is_left(start, tmp_path, number, status):
    process = start()
    process.send_signal(number)
    _, text = process.communicate(timeout=30)

    assert process.returncode == status
    assert "Traceback" not in text
    assert list((tmp_path / "out").iterdir()) == []


def test_a_signal_that_is_ignored_stays_so(start):
    process = start(ignored=signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    still_runs = process.poll() is None
    # Its status would be that of the first signal, if that had ended it.
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert still_runs
    assert process.returncode == 143


def test_the_next_run_removes_what_a_killed_one_left(run, start, channel_model, tmp_path):
    process = start()
    process.kill()
    process.communicate()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f".incomplete-{os.getuid()}"]
    Image.fromarray(np.zeros((4, 5, 3), "uint8")).save(tmp_path / "a.png")

    result = run(
        "predict", "--model", channel_model, "--output", tmp_path / "out", tmp_path / "a.png"
    )

    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        RECORD, "a.png", "a_overlay.jpg",
    ]  # fmt: skip
