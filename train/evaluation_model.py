"""The network that is validated and saved, beside the one that is trained."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from keras import KerasTensor, ops

from keras_fcn.confusion_matrix import METRIC_NAMES, ConfusionMatrix
from keras_fcn.evaluation import count_predictions
from keras_fcn.files import replacing
from keras_fcn.labels import Heads
from keras_fcn.losses import SegmentationLoss, parts_of
from keras_fcn.models import FCN
from keras_fcn.models.optimize import fast_argmax
from keras_fcn.prediction import load_model

from .backend import compiled, copy_values, in_sequence
from .heads import head_losses, mean_over_heads
from .hosts import ALONE, Hosts
from .moving_average import MovingAverage, batchnorm_step, measure_batchnorm

# Pixels of which the loss is computed at once. Sums of more in float32 are less exact, too.
_BLOCK_PIXELS = 2**17


class EvaluationModel:
    """A second network that gets the weights of the trained one, to be validated and saved.

    The metrics in the log are therefore those of the saved file: float32 layers
    whatever the training's precision, the moving average of the weights where
    there is one, on one device, and never a batch that is split or padded.

    Args:
        network: The network that is trained.
        heads: Its classes.
        average: The moving average of its weights, or `None`.
        batchnorm_batches: Training images on which BatchNorm's statistics are
            measured before a validation; without any, the moving ones are used.
        loss: Name of the loss in the logs, as for `keras_fcn.losses.create`.
        hosts: Those that validate together, each a part of the images.

    Attributes:
        heads: As above.
        confusion_matrices: Those of the last validation, by head.
    """

    def __init__(
        self,
        network: FCN,
        heads: Heads,
        average: MovingAverage | None = None,
        batchnorm_batches: Sequence[np.ndarray] = (),
        loss: str = "crossentropy",
        hosts: Hosts = ALONE,
    ) -> None:
        self._hosts = hosts
        self._batchnorm_batches = batchnorm_batches
        self._epoch = -1
        self.network = FCN.from_config({**network.get_config(), "dtype": "float32"})
        self._batchnorm_step = batchnorm_step(self.network)
        self._sources = average.values if average else network.weights
        self.heads = heads
        self.confusion_matrices: dict[str, ConfusionMatrix] = {}
        losses = head_losses(heads, loss)
        self._losses = {head: parts_of(head_loss) for head, head_loss in losses.items()}
        # By head, for each part of its loss the sum of the terms and their number.
        self._sums: dict[str, np.ndarray] = {}
        self._step: Any = None

    @property
    def seeds(self) -> list[Any]:
        """The variables that are not copied: the states of dropout.

        `measure_batchnorm` changes them, so a training that resumes must restore them.
        """
        copied = {id(weight) for weight in self.network.weights}
        return [v for v in self.network.variables if id(v) not in copied]

    def refresh(self, epoch: int, *, measure: bool = False) -> None:
        """Copies the weights at the end of an epoch, unless they were copied before.

        Args:
            epoch: The epoch that ended.
            measure: Whether BatchNorm's statistics are measured on the batches given for that.
        """
        if epoch == self._epoch:
            return
        self._epoch = epoch
        copy_values(self._sources, self.network.weights)
        if measure and self._batchnorm_batches:
            measure_batchnorm(self.network, self._batchnorm_batches, self._batchnorm_step)

    def evaluate(self, batches: tf.data.Dataset) -> dict[str, float]:
        """Returns the loss and the metrics, by name.

        The loss is the sum over all valid pixels of the batches, divided by their number (Dice:
        over the images), and so does not depend on the size of the batches; 0 where every pixel
        is ignored. With several heads it is the sum of theirs, and `mean_iou` the mean.
        """
        if self._step is None:
            spec = batches.element_spec
            self._step = compiled(self._predict, self.network.variables, spec)
        self._sums = {head: np.zeros((len(parts), 2)) for head, parts in self._losses.items()}
        self.confusion_matrices = count_predictions(
            self._labels_and_predictions(batches), self.heads
        )
        for head, matrix in self.confusion_matrices.items():
            matrix.counts = self._hosts.add_up(matrix.counts)
            matrix.num_ignored = int(self._hosts.add_up(matrix.num_ignored))
            self._sums[head] = self._hosts.add_up(self._sums[head])
        losses = {}
        logs = {}
        for head, matrix in self.confusion_matrices.items():
            metrics, prefix = matrix.metrics(), self.heads.prefix(head)
            for name in METRIC_NAMES:
                # As in training: 0 where every pixel is ignored.
                logs[prefix + name] = float(np.nan_to_num(getattr(metrics, name)))
            losses[head] = sum(total / max(count, 1.0) for total, count in self._sums[head])
            logs[f"{prefix}loss"] = losses[head]
        logs["loss"] = sum(losses.values())
        logs["mean_iou"] = mean_over_heads(logs, self.heads)
        return logs

    def score_file(self, path: Path, batches: tf.data.Dataset) -> dict[str, float]:
        """Takes the weights of a file that this training saved; returns as `evaluate` does.

        Raises:
            ValueError: If the file cannot be read, or contains another network.
        """
        saved = load_model(path)
        if [w.shape for w in saved.weights] != [w.shape for w in self.network.weights]:
            raise ValueError(f"{path} must be a network of this training, but is another.")
        self.network.set_weights(saved.get_weights())
        return self.evaluate(batches)

    def predictions(self, images: np.ndarray, labels: Any) -> dict[str, Any]:
        """Returns the predictions for labeled images like those of the last validation, by head."""
        return self._step(images, labels)[0]

    def save(self, path: Path, origin: dict[str, Any]) -> None:
        """Writes a `.keras` file in one step, on the first host."""
        if not self._hosts.is_first:
            return
        self.network.origin = origin
        with replacing(path) as temporary:
            self.network.save(temporary)

    def _labels_and_predictions(self, batches: tf.data.Dataset) -> Iterator[tuple[Any, Any]]:
        for images, labels in batches.as_numpy_iterator():
            predictions, sums = self._step(images, labels)
            for head, values in sums.items():
                self._sums[head] += np.asarray(values)
            yield self.heads.by_name(labels), predictions

    def _predict(self, images: KerasTensor, labels: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the predictions, and what is added to `_sums`, by head."""
        labels = self.heads.by_name(labels)
        logits = self.heads.by_name(self.network(images, training=False))
        predictions = {head: fast_argmax(logits[head]) for head in self.heads}
        sums = {
            head: ops.stack([_total_and_count(part, labels[head], logits[head]) for part in parts])
            for head, parts in self._losses.items()
        }
        return predictions, sums


def _total_and_count(
    loss: SegmentationLoss, labels: KerasTensor, logits: KerasTensor
) -> KerasTensor:
    """Returns `SegmentationLoss.total_and_count`, computed block by block of rows.

    Of all pixels of a large image at once, it would need several times the memory of the network.
    """
    # Numbers on JAX, where shapes are known; tensors on TensorFlow.
    batch_size, height, width = ops.shape(logits)[:3]
    num_rows = (_BLOCK_PIXELS - 1) // (batch_size * width) + 1
    if isinstance(height, int):
        num_rows = min(num_rows, height)

    def sums_of(begin: Any, num_rows: Any) -> tuple[KerasTensor, ...]:
        rows = [
            ops.slice(
                maps,
                [0, begin, *(0 for _ in maps.shape[2:])],
                [batch_size, num_rows, *ops.shape(maps)[2:]],
            )
            for maps in (labels, logits)
        ]
        return loss.sums(*rows)

    def add(begin: Any, sums: tuple[KerasTensor, ...]) -> tuple[Any, ...]:
        more = sums_of(begin, num_rows)
        return begin + num_rows, tuple(a + b for a, b in zip(sums, more, strict=True))

    # The first block has what the others, all of the same size, leave over.
    first = (height - 1) % num_rows + 1
    _, sums = in_sequence(lambda begin, _: begin < height, add, (first, sums_of(0, first)))
    return ops.stack(loss.total_and_count_of(sums))
