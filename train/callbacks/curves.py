"""The log of a training as a picture."""

from typing import Any

import keras

from keras_fcn.visualization import save_curves

from ..workdir import Workdir


class Curves(keras.callbacks.Callback):
    """Draws loss, mean IoU and learning rate from the log, after each epoch.

    Args:
        workdir: Where the log is and the picture goes.
    """

    def __init__(self, workdir: Workdir) -> None:
        super().__init__()
        self._workdir = workdir

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        save_curves(self._workdir.log, self._workdir.curves)
