"""The effect of int8 on a trained network, and the layers that it affects most.

Run:    python -m keras_fcn_benchmark.scripts.quantization --model best.keras --dataset camvid \
            --source CamVid

1. Mean IoU on a validation split, and predictions equal to those of Keras in float32, of the
   TFLite files that `keras-fcn export` writes and of a bare conversion: the logits of the Keras
   model by `TFLiteConverter.from_keras_model`, with the same calibration images and integers
   throughout.
2. TensorFlow's quantization debugger on some of the images: the layers whose int8 outputs differ
   most from float ones on the same inputs, in steps of their scale. Rounding alone gives 0.29
   (the square root of 1/12).
3. On the same images, the predictions when one type of operator (printed with its largest
    difference), or the worst layers, stay in float.
"""

import contextlib
import csv
import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras_fcn_export.calibration import MIN_IMAGES, calibration_inputs
from keras_fcn_export.model_info import float32_model
from keras_fcn_export.tflite import open_converter

from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.data.dataset import spread_examples
from keras_fcn.data.resizing import Size, resized_images, resized_labels
from keras_fcn.datasets import open_dataset
from keras_fcn.labels import LabelSpec
from keras_fcn.models.optimize import inference_model
from keras_fcn.native_output import quiet_native_output
from keras_fcn.prediction import KerasPredictor, load_model

from . import options_parser

Array = np.ndarray[Any, Any]
Examples = list[dict[str, Any]]

NUM_WORST = 10
NUM_DEBUGGED = 25


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints all three comparisons."""
    parser = options_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a .keras file with one head")
    parser.add_argument("--dataset", required=True, help="with splits train and val")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--size", type=_size, default="360x480", metavar="HxW")
    parser.add_argument("--images", type=int, help="of the validation split; default: all")
    options = parser.parse_args(arguments)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")

    model: Any = load_model(options.model)
    data = open_dataset(options.dataset, options.source)
    calibration = [example["image"] for example in spread_examples(data, "train", MIN_IMAGES)]
    examples = spread_examples(data, "val", options.images or data.splits["val"])
    comparison = Comparison(model, examples, options.size)

    print(f"{options.model}, {len(examples)} images, {options.size[0]}x{options.size[1]}")
    comparison.show("Keras, float32", comparison.expected)
    for quantize in ("none", "float16", "dynamic", "int8"):
        images = calibration if quantize == "int8" else None
        content = _exported(model, quantize, options.size, images)
        comparison.show_file(f"export, {quantize}", content)
    comparison.show_file("bare conversion, int8", _bare(model, options.size, calibration))
    noise = np.random.default_rng(0).integers(0, 256, (20, *options.size, 3), "uint8")
    comparison.show_file("the same, calibrated on noise", _bare(model, options.size, list(noise)))
    show_layers(model, examples[:: -(-len(examples) // NUM_DEBUGGED)], calibration, options.size)


def show_layers(
    model: keras.Model, examples: Examples, calibration: list[Array], size: Size
) -> None:
    """Prints the debugger's results on some images, and the effect of each type of operator."""
    comparison = Comparison(model, examples, size)
    print(f"\nThe layers with the largest differences, on {len(examples)} images:")
    network = inference_model(float32_model(model))
    with (
        open_converter(network, "int8", size, "logits", calibration) as converter,
        quiet_native_output(),
    ):
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=lambda: _debug_inputs(examples, size)
        )
        debugger.run()
    layers = _layers(debugger)
    worst = sorted(layers, key=lambda layer: -layer["error"])[:NUM_WORST]
    for layer in worst:
        steps = f"{layer['error']:5.2f} steps of {layer['scale']:.4f}"
        print(f"{steps}  {layer['op_name']:18} {layer['name']}")
    print()
    comparison.show_file("int8", _with_floats(debugger))
    for kind in sorted({layer["op_name"] for layer in layers}):
        most = max(layer["error"] for layer in layers if layer["op_name"] == kind)
        comparison.show_file(
            f"{kind} ({most:.2f}) in float", _with_floats(debugger, denylisted_ops=[kind])
        )
    for count in (3, NUM_WORST):
        names = [layer["tensor_name"] for layer in worst[:count]]
        comparison.show_file(
            f"the worst {count} layers in float", _with_floats(debugger, denylisted_nodes=names)
        )


class Comparison:
    """Runs every conversion on the same images.

    Args:
        model: A network with one head.
        examples: Images and labels.
        size: Height and width of the network's input.
    """

    def __init__(self, model: Any, examples: Examples, size: Size) -> None:
        predictor = KerasPredictor(model)
        self._spec: LabelSpec
        (self._spec,) = predictor.heads.values()
        self._labels = [example["label"] for example in examples]
        self._images = [resized_images(example["image"][None], size) for example in examples]
        self.expected = [predictor.predict(image) for image in self._images]

    def show_file(self, name: str, content: bytes) -> None:
        """Prints the metrics of a TFLite file."""
        interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
        interpreter.allocate_tensors()
        (given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()

        def predict(image: Array) -> Array:
            interpreter.set_tensor(given["index"], image.astype(given["dtype"]))
            interpreter.invoke()
            output = interpreter.get_tensor(returned["index"])
            return (output if output.ndim == 3 else output.argmax(-1)).astype("uint8")

        self.show(name, [predict(image) for image in self._images], len(content) / 1e6)

    def show(self, name: str, predictions: Sequence[Any], megabytes: float | None = None) -> None:
        """Prints the metrics of predictions, one array per image."""
        matrix = ConfusionMatrix.of(self._spec)
        for labels, predicted in zip(self._labels, predictions, strict=True):
            matrix.update(labels, resized_labels(predicted, labels.shape)[0])
        equal = np.mean([p == e for p, e in zip(predictions, self.expected, strict=True)])
        print(
            f"{name:34} mean IoU {matrix.metrics().mean_iou:.4f}  "
            f"equal predictions {equal:8.3%}" + (f"  {megabytes:6.2f} MB" if megabytes else "")
        )


def _exported(model: keras.Model, quantize: Any, size: Size, calibration: Any) -> bytes:
    network = inference_model(float32_model(model))
    with open_converter(network, quantize, size, "predictions", calibration) as converter:
        return _converted(converter)


def _bare(model: Any, size: Size, calibration: list[Array]) -> bytes:
    images = keras.Input((*size, 3), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(images, model(images)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [resized_images(image[None], size).astype("float32")] for image in calibration
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return _converted(converter)


def _converted(converter: Any) -> bytes:
    with quiet_native_output(), contextlib.redirect_stdout(io.StringIO()):
        return bytes(converter.convert())


def _debug_inputs(examples: Examples, size: Size) -> Iterator[list[Array]]:
    for inputs in calibration_inputs([example["image"] for example in examples], size):
        yield [inputs["images"]]


def _layers(debugger: Any) -> list[dict[str, Any]]:
    """Returns the results of the debugger for each layer."""
    text = io.StringIO()
    debugger.layer_statistics_dump(text)
    layers = []
    for row in csv.DictReader(io.StringIO(text.getvalue())):
        # A fused operator has the names of its parts: that of the last operation comes first.
        name = row["tensor_name"].split(";")[0].split("/", 1)[-1]
        scale = float(row["scale"])
        error = float(row["mean_squared_error"]) ** 0.5 / scale
        layers.append({**row, "name": name, "scale": scale, "error": error})
    return layers


def _with_floats(debugger: Any, **denied: list[str]) -> bytes:
    """Returns the int8 file with some operators in float."""
    with quiet_native_output():
        debugger.options = tf.lite.experimental.QuantizationDebugOptions(**denied)
        return bytes(debugger.get_nondebug_quantized_model())


def _size(text: str) -> Size:
    height, width = map(int, text.lower().split("x"))
    return height, width


if __name__ == "__main__":
    main()
