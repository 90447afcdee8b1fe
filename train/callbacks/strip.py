"""Pictures of fixed validation images with their predictions, as the training goes on."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_fcn.visualization import save_gallery

from ..data import ShownExample
from ..evaluation_model import EvaluationModel
from ..workdir import Workdir

# The plugin of TensorBoard that shows pictures; `tf.summary.image` writes the same.
_IMAGE = tf.compat.v1.SummaryMetadata(
    plugin_data={"plugin_name": "images"}, data_class="DATA_CLASS_BLOB_SEQUENCE"
)
_CELL_WIDTH = 240


class ValidationStrip(keras.callbacks.Callback):
    """Writes `validation.png` after each validation: the same images, with labels and predictions.

    TensorBoard keeps the picture of every validation. It comes after validation in the callbacks.

    Args:
        evaluation_model: The network.
        examples: The images.
        workdir: Folder of the picture and of TensorBoard's events.
        monitor: Name of a metric that is in the logs of epochs with validation.
    """

    def __init__(
        self,
        evaluation_model: EvaluationModel,
        examples: list[ShownExample],
        workdir: Workdir,
        monitor: str,
    ) -> None:
        super().__init__()
        self._evaluation_model = evaluation_model
        self._examples = examples
        self._workdir = workdir
        self._monitor = monitor
        self._writer: Any = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._monitor not in logs:
            return
        heads = self._evaluation_model.heads
        rows = []
        for example in self._examples:
            predictions = self._evaluation_model.predictions(example.images, example.batch_labels)
            row = [example.picture]
            for head in heads:
                row += [example.labels[head], np.asarray(predictions[head])[0]]
            rows.append(row)
        of = {head: f" ({head})" if heads.is_named else "" for head in heads}
        save_gallery(
            self._workdir.strip,
            rows,
            [spec for spec in heads.values() for _ in range(2)],
            titles=("image", *(f"{t}{of[h]}" for h in heads for t in ("truth", "prediction"))),
            captions=[example.name for example in self._examples],
            cell_width=_CELL_WIDTH,
        )
        self._write_event(epoch)

    def on_train_end(self, logs: Any = None) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None

    def _write_event(self, epoch: int) -> None:
        png = self._workdir.strip.read_bytes()
        height, width = tf.io.decode_png(png).shape[:2]
        if not self._writer:
            self._writer = tf.summary.create_file_writer(
                str(self._workdir.tensorboard / "validation")
            )
        with self._writer.as_default():
            picture = tf.constant([str(width).encode(), str(height).encode(), png])
            tf.summary.write("predictions", picture, step=epoch, metadata=_IMAGE)
        self._writer.flush()
