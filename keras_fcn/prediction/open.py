"""Opens trained networks of every format."""

import tempfile
import zipfile
from pathlib import Path

import keras

from keras_fcn.prediction.predictor import Predictor, damaged

_FORMATS = "a .keras file, the folder of a SavedModel, a .tflite file or a .onnx file"


def open_predictor(
    path: str | Path,
    *,
    num_threads: int | None = None,
    use_delegate: bool = True,
    keep_tensors: bool = False,
) -> Predictor:
    """Opens a trained network for prediction.

    Args:
        path: A `.keras`, `.tflite` or `.onnx` file, or the folder of a SavedModel: the version
            itself, or the folder of its numbered versions, of which the highest is opened.
        num_threads: Threads that a `.tflite` or `.onnx` runs on; all processors by default.
            TensorFlow's are set for the whole process (`tf.config.threading`).
        use_delegate: Whether a `.tflite` runs on its fast XNNPACK operations or, for a
            comparison, on TensorFlow Lite's own.
        keep_tensors: Whether a `.tflite` that returns predictions only shall give logits as
            well; it keeps every tensor in memory for it.

    Returns:
        A `Predictor`, which several threads may call.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If it is no such file, is damaged, or is no segmentation network.
        ImportError: If a `.onnx` needs ONNX Runtime, which is not installed.

    Example:
        >>> import tempfile, keras_fcn, numpy as np
        >>> path = tempfile.mkdtemp() + "/tiny.keras"
        >>> keras_fcn.FCN8s(3, backbone="mobilenet_v2", alpha=0.35).save(path)
        >>> predictor = open_predictor(path)
        >>> predictor.predict(np.zeros((1, 20, 30, 3), "uint8")).shape
        (1, 20, 30)
    """
    path = _existing(path)
    if path.is_dir():
        from keras_fcn.prediction.savedmodel import SavedModelPredictor

        return SavedModelPredictor(path)
    if path.suffix == ".keras":
        from keras_fcn.prediction.keras_model import KerasPredictor

        return KerasPredictor(load_model(path), path)
    if path.suffix == ".tflite":
        from keras_fcn.prediction.tflite import TFLitePredictor

        return TFLitePredictor(
            path, num_threads=num_threads, use_delegate=use_delegate, keep_tensors=keep_tensors
        )
    if path.suffix == ".onnx":
        from keras_fcn.prediction.onnx import ONNXPredictor

        return ONNXPredictor(path, num_threads=num_threads)
    raise ValueError(f"A model must be {_FORMATS}. Received: {path}.")


def load_model(path: str | Path) -> keras.Model:
    """Opens a `.keras` file, without its optimizer.

    Besides the model it takes memory for the largest tensor only, because Keras reads the weights
    from a temporary folder; `keras.saving.load_model` reads the whole file into memory.

    Args:
        path: The file. `import keras_fcn` has registered every class in a file of ours.

    Returns:
        The model, not compiled.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no `.keras` file, or is damaged.
    """
    import keras_fcn  # noqa: F401  (registers the classes in the file)

    path = _existing(path)
    if path.suffix != ".keras" or path.is_dir():
        raise ValueError(f"A Keras model must be a .keras file. Received: {path}.")
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            archive.extractall(folder)
            return keras.saving.load_model(folder, compile=False)
    except Exception as error:  # damaged files make Keras raise errors of many kinds
        raise damaged(path, "a Keras model", error) from error


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no model at {path}. Expected {_FORMATS}.")
    return path
