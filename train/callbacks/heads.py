"""One score for a network with several heads."""

from typing import Any

import keras

from keras_fcn.labels import Labels

from ..heads import mean_over_heads


class MeanOverHeads(keras.callbacks.Callback):
    """Adds `mean_iou` to the logs of an epoch: the mean of the heads' mean IoU.

    With a single head it is there already.

    Args:
        labels: The classes of each head.
    """

    def __init__(self, labels: Labels) -> None:
        super().__init__()
        self._labels = labels

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["mean_iou"] = mean_over_heads(logs, self._labels)
