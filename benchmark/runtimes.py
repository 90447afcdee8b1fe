"""Opens a candidate in a process of its own, with nothing loaded that it does not need."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]


class Runtime(Protocol):
    """A candidate that is ready to run."""

    def prepare(self, images: Array) -> Any:
        """Returns the images, uint8 `(batch, height, width, 3)`, as a caller would hold them."""
        ...

    def run(self, prepared: Any) -> Any:
        """Returns the answer, in this process's memory; this is what is timed."""
        ...

    def labels(self, answer: Any) -> Array:
        """Returns the answer as labels, uint8 `(batch, height, width)`."""
        ...


class _ArrayRuntime:
    """Takes and gives NumPy arrays of scores or labels."""

    def __init__(self, run: Callable[[Array], Array]) -> None:
        self._run = run

    def prepare(self, images: Array) -> Array:
        return images

    def run(self, prepared: Array) -> Array:
        return self._run(prepared)

    def labels(self, answer: Array) -> Array:
        return (answer.argmax(-1) if answer.ndim == 4 else answer).astype("uint8")


def _keras(path: Path, num_threads: int, signature: str) -> Runtime:
    return _keras_in("float32", path, num_threads)


def _keras_bfloat16(path: Path, num_threads: int, signature: str) -> Runtime:
    return _keras_in("bfloat16", path, num_threads)


def _keras_in(precision: Any, path: Path, num_threads: int) -> Runtime:
    set_tensorflow_threads(num_threads)
    import keras

    import keras_fcn  # noqa: F401  (registers the classes in the file)
    from keras_fcn.models.optimize import with_precision
    from keras_fcn.prediction.predictor import KerasPredictor

    model: Any = keras.saving.load_model(path, compile=False)
    if precision != "float32":
        model = with_precision(model, precision)
    return _ArrayRuntime(KerasPredictor(model).logits)  # type: ignore[arg-type]


def _savedmodel(path: Path, num_threads: int, signature: str) -> Runtime:
    set_tensorflow_threads(num_threads)
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    function = loaded.signatures[signature]
    if signature == "encoded":
        return _EncodedRuntime(loaded, function)

    def run(images: Array) -> Array:
        (output,) = function(images=tf.constant(images)).values()
        return output.numpy()

    runtime = _ArrayRuntime(run)
    runtime.loaded = loaded  # type: ignore[attr-defined]  # its functions do not keep it alive
    return runtime


class _EncodedRuntime:
    """A SavedModel's signature from JPEG files to palette PNG files."""

    def __init__(self, loaded: Any, function: Any) -> None:
        self._loaded = loaded
        self._function = function

    def prepare(self, images: Array) -> Any:
        import tensorflow as tf
        from PIL import Image

        def jpeg(image: Array) -> bytes:
            file = io.BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0)
            return file.getvalue()

        return tf.constant([jpeg(image) for image in images])

    def run(self, prepared: Any) -> Any:
        (output,) = self._function(image_bytes=prepared).values()
        return output.numpy()

    def labels(self, answer: Any) -> Array:
        from PIL import Image

        return np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in answer])


def _tflite(path: Path, num_threads: int, signature: str) -> Runtime:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=num_threads)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    (answered,) = interpreter.get_output_details()

    def run(images: Array) -> Array:
        answers = []
        for image in images:
            interpreter.set_tensor(given["index"], image[None])
            interpreter.invoke()
            answers.append(interpreter.get_tensor(answered["index"]))
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    return _ArrayRuntime(run)


def _onnxruntime(path: Path, num_threads: int, signature: str) -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return _ArrayRuntime(lambda images: session.run(["labels"], {"images": images})[0])


class _OpenVinoRuntime(_ArrayRuntime):
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
        super().__init__(lambda images: self._compiled([images])[0])

    def prepare(self, images: Array) -> Array:
        if images.shape != self._shape:
            self._shape = images.shape
            self._model.reshape(list(images.shape))
            self._compiled = self._core.compile_model(self._model, "CPU", self._settings)
        return images


def _openvino(path: Path, num_threads: int, signature: str) -> Runtime:
    return _OpenVinoRuntime(path, num_threads)


def _pytorch(path: Path, num_threads: int, signature: str) -> Runtime:
    return _pytorch_in("float32", path, num_threads)


def _pytorch_bfloat16(path: Path, num_threads: int, signature: str) -> Runtime:
    return _pytorch_in("bfloat16", path, num_threads)


def _pytorch_in(precision: str, path: Path, num_threads: int) -> Runtime:
    import torch

    torch.set_num_threads(num_threads)
    torch.set_num_interop_threads(1)
    from .torch_network import TorchNetwork

    network = TorchNetwork.load(path, dtype=getattr(torch, precision))

    def run(images: Array) -> Array:
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()

    return _ArrayRuntime(run)


def set_tensorflow_threads(num_threads: int) -> None:
    """Sets the threads; TensorFlow takes them only before its first operation."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


RUNTIMES: dict[str, Callable[[Path, int, str], Runtime]] = {
    "keras": _keras,
    "keras-bfloat16": _keras_bfloat16,
    "savedmodel": _savedmodel,
    "tflite": _tflite,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "pytorch": _pytorch,
    "pytorch-bfloat16": _pytorch_bfloat16,
}
