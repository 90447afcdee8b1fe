"""The network as it will be used, beside the one that is trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_fcn.labels import LabelSpec
from keras_fcn.losses import PixelwiseCrossentropy
from keras_fcn.metrics import SegmentationScores
from keras_fcn.models import FCN

from .batchnorm import measure_batchnorm
from .files import replacing
from .moving_average import MovingAverage


class InferenceCopy:
    """A second network that gets the trained one's weights, to be validated and saved.

    So the scores in the log are those of the saved file: float32 layers
    whatever the training's precision, the moving average of the weights where
    there is one, on one device, and never a batch that is split or padded.

    Args:
        network: The network that is trained.
        labels: Its classes.
        average: The moving average of its weights, or `None`.
        batchnorm_batches: Training images on which BatchNorm's statistics are
            measured before a validation; without any, the moving ones are taken.
    """

    def __init__(
        self,
        network: FCN,
        labels: LabelSpec,
        average: MovingAverage | None = None,
        batchnorm_batches: Sequence[tf.Tensor] = (),
    ) -> None:
        self._batchnorm_batches = batchnorm_batches
        self._epoch = -1
        self.network = FCN.from_config({**network.get_config(), "dtype": "float32"})
        self._sources = average.values if average else network.weights
        self.scores = SegmentationScores(
            labels.num_classes, ignore_class=labels.ignore_class, class_names=labels.class_names
        )
        # Another model of the same layers, so that the saved one carries no loss.
        self._evaluator = keras.Model(self.network.inputs, self.network.outputs)
        self._evaluator.compile(
            optimizer=None,
            loss=PixelwiseCrossentropy(ignore_class=labels.ignore_class),
            metrics=[self.scores],
            jit_compile=False,
        )

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
        """Returns the mean loss of a valid pixel and the scores, by name."""
        return self._evaluator.evaluate(batches, verbose=0, return_dict=True)

    def save(self, path: Path, origin: dict[str, Any]) -> None:
        """Writes a `.keras` file in one go."""
        self.network.origin = origin
        with replacing(path) as temporary:
            self.network.save(temporary)
