"""The network as it will be used, beside the one that is trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_fcn.files import replacing
from keras_fcn.labels import Labels
from keras_fcn.models import FCN
from keras_fcn.prediction.predictor import by_head

from .heads import head_losses, head_scores, mean_over_heads
from .moving_average import MovingAverage, measure_batchnorm


class InferenceCopy:
    """A second network that gets the trained one's weights, to be validated and saved.

    So the scores in the log are those of the saved file: float32 layers
    whatever the training's precision, the moving average of the weights where
    there is one, on one device, and never a batch that is split or padded.

    Args:
        network: The network that is trained.
        labels: Its classes; with several heads a dictionary of them.
        average: The moving average of its weights, or `None`.
        batchnorm_batches: Training images on which BatchNorm's statistics are
            measured before a validation; without any, the moving ones are taken.
    """

    def __init__(
        self,
        network: FCN,
        labels: Labels,
        average: MovingAverage | None = None,
        batchnorm_batches: Sequence[tf.Tensor] = (),
    ) -> None:
        self._batchnorm_batches = batchnorm_batches
        self._epoch = -1
        self.network = FCN.from_config({**network.get_config(), "dtype": "float32"})
        self._sources = average.values if average else network.weights
        self._labels = labels
        self._losses = head_losses(labels)
        self._mean_losses = {head: keras.metrics.Mean() for head in self._losses}
        self._count_batch: Any = None
        self.scores = head_scores(labels)

    def refresh(self, epoch: int, *, measure: bool = False) -> None:
        """Takes the weights at the end of an epoch, unless they were taken before.

        Args:
            epoch: The epoch that ended.
            measure: Whether BatchNorm's statistics are measured on the batches given for that.
        """
        if epoch == self._epoch:
            return
        self._epoch = epoch
        for target, source in zip(self.network.weights, self._sources, strict=True):
            target.assign(source)
        if measure and self._batchnorm_batches:
            measure_batchnorm(self.network, self._batchnorm_batches)

    def evaluate(self, batches: tf.data.Dataset) -> dict[str, float]:
        """Returns the mean loss of a valid pixel and the scores, by name.

        With several heads the loss is the sum of theirs, and `mean_iou` the mean.
        """
        # The network that is saved carries no loss and no metrics, so this is no `evaluate`.
        if self._count_batch is None:
            self._count_batch = tf.function(self._count, input_signature=batches.element_spec)
        for metric in (*self._mean_losses.values(), *self.scores.values()):
            metric.reset_state()
        for images, labels in batches:
            self._count_batch(images, labels)
        results = {}
        for head, scores in self.scores.items():
            results.update(scores.result())
            results[f"{head and head + '_'}loss"] = self._mean_losses[head].result()
        logs = {name: float(value) for name, value in results.items()}
        logs["loss"] = sum(float(mean.result()) for mean in self._mean_losses.values())
        logs["mean_iou"] = mean_over_heads(logs, self._labels)
        return logs

    def _count(self, images: tf.Tensor, labels: Any) -> None:
        labels, predictions = by_head(labels), by_head(self.network(images, training=False))
        for head, loss in self._losses.items():
            self._mean_losses[head].update_state(
                loss(labels[head], predictions[head]), sample_weight=tf.shape(images)[0]
            )
            self.scores[head].update_state(labels[head], predictions[head])

    def save(self, path: Path, origin: dict[str, Any]) -> None:
        """Writes a `.keras` file in one go."""
        self.network.origin = origin
        with replacing(path) as temporary:
            self.network.save(temporary)
