"""What int8 costs a trained network, and which layers it costs most.

    python benchmark/scripts/quantization.py --model best.keras --dataset camvid --source CamVid

1. Mean IoU on a validation split, and labels equal to those of Keras in float32, of the TFLite
   files that `keras-fcn export` writes and of a bare conversion: the scores of the Keras model by
   `TFLiteConverter.from_keras_model`, with the same calibration images and integers throughout.
2. TensorFlow's quantization debugger on some of the images: the layers whose int8 outputs differ
   most from float ones on the same inputs, in steps of their scale. Rounding alone makes 0.29
   (the square root of 1/12).
3. On the same images, the labels when one kind of operator (its largest difference is beside it),
   or the worst layers, stay in float.
"""

import argparse
import contextlib
import csv
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras_fcn_export.calibration import MIN_IMAGES, calibration_inputs
from keras_fcn_export.model_info import float32_model
from keras_fcn_export.quiet import quiet_native_output
from keras_fcn_export.sampling import spread_examples
from keras_fcn_export.tflite import open_converter

from keras_fcn.data.resizing import resized_images, resized_labels
from keras_fcn.datasets import open_dataset
from keras_fcn.metrics import confusion_matrix_of, scores_from_confusion
from keras_fcn.models.optimize import inference_model

NUM_WORST = 10
NUM_DEBUGGED = 25


def _size(text: str) -> tuple[int, int]:
    height, width = (int(length) for length in text.split("x"))
    return height, width


def main() -> None:
    options = _options()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    model = keras.saving.load_model(options.model, compile=False)
    data = open_dataset(options.dataset, options.source)
    calibration = [example["image"] for example in spread_examples(data, "train", MIN_IMAGES)]
    examples = spread_examples(data, "val", options.images or data.splits["val"])
    comparison = Comparison(model, examples, options.size)

    print(f"{options.model}, {len(examples)} images, {options.size[0]}x{options.size[1]}")
    comparison.show("Keras, float32", comparison.expected)
    for form in ("none", "float16", "dynamic", "int8"):
        images = calibration if form == "int8" else None
        comparison.show_file(f"export, {form}", _exported(model, form, options.size, images))
    comparison.show_file("bare conversion, int8", _bare(model, options.size, calibration))
    noise = np.random.default_rng(0).integers(0, 256, (20, *options.size, 3), "uint8")
    comparison.show_file("the same, calibrated on noise", _bare(model, options.size, list(noise)))
    show_layers(model, examples[:: -(-len(examples) // NUM_DEBUGGED)], calibration, options.size)


def show_layers(
    model: keras.Model, examples: list[dict[str, Any]], calibration: list[Any], size: Any
) -> None:
    """Prints what the debugger finds on some images, and what each kind of operator costs."""
    comparison = Comparison(model, examples, size)
    print(f"\nThe layers that lose most, on {len(examples)} images:")
    network = inference_model(float32_model(model))
    with (
        open_converter(network, "int8", size, "scores", calibration) as converter,
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
    """Runs every form on the same images."""

    def __init__(self, model: keras.Model, examples: list[dict[str, Any]], size: Any) -> None:
        self.num_classes = model.output_shape[-1]
        self.maps = [example["label"] for example in examples]
        self.images = [resized_images(example["image"][None], size) for example in examples]
        network = tf.function(inference_model(model))
        self.expected = [self._label(network(image, training=False)) for image in self.images]

    def show_file(self, name: str, content: bytes) -> None:
        """Prints the scores of a TFLite file."""
        interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
        interpreter.allocate_tensors()
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

        def label(image: np.ndarray) -> np.ndarray:
            interpreter.set_tensor(taken["index"], image.astype(taken["dtype"]))
            interpreter.invoke()
            return self._label(interpreter.get_tensor(given["index"]))

        self.show(name, [label(image) for image in self.images], len(content) / 1e6)

    def show(
        self, name: str, predictions: list[np.ndarray], megabytes: float | None = None
    ) -> None:
        counts: Any = 0
        for labels, predicted in zip(self.maps, predictions, strict=True):
            resized = resized_labels(predicted, labels.shape)[0]
            counts = counts + confusion_matrix_of(labels, resized, self.num_classes, 255)
        equal = np.mean([p == e for p, e in zip(predictions, self.expected, strict=True)])
        print(
            f"{name:34} mean IoU {scores_from_confusion(counts).mean_iou:.4f}  "
            f"equal labels {equal:8.3%}" + (f"  {megabytes:6.2f} MB" if megabytes else "")
        )

    @staticmethod
    def _label(output: Any) -> np.ndarray:
        output = np.asarray(output)
        return (output if output.ndim == 3 else output.argmax(-1)).astype("uint8")


def _exported(model: keras.Model, form: Any, size: Any, calibration: Any) -> bytes:
    network = inference_model(float32_model(model))
    with open_converter(network, form, size, "labels", calibration) as converter:
        return _converted(converter)


def _bare(model: keras.Model, size: Any, calibration: list[Any]) -> bytes:
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


def _debug_inputs(examples: list[dict[str, Any]], size: Any) -> Iterator[list[np.ndarray]]:
    for inputs in calibration_inputs([example["image"] for example in examples], size):
        yield [inputs["images"]]


def _layers(debugger: Any) -> list[dict[str, Any]]:
    """Returns what the debugger found for each layer."""
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
    """Returns the int8 file but for some operators that stay in float."""
    with quiet_native_output():
        debugger.options = tf.lite.experimental.QuantizationDebugOptions(**denied)
        return bytes(debugger.get_nondebug_quantized_model())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="a .keras file")
    parser.add_argument("--dataset", required=True, help="with splits train and val")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--size", type=_size, default="360x480")
    parser.add_argument("--images", type=int, help="of the validation split; default: all")
    return parser.parse_args()


if __name__ == "__main__":
    main()
