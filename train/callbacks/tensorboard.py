"""The log of a training for TensorBoard."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

# What makes TensorBoard draw a tensor as a curve; `tf.summary.scalar` writes the same.
_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data={"plugin_name": "scalars"}, data_class="DATA_CLASS_SCALAR"
)


class TensorBoardLog(keras.callbacks.Callback):
    """Writes the quantities of each epoch as scalars, training and validation side by side.

    Keras' own callback needs the package tensorboard to write; this one needs
    it only to look.

    Args:
        path: Folder of the runs `train` and `validation`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._writers: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, value in logs.items():
            run = "validation" if name.startswith("val_") else "train"
            with self._writer(run).as_default():
                tf.summary.write(
                    name.removeprefix("val_"),
                    tf.constant(value, tf.float32),
                    step=epoch,
                    metadata=_SCALAR,
                )
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self._path / run))
        return self._writers[run]
