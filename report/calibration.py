"""Whether the probabilities of a network agree with how often it is right."""

from typing import Any

import numpy as np
import numpy.typing as npt

# Bins of equal width, as in Guo et al.
NUM_BINS = 15

Array = npt.NDArray[np.float64]


def calibration_counts(confidences: np.ndarray, is_right: np.ndarray) -> Array:
    """Returns the pixels by confidence: their number, the right ones, the sum of confidences.

    Args:
        confidences: Probabilities of the predictions, any shape.
        is_right: Whether each prediction is the label, same shape.

    Returns:
        Shape `(3, NUM_BINS)`.

    Example:
        >>> counts = calibration_counts(np.array([0.55, 0.6, 0.99]), np.array([True, False, True]))
        >>> counts[:2, [8, 9, 14]].tolist()
        [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]
    """
    confidences = np.nan_to_num(confidences)
    bins = np.minimum((confidences * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    weights = (None, is_right, confidences)
    return np.stack([np.bincount(bins, of, NUM_BINS).astype(np.float64) for of in weights])


def expected_calibration_error(counts: Array) -> Array:
    """Returns the mean distance of confidence and accuracy over the bins, weighted by pixels.

    Args:
        counts: Those of `calibration_counts`, shape `(..., 3, NUM_BINS)`.

    Returns:
        Shape `(...)`; NaN without pixels.

    Reference:
        Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    pixels, right, confidence = np.moveaxis(counts, -2, 0)
    total = pixels.sum(-1)
    distance = np.abs(right - confidence).sum(-1)
    return np.where(total > 0, distance / np.maximum(total, 1), np.nan)


def calibration_summary(counts: Array) -> dict[str, Any]:
    """Returns ECE, means and bins as plain values; None for undefined ones."""
    pixels, right, confidence = counts
    total = pixels.sum()
    bins = [
        {
            "from": i / NUM_BINS,
            "to": (i + 1) / NUM_BINS,
            "num_pixels": int(pixels[i]),
            "confidence": float(confidence[i] / pixels[i]) if pixels[i] else None,
            "accuracy": float(right[i] / pixels[i]) if pixels[i] else None,
        }
        for i in range(NUM_BINS)
    ]
    return {
        "ece": float(expected_calibration_error(counts)) if total else None,
        "mean_confidence": float(confidence.sum() / total) if total else None,
        "accuracy": float(right.sum() / total) if total else None,
        "bins": bins,
    }
