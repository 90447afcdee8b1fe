import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import SmallResNet, TappedModel
from keras_fcn.models.optimize import has_bfloat16_instructions, with_precision


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = keras_fcn.FCN8s(3, backbone=SmallResNet(alpha=0.25))
    for name in ("score_fr", "score_pool4", "score_pool3"):
        kernel, _ = model.get_layer(name).weights
        kernel.assign(keras.random.normal(kernel.shape, seed=1))
    return model


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
    images = keras.Input((None, None, 3))
    x = images
    for number in range(5):
        x = keras.layers.Conv2D(4, 3, 2, "same", name=f"c{number}")(x)
    backbone = keras.Model(images, x)
    model = keras_fcn.FCN8s(
        2, backbone=TappedModel(backbone, taps=("c2", "c3", "c4"), fc_filters=4)
    )

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
