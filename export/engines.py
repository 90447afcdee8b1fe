"""What runs an artifact: TensorFlow, TFLite with and without its delegate, ONNX Runtime."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_fcn.labels import Labels
from keras_fcn.prediction import open_predictor
from keras_fcn.prediction.savedmodel import SavedModelPredictor

from .model_info import Size, label_specs, output_name
from .onnx import check_onnx_installed, onnx_labels
from .signatures import ServingOptions

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Answer:
    """What an artifact says about images.

    Attributes:
        labels: uint8, shape `(batch, height, width)`, by head.
        scores: float32, shape `(batch, height, width, num_classes)`, by head.
    """

    labels: Arrays
    scores: Arrays


class Engine(Protocol):
    """A runtime that has loaded an artifact.

    Attributes:
        name: Name of the runtime, for the table.
        labels: Classes of the artifact.
        num_channels: Channels of the images that it takes.
        fixed_size: The only height and width that it takes, if there is one.
        options: What is baked into the artifact.
    """

    name: str
    labels: Labels
    num_channels: int
    fixed_size: Size | None
    options: ServingOptions

    def run(self, images: np.ndarray) -> Answer:
        """Returns the answer for images, uint8, shape `(batch, height, width, 3)`."""
        ...


def open_engines(path: str | Path) -> list[Engine]:
    """Returns every runtime that an artifact is to be compared on.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it is no artifact of this package.
    """
    if Path(path).suffix == ".onnx":
        return [OnnxEngine(Path(path))]
    predictor = open_predictor(path)
    if isinstance(predictor, SavedModelPredictor):
        return [SavedModelEngine(predictor)]
    if predictor.format == "tflite":
        return [
            TFLiteEngine(Path(path), predictor.labels, use_delegate=True),
            TFLiteEngine(Path(path), predictor.labels, use_delegate=False),
        ]
    raise ValueError(
        f"An artifact must be a SavedModel, a .tflite or a .onnx file. Received: {path}."
    )


class SavedModelEngine:
    """TensorFlow, on the signatures `serving_default` and `scores`."""

    name = "TensorFlow"

    def __init__(self, predictor: SavedModelPredictor) -> None:
        self.labels = predictor.labels
        self.num_channels = predictor.num_channels
        self.fixed_size: Size | None = None
        self.options = _serving_options(predictor.path)
        self._predictor = predictor

    def run(self, images: np.ndarray) -> Answer:
        return Answer(
            labels=_by_head(self._predictor.predict(images)),
            scores=_by_head(self._predictor.logits(images)),
        )


class TFLiteEngine:
    """TFLite. A file that answers labels shows its scores, too: every tensor in it is kept."""

    def __init__(self, path: Path, labels: Labels, *, use_delegate: bool) -> None:
        self.name = "TFLite, XNNPACK" if use_delegate else "TFLite, no delegate"
        self.labels = labels
        self.options = ServingOptions()
        self._outputs = _output_tensors(path)
        self._interpreter = _interpreter(
            path, use_delegate=use_delegate, keep_all=bool(self._outputs.labels)
        )
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        height, width, self.num_channels = self._input["shape_signature"][1:].tolist()
        self.fixed_size: Size | None = (height, width) if height > 0 else None
        self._quantization = {
            details["index"]: details["quantization"]
            for details in self._interpreter.get_tensor_details()
        }

    def run(self, images: np.ndarray) -> Answer:
        answers = [self._run(image[None]) for image in images]
        return Answer(
            labels={h: np.concatenate([a.labels[h] for a in answers]) for h in self._heads()},
            scores={h: np.concatenate([a.scores[h] for a in answers]) for h in self._heads()},
        )

    def _heads(self) -> list[str]:
        return list(label_specs(self.labels))

    def _run(self, image: np.ndarray) -> Answer:
        self._interpreter.resize_tensor_input(self._input["index"], image.shape)
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(self._input["index"], image)
        self._interpreter.invoke()
        scores = {head: self._real_values(self._outputs.logits(head)) for head in self._heads()}
        labels = {
            head: self._interpreter.get_tensor(self._outputs.labels[output_name(head, "labels")])
            if self._outputs.labels
            else scores[head].argmax(-1).astype("uint8")
            for head in self._heads()
        }
        return Answer(labels, scores)

    def _real_values(self, index: int) -> np.ndarray:
        values = self._interpreter.get_tensor(index)
        scale, zero_point = self._quantization[index]
        if values.dtype == np.float32 or not scale:
            return values.astype("float32")
        return (values.astype("float32") - zero_point) * np.float32(scale)


class OnnxEngine:
    """ONNX Runtime on the processor."""

    name = "ONNX Runtime"

    def __init__(self, path: Path) -> None:
        check_onnx_installed("onnx", "onnxruntime")
        import onnxruntime

        if not path.is_file():
            raise FileNotFoundError(f"There is no model at {path}.")
        self.labels = onnx_labels(path)
        self.options = ServingOptions()
        self._session = onnxruntime.InferenceSession(str(path))
        height, width, self.num_channels = self._session.get_inputs()[0].shape[1:]
        self.fixed_size: Size | None = (height, width) if isinstance(height, int) else None

    def run(self, images: np.ndarray) -> Answer:
        heads = list(label_specs(self.labels))

        def outputs(kind: str) -> Arrays:
            names = [output_name(head, kind) for head in heads]
            values = self._session.run(names, {"images": images})
            return dict(zip(heads, values, strict=True))

        return Answer(labels=outputs("labels"), scores=outputs("scores"))


def _interpreter(path: Path, *, use_delegate: bool, keep_all: bool) -> Interpreter:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*preserve_all_tensors.*debugging")
        return Interpreter(
            str(path),
            num_threads=2,
            experimental_op_resolver_type=OpResolverType.AUTO
            if use_delegate
            else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=keep_all,
        )


def _serving_options(folder: Path | None) -> ServingOptions:
    assert folder is not None
    values = json.loads((folder / "assets" / "serving.json").read_text(encoding="utf-8"))
    size = values.pop("size")
    return ServingOptions(**values, size=tuple(size) if size else None)


@dataclass(frozen=True)
class _OutputTensors:
    """Indices of tensors in a TFLite file, by name of the output."""

    labels: dict[str, int] = field(default_factory=dict)
    scores: dict[str, int] = field(default_factory=dict)

    def logits(self, head: str) -> int:
        return self.scores[output_name(head, "scores")]


def _output_tensors(path: Path) -> _OutputTensors:
    """Finds the outputs, and for labels the scores of which they are the arg max."""
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    made_by = {}
    for position in range(graph.OperatorsLength()):
        operator = graph.Operators(position)
        for output in operator.OutputsAsNumpy():
            made_by[int(output)] = operator
    found = _OutputTensors()
    signature = model.SignatureDefs(0)
    for position in range(signature.OutputsLength()):
        name = signature.Outputs(position).Name().decode()
        index = signature.Outputs(position).TensorIndex()
        if name.endswith("labels"):
            found.labels[name] = index
            found.scores[name.removesuffix("labels") + "scores"] = _scores_before(
                model, made_by, index
            )
        else:
            found.scores[name] = index
    return found


def _scores_before(model: Any, made_by: dict[int, Any], index: int) -> int:
    """Walks from labels back to the input of ARG_MAX."""
    while True:
        operator = made_by[index]
        code = model.OperatorCodes(operator.OpcodeIndex())
        index = int(operator.Inputs(0))
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == schema.BuiltinOperator.ARG_MAX:
            return index


def _by_head(maps: Any) -> Arrays:
    return maps if isinstance(maps, dict) else {"": maps}
