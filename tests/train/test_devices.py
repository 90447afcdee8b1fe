import pytest
from keras_fcn_train import Config
from keras_fcn_train.devices import Devices, _check_several


def test_the_default_is_one_device_without_ceremony():
    devices = Devices(Config())

    assert devices.strategy is None
    assert devices.names == ("CPU:0",)


def test_device_may_be_named():
    assert Devices(Config(devices=("cpu:0",))).names == ("CPU:0",)


@pytest.mark.parametrize("names", [("GPU:7",), ("CPU:0", "CPU:0")])
def test_device_that_is_not_there_is_refused(names):
    with pytest.raises(ValueError, match="`devices` must be different ones of CPU:0"):
        Devices(Config(devices=names))


def test_several_devices_cannot_accumulate():
    with pytest.raises(ValueError, match="`accumulate` needs a single device"):
        _check_several(Config(accumulate=2), 2)


def test_several_devices_share_a_batch_evenly():
    with pytest.raises(ValueError, match="must be a multiple of their number"):
        _check_several(Config(batch_size=5), 2)
