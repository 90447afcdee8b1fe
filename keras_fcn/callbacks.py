"""Callbacks for `fit` of a Keras model."""

import math
from typing import Any, NoReturn

import keras
import numpy as np

from keras_fcn.weights.finite import described, not_finite


class NonFiniteError(RuntimeError):
    """A training was stopped because its loss or a weight became NaN or infinite."""


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops a training whose loss or weights become NaN or infinite, and restores the weights.

    One image with a NaN, or a learning rate that is too high, otherwise ends with a network whose
    weights are all NaN, which predicts class 0 at every pixel. Keras reports no error.
    (`keras.callbacks.TerminateOnNaN` ends the training too, but leaves such weights and raises
    nothing.)

    The loss is checked after every batch, the weights at the end of every epoch. `keras-fcn
    train` and `keras_fcn_train.fit` have such a guard of their own.

    Args:
        restore: Whether the weights are set to those of the beginning of the epoch, of which a
            copy is kept in the memory of the host. (The variables of the optimizer are not.)

    Raises:
        NonFiniteError: From `fit`. Also before the first batch, if a weight is not finite from
            the start.

    Example:
        >>> images = keras.Input((None, None, 3))
        >>> model = keras.Model(images, keras.layers.Conv2D(2, 1)(images))
        >>> model.compile("sgd", "mse")
        >>> x, y = np.full((1, 2, 2, 3), np.nan, "float32"), np.zeros((1, 2, 2, 2), "float32")
        >>> model.fit(x, y, verbose=0, callbacks=[StopOnNonFinite()])
        Traceback (most recent call last):
        keras_fcn.callbacks.NonFiniteError: The loss became nan in batch 1 of epoch 1. The model \
has its weights of the beginning of this epoch again. Look for images with NaN or infinite \
values, or use a lower learning rate (it was 0.01) or gradient clipping.
        >>> bool(np.isfinite(model.get_weights()[0]).all())
        True
    """

    def __init__(self, restore: bool = True) -> None:
        super().__init__()
        self._restore = restore
        self._kept: list[np.ndarray] | None = None
        self._epoch = 0

    def on_train_begin(self, logs: Any = None) -> None:
        self._kept = None
        if paths := not_finite(self.model):
            raise NonFiniteError(
                f"The weights of {described(paths)} are NaN or infinite before the training "
                "begins. Build the model again, or load other weights."
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        if self._restore:
            self._kept = self.model.get_weights()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            self._stop(f"The loss became {float(loss)} in batch {batch + 1} of epoch")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if paths := not_finite(self.model):
            self._stop(f"The weights of {described(paths)} became NaN or infinite in epoch")

    def _stop(self, what: str) -> NoReturn:
        state = "The weights of the model are no longer usable"
        if self._kept is not None:
            self.model.set_weights(self._kept)
            state = "The model has its weights of the beginning of this epoch again"
        rate = float(self.model.optimizer.learning_rate)
        raise NonFiniteError(
            f"{what} {self._epoch + 1}. {state}. Look for images with NaN or infinite values, or "
            f"use a lower learning rate (it was {rate:g}) or gradient clipping."
        )
