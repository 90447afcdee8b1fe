"""The graph that predicts is compared with the Keras model as it was trained."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_fcn
from keras_fcn.backbones import VGG16
from keras_fcn.prediction.graph import MAX_CONSTANT_BYTES, NetworkGraph
from keras_fcn.prediction.keras_model import heads_of

from ..helpers import (
    Tiny,
    TinyWithBatchNorm,
    channel_model,
    images_of,
    randomize_logits,
    tiny_model,
    two_headed_model,
)

IMAGES = tf.TensorSpec((None, None, None, 3), tf.uint8)
MODELS = {
    "one head": lambda: tiny_model(backbone=TinyWithBatchNorm()),
    # In another order than that of the alphabet.
    "heads": lambda: tiny_model({"semantic": 4, "geometric": 3}, backbone=TinyWithBatchNorm()),
    "learned": lambda: tiny_model(upsampling="learned"),
    "fcn32s": lambda: tiny_model(variant=keras_fcn.FCN32s),
    "reference": lambda: randomize_logits(
        keras_fcn.FCN8s(3, backbone=VGG16(alpha=0.05, fc_filters=4, geometry="reference"))
    ),
    "without a crop": channel_model,
    "heads without a crop": two_headed_model,
}


@pytest.mark.parametrize("size", [(1, 1), (37, 50), (64, 96)])
@pytest.mark.parametrize("name", MODELS)
def test_predictions_and_logits_are_those_of_the_model(name, size):
    model = MODELS[name]()
    heads, images = heads_of(model), images_of(2, *size)
    expected = heads.by_name(model(images.astype("float32"), training=False))

    network = NetworkGraph(model, heads, IMAGES)
    logits, predictions = network.logits(images), network.predictions(images)

    for head, value in expected.items():
        value = value.numpy()
        np.testing.assert_allclose(logits[head], value, rtol=0, atol=1e-5 * np.abs(value).max())
        # Of this graph's own logits: the model's may differ in the last digit.
        np.testing.assert_array_equal(predictions[head], np.argmax(logits[head], -1))
        assert predictions[head].dtype == tf.uint8
        assert np.mean(predictions[head] == value.argmax(-1)) > 0.999


@pytest.mark.parametrize("is_small", [True, False])
def test_few_weights_are_constants_and_many_are_variables(is_small):
    # The 3x3 convolution from 8 channels alone.
    filters = 16 if is_small else MAX_CONSTANT_BYTES // (8 * 9 * 4) + 1
    model = tiny_model(backbone=Tiny(fc_filters=filters))
    run = tf.function(NetworkGraph(model, heads_of(model), IMAGES).logits, input_signature=[IMAGES])

    assert (len(run.get_concrete_function().variables) == 0) == is_small


def test_a_call_of_the_users_own_is_kept():
    class Doubled(keras.Model):
        def call(self, inputs, training=None):
            return 2 * super().call(inputs)

    plain = tiny_model(3)
    model = Doubled(plain.input, plain.output)
    images = images_of(1, 37, 50)

    [logits] = NetworkGraph(model, heads_of(model), IMAGES).logits(images).values()

    np.testing.assert_allclose(logits, 2 * plain(images).numpy(), rtol=1e-4, atol=1e-4)
