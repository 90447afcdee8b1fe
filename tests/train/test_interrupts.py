import json
import os
import pty
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from keras_fcn_train.interrupts import Interrupts


@pytest.fixture(autouse=True)
def _ctrl_c_as_in_a_terminal():
    # A shell starts background jobs with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_first_ctrl_c_requests_and_the_second_stops(capsys):
    before = signal.getsignal(signal.SIGINT)

    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.requested
        assert "Press Ctrl-C again" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_request_too(number):
    before = signal.signal(number, signal.SIG_DFL)  # `nohup pytest` ignores SIGHUP
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), number)
            assert interrupts.requested

        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupts.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_training_is_saved_when_its_terminal_is_closed(tmp_path):
    settings = {"workdir": str(tmp_path / "run"), "epochs": 1000}
    script = Path(__file__).with_name("run_tiny.py")
    pid, terminal = pty.fork()
    if pid == 0:  # the leader of the terminal's session, which gets SIGHUP
        order = json.dumps({"settings": settings})
        os.execv(sys.executable, [sys.executable, str(script), order])
    shown = b""
    while b"Epoch 2/" not in shown:
        shown += os.read(terminal, 10_000)
    os.close(terminal)

    _, status = os.waitpid(pid, 0)

    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1
    with np.load(tmp_path / "run" / "state" / "state.npz") as state:
        position = json.loads(str(state["position"]))
    assert 1 <= position["epoch"] < 1000


def test_other_threads_are_left_alone():
    failures = []

    def use():
        try:
            with Interrupts() as interrupts:
                assert not interrupts.requested
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()

    assert not failures
