"""Resuming where the data are no longer those of the training."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras

from keras_fcn.confusion_matrix import METRIC_NAMES
from keras_fcn.data.dataset_fingerprint import DatasetChanges, DatasetFingerprint
from keras_fcn.labels import Heads

from .callbacks.log import read_log, write_log
from .config import Config
from .data import TrainingData
from .evaluation_model import EvaluationModel
from .state import Position, State, saved_fingerprint
from .workdir import Workdir

_OLD = "before_change_"  # before the names in the log of metrics on data that have changed since


def find_changes(
    data: TrainingData, config: Config, workdir: Workdir
) -> tuple[DatasetFingerprint, DatasetChanges]:
    """Returns the fingerprint of the data, and what changed since the state was saved.

    Raises:
        ValueError: If something changed and `accept_changed_data` is false, or there are other
            heads or numbers of classes.
    """
    before = saved_fingerprint(workdir.state) if config.run.resume else None
    now = data.fingerprint(before)
    changes = now.changes_since(before) if before else DatasetChanges()
    if before is None or not changes:
        return now, DatasetChanges()
    accept = (
        "To go on with the data as they are now, from the next whole epoch and with the validation "
        "scored anew, add --accept-changed-data. Otherwise restore them"
    )
    fits = _num_classes(now) == _num_classes(before)
    if config.run.accept_changed_data and fits:
        return now, changes
    if not fits:
        accept = "The number of classes differs, so that the network does not fit. Restore the data"
    raise ValueError(
        f"The data changed since the training in {workdir.path} was saved: {changes}. {accept}, or "
        f"start a new training from its weights: --init {workdir.last}, with another --workdir."
    )


def accept_changes(
    changes: DatasetChanges,
    position: Position,
    *,
    data: TrainingData,
    config: Config,
    workdir: Workdir,
    state: State,
    optimizer: keras.Optimizer,
    evaluation_model: EvaluationModel,
    origin: Callable[[dict[str, float]], dict[str, Any]],
) -> tuple[Position, str]:
    """Goes on to the next whole epoch, and scores `best.keras` on the data as they are now.

    The log and the state are written, so that from here on the training resumes as any other.

    Args:
        changes: What changed.
        position: Where the training stopped.
        data: The data as they are now.
        config: The settings.
        workdir: The files of the training.
        state: Its variables, which are restored.
        optimizer: Its count of steps moves to the position.
        evaluation_model: Scores `best.keras`.
        origin: Function from the logs of an epoch to the `origin` of the saved network.

    Returns:
        The new position, and a sentence on it.
    """
    moved = next_epoch(position, config.run.epochs)
    set_steps(optimizer, moved.epoch * data.steps_per_epoch)
    rows = [row for row in read_log(workdir.log) if row["epoch"] < position.epoch]
    validation = config.data.validation_split
    text = f"Accepted: {changes}. The training goes on after {moved.epoch} epochs."
    if changes.affects(validation or config.data.train_split):
        monitor = "val_mean_iou" if validation else "mean_iou"
        best_row = max(
            (row for row in rows if monitor in row), key=lambda row: row[monitor], default=None
        )
        rows = [_set_aside(row, has_validation=validation is not None) for row in rows]
        moved = replace(moved, best=-1.0, best_epoch=moved.epoch)
        batches = data.validation_batches()
        if batches is not None and best_row is not None and workdir.best.is_file():
            scored = evaluation_model.score_file(workdir.best, batches)
            logs = {f"val_{name}": value for name, value in scored.items()}
            evaluation_model.save(workdir.best, origin(logs))
            rows = [{**row, **logs} if row["epoch"] == best_row["epoch"] else row for row in rows]
            moved = replace(moved, best=scored["mean_iou"])
            text += (
                f" best.keras has a mean IoU of {scored['mean_iou']:.4f} on the validation images "
                f"as they are now, {best_row[monitor]:.4f} as they were."
            )
    write_log(workdir.log, rows)
    state.save(moved)
    return moved, text


def next_epoch(position: Position, epochs: int) -> Position:
    """Returns the beginning of the next whole epoch; of the last one if no other is left.

    >>> next_epoch(Position(epoch=1, step=5), epochs=3).epoch
    2
    >>> next_epoch(Position(epoch=2, step=5), epochs=3).epoch
    2
    """
    # A training that had stopped early goes on, too.
    position = replace(position, stopped="")
    if not position.step:
        return position
    epoch = min(position.epoch + 1, epochs - 1)
    return replace(position, epoch=epoch, step=0, seconds=0.0)


def set_steps(optimizer: keras.Optimizer, steps: int) -> None:
    """Sets an optimizer to a number of steps, which the schedule depends on.

    Their number changes with that of the images. Gradients of a started update are dropped.
    """
    optimizer._iterations.assign(steps)
    for gradient in getattr(optimizer, "_accumulated_gradients", ()):
        gradient.assign(keras.ops.zeros_like(gradient))


def _num_classes(fingerprint: DatasetFingerprint) -> dict[str, int]:
    heads = Heads.from_dict(fingerprint.reading["classes"])
    return {name: spec.num_classes for name, spec in heads.items()}


def _set_aside(row: dict[str, float], *, has_validation: bool) -> dict[str, float]:
    """Renames metrics of a row of the log that can no longer be compared."""
    return {
        f"{_OLD}{name}" if _is_compared(name, has_validation) else name: value
        for name, value in row.items()
    }


def _is_compared(name: str, has_validation: bool) -> bool:
    is_metric = name.endswith((*METRIC_NAMES, "loss")) and not name.startswith(_OLD)
    return is_metric and name.startswith("val_") == has_validation
