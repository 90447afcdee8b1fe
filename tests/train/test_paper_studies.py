import keras
import numpy as np
import pytest
from keras import layers
from keras_fcn_train.studies import shift_and_stitch as dense
from keras_fcn_train.studies.label_downsampling import METHODS, upper_bounds

from keras_fcn import LabelSpec

SPEC = LabelSpec.numbered(3)
CENTRE, MAJORITY, BILINEAR = METHODS


def test_upper_bounds_by_hand():
    labels = np.array(
        [
            [0, 0, 1, 1],
            [0, 2, 1, 255],
        ],
        "uint8",
    )

    bounds = upper_bounds([labels], SPEC, [2])

    # Majority: 0 0 1 1 in both rows. Class 0: 3 of {0, 0, 0, 2}, class 1: 3 of 3, class 2: none.
    assert bounds[MAJORITY][2] == pytest.approx((3 / 4 + 1 + 0) / 3)
    # Centers, at row 1 and columns 1 and 3: 2, and ignored, for which 0 stands.
    # Class 0: none of 3 labeled and 3 predicted, class 1: none of 3, class 2: 1 of 4.
    assert bounds[CENTRE][2] == pytest.approx((0 + 0 + 1 / 4) / 3)
    # Interpolated, class 2 reaches all columns but the last, at -0.25, 0.25, 0.75 and 1.25 cells.
    # There is the ignored sample alone, so 0. Class 2: 1 of the 6 labeled pixels before.
    assert bounds[BILINEAR][2] == pytest.approx((0 + 0 + 1 / 6) / 3)


def test_every_label_alone_loses_nothing_and_coarser_ones_more():
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 3, (2, 6, 9)).astype("uint8")
    labels = coarse.repeat(10, axis=1).repeat(10, axis=2)

    bounds = upper_bounds(labels, SPEC, [1, 4, 32])

    for values in bounds.values():
        assert values[1] == 1
        assert 1 > values[4] > values[32] > 0


def test_factors_below_one_are_refused():
    with pytest.raises(ValueError, match="`factors` must be at least 1"):
        upper_bounds([], SPEC, [0])


def test_stitched_and_dilated_scores_are_the_networks_own_on_every_window():
    image = np.random.default_rng(0).integers(0, 256, (31, 26, 3)).astype("uint8")
    result = dense.compare(image, num_blocks=2)

    # Two blocks see 16 pixels: 2 * (2 + 2 + 1) more than 1 at strides 1 and 2.
    assert result.stitched.shape == result.spread.shape == (16, 11, 2)
    np.testing.assert_allclose(result.stitched, result.spread, atol=1e-5)
    np.testing.assert_array_equal(result.stitched[::4, ::4], result.coarse)
    network = keras.Sequential(dense._vgg(2, seed=0))
    window = image[None, 7:23, 5:21].astype("float32") / 255 - 0.5
    [[[scores]]] = keras.ops.convert_to_numpy(network(window))
    np.testing.assert_allclose(result.spread[7, 5], scores, atol=1e-5)


def test_layers_that_pad_cannot_be_dilated():
    with pytest.raises(ValueError, match="must not pad.*padding='same' of 'padded'"):
        dense.dilated([layers.MaxPooling2D(2, padding="same", name="padded")])


def test_images_without_a_score_for_every_shift_are_refused():
    with pytest.raises(ValueError, match="at least 24 rows and columns.*Received: 20x40"):
        dense.compare(np.zeros((20, 40, 3), "uint8"), num_blocks=2)
