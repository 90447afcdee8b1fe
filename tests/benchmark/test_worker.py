"""Children in which modules of the standard library stand for a candidate."""

import signal
import time
from importlib import import_module

import pytest
from keras_fcn_benchmark.runtimes import thread_environment
from keras_fcn_benchmark.worker import Worker, WorkerError


def test_an_object_stays_in_the_child_and_its_methods_return_results():
    with Worker(list, (3, 1, 3)) as worker:
        assert worker.call("count", 3) == 2
        worker.call("append", 3)
        assert worker.call("count", 3) == 3


def test_errors_have_their_cause_and_leave_the_child_usable():
    with Worker(list) as worker:
        with pytest.raises(WorkerError, match="IndexError: pop from empty list"):
            worker.call("pop")

        assert worker.call("__len__") == 0
    with pytest.raises(WorkerError, match="ValueError: invalid literal for int"):
        Worker(int, "three")


def test_a_child_that_ends_is_an_error_with_its_last_line():
    with Worker(import_module, "os") as worker:
        worker.call("write", 2, b"allocating\nno space left\n")

        with pytest.raises(WorkerError, match="exit code 3. Its last line: no space left"):
            worker.call("_exit", 3)


def test_a_child_that_the_system_ends_is_an_error_with_the_likely_cause():
    with pytest.raises(WorkerError, match=r"\(SIGKILL\). Was there too little memory"):
        Worker(signal.raise_signal, signal.SIGKILL)


def test_a_child_that_hangs_is_ended():
    start = time.monotonic()

    with pytest.raises(WorkerError, match="no result after 1 seconds"):
        Worker(time.sleep, 100, timeout_seconds=1)

    assert time.monotonic() - start < 60


def test_the_environment_is_set_before_libraries_load():
    with Worker(import_module, "builtins", environment=thread_environment(3)) as worker:
        loaded = worker.call("eval", "sorted(__import__('sys').modules)")
        threads = worker.call("eval", "__import__('os').environ['TF_NUM_INTRAOP_THREADS']")

    assert not {"numpy", "keras", "tensorflow", "torch"} & set(loaded)
    assert threads == "3"
