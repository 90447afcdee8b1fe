import keras
import numpy as np
import pytest

from keras_fcn.prediction import AveragedPredictor, KerasPredictor


def predictor_of(*layers: keras.layers.Layer, size=(None, None)) -> KerasPredictor:
    inputs = keras.Input((*size, 3))
    return KerasPredictor(keras.Model(inputs, keras.Sequential(list(layers))(inputs)))


def shift_to_the_right() -> keras.layers.Layer:
    """The logits of a pixel are the values of its left neighbor."""
    layer = keras.layers.DepthwiseConv2D((1, 3), padding="same", use_bias=False)
    layer.build((None, None, None, 3))
    layer.set_weights([np.array([1, 0, 0], "f").reshape(1, 3, 1, 1) * np.ones((1, 1, 3, 1), "f")])
    return layer


def test_the_mirrored_image_is_mirrored_back():
    image = np.array([[[[9, 0, 0], [0, 3, 0], [0, 0, 6]]]], "uint8")

    logits = AveragedPredictor(predictor_of(shift_to_the_right()), flip=True).logits(image)

    # The mean of the left and the right neighbor, zero beyond the border.
    expected = [[0, 1.5, 0], [4.5, 0, 3], [0, 1.5, 0]]
    np.testing.assert_allclose(logits[0, 0], expected)


def test_logits_at_other_scales_come_back_to_their_place():
    image = np.zeros((1, 40, 64, 3), "uint8")
    image[:, :, :32, 1] = 200
    image[:, :, 32:, 2] = 100
    averaged = AveragedPredictor(
        predictor_of(keras.layers.Rescaling(1.0)), flip=True, scales=(0.5, 1, 1.25)
    )

    logits = averaged.logits(image)

    np.testing.assert_array_equal(averaged.predict(image), image.argmax(-1))
    # Away from the edge in the middle every scale shows the same.
    np.testing.assert_allclose(logits[:, :, :28], image[:, :, :28].astype("f"), atol=1e-3)
    np.testing.assert_allclose(logits[:, :, 36:], image[:, :, 36:].astype("f"), atol=1e-3)
    assert averaged.notes[-1].endswith("the mirrored image and scales 0.5, 1, 1.25.")


def test_each_scale_counts_alike():
    # The logits are the width that the network sees.
    class Width(keras.layers.Layer):
        def call(self, inputs):
            return 0 * inputs + keras.ops.cast(keras.ops.shape(inputs)[2], "float32")

    averaged = AveragedPredictor(predictor_of(Width()), scales=(0.5, 1, 3))

    logits = averaged.logits(np.zeros((1, 5, 10, 3), "uint8"))

    np.testing.assert_allclose(logits, np.full((1, 5, 10, 3), (5 + 10 + 30) / 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("scale", "size"),
    # 0.3 and 0.7; 1.5 and 3.5, rounded to even.
    [(0.1, (1, 1)), (0.5, (2, 4)), (1, (3, 7)), (4, (12, 28))],
)
def test_scaled_images_have_the_nearest_size_and_at_least_a_pixel(scale, size):
    # The logits are the height and the width that the network sees, and 9.
    class Size(keras.layers.Layer):
        def call(self, inputs):
            height, width = keras.ops.shape(inputs)[1:3]
            return 0 * inputs + keras.ops.cast(keras.ops.stack([height, width, 9]), "float32")

        def compute_output_shape(self, input_shape):
            return input_shape

    averaged = AveragedPredictor(predictor_of(Size()), scales=(scale,))

    logits = averaged.logits(np.zeros((1, 3, 7, 3), "uint8"))

    np.testing.assert_allclose(logits, np.broadcast_to([*size, 9], (1, 3, 7, 3)), rtol=1e-6)
    if scale == 1:
        assert averaged.notes[-1].endswith("averaged with none.")
    else:
        assert averaged.notes[-1].endswith(f"averaged with scales {scale}.")


def test_one_size_can_be_mirrored_but_not_scaled():
    fixed = predictor_of(shift_to_the_right(), size=(4, 6))
    images = np.zeros((1, 8, 12, 3), "uint8")

    assert AveragedPredictor(fixed, flip=True).logits(images).shape == (1, 8, 12, 3)
    with pytest.raises(ValueError, match="images of 4x6 only"):
        AveragedPredictor(fixed, scales=(0.5, 1))


@pytest.mark.parametrize("scales", [(), (0.0, 1.0), (float("nan"),), (9.0,)])
def test_scales_must_be_usable(scales):
    with pytest.raises(ValueError, match="`scales` must be at least one number above 0"):
        AveragedPredictor(predictor_of(keras.layers.Rescaling(1.0)), scales=scales)
