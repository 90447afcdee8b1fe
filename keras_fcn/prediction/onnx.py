"""Prediction by an ONNX file."""

import json
from pathlib import Path
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


class ONNXPredictor(Predictor):
    """Prediction by an `.onnx` file that `keras_fcn_export` wrote, in ONNX Runtime on the CPU.

    Args:
        path: The file.
        num_threads: Threads to run on; all processors by default.

    Raises:
        ImportError: If ONNX Runtime is not installed.
        ValueError: If the file is damaged (see `keras_fcn.prediction.checksum`), or another
            program wrote it.
    """

    format = "onnx"
    runtime = "ONNX Runtime"

    def __init__(self, path: Path, *, num_threads: int | None = None) -> None:
        self._session = _session(path, num_threads)
        texts = self._session.get_modelmeta().custom_metadata_map
        try:
            heads = Heads.from_json(texts["labels.json"])
            modalities = json.loads(texts.get(MODALITIES_FILE, "[]"))
            reading = json.loads(texts.get(READING_FILE, "{}"))
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(
                f"{path} must contain its classes (labels.json in the metadata). They are "
                "missing: the file was not written by `keras-fcn export`."
            ) from error
        (self._input,) = self._session.get_inputs()
        # An axis that may vary has a name instead of a length.
        height, width, num_channels = (
            length if isinstance(length, int) else None for length in self._input.shape[1:]
        )
        super().__init__(
            path,
            heads,
            (height, width, num_channels or 0),
            modalities,
            reading,
        )
        self._output_names = {output.name for output in self._session.get_outputs()}

    @property
    def has_logits(self) -> bool:
        return self._has(LOGITS)

    def _predictions(self, images: np.ndarray) -> Maps:
        if not self._has(PREDICTIONS):
            return {head: highest_class(logits) for head, logits in self._logits(images).items()}
        return self._outputs(PREDICTIONS, images)

    def _logits(self, images: np.ndarray) -> Maps:
        if not self.has_logits:
            raise without_logits(self.path)
        return self._outputs(LOGITS, images)

    def _has(self, output: str) -> bool:
        return all(self.heads.prefix(head) + output in self._output_names for head in self.heads)

    def _outputs(self, output: str, images: np.ndarray) -> Maps:
        # Only these are computed, and copied out of the session.
        names = [self.heads.prefix(head) + output for head in self.heads]
        return dict(
            zip(self.heads, self._session.run(names, {self._input.name: images}), strict=True)
        )


def _session(path: Path, num_threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            f"{path} needs ONNX Runtime. Run: pip install 'keras_fcn[onnx]'"
        ) from error
    check(path)
    options = onnxruntime.SessionOptions()
    if num_threads:
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        raise damaged(path, "an ONNX model", error) from error
