"""ONNX files, for those who serve by ONNX Runtime or convert further."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_fcn.files import replacing
from keras_fcn.labels import Labels, labels_from_json, labels_to_json
from keras_fcn.models.optimize import inference_model

from .model_info import (
    Size,
    arg_max,
    float32_model,
    image_dtype,
    labels_of,
    network_size,
    num_channels,
    output_name,
)
from .quiet import quiet_native_output

_LABELS_KEY = "labels.json"


def export_onnx(model: keras.Model, path: str | Path, *, size: Size | None = None) -> Path:
    """Writes a model as an ONNX file, through Keras' exporter.

    It takes `images`, uint8 RGB `(batch, height, width, 3)`, and answers
    `labels`, uint8 `(batch, height, width)`, and `scores`, float32 `(batch,
    height, width, num_classes)`; ask for one of them, and the other is not
    computed or copied. A model with several heads has each output once a head:
    `semantic_labels`, ... The classes are in the file's metadata under
    `labels.json`.

    Args:
        model: Takes RGB 0..255 and gives logits, as `keras_fcn.FCN` does.
        path: File to write, ending in `.onnx`. An older one is replaced.
        size: Height and width of the images, fixed. `None` lets them vary.

    Returns:
        The file.

    Raises:
        ImportError: If the packages of the extra `onnx` are missing.
        ValueError: If an argument is out of range.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"`path` must end in .onnx. Received: {path}.")
    _check_installed("onnx", "tf2onnx")
    size = network_size(model, size)
    answering = _answering_labels(inference_model(float32_model(model)), size)
    with replacing(path) as temporary:
        with _quiet_converter():
            answering.export(
                str(temporary),
                format="onnx",
                verbose=False,
                input_signature=[
                    tf.TensorSpec(answering.input_shape, image_dtype(model), "images")
                ],
            )
        _describe(temporary, labels_of(model))
    return path


def onnx_labels(path: str | Path) -> Labels:
    """Returns the classes that an ONNX file of `export_onnx` carries."""
    _check_installed("onnx")
    import onnx

    file = onnx.load(str(path), load_external_data=False)
    texts = {entry.key: entry.value for entry in file.metadata_props}
    if _LABELS_KEY not in texts:
        raise ValueError(f"{path} must carry its classes: it was not written by this package.")
    return labels_from_json(texts[_LABELS_KEY])


class _ArgMax(keras.layers.Layer):
    """The label of the highest score. `keras.ops.argmax` uses operators that ONNX lacks."""

    def call(self, scores: tf.Tensor) -> tf.Tensor:
        return arg_max(scores)

    def compute_output_spec(self, scores: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(scores.shape[:-1], "uint8")


def _answering_labels(model: keras.Model, size: Size | None) -> keras.Model:
    """Returns the model with uint8 images and a second kind of output."""
    shape = (*(size or (None, None)), num_channels(model))
    images = keras.Input(shape, dtype=image_dtype(model).name, name="images")
    outputs: Any = model(keras.ops.cast(images, "float32"))
    by_head = outputs if isinstance(outputs, dict) else {"": outputs}
    answers = {output_name(head, "scores"): scores for head, scores in by_head.items()}
    for head, scores in by_head.items():
        answers[output_name(head, "labels")] = _ArgMax()(scores)
    answering = keras.Model(images, answers)
    # Keras exports only what was called once.
    answering(tf.zeros((1, *(size or (32, 32)), shape[-1]), image_dtype(model)))
    return answering


def _describe(path: Path, labels: Labels) -> None:
    """Adds the classes, and names for the sizes that vary."""
    import onnx

    file = onnx.load(str(path))
    onnx.helper.set_model_props(file, {_LABELS_KEY: labels_to_json(labels)})
    for value in (*file.graph.input, *file.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions, ("batch", "height", "width"), strict=False):
            if not dimension.HasField("dim_value"):
                dimension.dim_param = name
    onnx.checker.check_model(file)
    onnx.save(file, str(path))


@contextmanager
def _quiet_converter() -> Iterator[None]:
    """Silences tf2onnx, and the warnings of Keras' adaptation of it to NumPy 2."""
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), quiet_native_output():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _check_installed(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"ONNX needs {', '.join(missing)}. Run: pip install 'keras_fcn[onnx]'")
