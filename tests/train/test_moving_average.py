import keras
import numpy as np
import pytest
from keras_fcn_train.moving_average import AverageWeights, MovingAverage, measure_batchnorm


def test_average_by_hand():
    model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization()])
    average = MovingAverage(model, decay=0.15)
    model.layers[0].gamma.assign([2.0])

    average.update()
    model.layers[0].gamma.assign([4.0])
    average.update()

    # From 1: d = min(0.15, 1/10), then min(0.15, 2/11) = 0.15.
    first = 0.1 * 1.0 + 0.9 * 2.0
    assert float(average.values[0][0]) == pytest.approx(0.15 * first + 0.85 * 4.0)


@pytest.mark.parametrize("steps", [None, 2])
def test_weights_are_averaged_once_per_update(steps):
    # Without gradient accumulation each batch is an update.
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[0.0]])
    model.compile(keras.optimizers.SGD(0.5, gradient_accumulation_steps=steps), "mse")
    average = MovingAverage(model, decay=0.5)
    targets = np.array([1.0, 3.0, 2.0, 4.0, 5.0, 7.0])

    model.fit(
        np.ones((6, 1)), targets[:, None], batch_size=1, epochs=1, shuffle=False, verbose=0,
        callbacks=[AverageWeights(average)],
    )  # fmt: skip

    # The gradient of (w - t) ** 2 is 2 (w - t): with a rate of 0.5, w becomes the mean target.
    weight, expected = 0.0, 0.0
    for update, mean in enumerate(targets.reshape(-1, steps or 1).mean(axis=1)):
        weight -= 0.5 * 2 * (weight - mean)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * weight
    assert float(model.layers[0].kernel[0, 0]) == pytest.approx(weight)
    assert float(average.values[0][0, 0]) == pytest.approx(expected, rel=1e-6)


def test_batchnorm_statistics_are_averaged_too():
    model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization()])
    average = MovingAverage(model, decay=0.9)

    model(np.array([[8.0], [10.0]], "float32"), training=True)
    average.update()

    # Keras: 0.99 * 0 + 0.01 * 9; then d = 0.1.
    assert float(model.layers[0].moving_mean[0]) == pytest.approx(0.09)
    assert float(average.values[2][0]) == pytest.approx(0.9 * 0.09)


def test_statistics_are_the_means_over_the_batches():
    images = keras.Input((None, None, 2))
    inner = keras.Model(images, keras.layers.BatchNormalization(momentum=0.999)(images))
    model = keras.Sequential([keras.Input((None, None, 2)), inner])
    rng = np.random.default_rng(0)
    batches = [rng.normal(3, 2, size=(4, 5, 6, 2)).astype("float32") for _ in range(3)]

    measure_batchnorm(model, batches)

    layer = inner.layers[1]
    means = np.mean([batch.mean(axis=(0, 1, 2)) for batch in batches], axis=0)
    variances = np.mean([batch.var(axis=(0, 1, 2)) for batch in batches], axis=0)
    np.testing.assert_allclose(layer.moving_mean, means, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, variances, rtol=1e-4)
    assert layer.momentum == 0.999


def test_a_network_without_batchnorm_stays_as_it_is():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    before = model.get_weights()

    measure_batchnorm(model, [np.ones((1, 4))])

    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
