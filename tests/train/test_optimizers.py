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


def with_factors(name, steps=1, **settings):
    """An optimizer for three variables, of which the second is pretrained: a tenth of the rate."""
    config = OptimizerConfig(
        name, learning_rate=0.1, pretrained_factor=0.1, schedule="constant", momentum=0.5,
        gradient_accumulation_steps=steps, **settings,
    )  # fmt: skip
    variables = [keras.Variable(np.ones((2, 2), "float32"), name="kernel") for _ in range(3)]
    return build_optimizer(config, 100, variables, pretrained={1}), variables


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("steps", [1, 2])
def test_pretrained_layers_learn_as_with_another_learning_rate(name, steps):
    optimizer, variables = with_factors(name, steps, weight_decay=0.2)
    gradients = [RANDOM.normal(size=(2, 2)).astype("float32") for _ in range(6)]
    step = tf.function(lambda gradient: optimizer.apply([gradient] * 3, variables))
    for gradient in gradients:
        step(tf.constant(gradient))

    # Each variable alone, under an optimizer that has its learning rate for everything.
    for variable, rate in zip(variables, (0.1, 0.01, 0.1), strict=True):
        alone = keras.Variable(np.ones((2, 2), "float32"), name="kernel")
        config = OptimizerConfig(
            name, learning_rate=rate, schedule="constant", momentum=0.5, weight_decay=0.2,
            gradient_accumulation_steps=steps,
        )  # fmt: skip
        single = build_optimizer(config, 100, [alone])
        for gradient in gradients:
            single.apply([tf.constant(gradient)], [alone])
        np.testing.assert_allclose(np.asarray(variable), np.asarray(alone), rtol=1e-5)


def test_adamw_is_that_of_keras_where_all_factors_are_one():
    config = OptimizerConfig("adamw", learning_rate=0.1, weight_decay=0.2, schedule="constant")
    ours, theirs = (keras.Variable(START["kernel"], name="kernel") for _ in range(2))
    optimizer = build_optimizer(config, 10, [ours])
    reference = keras.optimizers.AdamW(0.1, weight_decay=0.2, beta_1=0.9)
    reference.build([theirs])

    for gradients in GRADIENTS:
        optimizer.apply([tf.constant(gradients["kernel"])], [ours])
        reference.apply([tf.constant(gradients["kernel"])], [theirs])

    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_factors_are_part_of_the_state_of_the_optimizer(name):
    optimizer, variables = with_factors(name)
    _, again = with_factors(name)
    # A resumed training does not know which layers were pretrained.
    config = OptimizerConfig(
        name, learning_rate=0.1, pretrained_factor=0.1, schedule="constant", momentum=0.5
    )
    fresh = build_optimizer(config, 100, again, pretrained=())
    for target, source in zip(fresh.variables, optimizer.variables, strict=True):
        target.assign(np.asarray(source))
    for one, those in ((optimizer, variables), (fresh, again)):
        one.apply([tf.ones((2, 2))] * 3, those)

    for ours, theirs in zip(variables, again, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert float(variables[1][0, 0]) > float(variables[0][0, 0])


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


def accumulated(variable, optimizer, gradients):
    """Returns the values of a variable after each gradient."""
    values = [float(variable[0, 0])]
    for gradient in gradients:
        optimizer.apply([tf.constant([[gradient]])], [variable])
        values.append(float(variable[0, 0]))
    return values


def test_schedule_and_warmup_count_updates_and_not_batches():
    # 12 batches are 4 updates: rates 0.8 * min(1, (u + 1) / 2) * (1 - u / 4), by hand.
    rates = [0.4, 0.6, 0.4, 0.2]
    config = OptimizerConfig(
        "sgd", momentum=0.0, weight_decay=0.0, learning_rate=0.8, power=1.0, warmup_steps=2,
        gradient_accumulation_steps=3,
    )  # fmt: skip
    variable = keras.Variable([[0.0]], name="kernel")

    values = accumulated(variable, build_optimizer(config, 12, [variable]), [1.0] * 12)

    np.testing.assert_allclose(np.diff(values[::3]), -np.array(rates), rtol=1e-6)
    assert values[0] == values[1] == values[2] != values[3]


def test_adamw_counts_updates_and_not_batches():
    config = OptimizerConfig(
        "adamw", learning_rate=0.1, weight_decay=0.0, schedule="constant",
        gradient_accumulation_steps=2,
    )  # fmt: skip
    variable = keras.Variable([[0.0]], name="kernel")
    gradients = [1.0, 3.0, -2.0, 1.0, 4.0, 0.0]

    values = accumulated(variable, build_optimizer(config, 6, [variable]), gradients)

    # Kingma and Ba 2015, algorithm 1, with the means of two gradients each.
    weight, mean, square = 0.0, 0.0, 0.0
    for update, gradient in enumerate((2.0, -0.5, 2.0), 1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        weight -= 0.1 * (mean / (1 - 0.9**update)) / (np.sqrt(square / (1 - 0.999**update)) + 1e-7)
        assert values[2 * update] == pytest.approx(weight, rel=1e-4)


def test_a_training_that_ends_before_its_first_update_is_refused():
    variable = keras.Variable([[0.0]], name="kernel")
    for name in ("sgd", "adamw"):
        for schedule in ("constant", "polynomial"):
            config = OptimizerConfig(name, schedule=schedule, gradient_accumulation_steps=5)
            build_optimizer(config, 5, [variable])
            with pytest.raises(ValueError, match=r"change after each 5 steps\. .*, 4 steps"):
                build_optimizer(config, 4, [variable])


def test_the_mean_of_accumulated_gradients_is_clipped_and_not_each():
    config = OptimizerConfig(
        "sgd", momentum=0.0, weight_decay=0.0, learning_rate=1.0, schedule="constant",
        global_clipnorm=1.0, gradient_accumulation_steps=2,
    )  # fmt: skip
    variable = keras.Variable([[0.0]], name="kernel")

    values = accumulated(variable, build_optimizer(config, 10, [variable]), [4.0, 0.0])

    # The mean is 2, clipped to 1; each clipped, it would be 0.5.
    assert values == pytest.approx([0.0, 0.0, -1.0])


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


def test_the_schedule_follows_the_time_where_it_is_shorter_than_the_steps():
    schedule = WarmupPolynomialDecay(0.8, total_steps=8, power=2.0)

    schedule.time_share.assign(0.5)
    rates = [float(schedule(step)) for step in (0, 4, 6)]

    # Half of the time has passed: (1 - 1/2) ** 2, until more than half of the steps are done.
    assert rates == pytest.approx([0.2, 0.2, 0.05])


def test_power_zero_is_constant_after_the_warmup():
    schedule = WarmupPolynomialDecay(0.5, total_steps=4, power=0.0, warmup_steps=2)

    assert [float(schedule(step)) for step in range(4)] == [0.25, 0.5, 0.5, 0.5]


def test_warmup_longer_than_the_training_is_refused():
    with pytest.raises(ValueError, match="`warmup_steps` must be less than the steps"):
        WarmupPolynomialDecay(0.5, total_steps=4, warmup_steps=4)
    with pytest.raises(ValueError, match="A step is an update, after 5 batches"):
        WarmupPolynomialDecay(0.5, total_steps=4, warmup_steps=4, batches_per_step=5)
    with pytest.raises(ValueError, match="`batches_per_step` must be at least 1"):
        WarmupPolynomialDecay(0.5, total_steps=4, batches_per_step=0)
    with pytest.raises(ValueError, match="`total_steps` must be at least 1"):
        WarmupPolynomialDecay(0.5, total_steps=0)


def test_schedule_survives_serialization():
    schedule = WarmupPolynomialDecay(
        0.5, total_steps=9, power=0.9, warmup_steps=3, batches_per_step=2
    )

    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))

    assert float(again(4)) == float(schedule(4))
