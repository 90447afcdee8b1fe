"""TFLite Metadata, from which MediaPipe knows what a network takes and outputs."""

import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

# A package that MediaPipe's wheels lack since 0.10.30, 1.2.3 included, and that its metadata writer
# imports, for one function.
_LACKING = "mediapipe.tasks.cc.metadata.python"
# The oldest parser that reads an activation, by MediaPipe's metadata_version.cc.
_PARSER_VERSION = "1.5.0"


def check_mediapipe_installed() -> None:
    """Raises ImportError, with what to install, if MediaPipe is missing."""
    if importlib.util.find_spec("mediapipe") is None:
        raise ImportError(
            "A file for MediaPipe needs mediapipe, which writes the metadata. "
            "Run: pip install 'keras_fcn[mediapipe]'"
        )


def add_metadata(content: bytes, class_names: Sequence[str]) -> bytes:
    """Returns a TFLite model with TFLite Metadata of a segmenter, by MediaPipe's own writer.

    Args:
        content: The model. Its only input is RGB in 0..255, its only output logits.
        class_names: Name of each class.

    Returns:
        The model, followed by a zip archive with `labels.txt`.

    Raises:
        ImportError: If MediaPipe or a library of the system that it needs is missing.
    """
    check_mediapipe_installed()
    segmenter, writer = _writers()
    metadata = segmenter.MetadataWriter.create(
        bytearray(content),
        # Pixels as they are; MediaPipe demands a mean and a deviation also of uint8.
        input_norm_mean=[0.0],
        input_norm_std=[1.0],
        labels=writer.Labels().add(list(class_names)),
        activation=segmenter.Activation.SOFTMAX,
    )
    try:
        return bytes(metadata.populate()[0])
    except OSError as error:
        raise ImportError(
            f"MediaPipe cannot load its library: {error}. On Debian and Ubuntu: "
            "apt-get install libegl1 libgles2"
        ) from error


def _writers() -> tuple[Any, Any]:
    """Returns MediaPipe's modules `image_segmenter` and `metadata_writer`."""
    is_lacking = importlib.util.find_spec("mediapipe.tasks.cc") is None
    if is_lacking:
        package: Any = ModuleType(_LACKING)
        package._pywrap_metadata_version = ModuleType("_pywrap_metadata_version")
        package._pywrap_metadata_version.GetMinimumMetadataParserVersion = lambda _: _PARSER_VERSION
        sys.modules[_LACKING] = package
    try:
        from mediapipe.tasks.python.metadata.metadata_writers import (
            image_segmenter,
            metadata_writer,
        )
    finally:
        if is_lacking:
            del sys.modules[_LACKING]
    return image_segmenter, metadata_writer
