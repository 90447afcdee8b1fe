"""Opens trained networks of every format."""

import tempfile
import warnings
import zipfile
from pathlib import Path

import keras

from keras_fcn.files import first_line
from keras_fcn.prediction.predictor import Predictor, damaged
from keras_fcn.weights.finite import described, not_finite

_FORMATS = "a .keras file, the folder of a SavedModel, a .tflite file or a .onnx file"
_HDF5 = (".h5", ".hdf5")


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
        >>> keras_fcn.FCN8s(3, backbone="small_resnet").save(path)
        >>> predictor = open_predictor(path)
        >>> predictor.predict(np.zeros((1, 20, 30, 3), "uint8")).shape
        (1, 20, 30)
    """
    path = _existing(path)
    try:
        return _opened(
            path, num_threads=num_threads, use_delegate=use_delegate, keep_tensors=keep_tensors
        )
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # whatever the reader of a format raises on a damaged file
        if isinstance(error, OSError | ValueError) and str(path) in str(error):
            raise
        raise damaged(path, "a segmentation network", error) from error


def _opened(
    path: Path, *, num_threads: int | None, use_delegate: bool, keep_tensors: bool
) -> Predictor:
    if path.is_dir():
        from keras_fcn.prediction.savedmodel import SavedModelPredictor

        return SavedModelPredictor(path)
    if path.suffix in (".keras", *_HDF5):
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
    """Opens a `.keras` file, or a whole model in a `.h5` file, without its optimizer.

    The result is that of `keras.saving.load_model(path, compile=False)`, in half the memory and a
    third of the time: the weights are read from an unpacked copy in a temporary folder, one by
    one, and no initial values are drawn for them.

    Args:
        path: The file. Every class of `keras_fcn` that it names is known; in a `.h5` file, which
            `keras.models.load_model` opens only with `custom_objects`, too.

    Returns:
        The model, not compiled. There is a warning if weights of it are NaN or infinite.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, contains weights only, or is damaged.
    """
    import keras_fcn  # noqa: F401  (registers the classes that files name)

    path = _existing(path)
    if path.is_file() and path.suffix in _HDF5:
        return _load_hdf5(path)
    if path.is_dir() or path.suffix != ".keras":
        raise ValueError(f"A Keras model must be a .keras file. Received: {path}.")
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            archive.extractall(folder)
            try:
                model = _created_with_weights(folder)
            except Exception:  # of a layer that needs values of its weights while it is built
                model = keras.saving.load_model(folder, compile=False)
    except Exception as error:  # damaged files make Keras raise errors of many kinds
        raise damaged(path, "a Keras model", error) from error
    if weights := not_finite(model):
        warnings.warn(
            f"{path} contains NaN or infinity in {described(weights)}: its predictions mean "
            "nothing, and it cannot be exported. Its training diverged: use an earlier "
            "checkpoint, or train again with a lower learning rate.",
            stacklevel=2,
        )
    return model


def _load_hdf5(path: Path) -> keras.Model:
    """Opens Keras' older format, in which the classes are not named by their packages."""
    if path.name.endswith((".weights.h5", ".weights.hdf5")):
        raise ValueError(
            f"{path} must contain a model. Its name says that it contains weights only: build the "
            f'network, such as `keras_fcn.FCN8s(num_classes, weights="{path}")`, and save it by '
            '`model.save("model.keras")`.'
        )
    registered = keras.saving.get_custom_objects().items()
    known = {n.removeprefix("keras_fcn>"): o for n, o in registered if n.startswith("keras_fcn>")}
    try:
        return keras.saving.load_model(path, custom_objects=known, compile=False)
    except Exception as error:  # of many kinds, as for `.keras` files
        raise ValueError(
            f"{path} could not be opened as a model in Keras' older format, HDF5. Where it was "
            'made, save it by `model.save("model.keras")`, and give that file. (If it contains '
            "weights only, call it `.weights.h5`, and give it to its network as `weights`.) "
            f"Keras says: {first_line(error)}"
        ) from error


def _created_with_weights(folder: str) -> keras.Model:
    """Loads a model whose variables get the stored values instead of random ones first."""
    # In this scope Keras postpones the creation of variables, and only records assignments. Both
    # concern this thread alone.
    with keras.StatelessScope() as scope:
        model = keras.saving.load_model(folder, compile=False)
        stored = [(v, scope.get_current_value(v)) for v in model.variables]
        stored = [(variable, value) for variable, value in stored if value is not None]
        for variable, value in stored:
            # Not public: without it variables would be created from random values, as ever.
            variable._initializer = lambda shape, dtype=None, value=value: value
    for variable, value in stored:
        variable.assign(value)
    return model


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no model at {path}. Expected {_FORMATS}.")
    return path
