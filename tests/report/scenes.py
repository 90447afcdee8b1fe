"""Label maps and predictions with regions of many sizes, ignored pixels included."""

import numpy as np
from PIL import Image


def scene(seed: int, size: tuple[int, int], num_classes: int, *, ignored: bool = True):
    """Returns labels and predictions, uint8: blobs, some ignored, and blobs that are wrong.

    The blobs of large maps are larger, so that there are pixels far from any boundary.
    """
    random = np.random.default_rng(seed)
    scale = 1 + min(size) // 60

    def blobs(count, cell):
        cell *= scale
        coarse = random.integers(0, count, (size[0] // cell + 2, size[1] // cell + 2))
        image = Image.fromarray(coarse.astype("uint8"))
        large = image.resize((size[1] + cell, size[0] + cell), Image.Resampling.NEAREST)
        top, left = random.integers(0, cell, 2)
        return np.asarray(large)[top : top + size[0], left : left + size[1]]

    labels = blobs(num_classes, 9)
    details = blobs(30, 3)
    labels = np.where(details == 29, (labels + 1) % num_classes, labels)
    wrong = blobs(5, 7) == 4
    predictions = np.where(wrong, blobs(num_classes, 5), labels)
    if ignored:
        labels = np.where(blobs(12, 6) == 11, 255, labels)
    return labels.astype("uint8"), predictions.astype("uint8")
