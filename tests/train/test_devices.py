import os

import pytest
from keras_fcn_train.devices import Devices, _check_several, keep_freed_memory


def test_the_default_is_one_device_without_ceremony():
    devices = Devices(batch_size=8)

    assert devices.strategy is None
    assert devices.names == ("CPU:0",)


def test_device_may_be_named():
    assert Devices(("cpu:0",), batch_size=8).names == ("CPU:0",)


@pytest.mark.parametrize("names", [("GPU:7",), ("CPU:0", "CPU:0")])
def test_device_that_is_not_there_is_refused(names):
    with pytest.raises(ValueError, match="`devices` must be different devices among CPU:0"):
        Devices(names, batch_size=8)


def test_several_devices_cannot_accumulate():
    with pytest.raises(ValueError, match="`gradient_accumulation_steps` needs a single device"):
        _check_several(2, batch_size=8, gradient_accumulation_steps=2)


def test_several_devices_share_a_batch_evenly():
    with pytest.raises(ValueError, match="must be a multiple of their number"):
        _check_several(2, batch_size=5, gradient_accumulation_steps=1)


def test_what_the_user_set_stays(monkeypatch):
    monkeypatch.setenv("TF_CPU_ALLOCATOR_USE_BFC", "0")

    keep_freed_memory()

    assert os.environ["TF_CPU_ALLOCATOR_USE_BFC"] == "0"


def test_tensorflow_keeps_memory_by_default(monkeypatch):
    monkeypatch.delenv("TF_CPU_ALLOCATOR_USE_BFC", raising=False)

    keep_freed_memory()

    assert os.environ.pop("TF_CPU_ALLOCATOR_USE_BFC") == "1"
