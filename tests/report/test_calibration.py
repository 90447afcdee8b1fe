import numpy as np
import pytest
from keras_fcn_report.calibration import (
    calibration_counts,
    calibration_summary,
    expected_calibration_error,
)


def error_by_definition(confidences, is_right, num_bins=15):
    """Guo et al., equations 2 to 5, bin by bin."""
    error = 0.0
    for i in range(num_bins):
        inside = (confidences >= i / num_bins) & (confidences < (i + 1) / num_bins)
        if i == num_bins - 1:
            inside |= confidences == 1
        if inside.any():
            gap = abs(is_right[inside].mean() - confidences[inside].mean())
            error += inside.mean() * gap
    return error


def test_the_error_equals_its_definition():
    random = np.random.default_rng(0)
    confidences = random.uniform(0, 1, 5000).astype("float32")
    is_right = random.uniform(0, 1, 5000) < confidences**2

    error = expected_calibration_error(calibration_counts(confidences, is_right))

    assert error == pytest.approx(error_by_definition(confidences, is_right), rel=1e-6)
    # Where accuracy is c^2, the gap is c - c^2, on average 1/6.
    assert error == pytest.approx(1 / 6, abs=0.02)


def test_parts_add_up_to_the_whole():
    random = np.random.default_rng(1)
    confidences, is_right = random.uniform(0, 1, (40, 50)), random.integers(0, 2, (40, 50)) > 0

    parts = sum(calibration_counts(c, r) for c, r in zip(confidences, is_right, strict=True))

    whole = calibration_counts(confidences.ravel(), is_right.ravel())
    np.testing.assert_allclose(parts, whole)
    assert expected_calibration_error(np.stack([whole, whole])).shape == (2,)


def test_a_certain_network_falls_into_the_last_bin():
    summary = calibration_summary(calibration_counts(np.ones(4), np.array([True] * 3 + [False])))

    assert summary["bins"][-1]["num_pixels"] == 4
    assert (summary["mean_confidence"], summary["accuracy"], summary["ece"]) == (1, 0.75, 0.25)
    assert summary["bins"][0]["accuracy"] is None


def test_without_pixels_nothing_is_defined():
    summary = calibration_summary(calibration_counts(np.zeros(0), np.zeros(0, bool)))

    assert summary["ece"] is None and summary["mean_confidence"] is None
