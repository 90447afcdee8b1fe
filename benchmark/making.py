"""Writes one file that a candidate runs, in a process of its own.

    python -m keras_fcn_benchmark.making KIND MODEL.keras TARGET HEIGHTxWIDTH [IMAGES.npz]

So the memory that a converter takes is free again before anything is measured,
and where there is not enough of it, only this process is ended by the system.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras_fcn_export.onnx import export_onnx
from keras_fcn_export.savedmodel import export_savedmodel
from keras_fcn_export.tflite import export_tflite

import keras_fcn  # noqa: F401  (registers the classes in the file)

from .description import describe_network

Maker = Callable[[Any, Path, tuple[int, int], list[Any] | None], Path]


def main(arguments: list[str]) -> None:
    """Writes the file that the arguments name."""
    kind, model_path, target, size, *calibration = arguments
    height, width = map(int, size.split("x"))
    images = None
    if calibration:
        with np.load(calibration[0]) as archive:
            images = [archive[name] for name in archive]
    model = keras.saving.load_model(model_path, compile=False)
    made = MAKERS[kind](model, Path(target), (height, width), images)
    if made != Path(target):  # a SavedModel lies in the folder of its version
        made.rename(target)


def _savedmodel(precision: Any) -> Maker:
    return lambda model, path, size, images: export_savedmodel(
        model, path.with_name("versions"), precision=precision
    )


def _tflite(quantize: Any) -> Maker:
    return lambda model, path, size, images: export_tflite(
        model, path, quantize=quantize, size=size, calibration=images
    )


MAKERS: dict[str, Maker] = {
    "savedmodel": _savedmodel("float32"),
    "savedmodel-bfloat16": _savedmodel("bfloat16"),
    "tflite-none": _tflite("none"),
    "tflite-float16": _tflite("float16"),
    "tflite-dynamic": _tflite("dynamic"),
    "tflite-int8": _tflite("int8"),
    "onnx": lambda model, path, size, images: export_onnx(model, path, size=size),
    "pytorch": lambda model, path, size, images: describe_network(model, path),
}


if __name__ == "__main__":
    main(sys.argv[1:])
