import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import SmallResNet
from keras_fcn.initializers import Bilinear
from keras_fcn.layers import BilinearUpsampling
from keras_fcn.models.optimize import highest_label, inference_model


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("factor", [2, 8])
def test_interpolation_equals_the_transposed_convolution_at_every_pixel(factor, padding):
    convolution = keras.layers.Conv2DTranspose(
        3, 2 * factor, factor, padding, use_bias=False, kernel_initializer=Bilinear()
    )
    maps = np.random.default_rng(0).normal(size=(2, 3, 5, 3)).astype("float32")

    enlarged = BilinearUpsampling(factor, padding)(maps)

    np.testing.assert_allclose(enlarged, convolution(maps), atol=1e-6)
    symbolic = BilinearUpsampling(factor, padding)(keras.Input((3, 5, 3)))
    assert symbolic.shape[1:] == enlarged.shape[1:]


@pytest.mark.parametrize("arguments", [{"factor": 3}, {"factor": 0}, {"padding": "causal"}])
def test_upsampling_refuses_what_no_bilinear_kernel_does(arguments):
    with pytest.raises(ValueError, match="Received"):
        BilinearUpsampling(**{"factor": 2, **arguments})


def test_the_model_answers_the_same_with_the_same_weights():
    keras.utils.set_random_seed(0)
    model = keras_fcn.FCN8s(3, backbone=SmallResNet(alpha=0.25))
    for name in ("score_fr", "score_pool4", "score_pool3"):
        kernel, _ = model.get_layer(name).weights
        kernel.assign(keras.random.normal(kernel.shape, seed=1))
    images = np.random.default_rng(0).integers(0, 256, (1, 37, 50, 3)).astype("uint8")

    faster = inference_model(model)

    exchanged = [la.name for la in faster.layers if isinstance(la, BilinearUpsampling)]
    assert exchanged == ["upscore2", "upscore_pool4", "upscore8"]
    assert faster.get_layer("score_fr").kernel is model.get_layer("score_fr").kernel
    np.testing.assert_allclose(faster(images), model(images), atol=1e-4)


def test_upsampling_that_was_learned_stays_a_convolution():
    model = keras_fcn.FCN32s(3, backbone=SmallResNet(alpha=0.25), upsampling="learned")
    kernel = model.get_layer("upscore").kernel
    kernel.assign(kernel * 1.5)

    assert inference_model(model) is model


def test_the_highest_label_is_the_first_of_equal_ones():
    scores = np.random.default_rng(0).integers(0, 3, (2, 7, 9, 5)).astype("float32")

    labels = keras.ops.convert_to_numpy(highest_label(scores))

    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, scores.argmax(-1))
