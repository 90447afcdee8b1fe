"""The candidates: every way to run a network that can be measured."""

import importlib.util
from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16", "int8"]
Output = Literal["logits", "predictions", "PNG files"]


@dataclass(frozen=True)
class Candidate:
    """A way to run a network.

    Attributes:
        name: Its name on the command line, in the table and in `benchmark.json`.
        runtime: Key into `runtimes.RUNTIMES`.
        variant: Name for `ExportedModels.path`; `"keras"` is the file of the model itself.
        precision: Of its multiplications; the matrix product that it is compared with has the same.
        output: Its output for uint8 images; with "PNG files" it takes JPEG files instead.
        packages: What must be installed besides the requirements of this package.
    """

    name: str
    runtime: str
    variant: str
    precision: Precision
    output: Output
    packages: tuple[str, ...] = ()

    @property
    def missing(self) -> str | None:
        """The first package that is not installed."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return package
        return None


# Speed is relative to the first: the network alone, from images to logits, as Keras computes it.
BASELINE = Candidate("keras-float32", "predictor", "keras", "float32", "logits")

# The candidate of the other framework that speeds are compared with.
PEER = Candidate("pytorch-float32", "pytorch", "pytorch", "float32", "logits", ("torch",))

_ONNX = ("onnx", "onnxruntime", "tf2onnx")

CANDIDATES = (
    BASELINE,
    Candidate("keras-bfloat16", "keras-bfloat16", "keras", "bfloat16", "logits"),
    Candidate("savedmodel-scores", "predictor", "savedmodel", "float32", "logits"),
    Candidate("savedmodel-labels", "predictor", "savedmodel", "float32", "predictions"),
    Candidate("savedmodel-encoded", "encoded", "savedmodel", "float32", "PNG files"),
    Candidate("savedmodel-bfloat16", "predictor", "savedmodel-bfloat16", "bfloat16", "predictions"),
    Candidate("tflite-float32", "predictor", "tflite-none", "float32", "predictions"),
    Candidate("tflite-float16", "predictor", "tflite-float16", "float32", "predictions"),
    Candidate("tflite-dynamic", "predictor", "tflite-dynamic", "int8", "predictions"),
    Candidate("tflite-int8", "predictor", "tflite-int8", "int8", "predictions"),
    Candidate("onnxruntime", "predictor", "onnx", "float32", "predictions", _ONNX),
    Candidate("openvino", "openvino", "savedmodel", "float32", "predictions", ("openvino",)),
    PEER,
    Candidate("pytorch-bfloat16", "pytorch-bfloat16", "pytorch", "bfloat16", "logits", ("torch",)),
)
