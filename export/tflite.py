"""TFLite files for phones and small devices."""

import json
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from keras_fcn.files import replacing
from keras_fcn.modalities import MODALITIES_FILE, READING_FILE
from keras_fcn.models.optimize import inference_model
from keras_fcn.native_output import quiet_native_output
from keras_fcn.prediction.checksum import sign
from keras_fcn.prediction.keras_model import heads_of
from keras_fcn.weights.finite import check_finite

from .calibration import calibration_inputs, check_calibration
from .integer_network import integer_network
from .mediapipe_metadata import add_metadata, check_mediapipe_installed
from .model_info import (
    Size,
    arg_max,
    float32_model,
    image_dtype,
    modalities_of,
    network_size,
    num_channels,
    reading_of,
    run_at_size,
    run_of,
)
from .operators import list_operators

Quantize = Literal["none", "float16", "dynamic", "int8"]
OutputType = Literal["predictions", "logits"]
Reader = Literal["litert", "mediapipe"]


def export_tflite(
    model: keras.Model,
    path: str | Path,
    *,
    quantize: Quantize = "none",
    size: Size | None = None,
    output_type: OutputType | None = None,
    calibration: Iterable[Any] | None = None,
    reader: Reader = "litert",
) -> Path:
    """Writes a model as one TFLite file of built-in operators.

    It takes `images`, uint8 RGB `(batch, height, width, 3)`, and outputs `predictions`,
    uint8 `(batch, height, width)`, or `logits`, float32 `(batch, height, width,
    num_classes)`. The batch is 1 where the size is fixed; else LiteRT's `Interpreter` resizes the
    input to any batch and size. A model with several heads has each output once per head:
    `semantic_predictions`, ... A model for other modalities than RGB takes its
    channels as float32. The file is a zip archive as well, which contains the
    classes, `labels.json` (names, colors, ignored label) and `labels.txt` (names),
    the modalities that the model names, `modalities.json`, and how image files are read, if not
    by default, `images.json`; its comment is the SHA-256 of all bytes before it.

    Args:
        model: Takes RGB 0..255 and returns logits, as `keras_fcn.FCN` does.
        path: File to write, ending in `.tflite`. An existing file is replaced.
        quantize: `"none"`: float32. `"float16"`: weights stored in half the
            space. `"dynamic"`: int8 weights, activations quantized at run time.
            `"int8"`: integers throughout, which needs `calibration`.
        size: Height and width of the images, fixed. `None` lets the caller
            resize the input; the fixed size is faster, and LiteRT's `CompiledModel` and MediaPipe
            need it.
        output_type: `"predictions"` or `"logits"`; by default predictions, and logits for
            MediaPipe.
        calibration: For `"int8"`: at least 100 images like those that the model will get, uint8
            RGB `(height, width, 3)`.
        reader: What is to open the file. `"mediapipe"` adds TFLite Metadata with the names of the
            classes, by MediaPipe's own writer. Its image segmenter then outputs predictions, and
            as confidences the probabilities.

    Returns:
        The file.

    Raises:
        ImportError: If the file is for MediaPipe, which is not installed.
        ValueError: If an argument is out of range, a weight is NaN or infinite, the calibration
            images are too few or noise, the model needs operators that TFLite does not have, or
            MediaPipe cannot read the file in this form.
    """
    path = Path(path)
    if output_type is None:
        output_type = "logits" if reader == "mediapipe" else "predictions"
    _check_arguments(path, quantize, output_type, reader)
    check_finite(model, f"The model {model.name!r} to export")
    size = network_size(model, size)
    if reader == "mediapipe":
        _check_for_mediapipe(model, size, output_type)
        check_mediapipe_installed()
    if (quantize == "int8") != (calibration is not None):
        raise ValueError(
            '`calibration` is needed for quantize="int8", and only there. Received: '
            f"quantize={quantize!r}, calibration={'given' if calibration is not None else None}."
        )
    if quantize == "int8" and num_channels(model) != 3:
        raise ValueError(
            'quantize="int8" is for RGB images: others do not fit into uint8. Received: a model '
            f"for {num_channels(model)} channels."
        )
    images = None if calibration is None else check_calibration(calibration)
    network = inference_model(float32_model(model))
    if quantize == "int8":
        network = integer_network(network)
    content = _convert(network, quantize, size, output_type, images)
    if reader == "mediapipe":
        content = add_metadata(content, next(iter(heads_of(model).values())).class_names)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        _append_description(temporary, model)
        _check_builtin(temporary)
        sign(temporary)
    return path


def _convert(
    model: keras.Model,
    quantize: Quantize,
    size: Size | None,
    output_type: OutputType,
    calibration: list[Any] | None,
) -> bytes:
    with (
        open_converter(model, quantize, size, output_type, calibration) as converter,
        quiet_native_output(),
        warnings.catch_warnings(),
    ):
        # The calibrator uses an interpreter for which TensorFlow warns of deprecation.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter")
        # About inputs trained with fake quantization, which these are not.
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
        try:
            return bytes(converter.convert())
        except Exception as error:
            raise ValueError(
                f"TFLite cannot represent this model: {str(error).strip()[:1000]}"
            ) from error


@contextmanager
def open_converter(
    model: keras.Model,
    quantize: Quantize,
    size: Size | None,
    output_type: OutputType,
    calibration: list[Any] | None,
) -> Iterator[Any]:
    """Yields TensorFlow's converter with its settings; for the arguments see `export_tflite`.

    The SavedModel that it reads is removed at the end.
    """
    heads, run = heads_of(model), run_of(model)

    def serving_default(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            heads.prefix(head) + output_type: logits if output_type == "logits" else arg_max(logits)
            for head, logits in run_at_size(run, images, None).items()
        }

    # For int8 the converter itself turns a float input into uint8. A cast in the graph would stay
    # a float operator.
    dtype = image_dtype(model) if calibration is None else tf.float32
    shape = (1, *size) if size else (None, None, None)
    with tempfile.TemporaryDirectory() as folder:
        with quiet_native_output():
            archive = keras.export.ExportArchive()
            specification = tf.TensorSpec((*shape, num_channels(model)), dtype, name="images")
            archive.add_endpoint("serving_default", serving_default, [specification])
            archive.write_out(folder, verbose=False)
            # From a concrete function the weights would stay outside the file.
            converter = tf.lite.TFLiteConverter.from_saved_model(
                folder, signature_keys=["serving_default"]
            )
        _set_quantization(converter, quantize, size, calibration)
        yield converter


def _set_quantization(
    converter: Any, quantize: Quantize, size: Size | None, calibration: list[Any] | None
) -> None:
    if quantize == "none":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if calibration is not None:
        converter.representative_dataset = lambda: calibration_inputs(calibration, size)
        # The second set is for operations without an integer kernel, such as local response
        # normalization.
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        converter.inference_input_type = tf.uint8


def _append_description(path: Path, model: keras.Model) -> None:
    """Makes the file a zip archive, too; a zip is read from its end, a model from its start."""
    heads = heads_of(model)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.json", heads.to_json())
        for head, spec in heads.items():
            name = f"{heads.prefix(head)}labels.txt"
            if name not in archive.namelist():  # MediaPipe's metadata comes with it
                archive.writestr(name, "\n".join(spec.class_names) + "\n")
        if modalities := modalities_of(model):
            archive.writestr(MODALITIES_FILE, json.dumps(modalities))
        if reading := reading_of(model):
            archive.writestr(READING_FILE, reading)


def _check_builtin(path: Path) -> None:
    missing = [operator.name for operator in list_operators(path) if not operator.is_builtin]
    if missing:
        raise ValueError(
            f"The model needs operators that TFLite does not have: {', '.join(missing)}."
        )


def _check_for_mediapipe(model: keras.Model, size: Size | None, output_type: str) -> None:
    """Refuses the forms that MediaPipe reads as something else, without an error, or not at all."""
    if size is None:
        raise ValueError(
            "`size` must be given for MediaPipe, which reads images of any size as 1x1 and "
            "predicts 255 everywhere. Received: size=None."
        )
    if output_type != "logits":
        raise ValueError(
            '`output_type` must be "logits" for MediaPipe, which takes the width of predictions '
            f"for the number of classes. Received: output_type={output_type!r}."
        )
    heads = heads_of(model)
    if heads.is_named or num_channels(model) != 3:
        raise ValueError(
            "A model for MediaPipe must take RGB and have one head, because its image segmenter "
            f"does. Received: {num_channels(model)} channels and {len(heads)} heads."
        )


def _check_arguments(path: Path, quantize: str, output_type: str, reader: str) -> None:
    if path.suffix != ".tflite":
        raise ValueError(f"`path` must end in .tflite. Received: {path}.")
    if quantize not in get_args(Quantize):
        raise ValueError(
            f"`quantize` must be one of {', '.join(get_args(Quantize))}. Received: {quantize}."
        )
    if output_type not in get_args(OutputType):
        raise ValueError(
            '`output_type` must be "predictions" or "logits". '
            f"Received: output_type={output_type!r}."
        )
    if reader not in get_args(Reader):
        raise ValueError(f'`reader` must be "litert" or "mediapipe". Received: reader={reader!r}.')
