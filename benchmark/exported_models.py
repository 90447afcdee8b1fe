"""The exported models that the candidates run, each exported once and kept."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_fcn.files import replacing

from .worker import Worker, WorkerError

Images = Sequence[np.ndarray[Any, Any]]
Size = tuple[int, int]

# The file in the folder of an exported model, by the first part of its name. Formats that are not
# listed are the folder.
_FILES = {"savedmodel": "1", "tflite": "model.tflite", "onnx": "model.onnx"}
# Others take images of any size.
_OF_FIXED_SIZE = ("tflite", "onnx")


class ExportError(RuntimeError):
    """A model could not be exported; the text contains the cause."""


@dataclass
class ExportedModels:
    """Exports a model to the formats that are missing in a folder.

    Args:
        model_path: The `.keras` file.
        folder: Folder of the exported models; those of each model have a folder of their own in it.
        size: Height and width of the images.
        calibration: Returns at least 100 images like those that the model will get, uint8
            `(height, width, 3)` each.
        calibration_name: A name for them, as a part of file names.
    """

    model_path: Path
    folder: Path
    size: Size
    calibration: Callable[[], Images]
    calibration_name: str

    def __post_init__(self) -> None:
        with self.model_path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
        self._folder = self.folder / f"{self.model_path.stem}-{digest}"

    def path(self, name: str) -> Path:
        """Returns the file or folder of an exported model, which is exported if missing.

        Args:
            name: Key into `MAKERS`, or `"keras"` for the model's own file.

        Raises:
            ExportError: If it cannot be exported.
        """
        if name == "keras":
            return self.model_path
        folder, file = self._folder_of(name), _FILES.get(_kind(name), "")
        if not folder.exists():
            with replacing(folder) as unfinished:
                unfinished.mkdir()
                self._make(name, unfinished / file)
        return folder / file

    def is_made(self, name: str) -> bool:
        """Returns whether an exported model exists."""
        return name == "keras" or self._folder_of(name).exists()

    def size_bytes(self, name: str) -> int:
        """Returns the size of an exported model: of its file, or of all its files."""
        path = self.model_path if name == "keras" else self._folder_of(name)
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files)

    def _folder_of(self, name: str) -> Path:
        height, width = self.size
        is_fixed = _kind(name) in _OF_FIXED_SIZE
        folder = self._folder / f"{height}x{width}" if is_fixed else self._folder
        return folder / (f"{name}-{self.calibration_name}" if name == "tflite-int8" else name)

    def _make(self, name: str, path: Path) -> None:
        images = list(self.calibration()) if name == "tflite-int8" else None
        # In a child process, so that the memory of a converter is free again before anything is
        # measured, and if there is too little of it, the system ends the child only.
        try:
            with Worker(export_model, name, self.model_path, path, self.size, images):
                pass
        except WorkerError as error:
            raise ExportError(f"{name}: {error}") from error


def export_model(
    name: str, model_path: Path, path: Path, size: Size, calibration: Images | None
) -> None:
    """Exports a model to a file or folder.

    Args:
        name: Key into `MAKERS`.
        model_path: The `.keras` file.
        path: The file or folder to write.
        size: Height and width of the images.
        calibration: Images on which int8 measures the range of each tensor.
    """
    from keras_fcn.prediction import load_model

    MAKERS[name](load_model(model_path), path, size, calibration)


Maker = Callable[[Any, Path, Size, Images | None], object]


def _savedmodel(precision: Any) -> Maker:
    def make(model: Any, path: Path, size: Size, calibration: Images | None) -> None:
        from keras_fcn_export import export_savedmodel

        export_savedmodel(model, path.parent, version=int(path.name), precision=precision)

    return make


def _tflite(quantize: Any) -> Maker:
    def make(model: Any, path: Path, size: Size, calibration: Images | None) -> None:
        from keras_fcn_export import export_tflite

        export_tflite(model, path, quantize=quantize, size=size, calibration=calibration)

    return make


def _onnx(model: Any, path: Path, size: Size, calibration: Images | None) -> None:
    from keras_fcn_export import export_onnx

    export_onnx(model, path, size=size)


def _pytorch(model: Any, path: Path, size: Size, calibration: Images | None) -> None:
    from .description import describe_network

    describe_network(model, path)


MAKERS: dict[str, Maker] = {
    "savedmodel": _savedmodel("float32"),
    "savedmodel-bfloat16": _savedmodel("bfloat16"),
    "tflite-none": _tflite("none"),
    "tflite-float16": _tflite("float16"),
    "tflite-dynamic": _tflite("dynamic"),
    "tflite-int8": _tflite("int8"),
    "onnx": _onnx,
    "pytorch": _pytorch,
}


def _kind(name: str) -> str:
    return name.split("-")[0]
