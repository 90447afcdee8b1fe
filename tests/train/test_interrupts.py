import os
import signal
import threading

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


def test_sigterm_requests_too():
    before = signal.getsignal(signal.SIGTERM)

    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.requested

    assert signal.getsignal(signal.SIGTERM) is before


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
