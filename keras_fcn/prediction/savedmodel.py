"""Prediction by a SavedModel."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from keras_fcn.labels import Heads
from keras_fcn.modalities import MODALITIES_FILE, READING_FILE
from keras_fcn.prediction.checksum import check
from keras_fcn.prediction.predictor import (
    LOGITS,
    PREDICTIONS,
    ImageSizeError,
    Maps,
    Predictor,
    ServingOptions,
    damaged,
)

_SIGNATURES = {PREDICTIONS: "serving_default", LOGITS: LOGITS}
_ENCODED = "encoded"
_MASK = "mask_png_bytes"


class SavedModelPredictor(Predictor):
    """Prediction by a SavedModel that `keras_fcn_export` wrote; Keras does not run in it.

    Args:
        path: The folder that contains `saved_model.pb`, or the folder of numbered versions, of
            which the highest is opened.

    Raises:
        ValueError: If the folder is damaged (see `keras_fcn.prediction.checksum`), or another
            program wrote it.
    """

    format = "savedmodel"
    runtime = "TensorFlow"

    def __init__(self, path: Path) -> None:
        import tensorflow as tf

        path = _version_in(path)
        assets = path / "assets"
        if not (assets / "labels.json").is_file():
            raise ValueError(
                f"{path} must contain assets/labels.json, the classes of the network. It is "
                "missing: this SavedModel was not written by `keras-fcn export`."
            )
        check(path)
        try:
            heads = Heads.from_json(_text(assets / "labels.json"))
            modalities = json.loads(_text(assets / MODALITIES_FILE) or "[]")
            reading = json.loads(_text(assets / READING_FILE) or "{}")
            self.options = ServingOptions.from_json(_text(assets / "serving.json") or "{}")
            # The object that was loaded must live as long as its functions.
            self._loaded = tf.saved_model.load(str(path))
            self._signatures = {
                output: self._loaded.signatures[name] for output, name in _SIGNATURES.items()
            }
        except Exception as error:
            raise damaged(path, "a SavedModel", error) from error
        given = self._signatures[PREDICTIONS].structured_input_signature[1]["images"]
        super().__init__(
            path,
            heads,
            tuple(given.shape[1:]),
            modalities,
            reading,
        )
        self.network_size = self.options.size or self.fixed_size

    @property
    def has_encoded(self) -> bool:
        """Whether `encoded` returns anything: not of a network for other images than RGB."""
        return _ENCODED in self._loaded.signatures

    def encoded(self, image_bytes: bytes) -> dict[str, np.ndarray]:
        """Returns the predictions of each head for an image file, by the signature `encoded`.

        Args:
            image_bytes: A JPEG or PNG file. Its EXIF orientation is not applied.

        Returns:
            Predictions by head, uint8, shape `(height, width)`.

        Raises:
            tf.errors.InvalidArgumentError: If the file is neither, is damaged or too large.
        """
        import tensorflow as tf

        outputs = self._loaded.signatures[_ENCODED](image_bytes=tf.constant([image_bytes]))
        masks = {head: outputs[self.heads.prefix(head) + _MASK][0].numpy() for head in self.heads}
        # A palette PNG, whose pixels are the predictions.
        return {head: np.asarray(Image.open(BytesIO(mask))) for head, mask in masks.items()}

    def check_size(self, height: int, width: int) -> None:
        """Raises ImageSizeError if an image is larger than the model takes."""
        limit, padded = self.options.max_pixels, self.options.padded
        if limit and padded(height) * padded(width) > limit:
            larger = (padded(height), padded(width)) != (height, width)
            pads = f", which the network pads to {padded(height)}x{padded(width)}" * larger
            raise ImageSizeError(
                f"{self.path} takes images of up to {limit} pixels. Received: {height}x{width}"
                f"{pads}. Run it in "
                "tiles (`--tile`), or export it again with a larger --max-pixels."
            )

    def _predictions(self, images: np.ndarray) -> Maps:
        return self._outputs(PREDICTIONS, images)

    def _logits(self, images: np.ndarray) -> Maps:
        return self._outputs(LOGITS, images)

    def _outputs(self, output: str, images: np.ndarray) -> Maps:
        import tensorflow as tf

        self.check_size(*images.shape[1:3])
        outputs = self._signatures[output](images=tf.constant(images))
        return {head: outputs[self.heads.prefix(head) + output].numpy() for head in self.heads}


def _version_in(path: Path) -> Path:
    """Returns the folder with `saved_model.pb`: `path` or its highest version."""
    if (path / "saved_model.pb").is_file():
        return path
    versions = [
        folder
        for folder in path.iterdir()
        if folder.name.isdecimal() and (folder / "saved_model.pb").is_file()
    ]
    if versions:
        return max(versions, key=lambda folder: int(folder.name))
    hint = (
        " The folder contains best.keras: give that file." if (path / "best.keras").exists() else ""
    )
    raise ValueError(
        f"{path} must be the folder of a SavedModel, with saved_model.pb in it or in a numbered "
        f"folder below.{hint}"
    )


def _text(file: Path) -> str:
    """Returns the text of a file, empty if there is none."""
    return file.read_text(encoding="utf-8") if file.is_file() else ""
