import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_fcn.initializers import Bilinear, bilinear_kernel


@given(factor=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_kernel_sums_to_the_area_of_an_input_pixel(factor):
    # Each input pixel is spread over factor x factor output pixels, with total weight 1 each.
    assert bilinear_kernel(2 * factor).sum() == pytest.approx(factor**2, rel=1e-5)
    assert bilinear_kernel(2 * factor - 1).sum() == pytest.approx(factor**2, rel=1e-5)


def test_kernel_by_hand():
    # Factor 2: pixel centers of the output lie 1/4 and 3/4 between those of the input.
    expected = np.array([0.25, 0.75, 0.75, 0.25])

    np.testing.assert_allclose(bilinear_kernel(4), np.outer(expected, expected))


@pytest.mark.parametrize("factor", [2, 8, 32])
def test_interior_equals_upsampling2d(factor):
    scores = np.random.default_rng(0).normal(size=(1, 5, 4, 3)).astype("float32")
    transposed = keras.layers.Conv2DTranspose(
        3,
        2 * factor,
        strides=factor,
        padding="same",
        use_bias=False,
        kernel_initializer=Bilinear(),
    )

    ours = np.asarray(transposed(scores))
    theirs = np.asarray(keras.layers.UpSampling2D(factor, interpolation="bilinear")(scores))

    inner = slice(factor // 2, -(factor // 2))
    np.testing.assert_allclose(ours[:, inner, inner], theirs[:, inner, inner], atol=1e-5)


def test_odd_kernel_keeps_the_input_pixels():
    # A kernel of 2f - 1 interpolates between pixel centers, so it reproduces them at stride f.
    scores = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype("float32")
    transposed = keras.layers.Conv2DTranspose(
        2, 15, strides=8, padding="valid", use_bias=False, kernel_initializer=Bilinear()
    )

    upsampled = np.asarray(transposed(scores))

    np.testing.assert_allclose(upsampled[:, 7:-7:8, 7:-7:8], scores, atol=1e-6)


def test_kernel_that_mixes_classes_is_refused():
    with pytest.raises(ValueError, match=r"as many output as input channels.*\(4, 4, 3, 2\)"):
        Bilinear()((4, 4, 3, 2))
