"""Label maps in MATLAB files."""

from pathlib import Path

import numpy as np


def read_mat_labels(path: Path, variable: str) -> np.ndarray:
    """Reads a label map that is a variable of a `.mat` file.

    Args:
        path: A file as MATLAB's `save` writes it by default (up to version 7).
        variable: Its name, such as `LabelMap`.

    Returns:
        int64, shape `(height, width)`, the numbers as they are in the file.

    Raises:
        ValueError: If the file is damaged or has no such map. The message names the file.
    """
    from scipy.io import loadmat

    try:
        numbers = loadmat(path, variable_names=[variable])[variable]
    except Exception as error:  # SciPy raises whatever the damage leads it to
        raise ValueError(
            f"{path}: not a MATLAB file with the label map {variable!r} ({error})."
        ) from error
    if numbers.ndim != 2 or numbers.dtype.kind not in "uif":
        raise ValueError(
            f"{path}: {variable!r} must be a label map (height, width). Received: shape "
            f"{numbers.shape}, dtype {numbers.dtype}."
        )
    return numbers.astype(np.int64)


def from_one(numbers: np.ndarray, path: Path) -> np.ndarray:
    """Returns labels from 0 of numbers from 1; 0 and -1, which stand for void, become 255.

    Raises:
        ValueError: If a number is no label of 8 bits. The message names the file.
    """
    if numbers.min(initial=0) < -1 or numbers.max(initial=0) > 255:
        raise ValueError(
            f"{path}: labels must lie in [-1, 255]. Received: {numbers.min()} to {numbers.max()}."
        )
    return np.where(numbers < 1, 255, numbers - 1).astype(np.uint8)
