"""A moving average of the weights, which often scores better than the weights themselves."""

from typing import Any

import keras
import tensorflow as tf


class MovingAverage:
    """An exponential moving average of a network's weights, BatchNorm statistics included.

    After step t the average is `d * average + (1 - d) * weights`, with
    `d = min(decay, (1 + t) / (10 + t))`: the first steps, far from the last
    weights, are soon forgotten.

    Keras' optimizers have `use_ema` too. It leaves out BatchNorm's statistics,
    overwrites the weights at the end of every `fit` (so that training cannot go
    on), and Keras' callback swaps weights with rounding errors.

    Args:
        model: The network, built.
        decay: In (0, 1), such as 0.999.

    Example:
        >>> model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
        >>> average = MovingAverage(model, decay=0.9)
        >>> _ = model.layers[0].kernel.assign([[11.0]])
        >>> average.values[0].assign([[0.0]]).numpy()
        array([[0.]], dtype=float32)
        >>> average.update()  # d = min(0.9, 1 / 10)
        >>> round(float(average.values[0][0, 0]), 4)
        9.9
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        self.decay = decay
        self._weights = [weight.value for weight in model.weights]
        self.steps = tf.Variable(0, dtype="int64", trainable=False)
        self.values = [
            tf.Variable(tf.identity(weight), trainable=False) for weight in self._weights
        ]

    @property
    def variables(self) -> list[Any]:
        """All of its state, to be saved and restored."""
        return [self.steps, *self.values]

    @tf.function
    def update(self) -> None:
        """Takes the present weights into the average; call it after each step."""
        step = tf.cast(self.steps, tf.float32)
        decay = tf.minimum(self.decay, (1.0 + step) / (10.0 + step))
        for value, weight in zip(self.values, self._weights, strict=True):
            value.assign_sub(tf.cast(1.0 - decay, value.dtype) * (value - weight))
        self.steps.assign_add(1)
