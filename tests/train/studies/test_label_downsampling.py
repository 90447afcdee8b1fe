import numpy as np
import pytest
from keras_fcn_train.studies.label_downsampling import METHODS, upper_bounds

from keras_fcn import LabelSpec

SPEC = LabelSpec.numbered(3)
CENTER, MAJORITY, BILINEAR = METHODS


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
    assert bounds[CENTER][2] == pytest.approx((0 + 0 + 1 / 4) / 3)
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
