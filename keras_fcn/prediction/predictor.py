"""The interface to a trained network, whatever the format of its file."""

import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_fcn.data.resizing import Size, resized_images, resized_labels, resized_logits
from keras_fcn.files import disk_error, first_line
from keras_fcn.labels import Heads, Labels, LabelSpec
from keras_fcn.modalities import ImageReading, image_dtype

# One array per head.
Maps = dict[str, np.ndarray]
# What a network with a single head returns, and one with several.
Output = np.ndarray | dict[str, np.ndarray]

# What exported models call their outputs, after the prefix of the head (`Heads.prefix`), and a
# SavedModel the signature of the second.
PREDICTIONS = "predictions"
LOGITS = "logits"


class ImageSizeError(ValueError):
    """An image has a size that a network does not take."""


@dataclass(frozen=True)
class ServingOptions:
    """What is part of an exported model besides the network.

    Args:
        size: Height and width to which the model resizes images; None if it does not.
        flip: Whether the logits are averaged with those of the mirrored image.
        confidence: Whether the model returns the probability of each prediction, too.
        probabilities: Whether it returns probabilities in place of logits.
        max_pixels: Largest height x width of an image that it takes, after the padding that
            follows; None for any.
        precision: Of weights and features.
        stride: Height and width are padded to multiples of it.
        border: Pixels that are padded on each side.
    """

    size: Size | None = None
    flip: bool = False
    confidence: bool = False
    probabilities: bool = False
    max_pixels: int | None = None
    precision: str = "float32"
    stride: int = 1
    border: int = 0

    def padded(self, side: Any) -> Any:
        """Returns the height or width that the network runs for one of an image.

        >>> ServingOptions(stride=32).padded(33)
        64
        """
        return -(-side // self.stride) * self.stride + 2 * self.border

    @classmethod
    def from_json(cls, text: str) -> "ServingOptions":
        """Returns the options in the text of `serving.json`; those it does not name are off."""
        values = json.loads(text)
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        if known.get("size"):
            known["size"] = tuple(known["size"])
        return cls(**known)


class Predictor(ABC):
    """A trained network: images in, predictions or logits out.

    It may be called from several threads at once.

    Args:
        path: The file or folder it was opened from; None for a model in memory.
        labels: What the predictions mean: a `LabelSpec`, or one per named head.
        input_shape: Height, width (None if they may vary) and channels of the images.
        modalities: Names of the images (see `keras_fcn.modalities`), in their order along the
            channels.
        image_reading: How image files are read for it, as `ImageReading.to_dict` returns it; by
            default as RGB, or with as many bands as it has channels.

    Attributes:
        format: `"keras"`, `"savedmodel"`, `"tflite"` or `"onnx"`.
        runtime: What runs the network, for tables: `"TFLite, XNNPACK"`.
        path: As above.
        heads: The classes of each head; see `keras_fcn.labels.Heads`.
        fixed_size: `(height, width)` if the network takes no other; images are then resized
            to it bilinearly, and their predictions back by nearest neighbor. Else None.
        network_size: `(height, width)` if images of every size are resized to one, here or, as a
            SavedModel can do, inside. Else None.
        num_channels: Channels of the images: 3, unless the network takes more than RGB.
        modalities: As above; empty for RGB, and where the file does not name them.
        image_reading: An `ImageReading`.
        options: What a SavedModel does besides running the network.
    """

    format: str
    runtime: str
    options = ServingOptions()

    def __init__(
        self,
        path: Path | None,
        labels: LabelSpec | Mapping[str, LabelSpec],
        input_shape: tuple[int | None, int | None, int],
        modalities: Sequence[str] = (),
        image_reading: Mapping[str, Any] | None = None,
    ) -> None:
        height, width, self.num_channels = input_shape
        self.path = path
        self.heads = Heads(labels)
        self.modalities = tuple(modalities)
        self.image_reading = ImageReading.from_dict(
            image_reading or {}, 3 if modalities else self.num_channels or 3
        )
        self.fixed_size: Size | None = (height, width) if height and width else None
        self.network_size = self.fixed_size

    @property
    def labels(self) -> Labels:
        """What the predictions mean: a `LabelSpec`, or a dictionary of them by head."""
        return self.heads.labels

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the metrics or predictions of this network."""
        if self.network_size is None:
            return ()
        height, width = self.network_size
        return (
            f"Fixed input of {height}x{width}: images of other sizes are resized to it, "
            "predictions back by nearest.",
        )

    @property
    def has_logits(self) -> bool:
        """Whether `logits` returns anything: an exported model may return predictions only."""
        return True

    @property
    def origin(self) -> Mapping[str, Any]:
        """What the file states about the training of the network; empty if it states nothing."""
        return {}

    @property
    def reach(self) -> int | None:
        """How many pixels away an image still changes logits; None if that is not known."""
        return None

    def predict(self, images: np.ndarray) -> Output:
        """Returns the most likely class of each pixel.

        Args:
            images: RGB, uint8, shape `(batch, height, width, 3)`; float32 for a network that
                takes another number of channels.

        Returns:
            Predictions, uint8, shape `(batch, height, width)`; a dictionary of them by head for
            a network with several heads.

        Raises:
            ImageSizeError: If the images are larger than a SavedModel's limit.
        """
        return self.heads.unwrapped(self.predictions_by_head(images))

    def logits(self, images: np.ndarray) -> Output:
        """Returns the logits of each class at each pixel.

        Args:
            images: RGB, uint8, shape `(batch, height, width, 3)`; float32 for a network that
                takes another number of channels.

        Returns:
            Logits, float32, shape `(batch, height, width, num_classes)`; a dictionary of them
            by head for a network with several heads.

        Raises:
            ValueError: If the exported model returns predictions only.
            ImageSizeError: If the images are larger than a SavedModel's limit.
        """
        return self.heads.unwrapped(self.logits_by_head(images))

    def predictions_by_head(self, images: np.ndarray) -> Maps:
        """Returns what `predict` does, as a dictionary by head for every network."""
        return self._at_its_size(images, self._predictions, resized_labels)

    def logits_by_head(self, images: np.ndarray) -> Maps:
        """Returns what `logits` does, as a dictionary by head for every network."""
        return self._at_its_size(images, self._logits, resized_logits)

    def predictions_and_confidences(self, images: np.ndarray) -> tuple[Maps, Maps]:
        """Returns predictions and their probabilities, by head, of one run of the network.

        The predictions are those of `predictions_by_head`. A probability is the softmax of the
        logits at the predicted class: float32, of the shape of the predictions.

        Raises:
            ValueError: If the exported model returns predictions only.
            ImageSizeError: If the images are larger than a SavedModel's limit.
        """
        images = self._checked(images)
        size = images.shape[1:3]
        if self.fixed_size is None or self.fixed_size == size:
            return self._predictions_and_confidences(images)
        outputs = self._predictions_and_confidences(resized_images(images, self.fixed_size))
        # By nearest neighbor both, so that each probability stays with its prediction.
        predictions, confidences = (
            {head: resized_labels(maps, size) for head, maps in of_kind.items()}
            for of_kind in outputs
        )
        return predictions, confidences

    @abstractmethod
    def _predictions(self, images: np.ndarray) -> Maps:
        """Returns the predictions by head for images of a size that the network takes."""

    @abstractmethod
    def _logits(self, images: np.ndarray) -> Maps:
        """Returns the logits by head for images of a size that the network takes."""

    def _predictions_and_confidences(self, images: np.ndarray) -> tuple[Maps, Maps]:
        """Returns both by head for images of a size that the network takes."""
        predictions, confidences = {}, {}
        for head, logits in self._logits(images).items():
            predictions[head] = highest_class(logits)
            confidences[head] = self._confidence(logits)
        return predictions, confidences

    def _confidence(self, logits: np.ndarray) -> np.ndarray:
        """Returns the highest probability of each pixel, shape `(batch, height, width)`."""
        return logits.max(-1) if self.options.probabilities else highest_probability(logits)

    def _at_its_size(
        self,
        images: np.ndarray,
        run: Callable[[np.ndarray], Maps],
        resized: Callable[[np.ndarray, Size], np.ndarray],
    ) -> Maps:
        """Runs the network on images of a size that it takes, and resizes its output back."""
        images = self._checked(images)
        size = images.shape[1:3]
        if self.fixed_size is None or self.fixed_size == size:
            return run(images)
        outputs = run(resized_images(images, self.fixed_size))
        return {head: resized(maps, size) for head, maps in outputs.items()}

    def _checked(self, images: np.ndarray) -> np.ndarray:
        images = np.asarray(images)
        dtype = image_dtype(self.num_channels)
        expected = f"{dtype} RGB" if self.num_channels == 3 else dtype
        if images.ndim != 4 or images.shape[3] != self.num_channels or images.dtype != dtype:
            raise ValueError(
                f"`images` must be {expected} of shape (batch, height, width, "
                f"{self.num_channels}). Received: shape {images.shape}, dtype {images.dtype}."
            )
        return images


def highest_class(logits: np.ndarray) -> np.ndarray:
    """Returns the class with the highest logit, uint8, shape `(batch, height, width)`.

    >>> highest_class(np.array([[[[1.0, 3.0, 2.0]]]])).tolist()
    [[[1]]]
    """
    return logits.argmax(-1).astype("uint8")


def highest_probability(logits: np.ndarray) -> np.ndarray:
    """Returns the highest softmax of each pixel, float32, shape `(batch, height, width)`.

    >>> highest_probability(np.log([[[[1.0, 3.0]]]])).tolist()
    [[[0.75]]]
    """
    probabilities = np.empty(logits.shape[:3], "float32")
    # Strips of rows, so that the copies are small; classes first, which takes a third of the time.
    num_rows = max(1, 2**18 // logits.shape[2])
    for image, result in zip(logits, probabilities, strict=True):
        for top in range(0, len(image), num_rows):
            planes = np.moveaxis(image[top : top + num_rows], -1, 0).astype("float32", order="C")
            planes -= planes.max(0)
            np.exp(planes, out=planes)
            result[top : top + num_rows] = 1 / planes.sum(0)
    return probabilities


def damaged(path: Path, kind: str, error: Exception) -> Exception:
    """Returns the error for a file that cannot be opened, with the first line of its cause."""
    if isinstance(error, MemoryError):
        return error
    if (code := disk_error(error)) is not None:  # archives are unpacked there
        return OSError(code, os.strerror(code), tempfile.gettempdir())
    return ValueError(
        f"{path} cannot be read as {kind}: it is damaged, or another program wrote it. "
        f"({first_line(error).rstrip('.')[:300]}.)"
    )


def without_logits(path: Any) -> ValueError:
    """Returns the error for logits that an exported model does not contain."""
    return ValueError(
        f"{path} returns predictions only. For logits export it again with "
        "`keras-fcn export --output-type logits`."
    )
