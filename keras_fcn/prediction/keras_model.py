"""Prediction by a Keras model."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.modalities import ImageReading, image_dtype
from keras_fcn.models import FCN
from keras_fcn.models.optimize import inference_model
from keras_fcn.models.receptive_field import reach_of
from keras_fcn.prediction.graph import NetworkGraph
from keras_fcn.prediction.predictor import Maps, Predictor, highest_class

Run = Callable[[np.ndarray], Maps]


class KerasPredictor(Predictor):
    """Prediction by a Keras model: an `FCN`, or any that maps images to logits at their size.

    Its inference form predicts, with the weights that the model has at this time.

    Args:
        model: The model. One that is no `FCN` gets numbered classes.
        path: The file it was loaded from.

    Raises:
        ValueError: If the model does not map images to logits.
    """

    format = "keras"

    def __init__(self, model: keras.Model, path: Path | None = None) -> None:
        self.model = model
        modalities = model.modalities if isinstance(model, FCN) else ()
        input_shape = _checked_input_shape(model, path)
        super().__init__(
            path, heads_of(model), input_shape, modalities, image_reading_of(model).to_dict()
        )
        backend = keras.backend.backend()
        self.runtime = "Keras" if backend == "tensorflow" else f"Keras, {backend}"
        compiled = _graphs if backend == "tensorflow" else _calls
        self._predictions_of, self._logits_of = compiled(model, self.heads)

    @property
    def origin(self) -> Mapping[str, Any]:
        return self.model.origin if isinstance(self.model, FCN) else {}

    @property
    def reach(self) -> int | None:
        if not isinstance(self.model, FCN):
            return None
        reach = reach_of(self.model)
        return None if math.isinf(reach) else int(reach)

    def _predictions(self, images: np.ndarray) -> Maps:
        return self._predictions_of(images)

    def _logits(self, images: np.ndarray) -> Maps:
        return self._logits_of(images)


def heads_of(model: keras.Model) -> Heads:
    """Returns the heads of a model; one that is not an `FCN` gets numbered classes.

    >>> images = keras.Input((None, None, 3))
    >>> heads_of(keras.Model(images, keras.layers.Conv2D(2, 1)(images))).labels.class_names
    ('class 0', 'class 1')
    """
    if isinstance(model, FCN):
        return model.heads
    if isinstance(model.output, dict):
        return Heads({name: _numbered(output) for name, output in model.output.items()})
    return Heads(_numbered(model.output))


def image_reading_of(model: keras.Model) -> ImageReading:
    """Returns how image files are read for a model: as in its training, if that is known."""
    settings = model.origin.get("config", {}).get("data", {}) if isinstance(model, FCN) else {}
    has_names = bool(getattr(model, "modalities", ()))
    return ImageReading.from_dict(settings, 3 if has_names else model.input_shape[-1])


def _numbered(output: keras.KerasTensor) -> LabelSpec:
    return LabelSpec.numbered(output.shape[-1])


def _checked_input_shape(
    model: keras.Model, path: Path | None
) -> tuple[int | None, int | None, int]:
    """Returns height, width and channels that the model takes, or raises ValueError."""
    # `model.output_shape` is a list where `model.output` is a dictionary.
    shapes = keras.tree.map_structure(lambda output: output.shape, model.output)
    input_shape = model.input_shape
    takes_images = isinstance(input_shape, tuple) and len(input_shape) == 4 and input_shape[3]
    outputs = model.output.values() if isinstance(model.output, dict) else [model.output]
    gives_logits = all(
        isinstance(output, keras.KerasTensor) and len(output.shape) == 4 and output.shape[3]
        for output in outputs
    )
    if not (takes_images and gives_logits):
        raise ValueError(
            f"{path or model.name} must be a network from images (batch, height, width, channels) "
            "to logits (batch, height, width, num_classes). Received: from "
            f"{input_shape} to {shapes}."
        )
    return input_shape[1:]


def _graphs(model: keras.Model, heads: Heads) -> tuple[Run, Run]:
    """Returns predictions and logits as graphs that are traced once, not once per image size."""
    import tensorflow as tf

    dtype = image_dtype(model.input_shape[3])
    images = tf.TensorSpec((None, *model.input_shape[1:]), dtype, name="images")
    network = NetworkGraph(model, heads, images)
    lock = Lock()  # Keras does not promise that two threads can trace a model at once

    def graph_of(function: Callable[[Any], Any]) -> Run:
        outputs_of = tf.function(function, input_signature=[images], autograph=False)

        def run(images: np.ndarray) -> Maps:
            with lock:
                traced = outputs_of.get_concrete_function()
            return {head: maps.numpy() for head, maps in traced(tf.constant(images)).items()}

        return run

    return graph_of(network.predictions), graph_of(network.logits)


def _calls(model: keras.Model, heads: Heads) -> tuple[Run, Run]:
    """Returns predictions and logits by calls of the model, for backends but TensorFlow."""
    model = inference_model(model)

    def logits_of(images: np.ndarray) -> Maps:
        outputs = heads.by_name(model(images, training=False))
        return {
            head: ops.convert_to_numpy(logits).astype("float32") for head, logits in outputs.items()
        }

    def predictions_of(images: np.ndarray) -> Maps:
        return {head: highest_class(logits) for head, logits in logits_of(images).items()}

    return predictions_of, logits_of
