"""Callbacks that stop a training that has gone wrong, or warn of it."""

import math
import sys
from typing import Any, NoReturn

import keras
import numpy as np

from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.weights.finite import described, not_finite

from ..config import Config
from ..evaluation_model import EvaluationModel
from ..interrupts import TrainingDiverged
from ..terminal import printable
from ..workdir import Workdir
from .tracking import Tracker


class StopOnDivergence(keras.callbacks.Callback):
    """Stops when the loss or a weight is no longer finite, before anything is saved.

    For `fit` of a Keras model there is `keras_fcn.callbacks.StopOnNonFinite`.

    The loss is checked after every step, at no cost, because the progress bar shows it; the
    weights before each time they are saved.

    Args:
        config: Its settings appear in the message.
        workdir: Folder of the last good weights.
        tracker: Counts the steps.
    """

    def __init__(self, config: Config, workdir: Workdir, tracker: Tracker) -> None:
        super().__init__()
        self._config = config
        self._workdir = workdir
        self._tracker = tracker

    def on_train_begin(self, logs: Any = None) -> None:
        if paths := not_finite(self.model):
            raise TrainingDiverged(
                f"The weights of {described(paths)} are NaN or infinite before the training "
                "begins. Start from other weights (--init, --init-streams or --backbone-weights)."
            )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite(logs["loss"]):
            self._stop(f"The loss became {logs['loss']}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.check_weights()

    def check_weights(self) -> None:
        """Raises TrainingDiverged unless all weights are finite."""
        if paths := not_finite(self.model):
            self._stop(f"The weights of {described(paths)} are no longer finite")

    def _stop(self, what: str) -> NoReturn:
        config, tracker = self._config, self._tracker
        optimizer = config.optimizer
        kept = "Nothing was saved yet"
        if self._workdir.last.is_file():
            kept = f"The last good weights are in {self._workdir.last}"
        raise TrainingDiverged(
            f"{what} at step {tracker.global_step} of the training. {kept}. A resumed training "
            "would stop here again. Start a new one with a lower --learning-rate "
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
    """Warns once when all predictions are one class in two validations in a row, or in the last.

    Args:
        evaluation_model: The network that is validated.
        config: Its settings appear in the message.
        tracker: Counts the epochs.
    """

    def __init__(self, evaluation_model: EvaluationModel, config: Config, tracker: Tracker) -> None:
        super().__init__()
        self._evaluation_model = evaluation_model
        self._config = config
        self._tracker = tracker
        self._seen_in_a_row = dict.fromkeys(evaluation_model.heads, 0)
        self._warned: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if "val_mean_iou" in logs:
            for head, matrix in self._evaluation_model.confusion_matrices.items():
                self._check(head, matrix)

    def _check(self, head: str, matrix: ConfusionMatrix) -> None:
        predicted = one_predicted_class(matrix.counts)
        self._seen_in_a_row[head] = 0 if predicted is None else self._seen_in_a_row[head] + 1
        is_last = self._tracker.is_over(self._config.run)
        if predicted is None or not (is_last or self._seen_in_a_row[head] == 2):
            return
        if head not in self._warned:
            self._warned.add(head)
            of_head = f" of the head {head!r}" if self._evaluation_model.heads.is_named else ""
            name = matrix.class_names[predicted]
            print(printable(f"\nWarning: {self._warning(repr(name) + of_head)}"), file=sys.stderr)

    def _warning(self, class_name: str) -> str:
        config = self._config
        causes = [
            f"the learning rate is too high or too low (it is {config.optimizer.learning_rate:g})",
            "most pixels are of this class and training was short so far "
            "(train longer, or try --class-weights balanced)",
            "the masks do not contain the expected labels (see: keras-fcn datasets show)",
        ]
        if config.backbone.weights in (None, "none") and not config.model.init:
            causes.insert(0, "the backbone starts from random weights (give --backbone-weights)")
        return (
            f"the network predicts class {class_name} at every pixel of the validation images. "
            f"Likely causes: {'; '.join(causes)}."
        )


def one_predicted_class(confusion_matrix: np.ndarray) -> int | None:
    """Returns the class of all predictions, if the labels have several classes.

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
