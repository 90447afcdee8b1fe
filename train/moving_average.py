"""A moving average of the weights, which often has a higher mean IoU than the weights themselves.

Its BatchNorm statistics are averaged too, or measured for the averaged weights.
"""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from .backend import compiled, subtract


class MovingAverage:
    """An exponential moving average of a network's weights, BatchNorm statistics included.

    After update t of the weights the average is `d * average + (1 - d) * weights`, with
    `d = min(decay, (1 + t) / (10 + t))`: the first weights, far from the last
    ones, soon lose their influence.

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
        >>> _ = average.values[0].assign([[0.0]])
        >>> average.update()  # d = min(0.9, 1 / 10)
        >>> round(float(average.values[0][0, 0]), 4)
        9.9
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        self.decay = decay
        self._weights = model.weights
        self.steps = keras.Variable(0, dtype="int", trainable=False)
        self.values = [
            keras.Variable(np.array(weight), dtype=weight.dtype, trainable=False)
            for weight in self._weights
        ]
        # All arrays that JAX computes with are arguments.
        self._update = compiled(self._assign, [*self.variables, *self._weights])

    @property
    def variables(self) -> list[Any]:
        """All of its state, to be saved and restored."""
        return [self.steps, *self.values]

    def update(self) -> None:
        """Adds the current weights to the average; call it after each update of the weights."""
        self._update()

    def _assign(self) -> None:
        step = ops.cast(self.steps, "float32")
        decay = ops.minimum(self.decay, (1.0 + step) / (10.0 + step))
        for value, weight in zip(self.values, self._weights, strict=True):
            subtract(value, ops.cast(1.0 - decay, value.dtype) * (value - weight))
        self.steps.assign_add(1)


class AverageWeights(keras.callbacks.Callback):
    """Updates a moving average after each update of the weights.

    With `gradient_accumulation_steps` that is not after each batch.

    Args:
        average: The average of the network that is trained.
    """

    def __init__(self, average: MovingAverage) -> None:
        super().__init__()
        self._average = average
        self._num_updates: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._num_updates = self._count()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        num_updates = self._count()
        if num_updates != self._num_updates:
            self._num_updates = num_updates
            self._average.update()

    def _count(self) -> int:
        # Not `int(...)`, which fails on a variable of several devices.
        return int(np.asarray(self.model.optimizer.iterations))


def batchnorm_step(network: keras.Model) -> Callable[[np.ndarray], None]:
    """Returns the function that sets the moving statistics to those of a batch of images."""
    layers = list(_batchnorm_layers(network))

    def run(images: KerasTensor) -> None:
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.momentum = 0.0  # the moving statistics become those of the batch
        network(images, training=True)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum

    return compiled(run, network.variables)


def measure_batchnorm(
    network: keras.Model,
    batches: Iterable[np.ndarray],
    step: Callable[[np.ndarray], None] | None = None,
) -> None:
    """Replaces the moving statistics of all BatchNorm layers by their means over some batches.

    No training batch passed through the network with averaged weights, so averaged statistics do
    not match it, and measured ones have a higher mean IoU (compare `--batchnorm-batches 0`).

    Args:
        network: The network, whose statistics are set.
        batches: Training images, each batch as in training.
        step: `batchnorm_step(network)`, which takes long to build.

    Reference:
        Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
        Generalization", UAI 2018, section 3.2.
    """
    layers = list(_batchnorm_layers(network))
    if not layers:
        return
    step = step or batchnorm_step(network)
    sums = [np.zeros_like(value) for value in _statistics(layers)]
    count = 0
    for images in batches:
        step(images)
        sums = [total + value for total, value in zip(sums, _statistics(layers), strict=True)]
        count += 1
    for index, layer in enumerate(layers):
        layer.moving_mean.assign(sums[2 * index] / count)
        layer.moving_variance.assign(sums[2 * index + 1] / count)


def _statistics(layers: list[keras.layers.BatchNormalization]) -> list[np.ndarray]:
    return [
        keras.ops.convert_to_numpy(value)
        for layer in layers
        for value in (layer.moving_mean, layer.moving_variance)
    ]


def _batchnorm_layers(model: keras.Model) -> Iterable[keras.layers.BatchNormalization]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _batchnorm_layers(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer
