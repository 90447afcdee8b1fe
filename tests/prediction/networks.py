"""One network in every format: the class of a pixel is its brightest channel."""

import zipfile
from pathlib import Path

import pytest
import tensorflow as tf

from keras_fcn.labels import Heads, Labels, LabelSpec

from ..helpers import channel_model

SPEC = LabelSpec(("reddish", "greenish", "bluish"))
FORMATS = ("keras", "savedmodel", "tflite", "onnx")
PREDICTIONS, LOGITS = "predictions", "logits"  # names of the outputs of exported models

Size = tuple[int | None, int | None]
ANY: Size = (None, None)


def write(kind: str, folder: Path, size: Size = ANY) -> Path:
    """Writes the network in one of `FORMATS`."""
    if kind == "keras":
        channel_model(size).save(folder / "m.keras")
        return folder / "m.keras"
    if kind == "savedmodel":
        return write_savedmodel(folder / "saved" / "3", size).parent
    if kind == "tflite":
        return write_tflite(folder / "m.tflite", size)
    return write_onnx(folder / "m.onnx", size)


def write_savedmodel(folder: Path, size: Size = ANY) -> Path:
    images = tf.TensorSpec((None, *size, 3), "uint8", name="images")

    @tf.function(input_signature=[images])
    def predictions_of(images):
        return {PREDICTIONS: tf.cast(tf.argmax(images, -1), "uint8")}

    @tf.function(input_signature=[images])
    def logits_of(images):
        return {LOGITS: tf.cast(images, "float32")}

    return save_module(folder, {"serving_default": predictions_of, LOGITS: logits_of}, SPEC)


def save_module(folder: Path, signatures: dict, labels: Labels) -> Path:
    module = tf.Module()
    folder.parent.mkdir(exist_ok=True)
    labels_file = folder.parent / "labels.json"
    labels_file.write_text(Heads(labels).to_json())
    module.asset = tf.saved_model.Asset(str(labels_file))
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def write_tflite(path: Path, size: Size = ANY, *, logits: bool = False) -> Path:
    @tf.function(input_signature=[tf.TensorSpec((1, *size, 3), "uint8")])
    def outputs_of(images):
        values = tf.cast(images, "float32")
        return values if logits else tf.cast(tf.argmax(values, -1), "uint8")

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [outputs_of.get_concrete_function()]
    )
    path.write_bytes(converter.convert())
    return add_labels(path, SPEC)


def add_labels(path: Path, labels: Labels) -> Path:
    """Makes a `.tflite` file a zip archive with its classes, too."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.json", Heads(labels).to_json())
    return path


def write_onnx(path: Path, size: Size = ANY, *, metadata: dict[str, str] | None = None) -> Path:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, types = onnx.helper, onnx.TensorProto
    height, width = (length or name for length, name in zip(size, ("h", "w"), strict=True))
    shape = ["batch", height, width]
    nodes = [
        helper.make_node("Cast", ["images"], [LOGITS], to=types.FLOAT),
        helper.make_node("ArgMax", [LOGITS], ["highest"], axis=3, keepdims=0),
        helper.make_node("Cast", ["highest"], [PREDICTIONS], to=types.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "channels",
        [helper.make_tensor_value_info("images", types.UINT8, [*shape, 3])],
        [
            helper.make_tensor_value_info(LOGITS, types.FLOAT, [*shape, 3]),
            helper.make_tensor_value_info(PREDICTIONS, types.UINT8, shape),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is None:
        metadata = {"labels.json": Heads(SPEC).to_json()}
    helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return path
