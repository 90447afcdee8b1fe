"""Test-time augmentation: logits averaged over mirrored and resized images."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_fcn.data.resizing import Size, resized_images, resized_logits
from keras_fcn.prediction.predictor import Maps, Predictor, highest_class


class AveragedPredictor(Predictor):
    """Prediction by the mean of the logits of an image at several scales, and mirrored.

    The time grows with the square of each scale, and doubles with the mirrored image.

    Args:
        predictor: The network. It must return logits.
        flip: Whether to add the mirrored image.
        scales: Factors on height and width at which the network sees the image. Images are
            resized bilinearly, and so are the logits, back to the image's size.

    Raises:
        ValueError: If a scale is out of range, or the network takes one size only; from
            `predict` and `logits` if the network returns predictions only.

    Example:
        >>> import keras
        >>> from keras_fcn.prediction import KerasPredictor
        >>> images = keras.Input((None, None, 3))
        >>> values = KerasPredictor(keras.Model(images, keras.layers.Rescaling(1.0)(images)))
        >>> image = np.zeros((1, 2, 2, 3), "uint8")
        >>> AveragedPredictor(values, flip=True, scales=(1.0, 2.0)).logits(image).shape
        (1, 2, 2, 3)
    """

    def __init__(
        self, predictor: Predictor, *, flip: bool = False, scales: Sequence[float] = (1.0,)
    ) -> None:
        size: tuple[int | None, int | None] = predictor.fixed_size or (None, None)
        super().__init__(
            predictor.path,
            predictor.heads,
            (*size, predictor.num_channels),
            predictor.modalities,
            predictor.image_reading.to_dict(),
        )
        self.format, self.runtime = predictor.format, predictor.runtime
        self.options = predictor.options
        self.flip = flip
        self.scales = _checked_scales(scales, predictor.network_size)
        self.network_size = predictor.network_size
        self._predictor = predictor

    @property
    def notes(self) -> tuple[str, ...]:
        variants = ["the mirrored image"] if self.flip else []
        if self.scales != (1.0,):
            variants.append("scales " + ", ".join(f"{scale:g}" for scale in self.scales))
        return (
            *self._predictor.notes,
            f"Test-time augmentation: logits averaged with {' and '.join(variants) or 'none'}.",
        )

    @property
    def has_logits(self) -> bool:
        return self._predictor.has_logits

    @property
    def origin(self) -> Mapping[str, Any]:
        return self._predictor.origin

    def _predictions(self, images: np.ndarray) -> Maps:
        return {head: highest_class(logits) for head, logits in self._logits(images).items()}

    def _logits(self, images: np.ndarray) -> Maps:
        size = images.shape[1:3]
        sums = {
            head: np.zeros((*images.shape[:3], spec.num_classes), "float32")
            for head, spec in self.heads.items()
        }
        for scale in self.scales:
            scaled = _scaled(images, scale)
            for step in (1, -1)[: 1 + self.flip]:
                mirrored = np.ascontiguousarray(scaled[:, :, ::step])
                for head, logits in self._predictor.logits_by_head(mirrored).items():
                    sums[head] += _at_size(logits[:, :, ::step], size)
        count = np.float32(len(self.scales) * (1 + self.flip))
        return {head: total / count for head, total in sums.items()}


def _scaled(images: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(1, round(scale * length)) for length in images.shape[1:3])
    return images if scale == 1 else resized_images(images, (height, width))


def _at_size(logits: np.ndarray, size: Size) -> np.ndarray:
    return logits if logits.shape[1:3] == size else resized_logits(logits, size)


def _checked_scales(scales: Sequence[float], fixed_size: Size | None) -> tuple[float, ...]:
    scales = tuple(float(scale) for scale in scales)
    if not scales or not all(math.isfinite(scale) and 0 < scale <= 4 for scale in scales):
        raise ValueError(
            "`scales` must be at least one number above 0 and up to 4, such as 0.75, 1 and 1.25. "
            f"Received: {', '.join(f'{scale:g}' for scale in scales) or 'none'}."
        )
    if fixed_size is not None and scales != (1.0,):
        raise ValueError(
            f"The network takes images of {fixed_size[0]}x{fixed_size[1]} only, so that scales "
            "make no difference. Leave them out, or export it for every size."
        )
    return scales
