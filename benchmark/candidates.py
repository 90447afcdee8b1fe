"""What is measured against what."""

import importlib.util
from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16", "int8"]


@dataclass(frozen=True)
class Candidate:
    """A way to run a network.

    Attributes:
        name: Its name on the command line and in the table.
        runtime: Key into `runtimes.RUNTIMES`.
        artifact: Key into `making.MAKERS`: the file that it runs; `"keras"` is the model's own.
        precision: What its products are computed in; the peak is that of the same.
        answers: What it returns for uint8 images.
        signature: Of a SavedModel.
        packages: What must be installed.
    """

    name: str
    runtime: str
    artifact: str
    precision: Precision
    answers: Literal["scores", "labels", "PNG files"]
    signature: str = ""
    packages: tuple[str, ...] = ()

    @property
    def missing(self) -> str | None:
        """The first package that is not installed."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return package
        return None


# Every ratio is to the first: the bare network, images to scores, as Keras computes it.
BASELINE = Candidate("keras-float32", "keras", "keras", "float32", "scores")

# The peer that speed is also told against.
PEER = Candidate("pytorch-float32", "pytorch", "pytorch", "float32", "scores", packages=("torch",))

_ONNX = ("onnx", "onnxruntime", "tf2onnx")

CANDIDATES = (
    BASELINE,
    Candidate("keras-bfloat16", "keras-bfloat16", "keras", "bfloat16", "scores"),
    Candidate("savedmodel-scores", "savedmodel", "savedmodel", "float32", "scores", "scores"),
    Candidate(
        "savedmodel-labels", "savedmodel", "savedmodel", "float32", "labels", "serving_default"
    ),
    Candidate("savedmodel-encoded", "savedmodel", "savedmodel", "float32", "PNG files", "encoded"),
    Candidate(
        "savedmodel-bfloat16",
        "savedmodel",
        "savedmodel-bfloat16",
        "bfloat16",
        "labels",
        "serving_default",
    ),
    Candidate("tflite-float32", "tflite", "tflite-none", "float32", "labels"),
    Candidate("tflite-float16", "tflite", "tflite-float16", "float32", "labels"),
    Candidate("tflite-dynamic", "tflite", "tflite-dynamic", "int8", "labels"),
    Candidate("tflite-int8", "tflite", "tflite-int8", "int8", "labels"),
    Candidate("onnxruntime", "onnxruntime", "onnx", "float32", "labels", packages=_ONNX),
    Candidate("openvino", "openvino", "savedmodel", "float32", "labels", packages=("openvino",)),
    PEER,
    Candidate(
        "pytorch-bfloat16", "pytorch-bfloat16", "pytorch", "bfloat16", "scores", packages=("torch",)
    ),
)
