"""A Keras model as a graph of TensorFlow's, which computes predictions or logits."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_fcn.labels import Heads
from keras_fcn.models.optimize import fast_argmax, inference_model, without_last_crop

# Of weights that are constants of a graph. They take some 15 times their size of memory, because
# TensorFlow copies a graph at each step of its optimization. ResNet50 and VGG16 have more.
MAX_CONSTANT_BYTES = 25_000_000

Maps = dict[str, Any]


class NetworkGraph:
    """The inference form of a model as one TensorFlow function, which is traced once.

    Weights of up to `MAX_CONSTANT_BYTES` in total are constants of the function, with the values
    that they have at this time: no call reads variables, and what depends on weights only is
    computed once. Larger ones stay variables, because a graph is copied several times.

    Args:
        model: Returns logits, or a dictionary of them. It is not changed.
        heads: The heads of the model.
        images: `tf.TensorSpec` of the images.
    """

    def __init__(self, model: keras.Model, heads: Heads, images: Any) -> None:
        uncropped, offsets = without_last_crop(inference_model(model))
        self.heads = heads
        self._offsets = heads.by_name(offsets)
        self._uncropped = _function(uncropped, images)

    def predictions(self, images: Any) -> Maps:
        """Returns the class of the highest logit by head, uint8, shape `(batch, height, width)`.

        It is found before the logits are cropped, so that no copy of them is made.
        """
        return self._of_pixels(images, fast_argmax)

    def logits(self, images: Any) -> Maps:
        """Returns the logits by head, float32, shape `(batch, height, width, num_classes)`."""
        return self._of_pixels(images, lambda logits: ops.cast(logits, "float32"))

    def _of_pixels(self, images: Any, function: Callable[[Any], Any]) -> Maps:
        """Returns a function of each pixel's logits, by head."""
        height, width = ops.shape(images)[1:3]
        outputs = {}
        for head, logits in self.heads.by_name(self._uncropped(images)).items():
            outputs[head] = function(logits)
            if (start := self._offsets[head]) is not None:
                outputs[head] = outputs[head][:, start : start + height, start : start + width]
        return outputs


def _function(model: keras.Model, images: Any) -> Callable[[Any], Any]:
    import tensorflow as tf

    num_bytes = sum(math.prod(w.shape) * tf.as_dtype(w.dtype).size for w in model.weights)
    weights = model.weights if num_bytes <= MAX_CONSTANT_BYTES else []
    # Read here, or the function would count as one that uses the variables.
    values = [ops.convert_to_numpy(weight) for weight in weights]

    @tf.function(input_signature=[images], autograph=False)
    def outputs_of(images: Any) -> Any:
        constants = [tf.constant(value) for value in values]
        with keras.StatelessScope(list(zip(weights, constants, strict=True))):
            return model(images, training=False)

    return outputs_of
