"""ONNX files, for ONNX Runtime and for further conversions."""

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_fcn.files import replacing
from keras_fcn.modalities import MODALITIES_FILE, READING_FILE
from keras_fcn.models.optimize import inference_model
from keras_fcn.native_output import quiet_native_output
from keras_fcn.prediction.checksum import sign
from keras_fcn.prediction.keras_model import heads_of
from keras_fcn.weights.finite import check_finite

from .model_info import (
    Size,
    arg_max,
    float32_model,
    image_dtype,
    modalities_of,
    network_size,
    num_channels,
    reading_of,
)

_LABELS_KEY = "labels.json"
# A weight of this many numbers or more is an input of the converted graph. The converter folds the
# smaller ones: the numbers of a normalization into each other, those of a shape into a constant.
_LARGE = 2**14
# Operations of the converter on weights: each gives the same numbers in another order or shape.
_REARRANGING = {"Identity", "Reshape", "Split", "Squeeze", "Transpose", "Unsqueeze"}


def export_onnx(model: keras.Model, path: str | Path, *, size: Size | None = None) -> Path:
    """Writes a model as an ONNX file, by Keras' exporter.

    It takes `images`, uint8 RGB `(batch, height, width, 3)`, and outputs
    `predictions`, uint8 `(batch, height, width)`, and `logits`, float32 `(batch,
    height, width, num_classes)`; an output that is not requested is not
    computed or copied. A model with several heads has each output once per head:
    `semantic_predictions`, ... The classes are in the file's metadata under
    `labels.json`, the modalities that the model names under `modalities.json`, how image
    files are read, if not by default, under `images.json`, and the SHA-256 of all bytes before
    that entry, which is the last one, under `sha256`.

    tf2onnx copies every constant some forty times, 22 GB for VGG16. So the
    large weights are inputs of the graph that it converts, and are put into
    the file afterwards.

    Args:
        model: Takes RGB 0..255 and returns logits, as `keras_fcn.FCN` does.
        path: File to write, ending in `.onnx`. An existing file is replaced.
        size: Height and width of the images, fixed. `None` lets them vary.

    Returns:
        The file.

    Raises:
        ImportError: If the packages of the extra `onnx` are missing.
        ValueError: If an argument is out of range, or a weight is NaN or infinite.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"`path` must end in .onnx. Received: {path}.")
    check_onnx_installed("onnx", "tf2onnx")
    check_finite(model, f"The model {model.name!r} to export")
    size = network_size(model, size)
    network = _with_predictions(inference_model(float32_model(model)), size)
    weights = _large_weights(network)
    with replacing(path) as temporary:
        images = tf.TensorSpec(network.input_shape, image_dtype(model), "images")
        inputs = [images, *(tf.TensorSpec(w.shape, w.dtype, name) for name, w in weights.items())]
        with _quiet_converter(), _without_inner_functions():
            _TakingWeights(network).export(
                str(temporary),
                format="onnx",
                verbose=False,
                input_signature=[inputs],
            )
        _complete(temporary, model, weights)
        sign(temporary)
        _check(temporary)
    return path


class _ArgMax(keras.layers.Layer):
    """The class of the highest logit. `keras.ops.argmax` uses operators that ONNX lacks."""

    def call(self, logits: tf.Tensor) -> tf.Tensor:
        return arg_max(logits)

    def compute_output_spec(self, logits: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(logits.shape[:-1], "uint8")


def _with_predictions(model: keras.Model, size: Size | None) -> keras.Model:
    """Returns the model with uint8 images, and predictions as further outputs."""
    shape = (*(size or (None, None)), num_channels(model))
    images = keras.Input(shape, dtype=image_dtype(model).name, name="images")
    heads = heads_of(model)
    outputs = {}
    for head, logits in heads.by_name(model(keras.ops.cast(images, "float32"))).items():
        outputs[f"{heads.prefix(head)}logits"] = logits
        outputs[f"{heads.prefix(head)}predictions"] = _ArgMax()(logits)
    return keras.Model(images, outputs)


class _TakingWeights(keras.Model):
    """A model whose large weights are inputs, in a list after the images."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(name=model.name)
        self.model = model
        # Keras exports only what is built, and there is nothing to build.
        self.built = True

    def call(self, inputs: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        images, *weights = inputs
        variables = _large_weights(self.model).values()
        with keras.StatelessScope(list(zip(variables, weights, strict=True))):
            return self.model(images, training=False)


def _large_weights(model: keras.Model) -> dict[str, keras.Variable]:
    """Returns the weights that are kept from the converter, by the names of their inputs."""
    large = [weight for weight in model.weights if np.prod(weight.shape) >= _LARGE]
    return {f"weight_{index}": weight for index, weight in enumerate(large)}


def _complete(path: Path, model: keras.Model, weights: dict[str, keras.Variable]) -> None:
    """Adds the large weights, classes and modalities, and names for the sizes that vary."""
    import onnx

    file = onnx.load(str(path))
    for name, weight in weights.items():
        _put_in_weight(file, name, np.asarray(weight.value))
    _remove_unused_constants(file.graph)
    _replace_erfc(file.graph)
    properties = {_LABELS_KEY: heads_of(model).to_json()}
    if modalities := modalities_of(model):
        properties[MODALITIES_FILE] = json.dumps(modalities)
    if reading := reading_of(model):
        properties[READING_FILE] = reading
    onnx.helper.set_model_props(file, properties)
    for value in (*file.graph.input, *file.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions, ("batch", "height", "width"), strict=False):
            if not dimension.HasField("dim_value"):
                dimension.dim_param = name
    onnx.save(file, str(path))


def _put_in_weight(file: Any, name: str, weight: np.ndarray) -> None:
    """Makes an input a constant, and rearranges it as the nodes that read it would.

    Nodes that compute with it, such as the factor of a normalization before a
    convolution, stay: a runtime evaluates them when it loads the file.
    """
    from onnx import helper, numpy_helper

    graph = file.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    arrays = {name: weight}
    for node in list(graph.node):
        if node.op_type not in _REARRANGING or node.input[0] not in arrays:
            continue
        data, *options = node.input
        if not constants.keys() >= set(options):
            continue
        inputs = {data: arrays[data]}
        inputs |= {option: numpy_helper.to_array(constants[option]) for option in options}
        arrays |= _outputs_of(node, inputs, file.opset_import)
        graph.node.remove(node)
    read = {value for node in graph.node for value in node.input}
    for key in arrays.keys() & read:
        # Filled in place: `numpy_helper.from_array` and `append` copy the numbers twice more.
        tensor = graph.initializer.add()
        tensor.name = key
        tensor.dims.extend(arrays[key].shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(arrays[key].dtype)
        tensor.raw_data = arrays[key].tobytes()
    graph.input.remove(next(value for value in graph.input if value.name == name))


def _outputs_of(node: Any, inputs: dict[str, np.ndarray], versions: Any) -> dict[str, np.ndarray]:
    """Returns the results of a node, by the names of its outputs."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    graph = helper.make_graph(
        [node],
        "node",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output],
    )
    evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=versions))
    return dict(zip(node.output, evaluator.run(None, inputs), strict=True))


def _remove_unused_constants(graph: Any) -> None:
    """Removes those that only rearranging nodes read; ONNX Runtime would warn of each."""
    read = {value for node in graph.node for value in node.input}
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in read:
            del graph.initializer[index]


def _replace_erfc(graph: Any) -> None:
    """Writes `erfc(x)`, which TensorFlow's GELU has and ONNX does not, as `1 - erf(x)`."""
    from onnx import helper, numpy_helper

    nodes: list[Any] = []
    for node in graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        one, erf = f"{node.name}/one", f"{node.name}/erf"
        graph.initializer.append(numpy_helper.from_array(np.array(1, "float32"), one))
        nodes.append(helper.make_node("Erf", node.input, [erf], name=erf))
        nodes.append(helper.make_node("Sub", [one, erf], node.output, name=node.name))
    del graph.node[:]
    graph.node.extend(nodes)


def _check(path: Path) -> None:
    import onnx

    # Given a model in memory, the checker makes two more copies of it.
    onnx.checker.check_model(str(path))


@contextmanager
def _quiet_converter() -> Iterator[None]:
    """Silences tf2onnx, and the warnings of Keras' adaptation of it to NumPy 2."""
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), quiet_native_output():
        warnings.simplefilter("ignore", FutureWarning)
        yield


@contextmanager
def _without_inner_functions() -> Iterator[None]:
    """Traces into functions that Keras compiles by XLA; ONNX has no such nodes.

    On the CPU these are the grouped convolutions, of ConvNeXt for one.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def check_onnx_installed(*packages: str) -> None:
    """Raises ImportError, with what to install, if one of these packages is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"ONNX needs {', '.join(missing)}. Run: pip install 'keras_fcn[onnx]'")
