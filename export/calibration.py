"""Images on which int8 conversion measures the range of every tensor."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

MIN_IMAGES = 100
# Squared differences of neighbors over twice the variance: 1 for independent pixels. Of 1,377
# CamVid and VOC images the roughest has 0.56, and half of them less than 0.05.
_MAX_ROUGHNESS = 0.7

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def check_calibration(images: Iterable[Any]) -> list[Pixels]:
    """Returns the images, after checking that they are sufficient and not noise.

    Ranges measured on noise or on a few images clip the values of real images
    inside the network, which shows only when the logits are compared.

    Args:
        images: RGB, uint8, shape `(height, width, 3)` each, of any sizes.

    Raises:
        ValueError: If there are fewer than 100 different images, one has another
            type or shape, or most look like noise.
    """
    checked = [_check_image(image, index) for index, image in enumerate(images)]
    num_different = len({(image.shape, image.tobytes()) for image in checked})
    if num_different < MIN_IMAGES:
        raise ValueError(
            f"int8 needs at least {MIN_IMAGES} different images for calibration, preferably "
            f"some hundreds from the training set. Received: {len(checked)} images, "
            f"{num_different} different ones."
        )
    roughness = float(np.median([_roughness(image) for image in checked]))
    if not roughness < _MAX_ROUGHNESS:
        raise ValueError(
            "The calibration images look like noise or are blank: neighboring pixels of real "
            "images are similar, and these differ as if drawn at random "
            f"({roughness:.2f} of the variance; real images stay below {_MAX_ROUGHNESS}). "
            "Pass images like those that the model was trained on."
        )
    return checked


def _check_image(image: Any, index: int) -> Pixels:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            "Calibration images must be uint8 RGB of shape (height, width, 3). Received at "
            f"position {index}: {image.dtype}, shape {image.shape}."
        )
    return image


def _roughness(image: Pixels) -> float:
    """Returns how much neighbors differ: 1 for independent pixels, NaN for a blank image."""
    values = image.astype("float64").mean(axis=-1)
    differences = np.concatenate([np.diff(values, axis=0).ravel(), np.diff(values, axis=1).ravel()])
    variance = values.var()
    if variance == 0 or differences.size == 0:
        return float("nan")
    return float((differences**2).mean() / (2 * variance))


def calibration_inputs(
    images: Iterable[Pixels], size: tuple[int, int] | None
) -> Iterator[dict[str, Any]]:
    """Yields the images in the form that the converter needs: float32, a batch of one, resized."""
    for index, pixels in enumerate(images):
        if size is not None:
            height, width = size
            resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(resized)
        batch = pixels[None].astype("float32")
        if index == 0:
            # The whole range occurs, so the input's scale is exactly 1 and its zero point 0.
            batch[0, 0, 0], batch[0, -1, -1] = 0, 255
        yield {"images": batch}
