import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_fcn.layers import CropLike, ImageNormalization, PadToStride


@given(height=st.integers(1, 70), width=st.integers(1, 70), stride=st.sampled_from([1, 8, 32]))
@settings(max_examples=30, deadline=None)
def test_crop_undoes_pad(height, width, stride):
    images = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype("float32")

    padded = PadToStride(stride)(images)
    cropped = CropLike()([padded, images])

    assert padded.shape[1] % stride == 0 and padded.shape[1] - height < stride
    assert padded.shape[2] % stride == 0 and padded.shape[2] - width < stride
    assert float(keras.ops.sum(padded)) == pytest.approx(float(images.sum()), abs=1e-2)  # zeros
    np.testing.assert_array_equal(cropped, images)


def test_padding_is_at_the_bottom_and_the_right():
    padded = np.asarray(PadToStride(4)(np.ones((1, 3, 2, 1), "float32")))

    expected = np.zeros((4, 4))
    expected[:3, :2] = 1
    np.testing.assert_array_equal(padded[0, ..., 0], expected)


def test_crop_with_offset():
    tensor = np.arange(36, dtype="float32").reshape(1, 6, 6, 1)

    window = CropLike(offset=2)([tensor, np.zeros((1, 3, 2, 5), "float32")])

    np.testing.assert_array_equal(window, tensor[:, 2:5, 2:4])


@pytest.mark.parametrize("shape", [(8, 7), (7, 8)])
def test_a_crop_needs_its_offset_and_the_size_of_the_reference(shape):
    reference = np.zeros((1, 5, 5, 2), "float32")
    exact = np.zeros((1, 8, 8, 2), "float32")

    assert CropLike(3)([exact, reference]).shape == (1, 5, 5, 2)
    with pytest.raises(ValueError, match="at least 8 rows and columns for an image of 5.*: 7"):
        CropLike(3)([exact[:, : shape[0], : shape[1]], reference])


def test_the_shape_of_a_crop_is_known_before_it_is_computed():
    tensor, reference = keras.Input((20, 30, 4), 2), keras.Input((None, 9, 3), 2)

    assert CropLike(1)([tensor, reference]).shape == (2, None, 9, 4)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_normalization_equals_keras_applications(mode):
    images = np.random.default_rng(0).integers(0, 256, size=(1, 5, 6, 3)).astype("uint8")

    ours = ImageNormalization(mode)(images)

    theirs = keras.applications.imagenet_utils.preprocess_input(
        images.astype("float32"), data_format="channels_last", mode=mode
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_normalization_with_a_mean_of_ones_own():
    # Red 10, green 20, blue 30 becomes blue - 1, green - 2, red - 3.
    images = np.array([10, 20, 30], "float32").reshape(1, 1, 1, 3)

    normalized = ImageNormalization("caffe", mean=(1, 2, 3))(images)

    assert np.asarray(normalized).ravel().tolist() == [29, 18, 7]


def test_bands_are_standardized_and_missing_ones_are_zero():
    images = np.random.default_rng(0).normal(300, 50, (2, 3, 4, 5)).astype("float32")
    mean, deviation = (100.0, 200, 300, 400, 500), (1.0, 2, 3, 4, 5)
    expected = (images - np.array(mean)) / np.array(deviation)
    images[0, 1, 2, 3] = np.nan
    expected[0, 1, 2, 3] = 0
    layer = ImageNormalization("standardize", mean, deviation=deviation)

    copy = ImageNormalization.from_config(layer.get_config())

    np.testing.assert_allclose(layer(images), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(copy(images), layer(images))
    with pytest.raises(ValueError, match="must have 5 channels"):
        layer.build((None, None, None, 4))
    for wrong in ((1.0,), (1.0, 1, 1, 1, 0)):
        with pytest.raises(ValueError, match='`mode="standardize"` takes a `mean`'):
            ImageNormalization("standardize", mean, deviation=wrong)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="`stride` must be at least 1. Received: stride=0"):
        PadToStride(0)
    with pytest.raises(ValueError, match="`offset` must not be negative. Received: offset=-1"):
        CropLike(-1)
    with pytest.raises(ValueError, match="`mode` must be .* Received: mode='rgb'"):
        ImageNormalization("rgb")
