"""The moving average of the weights, kept up to date and validated."""

from typing import Any

import keras

from ..moving_average import MovingAverage


class AverageWeights(keras.callbacks.Callback):
    """Updates the average after each step.

    Args:
        average: The average of the network that is trained.
    """

    def __init__(self, average: MovingAverage) -> None:
        super().__init__()
        self._average = average

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._average.update()
