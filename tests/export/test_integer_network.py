"""The form of a network that is quantized to integers throughout."""

import keras
import numpy as np
from keras import layers
from keras_fcn_export.integer_network import integer_network


def nested_model(normalization):
    images = keras.Input((None, None, 3))
    features = layers.Conv2D(6, 3, padding="same")(images)
    inner = keras.Model(images, normalization(features), name="inner")
    return keras.Model(images, layers.Conv2D(2, 1)(inner(images)))


def test_layer_normalization_is_exchanged_with_its_weights():
    normalization = layers.LayerNormalization(epsilon=1e-2)
    model = nested_model(normalization)
    random = np.random.default_rng(0)
    scale, offset = random.normal(size=(2, 6))
    normalization.set_weights([scale, offset])
    images = random.normal(size=(2, 4, 5, 3)).astype("float32")

    answer = integer_network(model)(images)

    # By hand, from the definition (Ba et al., 2016).
    inner = model.get_layer("inner")
    x = np.asarray(inner.layers[1](images), "float64")
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-2)
    x = (x - x.mean(axis=-1, keepdims=True)) / deviation * scale + offset
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(answer, x @ kernel[0, 0] + bias, rtol=1e-4, atol=1e-5)


def test_other_networks_stay_as_they_are():
    model = nested_model(layers.BatchNormalization())

    assert integer_network(model) is model
