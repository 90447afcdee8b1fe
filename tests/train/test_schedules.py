import keras
import pytest
from keras_fcn_train import WarmupPolynomialDecay


def test_rate_rises_then_falls_by_hand():
    schedule = WarmupPolynomialDecay(0.8, total_steps=8, power=2.0, warmup_steps=2)

    rates = [float(schedule(step)) for step in range(10)]

    # 0.8 * min(1, (s + 1) / 2) * (1 - s / 8) ** 2, and 0 from step 8 on
    expected = [0.4, *(0.8 * (k / 8) ** 2 for k in (7, 6, 5, 4, 3, 2, 1)), 0.0, 0.0]
    assert rates == pytest.approx(expected, abs=1e-7)


def test_power_zero_is_constant_after_the_warmup():
    schedule = WarmupPolynomialDecay(0.5, total_steps=4, power=0.0, warmup_steps=2)

    assert [float(schedule(step)) for step in range(4)] == [0.25, 0.5, 0.5, 0.5]


def test_warmup_longer_than_the_training_is_refused():
    with pytest.raises(ValueError, match="`warmup_steps` must be less than the steps"):
        WarmupPolynomialDecay(0.5, total_steps=4, warmup_steps=4)
    with pytest.raises(ValueError, match="`total_steps` must be at least 1"):
        WarmupPolynomialDecay(0.5, total_steps=0)


def test_schedule_survives_serialization():
    schedule = WarmupPolynomialDecay(0.5, total_steps=9, power=0.9, warmup_steps=3)

    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))

    assert float(again(4)) == float(schedule(4))
