"""One interface to a trained network: a `.keras` file, a SavedModel or a `.tflite`."""

import json
import math
import os
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np

from keras_fcn.data.resizing import Size, resized_images, resized_labels, resized_scores
from keras_fcn.labels import Labels, LabelSpec, labels_from_json
from keras_fcn.modalities import MODALITIES_FILE
from keras_fcn.models import FCN
from keras_fcn.models.optimize import highest_label, inference_model
from keras_fcn.models.receptive_field import reach_of

# One array for a network with a single head, else one for each named head.
Maps = np.ndarray | dict[str, np.ndarray]
T = TypeVar("T")
_WEIGHTS = "model.weights.h5"

# What networks take that do not name it.
_MODALITIES_BY_CHANNELS = {
    1: ("depth",),
    4: ("color", "depth"),
    6: ("color", "hha"),
    7: ("color", "hha", "depth"),
}


def open_predictor(
    path: str | Path, *, num_threads: int | None = None, use_delegate: bool = True
) -> "Predictor":
    """Opens a trained network for prediction.

    Args:
        path: A `.keras` file, a `.tflite` file, or the folder of a SavedModel: the version
            itself, or the folder of its numbered versions, of which the highest is taken.
        num_threads: Threads of a `.tflite`; all processors by default.
        use_delegate: Whether a `.tflite` runs on its fast XNNPACK operations or, for a
            comparison, on TensorFlow Lite's own.

    Returns:
        A `Predictor`.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If it is no such file, is damaged, or is no segmentation network.

    Example:
        >>> import tempfile, keras_fcn
        >>> path = tempfile.mkdtemp() + "/tiny.keras"
        >>> keras_fcn.FCN8s(3, backbone="mobilenet_v2").save(path)
        >>> predictor = open_predictor(path)
        >>> predictor.predict(np.zeros((1, 20, 30, 3), "uint8")).shape
        (1, 20, 30)
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no model at {path}. Expected a .keras file, a .tflite file or the folder "
            "of a SavedModel."
        )
    if path.is_dir():
        return SavedModelPredictor(_saved_model_folder(path))
    if path.suffix == ".keras":
        return KerasPredictor(_load_keras_model(path), path)
    if path.suffix == ".tflite":
        return TFLitePredictor(path, num_threads=num_threads, use_delegate=use_delegate)
    raise ValueError(
        f"A model must be a .keras file, a .tflite file or the folder of a SavedModel. "
        f"Received: {path}."
    )


class ImageSizeError(ValueError):
    """An image is of a size that a network does not answer."""


class Predictor(ABC):
    """A trained network: images in, label maps or scores out.

    Attributes:
        format: `"keras"`, `"savedmodel"` or `"tflite"`.
        path: The file or folder it was opened from; None for a model in memory.
        labels: What the labels mean: a `LabelSpec`, or one for each named head.
        fixed_size: `(height, width)` if the network takes no other; images are then resized
            to it bilinearly, and their labels back by nearest neighbor. Else None.
        network_size: `(height, width)` if images of every size are resized to one, here or, as a
            SavedModel can do, inside. Else None.
        num_channels: Channels of the images: 3, unless the network takes more than RGB.
        modalities: Kinds of the images (see `keras_fcn.modalities`), one after the other along
            the channels, where the file or the number of channels tells them; none for RGB.
    """

    format: str

    def __init__(
        self,
        path: Path | None,
        labels: Labels,
        input_shape: tuple[int | None, int | None, int],
        modalities: Sequence[str] = (),
    ) -> None:
        height, width, self.num_channels = input_shape
        self.path = path
        self.labels = labels
        known = _MODALITIES_BY_CHANNELS.get(self.num_channels, ())
        self.modalities = tuple(modalities) or known
        self.fixed_size: Size | None = (height, width) if height and width else None
        self.network_size = self.fixed_size

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of scores or label maps made by this network has to know."""
        if self.network_size is None:
            return ()
        height, width = self.network_size
        return (
            f"Fixed input of {height}x{width}: images of other sizes are resized to it, "
            "labels back by nearest.",
        )

    @property
    def reach(self) -> int | None:
        """How many pixels away an image still changes scores; None if that is not known."""
        return None

    def predict(self, images: np.ndarray) -> Maps:
        """Returns the most likely class of each pixel.

        Args:
            images: RGB, uint8, shape `(batch, height, width, 3)`; float32 for a network that
                takes another number of channels.

        Returns:
            Labels, uint8, shape `(batch, height, width)`; a dictionary of them by head for a
            network with several heads.

        Raises:
            ImageSizeError: If the images are larger than a SavedModel's limit.
        """
        return self._at_its_size(images, self._labels_of, resized_labels)

    def logits(self, images: np.ndarray) -> Maps:
        """Returns the scores (logits) of each class at each pixel.

        Args:
            images: RGB, uint8, shape `(batch, height, width, 3)`; float32 for a network that
                takes another number of channels.

        Returns:
            Scores, float32, shape `(batch, height, width, num_classes)`; a dictionary of them
            by head for a network with several heads.

        Raises:
            ValueError: If the artifact answers labels only.
            ImageSizeError: If the images are larger than a SavedModel's limit.
        """
        return self._at_its_size(images, self._scores_of, resized_scores)

    @abstractmethod
    def _labels_of(self, images: np.ndarray) -> Maps: ...

    @abstractmethod
    def _scores_of(self, images: np.ndarray) -> Maps: ...

    def _at_its_size(
        self,
        images: np.ndarray,
        run: Callable[[np.ndarray], Maps],
        resized: Callable[[np.ndarray, Size], np.ndarray],
    ) -> Maps:
        """Runs the network on images of a size that it takes, and resizes the answer back."""
        images = _checked_images(images, self.num_channels)
        size = images.shape[1:3]
        if self.fixed_size is None or self.fixed_size == size:
            return run(images)
        answer = run(resized_images(images, self.fixed_size))
        return map_heads(lambda maps: resized(maps, size), answer)


class KerasPredictor(Predictor):
    """Prediction by a Keras model: ours, or any that maps images to scores at their size.

    Args:
        model: The model. One without `labels` gets numbered classes.
        path: The file it was loaded from.

    Raises:
        ValueError: If the model does not map images to scores.
    """

    format = "keras"

    def __init__(self, model: keras.Model, path: Path | None = None) -> None:
        self.model = model
        modalities = model.modalities if isinstance(model, FCN) else ()
        super().__init__(path, _labels_of_model(model), _checked_model(model, path), modalities)
        network = inference_model(model)
        is_tensorflow = keras.backend.backend() == "tensorflow"
        self._run = _compiled(network) if is_tensorflow else _called(network)

    @property
    def reach(self) -> int | None:
        if not isinstance(self.model, FCN):
            return None
        reach = reach_of(self.model)
        return None if math.isinf(reach) else int(reach)

    def _labels_of(self, images: np.ndarray) -> Maps:
        return map_heads(np.asarray, self._run(images, labels=True))

    def _scores_of(self, images: np.ndarray) -> Maps:
        return map_heads(np.asarray, self._run(images, labels=False))


class SavedModelPredictor(Predictor):
    """Prediction by a SavedModel that `keras_fcn_export` wrote; Keras does not run in it.

    Args:
        path: The folder that holds `saved_model.pb`.

    Raises:
        ValueError: If the folder is damaged, or another program wrote it.
    """

    format = "savedmodel"

    def __init__(self, path: Path) -> None:
        import tensorflow as tf

        labels_file = path / "assets" / "labels.json"
        if not labels_file.is_file():
            raise ValueError(
                f"{path} must hold assets/labels.json, the classes of the network. It is missing: "
                "this SavedModel was not written by `keras-fcn export`."
            )
        try:
            labels = labels_from_json(labels_file.read_text())
            # The object that was loaded must live as long as its functions.
            self._loaded = tf.saved_model.load(str(path))
            signatures = self._loaded.signatures
            self._signatures = {name: signatures[name] for name in ("serving_default", "scores")}
        except Exception as error:
            raise ValueError(_damaged(path, "a SavedModel", error)) from error
        shape = self._signatures["serving_default"].structured_input_signature[1]["images"].shape
        super().__init__(path, labels, tuple(shape[1:]), _modalities_beside(labels_file))
        options = _serving_options(path)
        if options.get("size"):
            height, width = options["size"]
            self.network_size = (height, width)
        self._max_pixels = options.get("max_pixels")

    def _labels_of(self, images: np.ndarray) -> Maps:
        return self._answer("serving_default", "labels", images)

    def _scores_of(self, images: np.ndarray) -> Maps:
        return self._answer("scores", "scores", images)

    def _answer(self, signature: str, output: str, images: np.ndarray) -> Maps:
        import tensorflow as tf

        height, width = images.shape[1:3]
        if self._max_pixels and height * width > self._max_pixels:
            raise ImageSizeError(
                f"{self.path} answers images of up to {self._max_pixels} pixels. Received: "
                f"{height}x{width}. Run it in tiles (`--tile`), or export it again with a larger "
                "--max-pixels."
            )
        outputs = self._signatures[signature](images=tf.constant(images))
        if isinstance(self.labels, dict):
            return {head: outputs[f"{head}_{output}"].numpy() for head in self.labels}
        return outputs[output].numpy()


class TFLitePredictor(Predictor):
    """Prediction by a `.tflite` file that `keras_fcn_export` wrote; one image at a time.

    Args:
        path: The file.
        num_threads: Threads to run on; all processors by default.
        use_delegate: Whether to run on XNNPACK's operations.

    Raises:
        ValueError: If the file is damaged, or another program wrote it.
    """

    format = "tflite"

    def __init__(
        self, path: Path, *, num_threads: int | None = None, use_delegate: bool = True
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        labels, modalities = _labels_inside(path), _modalities_inside(path)
        resolver = (
            OpResolverType.AUTO
            if use_delegate
            else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
        try:
            self._interpreter = Interpreter(
                model_path=str(path),
                num_threads=num_threads or os.cpu_count() or 1,
                experimental_op_resolver_type=resolver,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(_damaged(path, "a TFLite model", error)) from error
        (self._input,) = self._interpreter.get_input_details()
        self._outputs = self._output_details(labels)
        # An axis that may vary has the size -1.
        shape = [max(0, size) for size in self._input["shape_signature"].tolist()]
        super().__init__(path, labels, (shape[1], shape[2], shape[3]), modalities)

    def _labels_of(self, images: np.ndarray) -> Maps:
        def as_labels(maps: np.ndarray) -> np.ndarray:
            return (maps.argmax(-1) if maps.ndim == 4 else maps).astype("uint8")

        return map_heads(as_labels, self._answers(images))

    def _scores_of(self, images: np.ndarray) -> Maps:
        def as_scores(maps: np.ndarray) -> np.ndarray:
            if maps.ndim != 4:
                raise ValueError(
                    f"{self.path} answers labels only. For scores export it again with "
                    "`keras-fcn export --answer scores`."
                )
            return maps.astype("float32")

        return map_heads(as_scores, self._answers(images))

    def _answers(self, images: np.ndarray) -> Maps:
        answers = [self._answer(image[None]) for image in images]
        by_head = {
            head: np.concatenate([answer[head] for answer in answers]) for head in self._outputs
        }
        return by_head if isinstance(self.labels, dict) else by_head[""]

    def _output_details(self, labels: Labels) -> dict[str, dict[str, Any]]:
        """Returns what the interpreter says of each head's output; a single head is called ""."""
        if isinstance(labels, LabelSpec):
            return {"": self._interpreter.get_output_details()[0]}
        by_name = self._interpreter.get_signature_runner().get_output_details()
        names = {head: (f"{head}_labels", f"{head}_scores") for head in labels}
        return {head: by_name[a] if a in by_name else by_name[b] for head, (a, b) in names.items()}

    def _answer(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs by head for one image, shape `(1, height, width, 3)`."""
        index = self._input["index"]
        # The details are a copy: what the interpreter holds now has to be asked for again.
        if tuple(self._interpreter.get_input_details()[0]["shape"]) != image.shape:
            self._interpreter.resize_tensor_input(index, image.shape)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(index, image.astype(self._input["dtype"], copy=False))
        self._interpreter.invoke()
        return {
            head: _dequantized(self._interpreter.get_tensor(details["index"]), details)
            for head, details in self._outputs.items()
        }


def map_heads(function: Callable[[Any], Any], value: Any) -> Any:
    """Applies a function to a value, or to each value of a dictionary by head.

    >>> map_heads(len, "four"), map_heads(len, {"semantic": "four", "geometric": "six"})
    (4, {'semantic': 4, 'geometric': 3})
    """
    if isinstance(value, dict):
        return {head: function(part) for head, part in value.items()}
    return function(value)


def by_head(value: T | dict[str, T]) -> dict[str, T]:
    """Returns what belongs to a single head in the form of several; its name is empty.

    >>> by_head("four"), by_head({"semantic": "four"})
    ({'': 'four'}, {'semantic': 'four'})
    """
    return value if isinstance(value, dict) else {"": value}


# === Files ===


def _saved_model_folder(path: Path) -> Path:
    """Returns the folder with `saved_model.pb`: `path` or its highest version."""
    if (path / "saved_model.pb").is_file():
        return path
    versions = [
        folder
        for folder in path.iterdir()
        if folder.name.isdecimal() and (folder / "saved_model.pb").is_file()
    ]
    if versions:
        return max(versions, key=lambda folder: int(folder.name))
    hint = " The folder holds best.keras: give that file." if (path / "best.keras").exists() else ""
    raise ValueError(
        f"{path} must be the folder of a SavedModel, with saved_model.pb in it or in a numbered "
        f"folder below.{hint}"
    )


def _serving_options(path: Path) -> dict[str, Any]:
    """Returns what was baked into a SavedModel: `size`, `max_pixels` and others."""
    options_file = path / "assets" / "serving.json"
    return json.loads(options_file.read_text()) if options_file.is_file() else {}


def _load_keras_model(path: Path) -> keras.Model:
    try:
        return _model_in(path)
    except Exception as error:  # damaged files make Keras raise errors of many kinds
        raise ValueError(_damaged(path, "a Keras model", error)) from error


def _model_in(path: Path) -> keras.Model:
    """Returns the model of a `.keras` file, without its optimizer.

    `keras.saving.load_model` holds the whole file in memory beside the model; it is used only
    for files that hold more than a model and its weights.
    """
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        if set(archive.namelist()) != {"metadata.json", "config.json", _WEIGHTS}:
            return keras.saving.load_model(path, compile=False)
        config = json.loads(archive.read("config.json"))
        model = keras.saving.deserialize_keras_object({**config, "compile_config": None})
        model.load_weights(archive.extract(_WEIGHTS, folder))
        return model


def _labels_inside(path: Path) -> Labels:
    """Returns the labels that a `.tflite` carries: the file is a zip archive, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            return labels_from_json(archive.read("labels.json").decode())
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} must carry its classes (a member labels.json at its end). They are missing: "
            "the file is cut off, or was not written by `keras-fcn export`."
        ) from error


def _modalities_beside(labels_file: Path) -> tuple[str, ...]:
    """Returns the kinds of images that a SavedModel names; none in older ones and for RGB."""
    file = labels_file.with_name(MODALITIES_FILE)
    return tuple(json.loads(file.read_text())) if file.is_file() else ()


def _modalities_inside(path: Path) -> tuple[str, ...]:
    """Returns the kinds of images that a `.tflite` names; see `_modalities_beside`."""
    with zipfile.ZipFile(path) as archive:
        is_there = MODALITIES_FILE in archive.namelist()
        return tuple(json.loads(archive.read(MODALITIES_FILE))) if is_there else ()


def _damaged(path: Path, kind: str, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return (
        f"{path} cannot be read as {kind}: it is damaged, or another program wrote it. "
        f"({reason.rstrip('.')[:300]}.)"
    )


# === Keras models ===


def _checked_model(model: keras.Model, path: Path | None) -> tuple[int | None, int | None, int]:
    """Returns height, width and channels that the model takes, or raises ValueError."""
    # `model.output_shape` is a list where `model.output` is a dictionary.
    shapes = map_heads(lambda output: output.shape, model.output)
    input_shape = model.input_shape
    takes_images = isinstance(input_shape, tuple) and len(input_shape) == 4 and input_shape[3]
    gives_scores = all(
        isinstance(shape, tuple) and len(shape) == 4 and shape[3]
        for shape in (shapes.values() if isinstance(shapes, dict) else [shapes])
    )
    if not (takes_images and gives_scores):
        raise ValueError(
            f"{path or model.name} must be a network from images (batch, height, width, channels) "
            "to scores (batch, height, width, num_classes). Received: from "
            f"{input_shape} to {shapes}."
        )
    return input_shape[1:]


def _labels_of_model(model: keras.Model) -> Labels:
    labels = getattr(model, "labels", None)
    if isinstance(labels, (LabelSpec, dict)):
        return labels
    return map_heads(lambda output: LabelSpec.numbered(output.shape[-1]), model.output)


def _compiled(model: keras.Model) -> Callable[..., Any]:
    """Returns the model as a graph that is traced twice, not once for each size of image."""
    import tensorflow as tf

    dtype = "uint8" if model.input_shape[3] == 3 else "float32"
    images = tf.TensorSpec((None, *model.input_shape[1:]), dtype, name="images")

    @tf.function(input_signature=[images])
    def scores_of(images: Any) -> Any:
        return tf.nest.map_structure(
            lambda scores: tf.cast(scores, "float32"), model(images, training=False)
        )

    @tf.function(input_signature=[images])
    def labels_of(images: Any) -> Any:
        return tf.nest.map_structure(highest_label, model(images, training=False))

    return lambda images, labels: labels_of(images) if labels else scores_of(images)


def _called(model: keras.Model) -> Callable[..., Any]:
    """Returns the model as a function of NumPy arrays, for backends other than TensorFlow."""

    def run(images: np.ndarray, labels: bool) -> Any:
        scores = map_heads(keras.ops.convert_to_numpy, model(images, training=False))
        if labels:
            return map_heads(lambda array: array.argmax(-1).astype("uint8"), scores)
        return map_heads(lambda array: array.astype("float32"), scores)

    return run


# === Arrays ===


def _checked_images(images: np.ndarray, num_channels: int) -> np.ndarray:
    images = np.asarray(images)
    expected = "uint8 RGB" if num_channels == 3 else "float32"
    dtype = np.uint8 if num_channels == 3 else np.float32
    if images.ndim != 4 or images.shape[3] != num_channels or images.dtype != dtype:
        raise ValueError(
            f"`images` must be {expected} of shape (batch, height, width, {num_channels}). "
            f"Received: shape {images.shape}, dtype {images.dtype}."
        )
    return images


def _dequantized(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Returns real numbers where an output of scores is stored as integers."""
    scale, zero_point = details["quantization"]
    if values.ndim != 4 or scale == 0:
        return values
    return (values.astype("float32") - zero_point) * np.float32(scale)
