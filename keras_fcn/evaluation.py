"""The scores of a network on a dataset, as a table, as JSON and as a picture."""

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from keras_fcn.data.dataset import SegmentationDataset
from keras_fcn.data.pipeline import evaluation_batches
from keras_fcn.files import write_text
from keras_fcn.labels import LabelSpec
from keras_fcn.metrics import METRIC_NAMES, Scores, confusion_matrix_of, scores_from_confusion
from keras_fcn.modalities import num_channels
from keras_fcn.prediction.predictor import Predictor, by_head
from keras_fcn.visualization import save_confusion_matrix

_TITLES = {"keras": "Keras", "savedmodel": "SavedModel", "tflite": "TFLite"}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a network on one split of a dataset.

    Printed with rich it is a table.

    Attributes:
        model: What was evaluated: a path, or a name.
        format: `"keras"`, `"savedmodel"` or `"tflite"`.
        dataset: Name of the dataset.
        split: Name of the split.
        class_names: Names of the classes, as the dataset has them.
        confusion_matrix: Counts of pixels, rows by label, columns by prediction, shape
            `(num_classes, num_classes)`.
        num_images: Number of images.
        num_ignored: Number of pixels that count nowhere.
        notes: What a reader of the scores has to know.
        classes: Names of the classes that `mean_iou_of_classes` averages over; none for none.
        head: Name of the head, for a network with several.
        unscored: Names of the classes that do not enter `mean_iou`; see `LabelSpec`.
    """

    model: str
    format: str
    dataset: str
    split: str
    class_names: tuple[str, ...]
    confusion_matrix: np.ndarray = field(repr=False)
    num_images: int
    num_ignored: int
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    head: str = ""
    unscored: tuple[str, ...] = ()

    @cached_property
    def scores(self) -> Scores:
        """The four scores of the paper, and those of each class."""
        return scores_from_confusion(
            self.confusion_matrix, [self.class_names.index(name) for name in self.unscored]
        )

    @property
    def num_pixels(self) -> int:
        """Number of pixels that were counted."""
        return int(self.confusion_matrix.sum())

    @property
    def mean_iou_of_classes(self) -> float:
        """Mean IoU of `classes`, over those that are labeled or predicted; NaN without any.

        Every pixel counts as in `mean_iou`: one of `classes` that was taken for another class
        is a miss. Only the mean leaves the other classes out.
        """
        chosen = self.scores.per_class_iou[[self.class_names.index(name) for name in self.classes]]
        defined = chosen[~np.isnan(chosen)]
        return float(defined.mean()) if defined.size else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Returns scores, counts and circumstances as plain values; None for what is undefined."""
        per_class = zip(self.class_names, self.scores.per_class_iou.tolist(), strict=True)
        subset = {"mean_iou_of_classes": _defined(self.mean_iou_of_classes)} if self.classes else {}
        return {
            **{name: _defined(getattr(self.scores, name)) for name in METRIC_NAMES},
            **subset,
            "per_class_iou": {name: _defined(iou) for name, iou in per_class},
            "num_images": self.num_images,
            "num_pixels": self.num_pixels,
            "num_ignored_pixels": self.num_ignored,
            "model": self.model,
            **({"head": self.head} if self.head else {}),
            **({"unscored": list(self.unscored)} if self.unscored else {}),
            "format": self.format,
            "dataset": self.dataset,
            "split": self.split,
            "classes": list(self.classes or self.class_names),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Returns `to_dict` as JSON."""
        return to_json({"": self})

    def save_confusion_matrix(self, path: str | Path) -> Path:
        """Draws the confusion matrix as a PNG."""
        title = f"{Path(self.model).name}{self._of_head} on {self.dataset}, {self.split}"
        return save_confusion_matrix(path, self.confusion_matrix, self.class_names, title)

    @property
    def _unscored_note(self) -> tuple[str, ...]:
        if not self.unscored:
            return ()
        return (f"Not in the mean IoU, as the dataset has it: {', '.join(self.unscored)}.",)

    @property
    def _of_head(self) -> str:
        return f", head {self.head}" if self.head else ""

    def __rich__(self) -> RenderableType:
        """Returns the header, a row for each class, and the four scores."""
        total = self.num_pixels + self.num_ignored
        ignored = f", {self.num_ignored / total:.1%} more ignored" if self.num_ignored else ""
        header = (
            f"[bold]{escape(self.model)}[/] ({_TITLES[self.format]}){escape(self._of_head)} on "
            f"[bold]{escape(self.dataset)}[/], split {escape(self.split)}: "
            f"{self.num_images:,} images, {self.num_pixels:,} pixels{ignored}"
        )
        notes = [f"[yellow]Note:[/] {escape(note)}" for note in (*self.notes, *self._unscored_note)]
        return Group(header, *notes, "", self._class_table(), "", self._score_table(), "")

    def _class_table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        table.add_column("class")
        for title in ("IoU", "accuracy", "pixels"):
            table.add_column(title, justify="right")
        totals = self.confusion_matrix.sum(axis=1)
        for i, name in enumerate(self.class_names):
            mark = " *" if name in self.classes else ""
            table.add_row(
                escape(name) + mark,
                _number(self.scores.per_class_iou[i]),
                _number(self.scores.per_class_accuracy[i]),
                f"{totals[i] / max(self.num_pixels, 1):.2%}",
            )
        return table

    def _score_table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
        table.add_column()
        table.add_column(justify="right", style="bold")
        table.add_row("mean IoU", _number(self.scores.mean_iou))
        if self.classes:
            table.add_row(
                f"mean IoU of {len(self.classes)} classes *", _number(self.mean_iou_of_classes)
            )
        table.add_row("pixel accuracy", _number(self.scores.pixel_accuracy))
        table.add_row("mean accuracy", _number(self.scores.mean_accuracy))
        table.add_row("frequency-weighted IoU", _number(self.scores.frequency_weighted_iou))
        return table


def evaluate(
    predictor: Predictor,
    dataset: SegmentationDataset,
    split: str = "val",
    *,
    classes: Sequence[str] = (),
    batch_size: int = 1,
    modalities: Sequence[str] | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Evaluation:
    """Scores a network with one head on every image of a split, at native size.

    Args:
        predictor: The network.
        dataset: The dataset. It must have the classes of the network.
        split: One of its splits.
        classes: Names of classes whose mean IoU is reported besides the mean of all; with several
            heads of classes that any of them has.
        batch_size: Largest number of images that run at once; they are of one size, so that it
            changes no score.
        modalities: Kinds of images that the network takes, in its order, such as `("color",
            "hha")`. By default those that its file names, else those that its number of
            channels tells.
        on_batch: Called after each batch with the number of its images.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: If there is no such split or class, the classes of network and dataset
            do not agree, or the dataset lacks images that the network takes.

    Example:
        >>> import numpy as np, keras, keras_fcn
        >>> from keras_fcn.datasets import from_arrays
        >>> from keras_fcn.prediction.predictor import KerasPredictor
        >>> image = np.array([[[9, 0, 0], [0, 9, 0]]], "uint8")
        >>> labels = keras_fcn.LabelSpec(("red", "green", "blue"))
        >>> one = {"image": image, "label": np.array([[0, 2]], "uint8")}
        >>> x = keras.Input((None, None, 3))
        >>> brightest_channel = KerasPredictor(keras.Model(x, keras.layers.Rescaling(1.0)(x)))
        >>> result = evaluate(brightest_channel, from_arrays("tiny", labels, {"val": [one]}))
        >>> result.scores.pixel_accuracy, result.to_dict()["per_class_iou"]
        (0.5, {'red': 1.0, 'green': 0.0, 'blue': 0.0})
    """
    for labels in (predictor.labels, dataset.labels):
        if isinstance(labels, dict):
            raise ValueError(
                f"`evaluate` is for one head; `evaluate_heads` scores {', '.join(labels)}."
            )
    return evaluate_heads(
        predictor,
        dataset,
        split,
        classes=classes,
        batch_size=batch_size,
        modalities=modalities,
        on_batch=on_batch,
    )[""]


def evaluate_heads(
    predictor: Predictor,
    dataset: SegmentationDataset,
    split: str = "val",
    *,
    classes: Sequence[str] = (),
    batch_size: int = 1,
    modalities: Sequence[str] | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> dict[str, Evaluation]:
    """Scores every head of a network; arguments as for `evaluate`.

    Returns:
        One `Evaluation` for each head that the network has; a single head is called "".

    Raises:
        ValueError: As for `evaluate`, or if the dataset lacks labels for a head.
    """
    heads = _agreed_heads(predictor, dataset)
    _check_classes(classes, [name for spec, _ in heads.values() for name in spec.class_names])
    matrices: dict[str, Any] = {
        head: np.zeros((spec.num_classes, spec.num_classes), "int64")
        for head, (spec, _) in heads.items()
    }
    num_images = num_pixels = 0
    batches = evaluation_batches(
        dataset, split, batch_size, modalities=_modalities(predictor, modalities)
    )
    for images, all_labels in batches.as_numpy_iterator():
        labels, predictions = by_head(all_labels), by_head(predictor.predict(images))
        for head, (spec, _) in heads.items():
            matrices[head] += confusion_matrix_of(
                labels[head], predictions[head], spec.num_classes, spec.ignore_class
            )
        num_images += len(images)
        num_pixels += int(np.prod(images.shape[:3]))
        if on_batch:
            on_batch(len(images))
    return {
        head: Evaluation(
            model=str(predictor.path or "model"),
            format=predictor.format,
            dataset=dataset.name,
            split=split,
            class_names=spec.class_names,
            confusion_matrix=matrices[head],
            num_images=num_images,
            num_ignored=num_pixels - int(matrices[head].sum()),
            notes=(*predictor.notes, *notes),
            classes=tuple(name for name in classes if name in spec.class_names),
            head=head,
            unscored=spec.unscored,
        )
        for head, (spec, notes) in heads.items()
    }


def to_json(evaluations: Mapping[str, Evaluation]) -> str:
    """Returns scores by head as JSON: of a single head `to_dict`, of several `heads` by name."""
    values = {head: evaluation.to_dict() for head, evaluation in evaluations.items()}
    return json.dumps(values.get("", {"heads": values}), indent=1) + "\n"


def save_json(evaluations: Mapping[str, Evaluation], path: str | Path) -> Path:
    """Writes `to_json` to a file, which is complete or not there. Returns `path`."""
    path = Path(path)
    write_text(path, to_json(evaluations))
    return path


def _modalities(predictor: Predictor, modalities: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the kinds of images that the network takes."""
    if modalities is None:
        modalities = predictor.modalities
    channels = num_channels(modalities) if modalities else 3
    if channels != predictor.num_channels:
        raise ValueError(
            f"The network takes images of {predictor.num_channels} channels; "
            f"{', '.join(modalities) or 'colors'} are {channels}. Set `modalities` to the kinds "
            "of images that it takes, in its order."
        )
    return tuple(modalities)


def _agreed_heads(
    predictor: Predictor, dataset: SegmentationDataset
) -> dict[str, tuple[LabelSpec, tuple[str, ...]]]:
    """Returns by head the dataset's labels and what is to be said about the network's."""
    ours, theirs = by_head(predictor.labels), by_head(dataset.labels)
    if any(head not in theirs for head in ours):
        raise ValueError(
            f"The dataset {dataset.name!r} must have labels for each head of the network: "
            f"{_listed_heads(ours)}. It has labels for: {_listed_heads(theirs)}."
        )
    return {head: _agreed_labels(ours[head], theirs[head], dataset.name) for head in ours}


def _listed_heads(specs: dict[str, LabelSpec]) -> str:
    return ", ".join(head or "one head without a name" for head in specs)


def _agreed_labels(
    ours: LabelSpec, theirs: LabelSpec, dataset_name: str
) -> tuple[LabelSpec, tuple[str, ...]]:
    """Returns the dataset's labels and what is to be said about those of the network."""
    if ours.num_classes != theirs.num_classes:
        raise ValueError(
            f"The network has {ours.num_classes} classes ({_listed(ours.class_names)}), the data "
            f"set {dataset_name!r} has {theirs.num_classes} ({_listed(theirs.class_names)}). "
            "Evaluate it on the dataset it was trained for, or train it for this one "
            "(`keras-fcn train --init` keeps the classes they share)."
        )
    names = [name.casefold() for name in ours.class_names]
    true_names = [name.casefold() for name in theirs.class_names]
    if names == true_names:
        return theirs, ()
    if sorted(names) == sorted(true_names):
        raise ValueError(
            f"The network has the classes of the dataset {dataset_name!r} in another order: "
            f"{_listed(ours.class_names)} instead of {_listed(theirs.class_names)}. Its labels "
            "mean something else."
        )
    if ours.class_names == LabelSpec.numbered(ours.num_classes).class_names:
        return theirs, ("The network does not name its classes; the dataset's names are shown.",)
    i = next(i for i, name in enumerate(names) if name != true_names[i])
    differing = sum(a != b for a, b in zip(names, true_names, strict=True))
    note = (
        f"{differing} class names differ, such as {ours.class_names[i]!r} in the network and "
        f"{theirs.class_names[i]!r} in the dataset; classes are compared by number."
    )
    return theirs, (note,)


def _check_classes(classes: Sequence[str], class_names: Sequence[str]) -> None:
    for name in classes:
        if name not in class_names:
            nearest = difflib.get_close_matches(name, class_names)
            hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
            raise ValueError(
                f"`classes` must be names of classes. Received: {name!r}. {hint}The classes: "
                f"{', '.join(class_names)}."
            )
    if len(set(classes)) != len(classes):
        raise ValueError(f"`classes` must not repeat. Received: {', '.join(classes)}.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
