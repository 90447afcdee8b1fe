"""What the parent of a training on several hosts tells of its end. The logs are JAX's own."""

import sys

import pytest
from keras_fcn_cli import hosts as module
from keras_fcn_cli.errors import Failure
from keras_fcn_cli.hosts import lost_hosts, supervise
from keras_fcn_train.hosts import Hosts

HOSTS = Hosts(("a:9000", "b:9000", "c:9000"), 0)
CRASHED = """\
F1127 18:12:06.535203   16642 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. This most likely indicates that another task died; see the other task logs \
for more details. absl::Status: UNAVAILABLE: The following tasks are unhealthy (stopped sending \
heartbeats):
1
The tasks have crashed. Check the task logs for an earlier error, or scheduler events (e.g. \
preemption, eviction) to debug further.

RPC: /xla.coordination.CoordinationService/PollForError
*** Check failure stack trace: ***
    @     0x7f27ba640634  absl::lts_20260107::log_internal::LogMessage::SendToLog()
"""
FIRST_CRASHED = """\
F1127 18:12:36.244312   16789 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. absl::Status: UNAVAILABLE: Failed to send RPC to coordination service. \
Either the leader task was preempted/died/restarted unexpectedly or this task is experiencing \
network issues.
"""
TIMED_OUT = """\
F1127 19:02:14.581466    5691 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. absl::Status: DEADLINE_EXCEEDED: Deadline Exceeded

RPC: /xla.coordination.CoordinationService/RegisterTask
"""


def ending(log="", end="", code=0):
    """The command of a process that writes a log and ends."""
    source = f"import os, sys; sys.stderr.write({log!r}); sys.stderr.flush(); {end or 'None'}"
    return [sys.executable, "-c", f"{source}; sys.exit({code})"]


@pytest.mark.parametrize(
    ("log", "lost"),
    [
        (CRASHED, [1]),
        (CRASHED.replace("\n1\n", "\n1\n2\n"), [1, 2]),
        (CRASHED.replace("\n1\n", "\n/job:jax_worker/replica:0/task:2\n"), [2]),
        (FIRST_CRASHED, [0]),
        (TIMED_OUT, []),
        ("Error: `batch_size` must be at least 1.\n", []),
    ],
)
def test_lost_hosts_are_in_the_log(log, lost):
    assert lost_hosts(log) == lost


def test_a_lost_host_is_named_with_the_way_to_go_on(capfd):
    with pytest.raises(Failure) as error:
        supervise(HOSTS, "runs/a", ending(f"Epoch 3\n{CRASHED}", "os.abort()"))

    assert error.value.message == (
        "Host 1 (b:9000) was lost: its process ended, or the network to it failed. Its own output "
        "has the cause. To go on from the state that was saved last, in runs/a on host 0, run the "
        "same command with --resume on all 3 hosts, or on any other number of them. (--save-every "
        "saves more often than after each epoch. If nothing was saved yet, leave out --resume.)"
    )
    shown = capfd.readouterr()
    assert shown.err == "Epoch 3\n"
    assert shown.out == "This is host 0 of 3, a:9000.\n"


def test_the_log_of_jax_is_shown_for_debugging(capfd):
    with pytest.raises(Failure, match="Host 1 .* was lost"):
        supervise(HOSTS, "runs/a", ending(CRASHED, "os.abort()"), debug=True)

    assert capfd.readouterr().err == CRASHED


@pytest.mark.parametrize(
    ("log", "end", "text"),
    [
        (TIMED_OUT, "os.abort()", "ended by SIGABRT: not all hosts came in time, or they cannot"),
        ("", "os.kill(os.getpid(), 9)", r"ended by SIGKILL \(often because of too little memory\)"),
    ],
)
def test_signals_are_explained(log, end, text):
    with pytest.raises(Failure, match=text):
        supervise(HOSTS, "runs/a", ending(log, end))


def test_an_error_that_was_shown_is_the_end(capfd):
    with pytest.raises(SystemExit) as end:
        supervise(HOSTS, "runs/a", ending("Error: the dataset has no images.\n", code=2))

    assert end.value.code == 2
    assert capfd.readouterr().err == "Error: the dataset has no images.\n"


def test_the_process_that_trains_runs_on_jax(capfd):
    supervise(HOSTS, "runs/a", ending(end="print(os.environ['KERAS_BACKEND'], flush=True)"))

    assert capfd.readouterr().out.endswith("\njax\n")


def test_without_jax_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)

    with pytest.raises(ValueError, match=r'pip install "keras_fcn\[hosts\]", on all of them'):
        supervise(HOSTS, "runs/a", [])


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--hosts", "a:1,b:1", "--host-index", "0"), 2, "--plan FILE (of keras-fcn plan), or --"),
        (("--host-index", "0"), 2, "--host-index needs --hosts"),
        (("--hosts", "a:1,b:1", "--no-plan"), 1, "`host_index` must be given"),
        (("--hosts", "a:1", "--no-plan"), 1, "`hosts` must be at least two addresses"),
    ],
)
def test_what_hosts_need_is_said(run, arguments, code, text, monkeypatch):
    for name in ("SLURM_PROCID", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)

    result = run("train", *arguments)

    assert result.exit_code == code
    assert text in " ".join(result.stderr.replace("│", " ").split())
