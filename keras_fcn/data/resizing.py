"""Resizing of batches of images, labels and logits by Pillow."""

import numpy as np
from PIL import Image

Size = tuple[int, int]


def resized_images(images: np.ndarray, size: Size) -> np.ndarray:
    """Returns images, shape `(batch, height, width, channels)`, at another size, bilinearly.

    >>> resized_images(np.zeros((1, 4, 6, 3), "uint8"), (2, 3)).shape
    (1, 2, 3, 3)
    """
    if images.dtype != np.uint8:
        return resized_logits(images, size)  # Pillow resizes no floating-point colors
    return np.stack([_resized(image, size, Image.Resampling.BILINEAR) for image in images])


def resized_labels(labels: np.ndarray, size: Size) -> np.ndarray:
    """Returns labels, uint8, shape `(batch, height, width)`, at another size, by nearest.

    >>> resized_labels(np.array([[[1, 2]]], "uint8"), (2, 4)).tolist()
    [[[1, 1, 2, 2], [1, 1, 2, 2]]]
    """
    return np.stack([_resized(map_, size, Image.Resampling.NEAREST) for map_ in labels])


def resized_logits(logits: np.ndarray, size: Size) -> np.ndarray:
    """Returns logits at another size, bilinearly, each class on its own.

    Args:
        logits: float32, shape `(batch, height, width, num_classes)`.
        size: Height and width of the result.

    >>> resized_logits(np.ones((1, 2, 2, 5), "float32"), (4, 3)).shape
    (1, 4, 3, 5)
    """

    def resized(plane: np.ndarray) -> np.ndarray:
        return _resized(plane, size, Image.Resampling.BILINEAR)

    return np.stack([np.stack([*map(resized, np.moveaxis(s, -1, 0))], axis=-1) for s in logits])


def _resized(array: np.ndarray, size: Size, method: Image.Resampling) -> np.ndarray:
    height, width = size
    image = Image.fromarray(np.ascontiguousarray(array))
    return np.asarray(image.resize((width, height), method))
