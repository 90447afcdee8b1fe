"""SavedModels for TensorFlow Serving."""

import json
from dataclasses import asdict
from pathlib import Path

import keras
import tensorflow as tf

from keras_fcn.files import move, temporary_folder
from keras_fcn.modalities import MODALITIES_FILE, READING_FILE
from keras_fcn.models.optimize import Precision, with_precision
from keras_fcn.prediction import ServingOptions
from keras_fcn.prediction.checksum import sign
from keras_fcn.prediction.graph import NetworkGraph
from keras_fcn.prediction.keras_model import heads_of, image_reading_of
from keras_fcn.weights.finite import check_finite

from .model_info import (
    Size,
    image_dtype,
    modalities_of,
    network_size,
    num_channels,
    padding,
    reading_of,
)
from .signatures import (
    MAX_PIXELS,
    encoded_function,
    logits_function,
    predictions_function,
)
from .warmup import write_warmup_requests


def export_savedmodel(
    model: keras.Model,
    path: str | Path,
    *,
    version: int | None = None,
    size: Size | None = None,
    flip: bool = False,
    confidence: bool = False,
    probabilities: bool = False,
    max_pixels: int = MAX_PIXELS,
    precision: Precision = "float32",
) -> Path:
    """Writes a model to `path/VERSION/`, the folder that TensorFlow Serving loads.

    The folder appears under its number only when it is complete, so a server that watches `path`
    never loads an incomplete model. It has three signatures, which take images of any size:

    * `serving_default`: `images`, uint8 RGB `(batch, height, width, 3)` ->
      `predictions`, uint8 `(batch, height, width)`, and `confidence` on request;
    * `logits`: `images` -> `logits`, float32 `(batch, height, width, num_classes)`;
    * `encoded`: `image_bytes`, `(batch,)` JPEG or PNG files of any sizes ->
      `mask_png_bytes`, `(batch,)` palette PNGs, each of its image's size, and
      `confidence_png_bytes` on request (gray, 255 for certainty).

    A model with several heads has each output once per head: `semantic_predictions`, ...
    A model for another number of channels than 3 takes them as float32, and has no
    `encoded`; nor has one for RGB of which a range of values becomes 0..255. The folder also
    contains the classes in `assets/labels.json`, the modalities that the model names in
    `assets/modalities.json`, how image files are read, if not by default, in
    `assets/images.json`, these options in `assets/serving.json`, the SHA-256 of each file in
    `assets/sha256.json`, and in `assets.extra` requests for the warm-up of the server.

    Args:
        model: Takes RGB 0..255 and returns logits, as `keras_fcn.FCN` does.
        path: Folder of the model's versions; created if missing.
        version: Number of the version, by default the next free one.
        size: Height and width that the network sees, to give all images one size:
            images are resized to it, predictions back by nearest neighbor.
        flip: Whether to average the logits with those of the mirrored image,
            which doubles the time.
        confidence: Whether to output the probability of each predicted class, too.
        probabilities: Whether the signature `logits` returns probabilities instead.
        max_pixels: Largest height x width of an image, after the padding to what the network
            runs; larger ones are refused. So many pixels are run at once: larger batches in parts.
        precision: `"bfloat16"` stores the weights in bfloat16, in half the space, and
            computes the features in it, which is fast on processors with bfloat16 instructions;
            logits stay float32. `"float32"` keeps the model's own precision.

    Returns:
        The folder of the version.

    Raises:
        ValueError: If an argument is out of range, a weight is NaN or infinite, or `path` is
            itself a SavedModel.
        FileExistsError: If the version exists already.
    """
    if max_pixels < 1:
        raise ValueError(f"`max_pixels` must be at least 1. Received: max_pixels={max_pixels}.")
    check_finite(model, f"The model {model.name!r} to export")
    size = network_size(model, size)
    # A network that sees one size only pads nothing else.
    stride, border = (1, 0) if size else padding(model)
    options = ServingOptions(
        size, flip, confidence, probabilities, max_pixels, precision, stride, border
    )
    if precision != "float32":
        model = with_precision(model, precision)
    path = Path(path)
    _check_path(path, version)
    # TensorFlow Serving ignores names that are not numbers.
    with temporary_folder(path) as folder:
        temporary = folder / "savedmodel"
        _write(model, temporary, options)
        return _move_to_version(temporary, path, version)


def _write(model: keras.Model, folder: Path, options: ServingOptions) -> None:
    shape = (None, None, None, num_channels(model))
    images = [tf.TensorSpec(shape, image_dtype(model), name="images")]
    image_bytes = [tf.TensorSpec((None,), tf.string, name="image_bytes")]
    heads = heads_of(model)
    # One function for all signatures, so that the file contains the weights once.
    seen = tf.TensorSpec(
        (None, *(options.size or (None, None)), num_channels(model)), name="images"
    )
    network = NetworkGraph(model, heads, seen)
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serving_default", predictions_function(network, options), images)
    archive.add_endpoint("logits", logits_function(network, options), images)
    # Image files contain three channels, and `encoded` takes the upper 8 bits of 16.
    has_encoded = num_channels(model) == 3 and image_reading_of(model).value_range is None
    if has_encoded:
        archive.add_endpoint("encoded", encoded_function(network, options), image_bytes)
    archive.write_out(str(folder), verbose=False)
    assets = folder / "assets"
    assets.mkdir(exist_ok=True)
    (assets / "labels.json").write_text(heads.to_json(), encoding="utf-8")
    if modalities := modalities_of(model):
        (assets / MODALITIES_FILE).write_text(json.dumps(modalities), encoding="utf-8")
    if reading := reading_of(model):
        (assets / READING_FILE).write_text(reading, encoding="utf-8")
    (assets / "serving.json").write_text(json.dumps(asdict(options), indent=1), encoding="utf-8")
    write_warmup_requests(folder, images[0], options, has_encoded=has_encoded)
    sign(folder)


def _check_path(path: Path, version: int | None) -> None:
    if path.exists() and not path.is_dir():
        raise ValueError(f"`path` must be a folder of versions, and {path} is a file.")
    if (path / "saved_model.pb").exists():
        raise ValueError(
            f"`path` must be a folder of versions, and {path} is a SavedModel itself. "
            f"Give its parent: {path.parent}."
        )
    if version is not None and version < 1:
        raise ValueError(f"`version` must be at least 1. Received: version={version}.")
    if version is not None and (path / str(version)).exists():
        raise FileExistsError(
            f"Version {version} exists already: {path / str(version)}. Leave `version` out for "
            "the next free number."
        )


def _move_to_version(folder: Path, path: Path, version: int | None) -> Path:
    """Renames the folder to its number; to the next one if another export took it first."""
    while True:
        target = path / str(version or _next_version(path))
        try:
            move(folder, target)
        except OSError:
            if version is None and target.exists():
                continue
            raise
        return target


def _next_version(path: Path) -> int:
    versions = [int(child.name) for child in path.iterdir() if child.name.isdecimal()]
    return max(versions, default=0) + 1
