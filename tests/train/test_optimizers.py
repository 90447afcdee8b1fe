import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_fcn_train import CaffeSGD, OptimizerConfig, WarmupPolynomialDecay
from keras_fcn_train.optimizers import build_optimizer

RANDOM = np.random.default_rng(0)
START = {
    "kernel": RANDOM.normal(size=(3, 2)).astype("float32"),
    "bias": RANDOM.normal(size=2).astype("float32"),
    "gamma": RANDOM.normal(size=2).astype("float32"),
}
GRADIENTS = [{k: RANDOM.normal(size=v.shape).astype("float32") for k, v in START.items()}] * 2 + [
    {k: RANDOM.normal(size=v.shape).astype("float32") for k, v in START.items()} for _ in range(3)
]


def caffe_by_hand(rates, momentum, decay):
    """Caffe's SGDSolver: v = m v + lr lr_mult (g + decay_mult wd w); w -= v."""
    weights = {name: value.astype("float64") for name, value in START.items()}
    velocity = {name: np.zeros_like(value) for name, value in weights.items()}
    multipliers = {"kernel": (1, 1), "bias": (2, 0), "gamma": (1, 0)}
    for rate, gradients in zip(rates, GRADIENTS, strict=True):
        for name, (rate_factor, decay_factor) in multipliers.items():
            gradient = gradients[name] + decay_factor * decay * weights[name]
            velocity[name] = momentum * velocity[name] + rate * rate_factor * gradient
            weights[name] -= velocity[name]
    return weights


def stepped(optimizer, in_graph=True):
    variables = {name: keras.Variable(value, name=name) for name, value in START.items()}
    optimizer.build(list(variables.values()))

    def step(gradients):
        optimizer.apply([gradients[name] for name in variables], list(variables.values()))

    run = tf.function(step) if in_graph else step
    for gradients in GRADIENTS:
        run({name: tf.constant(value) for name, value in gradients.items()})
    return {name: np.asarray(variable) for name, variable in variables.items()}


@pytest.mark.parametrize("in_graph", [True, False])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("decay", [0.05, None])
def test_sgd_steps_as_caffe(momentum, decay, in_graph):
    result = stepped(CaffeSGD(0.1, momentum, decay), in_graph=in_graph)

    for name, expected in caffe_by_hand([0.1] * 5, momentum, decay or 0.0).items():
        np.testing.assert_allclose(result[name], expected, rtol=2e-5, atol=1e-6, err_msg=name)


def test_plain_operations_step_as_the_fused_ones(monkeypatch):
    fused = stepped(CaffeSGD(0.1, 0.9, 0.05))
    monkeypatch.setattr("keras_fcn_train.optimizers._is_fused", lambda: False)
    plain = stepped(CaffeSGD(0.1, 0.9, 0.05))

    for name in fused:
        np.testing.assert_allclose(fused[name], plain[name], rtol=1e-5, atol=1e-6)


def test_sgd_follows_a_schedule():
    # Caffe multiplies the momentum's history by nothing: each gradient has the rate of its step.
    rates = [0.1, 0.08, 0.06, 0.04, 0.02]
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 5, end_learning_rate=0.0)

    result = stepped(CaffeSGD(schedule, 0.9, 0.01))

    for name, expected in caffe_by_hand(rates, 0.9, 0.01).items():
        np.testing.assert_allclose(result[name], expected, rtol=2e-5, atol=1e-6, err_msg=name)


def test_sgd_survives_serialization():
    optimizer = CaffeSGD(0.1, 0.8, 0.05, bias_multiplier=3.0)

    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))

    assert isinstance(again, CaffeSGD)
    assert (again.momentum, again.weight_decay, again.bias_multiplier) == (0.8, 0.05, 3.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentum": 1.0}, r"`momentum` must be in \[0, 1\)"),
        ({"weight_decay": -1.0}, "`weight_decay` must be None or at least 0"),
    ],
)
def test_sgd_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        CaffeSGD(**settings)


def test_adamw_decays_kernels_only():
    config = OptimizerConfig(
        "adamw", learning_rate=0.1, weight_decay=0.5, schedule="constant", momentum=0.5
    )
    variables = [keras.Variable(value, name=name) for name, value in START.items()]
    optimizer = build_optimizer(config, 10, variables)

    optimizer.apply([tf.zeros_like(variable) for variable in variables], variables)

    kernel, bias, gamma = (np.asarray(variable) for variable in variables)
    # A gradient of 0 moves nothing; the decoupled decay takes rate * decay = 5% away.
    np.testing.assert_allclose(kernel, 0.95 * START["kernel"], rtol=1e-5)
    np.testing.assert_array_equal(bias, START["bias"])
    np.testing.assert_array_equal(gamma, START["gamma"])


def test_accumulated_gradients_are_averaged():
    config = OptimizerConfig(
        "sgd",
        momentum=0.0,
        weight_decay=0.0,
        learning_rate=1.0,
        schedule="constant",
        gradient_accumulation_steps=2,
    )
    variable = keras.Variable([[1.0]], name="kernel")
    optimizer = build_optimizer(config, 10, [variable])

    optimizer.apply([tf.constant([[0.25]])], [variable])
    assert float(variable[0, 0]) == 1.0
    optimizer.apply([tf.constant([[0.75]])], [variable])

    assert float(variable[0, 0]) == 0.5


def test_gradients_are_clipped_by_their_common_norm():
    config = OptimizerConfig(
        "sgd",
        momentum=0.0,
        weight_decay=0.0,
        learning_rate=1.0,
        schedule="constant",
        global_clipnorm=1.0,
    )
    variables = [keras.Variable([[0.0]], name="kernel"), keras.Variable([[0.0]], name="kernel")]
    optimizer = build_optimizer(config, 10, variables)

    optimizer.apply([tf.constant([[3.0]]), tf.constant([[4.0]])], variables)

    # The norm is 5, so each gradient is divided by it.
    assert [float(v[0, 0]) for v in variables] == pytest.approx([-0.6, -0.8])


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
