import keras
import numpy as np
import pytest
from keras import layers
from keras_fcn_train.studies import shift_and_stitch as dense


def test_stitched_and_dilated_logits_are_the_networks_own_on_every_window():
    image = np.random.default_rng(0).integers(0, 256, (31, 26, 3)).astype("uint8")
    result = dense.compare(image, num_blocks=2)

    # Two blocks see 16 pixels: 2 * (2 + 2 + 1) more than 1 at strides 1 and 2.
    assert result.stitched.shape == result.dilated.shape == (16, 11, 2)
    np.testing.assert_allclose(result.stitched, result.dilated, atol=1e-5)
    np.testing.assert_array_equal(result.stitched[::4, ::4], result.coarse)
    network = keras.Sequential(dense._vgg(2, seed=0))
    window = image[None, 7:23, 5:21].astype("float32") / 255 - 0.5
    [[[logits]]] = keras.ops.convert_to_numpy(network(window))
    np.testing.assert_allclose(result.dilated[7, 5], logits, atol=1e-5)


def test_layers_that_pad_cannot_be_dilated():
    with pytest.raises(ValueError, match="must not pad.*padding='same' of 'padded'"):
        dense.dilated([layers.MaxPooling2D(2, padding="same", name="padded")])


def test_images_without_a_logit_for_every_shift_are_refused():
    with pytest.raises(ValueError, match="at least 24 rows and columns.*Received: 20x40"):
        dense.compare(np.zeros((20, 40, 3), "uint8"), num_blocks=2)
