"""The runtimes of the candidates, and the session that times one in a process of its own.

A runtime is a `keras_fcn.prediction.Predictor`, or has its methods `predict` and `logits`, or one
of them where its output is fixed. Libraries are imported where a runtime is opened, so that no
process loads one that it does not need.
"""

import io
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .candidates import Output
from .matmul import int8_matmul, tensorflow_matmul

if TYPE_CHECKING:
    from keras_fcn.prediction import Predictor

Array = np.ndarray[Any, Any]


def thread_environment(num_threads: int) -> dict[str, str]:
    """Returns the variables from which libraries read the number of threads at their import."""
    number = str(num_threads)
    return {
        "TF_NUM_INTRAOP_THREADS": number,
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": number,
        "OPENBLAS_NUM_THREADS": number,
    }


class Session:
    """A runtime in a process of its own, with the images that it is timed on.

    Args:
        runtime: Key into `RUNTIMES`.
        path: The file or folder of the model.
        num_threads: Threads that it computes on.
        output: The output that is timed.
    """

    def __init__(self, runtime: str, path: Path, num_threads: int, output: Output) -> None:
        # These formats run without Keras. Only our interface to them needs it.
        without_keras = runtime == "predictor" and path.suffix in (".tflite", ".onnx")
        self._unneeded_bytes = _import_keras_fcn() if without_keras else 0
        opened = RUNTIMES[runtime](path, num_threads)
        self._run = opened.logits if output == "logits" else opened.predict
        self._output = output

    def take(self, images: Array) -> float:
        """Sets the images for `time`, and returns the seconds of their first run."""
        self._images = self._given(images)
        return self.time(1)[0]

    def time(self, num_calls: int) -> list[float]:
        """Returns the seconds of each call."""
        seconds = []
        for _ in range(num_calls):
            start = time.perf_counter()
            self._run(self._images)
            seconds.append(time.perf_counter() - start)
        return seconds

    def predictions(self, images: Array) -> Array:
        """Returns the predictions, uint8 `(num, height, width)`; the images run one by one."""
        outputs = [self._run(self._given(image[None])) for image in images]
        if self._output == "PNG files":
            return np.stack([_png_pixels(file) for (file,) in outputs])
        maps = np.concatenate(outputs)
        return (maps.argmax(-1) if self._output == "logits" else maps).astype("uint8")

    def peak_bytes(self) -> int:
        """Returns the most memory that the process has used so far, libraries included.

        Keras is not counted where only the interface of this package needs it.
        """
        return _bytes_in_memory("VmHWM") - self._unneeded_bytes

    def _given(self, images: Array) -> Any:
        """Returns images in the form that a caller has them."""
        return [_jpeg(image) for image in images] if self._output == "PNG files" else images


def _predictor(path: Path, num_threads: int) -> "Predictor":
    from keras_fcn.prediction import open_predictor

    return open_predictor(path, num_threads=num_threads)


def _keras_bfloat16(path: Path, num_threads: int) -> "Predictor":
    from keras_fcn.models.optimize import with_precision
    from keras_fcn.prediction import KerasPredictor, load_model

    model: Any = load_model(path)
    return KerasPredictor(with_precision(model, "bfloat16"))


class _Encoded:
    """The signature of a SavedModel from JPEG files to palette PNG files."""

    def __init__(self, path: Path) -> None:
        import tensorflow as tf

        self._loaded = tf.saved_model.load(str(path))  # its functions have no reference to it
        self._function = self._loaded.signatures["encoded"]

    def predict(self, images: list[bytes]) -> Array:
        import tensorflow as tf

        (output,) = self._function(image_bytes=tf.constant(images)).values()
        return output.numpy()


class _OpenVino:
    """OpenVINO, compiled for the size of the images: faster than for any size."""

    def __init__(self, path: Path, num_threads: int) -> None:
        import openvino

        self._core = openvino.Core()
        self._model = self._core.read_model(path)
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": num_threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._shape: tuple[int, ...] = ()

    def predict(self, images: Array) -> Array:
        if images.shape != self._shape:
            self._shape = images.shape
            self._model.reshape(list(images.shape))
            self._compiled = self._core.compile_model(self._model, "CPU", self._settings)
        return self._compiled([images])[0]


class _PyTorch:
    """The network rebuilt in PyTorch."""

    def __init__(self, path: Path, num_threads: int, precision: str) -> None:
        import torch

        torch.set_num_threads(num_threads)
        torch.set_num_interop_threads(1)
        from .torch_network import TorchNetwork

        self._network = TorchNetwork.load(path, dtype=getattr(torch, precision))

    def logits(self, images: Array) -> Array:
        import torch

        with torch.inference_mode():
            return self._network(torch.from_numpy(images)).numpy()


RUNTIMES: dict[str, Callable[[Path, int], Any]] = {
    "predictor": _predictor,
    "keras-bfloat16": _keras_bfloat16,
    "encoded": lambda path, num_threads: _Encoded(path),
    "openvino": _OpenVino,
    "pytorch": lambda path, num_threads: _PyTorch(path, num_threads, "float32"),
    "pytorch-bfloat16": lambda path, num_threads: _PyTorch(path, num_threads, "bfloat16"),
    "matmul-float32": lambda path, num_threads: tensorflow_matmul("float32"),
    "matmul-bfloat16": lambda path, num_threads: tensorflow_matmul("bfloat16"),
    "matmul-int8": lambda path, num_threads: int8_matmul(num_threads),
}


def _jpeg(image: Array) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def _png_pixels(file: bytes) -> Array:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(file)))


def _import_keras_fcn() -> int:
    """Imports `keras_fcn`, with Keras and its backend; returns the memory that this takes."""
    before = _bytes_in_memory("VmRSS")
    import keras_fcn  # noqa: F401

    return _bytes_in_memory("VmRSS") - before


def _bytes_in_memory(name: str) -> int:
    """Returns the memory of this process now (`VmRSS`), or its maximum (`VmHWM`)."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(li for li in status.read_text().splitlines() if li.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
