import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import SmallResNet, TappedModel
from keras_fcn.initializers import Bilinear
from keras_fcn.layers import BilinearUpsampling
from keras_fcn.models.optimize import (
    fast_argmax,
    has_bfloat16_instructions,
    inference_model,
    with_precision,
)

from ..helpers import TAPS, Tiny, randomize_logits, tiny_layers


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return randomize_logits(keras_fcn.FCN8s(3, backbone=SmallResNet(alpha=0.25)))


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


def test_the_faster_model_predicts_the_same_with_the_same_weights(model):
    images = np.random.default_rng(0).integers(0, 256, (1, 37, 50, 3)).astype("uint8")

    faster = inference_model(model)

    exchanged = [la.name for la in faster.layers if isinstance(la, BilinearUpsampling)]
    assert exchanged == ["upscore2", "upscore_pool4", "upscore8"]
    assert faster.get_layer("score_fr").kernel is model.get_layer("score_fr").kernel
    np.testing.assert_allclose(faster(images), model(images), atol=1e-4)


def test_upsampling_that_was_learned_stays_a_convolution():
    model = keras_fcn.FCN32s(3, backbone=Tiny(fc_filters=0), upsampling="learned")
    kernel = model.get_layer("upscore").kernel
    kernel.assign(kernel * 1.5)

    assert inference_model(model) is model


def test_fast_argmax_returns_the_first_of_equal_ones():
    logits = np.random.default_rng(0).integers(0, 3, (2, 7, 9, 5)).astype("float32")

    predictions = keras.ops.convert_to_numpy(fast_argmax(logits))

    assert predictions.dtype == np.uint8
    np.testing.assert_array_equal(predictions, logits.argmax(-1))


def test_bfloat16_keeps_float32_scores_and_nearly_their_values(model, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (1, 40, 64, 3)).astype("uint8")
    expected = model.predict(images, verbose=0)

    copy = with_precision(model, "bfloat16")
    scores = copy.predict(images, verbose=0)

    assert scores.dtype == np.float32
    # 8 bits of mantissa, through some twenty layers
    np.testing.assert_allclose(scores, expected, atol=0.05 * np.abs(expected).max())
    kinds = {w.path.startswith(("score_", "upscore")): w.dtype for w in copy.weights}
    assert kinds == {True: "float32", False: "bfloat16"}
    model.save(tmp_path / "float32.keras")
    copy.save(tmp_path / "bfloat16.keras")
    sizes = [(tmp_path / f"{name}.keras").stat().st_size for name in ("float32", "bfloat16")]
    assert sizes[1] < 0.65 * sizes[0]
    again = keras.saving.load_model(tmp_path / "bfloat16.keras").predict(images, verbose=0)
    np.testing.assert_array_equal(again, scores)


def test_a_backbone_of_the_users_own_changes_too():
    model = keras_fcn.FCN8s(2, backbone=TappedModel(tiny_layers(), taps=TAPS, fc_filters=4))

    copy = with_precision(model, "bfloat16")

    is_score = [w.path.startswith(("score_", "upscore")) for w in copy.weights]
    dtypes = {w.dtype for w, score in zip(copy.weights, is_score, strict=True) if not score}
    assert dtypes == {"bfloat16"}
    assert {w.dtype for w in model.weights} == {"float32"}


def test_other_models_and_precisions_are_refused(model):
    with pytest.raises(ValueError, match='"float32" or "bfloat16". Received: precision=\'half\''):
        with_precision(model, "half")
    with pytest.raises(ValueError, match="Only an `FCN`"):
        with_precision(keras.Sequential([keras.Input((4,))]), "bfloat16")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx512_bf16\n", True),
        ("flags\t\t: fpu avx2\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("model name: unknown\n", None),
    ],
)
def test_instructions_are_read_from_what_linux_says(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)

    assert has_bfloat16_instructions(tmp_path / "cpuinfo") is expected


def test_a_system_that_does_not_tell_is_not_guessed(tmp_path):
    assert has_bfloat16_instructions(tmp_path / "absent") is None
