"""What stops a training that has gone wrong, or warns of it."""

import math
import sys
from typing import Any

import keras
import numpy as np

from keras_fcn.metrics import SegmentationMetrics

from ..config import Config
from ..interrupts import TrainingDiverged
from ..workdir import Workdir
from .tracking import Tracker


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops when the loss or a weight is no longer finite, before anything is saved.

    The loss is looked at after every step, which costs nothing because the
    progress bar shows it; the weights before each time they are saved.

    Args:
        config: Its settings are named in the advice.
        workdir: Where the last good weights lie.
        tracker: Says where the training is.
    """

    def __init__(self, config: Config, workdir: Workdir, tracker: Tracker) -> None:
        super().__init__()
        self._config = config
        self._workdir = workdir
        self._tracker = tracker

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite(logs["loss"]):
            self._stop(f"The loss became {logs['loss']}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.check_weights()

    def check_weights(self) -> None:
        """Raises TrainingDiverged unless all weights are finite."""
        for weight in self.model.weights:
            if not np.isfinite(np.asarray(weight)).all():
                self._stop(f"The weights of {weight.path} are no longer finite")

    def _stop(self, what: str) -> None:
        config, tracker = self._config, self._tracker
        optimizer = config.optimizer
        kept = "Nothing was saved yet"
        if self._workdir.last.is_file():
            kept = f"The last good weights are in {self._workdir.last}"
        raise TrainingDiverged(
            f"{what} at step {tracker.global_step} of the training. {kept}. A resumed training "
            "would end here again. Start a new one with a lower --learning-rate "
            f"(it was {optimizer.learning_rate:g}), more --warmup-steps (it was "
            f"{optimizer.warmup_steps}) or --global-clipnorm 1. " + _ADVICE[config.loss.reduction]
        )


_SUMMED = (
    "A loss that is not divided by the pixels, as reduction='{}', fits learning rates of "
    "1e-10 or so only."
)
_ADVICE = {
    "mean": "If it happens in the first steps, look at the images and masks: "
    "keras-fcn datasets check.",
    "per_image": _SUMMED.format("per_image"),
    "sum": _SUMMED.format("sum"),
}


class WarnOfOneClass(keras.callbacks.Callback):
    """Warns once when two validations in a row, or the last, saw one predicted class only.

    Args:
        scores: The metric of the validation.
        config: Says which epoch is the last, and what the advice names.
        tracker: Says where the training is.
        head: Name of the head that the metric scores, for a network with several.
    """

    def __init__(
        self, scores: SegmentationMetrics, config: Config, tracker: Tracker, head: str = ""
    ) -> None:
        super().__init__()
        self._scores = scores
        self._config = config
        self._tracker = tracker
        self._of_head = f" of the head {head!r}" if head else ""
        self._seen_in_a_row = 0
        self._warned = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if "val_mean_iou" not in logs:
            return
        predicted = one_predicted_class(self._scores.confusion_matrix())
        self._seen_in_a_row = 0 if predicted is None else self._seen_in_a_row + 1
        is_last = self._tracker.epoch == self._config.run.epochs
        if predicted is None or self._warned or not (is_last or self._seen_in_a_row == 2):
            return
        self._warned = True
        names = self._scores.class_names
        name = repr(names[predicted]) if names else predicted
        print(f"\nWarning: {self._warning(name)}", file=sys.stderr)

    def _warning(self, name: Any) -> str:
        config = self._config
        causes = [
            f"the learning rate is too high or too low (it is {config.optimizer.learning_rate:g})",
            "most pixels hold this class and training was short so far "
            "(train longer, or try --class-weights balanced)",
            "the masks hold something else than it seems (look: keras-fcn datasets show)",
        ]
        if config.backbone.weights in (None, "none") and not config.model.init:
            causes.insert(0, "the backbone starts from random weights (give --backbone-weights)")
        return (
            f"the network predicts class {name}{self._of_head} at every pixel of the validation "
            "images. "
            f"Likely causes: {'; '.join(causes)}."
        )


def one_predicted_class(confusion_matrix: np.ndarray) -> int | None:
    """Returns the class that all predictions are, where there are several true classes.

    Args:
        confusion_matrix: Rows are labels, columns predictions.

    >>> one_predicted_class(np.array([[5, 0], [3, 0]]))
    0
    >>> one_predicted_class(np.array([[5, 0], [3, 1]])) is None
    True
    """
    predicted = np.flatnonzero(confusion_matrix.sum(axis=0))
    true = np.flatnonzero(confusion_matrix.sum(axis=1))
    return int(predicted[0]) if len(predicted) == 1 and len(true) > 1 else None
