"""Prediction by a TFLite file."""

import json
import os
import warnings
import zipfile
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from keras_fcn.labels import Heads
from keras_fcn.modalities import MODALITIES_FILE, READING_FILE
from keras_fcn.prediction.checksum import check
from keras_fcn.prediction.predictor import (
    LOGITS,
    PREDICTIONS,
    Maps,
    Predictor,
    damaged,
    highest_class,
    without_logits,
)

# The details of a tensor in an interpreter: index, type, shape and quantization.
Details = dict[str, Any]


class TFLitePredictor(Predictor):
    """Prediction by a `.tflite` file that `keras_fcn_export` wrote; one image at a time.

    Threads wait for each other: an interpreter must not be called by two at once, and has
    threads of its own.

    Args:
        path: The file.
        num_threads: Threads to run on; all processors by default.
        use_delegate: Whether to run on XNNPACK's operations.
        keep_tensors: Whether to keep every tensor, so that a file that returns predictions only
            also gives the logits of which they are the highest. That takes more memory.

    Raises:
        ValueError: If the file is damaged (see `keras_fcn.prediction.checksum`), or another
            program wrote it.
    """

    format = "tflite"

    def __init__(
        self,
        path: Path,
        *,
        num_threads: int | None = None,
        use_delegate: bool = True,
        keep_tensors: bool = False,
    ) -> None:
        check(path)
        heads, modalities, reading = _description_in(path)
        self.runtime = "TFLite, XNNPACK" if use_delegate else "TFLite, no delegate"
        self._interpreter = _interpreter(path, num_threads, use_delegate, keep_tensors)
        self._lock = Lock()
        (self._input,) = self._interpreter.get_input_details()
        self._outputs = self._output_details(heads)
        # The tensors with the logits, as far as they can be read.
        self._logits_details = {h: d for h, d in self._outputs.items() if _has_logits(d)}
        if keep_tensors and not self._logits_details:
            self._logits_details = self._logits_before(path)
        # An axis that may vary has the size -1.
        shape = [max(0, size) for size in self._input["shape_signature"].tolist()]
        super().__init__(
            path,
            heads,
            (shape[1], shape[2], shape[3]),
            modalities,
            reading,
        )

    @property
    def has_logits(self) -> bool:
        return bool(self._logits_details)

    def _predictions(self, images: np.ndarray) -> Maps:
        return {
            head: highest_class(maps) if maps.ndim == 4 else maps.astype("uint8")
            for head, maps in self._run(images, self._outputs).items()
        }

    def _logits(self, images: np.ndarray) -> Maps:
        if not self.has_logits:
            raise without_logits(self.path)
        return self._run(images, self._logits_details)

    def _run(self, images: np.ndarray, outputs: dict[str, Details]) -> Maps:
        by_image = [self._run_one(image[None], outputs) for image in images]
        return {head: np.concatenate([maps[head] for maps in by_image]) for head in outputs}

    def _run_one(self, image: np.ndarray, outputs: dict[str, Details]) -> Maps:
        """Returns the tensors by head for one image, shape `(1, height, width, channels)`."""
        interpreter, index = self._interpreter, self._input["index"]
        image = image.astype(self._input["dtype"], copy=False)
        with self._lock:
            # The details are a copy: the interpreter's present shape has to be asked for again.
            if tuple(interpreter.get_input_details()[0]["shape"]) != image.shape:
                interpreter.resize_tensor_input(index, image.shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(index, image)
            interpreter.invoke()
            tensors = {head: interpreter.get_tensor(d["index"]) for head, d in outputs.items()}
        return {head: _real_values(tensors[head], d) for head, d in outputs.items()}

    def _output_details(self, heads: Heads) -> dict[str, Details]:
        if not heads.is_named:
            return heads.by_name(self._interpreter.get_output_details()[0])
        by_name = self._interpreter.get_signature_runner().get_output_details()
        names = {
            head: [heads.prefix(head) + output for output in (PREDICTIONS, LOGITS)]
            for head in heads
        }
        return {head: by_name[a] if a in by_name else by_name[b] for head, (a, b) in names.items()}

    def _logits_before(self, path: Path) -> dict[str, Details]:
        """Returns the tensors of which the outputs are the ARG_MAX."""
        details = {d["index"]: d for d in self._interpreter.get_tensor_details()}
        sources = _arg_max_inputs(path, [output["index"] for output in self._outputs.values()])
        return {head: details[index] for head, index in zip(self._outputs, sources, strict=True)}


def _interpreter(
    path: Path, num_threads: int | None, use_delegate: bool, keep_tensors: bool
) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*preserve_all_tensors.*debugging")
            interpreter = Interpreter(
                model_path=str(path),
                num_threads=num_threads or os.cpu_count() or 1,
                experimental_op_resolver_type=OpResolverType.AUTO
                if use_delegate
                else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=keep_tensors,
            )
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise damaged(path, "a TFLite model", error) from error
    return interpreter


def _description_in(path: Path) -> tuple[Heads, tuple[str, ...], dict[str, Any]]:
    """Returns heads, modalities, and how images are read, that a `.tflite` contains.

    The file is a zip archive, too.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            heads = Heads.from_json(archive.read("labels.json").decode())
            is_named = MODALITIES_FILE in archive.namelist()
            modalities = json.loads(archive.read(MODALITIES_FILE)) if is_named else ()
            has_reading = READING_FILE in archive.namelist()
            reading = json.loads(archive.read(READING_FILE)) if has_reading else {}
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} must contain its classes (a member labels.json at its end). They are "
            "missing: the file was not written by `keras-fcn export`."
        ) from error
    return heads, tuple(modalities), reading


def _has_logits(details: Details) -> bool:
    return len(details["shape_signature"]) == 4


def _real_values(values: np.ndarray, details: Details) -> np.ndarray:
    """Returns logits as real numbers, also where they are stored as integers."""
    scale, zero_point = details["quantization"]
    if values.ndim != 4:
        return values
    if values.dtype == np.float32 or scale == 0:
        return values.astype("float32")
    return (values.astype("float32") - zero_point) * np.float32(scale)


def _arg_max_inputs(path: Path, outputs: list[int]) -> list[int]:
    """Returns for each output of the graph the tensor before the ARG_MAX that it comes from."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(np.memmap(path, mode="r"), 0)
    graph = model.Subgraphs(0)
    made_by: dict[int, Any] = {}
    for position in range(graph.OperatorsLength()):
        operator = graph.Operators(position)
        made_by |= {int(tensor): operator for tensor in operator.OutputsAsNumpy()}

    def before_arg_max(tensor: int) -> int:
        while tensor in made_by:
            operator = made_by[tensor]
            code = model.OperatorCodes(operator.OpcodeIndex())
            tensor = int(operator.Inputs(0))
            # Which of the two fields is set depends on the age of the converter.
            kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            if kind == schema.BuiltinOperator.ARG_MAX:
                return tensor
        raise without_logits(path)

    return [before_arg_max(tensor) for tensor in outputs]
