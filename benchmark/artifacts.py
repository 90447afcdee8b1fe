"""The files that the candidates run, made once and kept."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_fcn.files import replacing

Images = Sequence[np.ndarray[Any, Any]]
_SUFFIXES = {"onnx": ".onnx", "tflite": ".tflite"}


class ArtifactError(RuntimeError):
    """A file could not be made."""


@dataclass
class Artifacts:
    """Makes what is missing in a folder.

    Args:
        model_path: The `.keras` file.
        folder: Where the files lie; another model file gets another folder in it.
        size: Height and width of the images.
        calibration: Returns at least 100 images of the kind that the model will
            see, uint8 `(height, width, 3)` each.
        calibration_name: A name for them, to be part of a file's.
    """

    model_path: Path
    folder: Path
    size: tuple[int, int]
    calibration: Callable[[], Images]
    calibration_name: str

    def __post_init__(self) -> None:
        with self.model_path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
        self._folder = self.folder / f"{self.model_path.stem}-{digest}"

    def path(self, name: str) -> Path:
        """Returns a candidate's file or folder, which is made if need be.

        Raises:
            ArtifactError: If it cannot be made.
        """
        target = self._target(name)
        if not target.exists():
            with replacing(target) as temporary:
                self._make(name, temporary)
        return target

    def is_made(self, name: str) -> bool:
        """Returns whether a candidate's file or folder is there."""
        return self._target(name).exists()

    def _target(self, name: str) -> Path:
        if name == "keras":
            return self.model_path
        suffix = f"-{self.calibration_name}" if name == "tflite-int8" else ""
        suffix += _SUFFIXES.get(name.split("-")[0], "")
        # The others take images of any size.
        folder = self._folder / _text(self.size) if "." in suffix else self._folder
        return folder / f"{name}{suffix}"

    def _make(self, name: str, path: Path) -> None:
        command = [sys.executable, "-m", f"{__package__}.making", name]
        command += [str(self.model_path), str(path), _text(self.size)]
        if name == "tflite-int8":
            images = path.parent / "calibration.npz"
            np.savez(images, *self.calibration())
            command.append(str(images))
        result = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if result.returncode < 0:
            raise ArtifactError(f"{name}: the system ended the process; was memory short?")
        if result.returncode:
            lines = result.stderr.strip().splitlines()
            raise ArtifactError(f"{name}: {lines[-1] if lines else 'no reason given'}")


def size_on_disk(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _text(size: tuple[int, int]) -> str:
    height, width = size
    return f"{height}x{width}"
