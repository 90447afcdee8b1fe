import keras
import numpy as np
import pytest
from keras_fcn_train.state import Position, State


def variables():
    return {
        "model": [keras.Variable([[1.0, 2.0]]), keras.Variable(3, dtype="uint32")],
        "metrics": [keras.Variable(2**40 + 1, dtype="int64")],
    }


def test_values_come_back_bit_by_bit(tmp_path):
    saved = variables()
    saved["model"][0].assign([[1 / 3, np.pi]])
    State(tmp_path / "state.npz", saved).save(Position(epoch=2, step=5, best=0.1, seconds=1.5))

    fresh = variables()
    position = State(tmp_path / "state.npz", fresh).restore("model", "metrics")

    assert position == Position(epoch=2, step=5, best=0.1, seconds=1.5)
    np.testing.assert_array_equal(fresh["model"][0], saved["model"][0])
    assert int(fresh["model"][1]) == 3
    assert int(fresh["metrics"][0]) == 2**40 + 1


def test_only_the_named_groups_are_restored(tmp_path):
    saved = variables()
    saved["model"][1].assign(7)
    saved["metrics"][0].assign(7)
    State(tmp_path / "state.npz", saved).save(Position())

    fresh = variables()
    State(tmp_path / "state.npz", fresh).restore("model")

    assert int(fresh["model"][1]) == 7
    assert int(fresh["metrics"][0]) == 2**40 + 1


def test_other_variables_are_refused(tmp_path):
    State(tmp_path / "state.npz", variables()).save(Position())
    other = variables()
    other["model"][0] = keras.Variable([[1.0, 2.0, 3.0]])

    with pytest.raises(ValueError, match="must contain the variables of this network"):
        State(tmp_path / "state.npz", other).restore("model")


def test_failed_save_keeps_the_one_before(tmp_path, monkeypatch):
    state = State(tmp_path / "state.npz", variables())
    state.save(Position(epoch=1))

    def full_disk(path, **values):
        path.write_bytes(b"half of i")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="disk full"):
        state.save(Position(epoch=2))

    assert state.restore().epoch == 1
