"""Which hosts a command names. The training on them is in `test_jax.py`."""

import numpy as np
import pytest
from keras_fcn_train.hosts import ALONE, Hosts, expand_names, find_hosts
from keras_fcn_train.training import _check_hosts
from keras_fcn_train.workdir import settings_of_hosts, with_settings_of

from .tiny_training import tiny_config

SLURM = {
    "SLURM_JOB_ID": "70001",
    "SLURM_STEP_NODELIST": "gpu[07-09,12],login",
    "SLURM_NTASKS": "5",
    "SLURM_PROCID": "3",
}


def test_names_are_expanded_as_slurm_writes_them():
    assert expand_names("a:1,b[1-2]-x[0,5]:2") == [
        "a:1",
        "b1-x0:2",
        "b1-x5:2",
        "b2-x0:2",
        "b2-x5:2",
    ]
    assert expand_names("node[098-101]") == ["node098", "node099", "node100", "node101"]


def test_hosts_are_named_with_their_index():
    assert find_hosts("a:9000,b:9001", 1, {}) == Hosts(("a:9000", "b:9001"), 1)


@pytest.mark.parametrize("name", ["SLURM_PROCID", "JOB_COMPLETION_INDEX"])
def test_a_cluster_knows_the_index(name):
    hosts = find_hosts("fcn-[0-3].train:9000", None, {name: "2"})

    assert hosts.index == 2
    assert hosts.addresses[2] == "fcn-2.train:9000"


def test_slurm_knows_all_of_it():
    hosts = find_hosts("slurm", None, SLURM)

    # 61440 + 70001 % 4096.
    assert hosts.addresses == tuple(
        f"{name}:61809" for name in ("gpu07", "gpu08", "gpu09", "gpu12", "login")
    )
    assert hosts.shard == (3, 5)
    assert not hosts.is_first


def test_of_several_tasks_on_a_node_only_the_first_has_a_known_address():
    hosts = find_hosts(
        "slurm", None, {**SLURM, "SLURM_STEP_NODELIST": "gpu[1-2]", "SLURM_NTASKS": "4"}
    )

    assert hosts.addresses[0] == "gpu1:61809"
    assert hosts.addresses[3] == "task 3:61809"


@pytest.mark.parametrize(
    ("text", "index", "environment", "message"),
    [
        ("a:9000", 0, {}, "`hosts` must be at least two addresses"),
        ("a,b", 0, {}, "`hosts` must be at least two addresses"),
        ("a:1,b:1", None, {}, "`host_index` must be given: 0 on the first"),
        ("a:1,b:1", 2, {}, "`host_index` must be a number from 0 to 1, one for each of the 2"),
        ("a:1,b:1", None, {"SLURM_PROCID": "4"}, "`SLURM_PROCID` must be a number from 0 to 1"),
        ("slurm", None, {}, "'SLURM_STEP_NODELIST' is not set: start the training inside a job"),
        ("slurm", None, {**SLURM, "SLURM_NTASKS": "1"}, "but the step has 1 task"),
    ],
)
def test_hosts_that_are_not_known_are_refused(text, index, environment, message):
    with pytest.raises(ValueError, match=message):
        find_hosts(text, index, environment)


def test_one_host_exchanges_nothing():
    values = np.array([1.5, 2.5])

    np.testing.assert_array_equal(ALONE.gather(values), [values])
    np.testing.assert_array_equal(ALONE.add_up(values), values)
    assert ALONE.any(True)
    assert ALONE.first(0.1) == 0.1
    assert ALONE.share_text("text") == "text"
    ALONE.check_same("settings", "text")


def test_what_differs_between_hosts_is_an_error(monkeypatch):
    hosts = Hosts(("a:1", "b:1", "c:1"), 1)
    monkeypatch.setattr(Hosts, "gather", lambda _, digest: [digest, digest, digest[::-1]])

    with pytest.raises(ValueError, match=r"same data\. They differ .* on: host 2 \(c:1\)\. Start"):
        hosts.check_same("data", "text")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"crop_size": None},
            "`crop_size` must be given for several hosts, whose parts of a batch",
        ),
        ({"resume": True, "accept_changed_data": True}, "`accept_changed_data` needs a single"),
    ],
)
def test_settings_for_one_host_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        _check_hosts(tiny_config(**settings), Hosts(("a:1", "b:1")))


def test_hosts_may_have_their_data_in_other_places():
    first = tiny_config(dataset="folder:/a/photos", workdir="/a/run", epochs=7)
    other = tiny_config(dataset="folder:/b/photos", workdir="/b/run", epochs=7)

    assert settings_of_hosts(first) == settings_of_hosts(other)
    assert settings_of_hosts(first) != settings_of_hosts(first.replace(epochs=8))


def test_a_resumed_host_takes_the_settings_of_the_first_but_its_own_places():
    first = tiny_config(source="/a", workdir="/a/run", epochs=7, resume=True)
    other = tiny_config(epochs=50, workdir="/b/run", resume=True)

    assert with_settings_of(first, other) == first.replace(workdir="/b/run", dataset="tiny")
