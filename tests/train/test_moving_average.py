import keras
import numpy as np
import pytest
from keras_fcn_train.moving_average import MovingAverage


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


def test_batchnorm_statistics_are_averaged_too():
    model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization()])
    average = MovingAverage(model, decay=0.9)

    model(np.array([[8.0], [10.0]], "float32"), training=True)
    average.update()

    # Keras: 0.99 * 0 + 0.01 * 9; then d = 0.1.
    assert float(model.layers[0].moving_mean[0]) == pytest.approx(0.09)
    assert float(average.values[2][0]) == pytest.approx(0.9 * 0.09)
