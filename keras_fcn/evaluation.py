"""The metrics of a network on a dataset: one loop into confusion matrices, a table, JSON."""

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from keras_fcn.confusion_matrix import METRIC_NAMES, ConfusionMatrix, Metrics
from keras_fcn.data.dataset import SegmentationDataset
from keras_fcn.data.parallel import parallel_map
from keras_fcn.data.pipeline import evaluation_batches
from keras_fcn.files import write_text
from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.modalities import num_channels
from keras_fcn.prediction import Predictor
from keras_fcn.visualization import save_confusion_matrix

_FORMATS = {"keras": "Keras", "savedmodel": "SavedModel", "tflite": "TFLite", "onnx": "ONNX"}


class PredictedBatch(NamedTuple):
    """Labeled images of one size, and what a network made of them.

    Attributes:
        labels: Labels by head, shape `(batch, height, width)`.
        predictions: Predictions by head, of the same shape.
        confidences: Probabilities of the predictions by head, of the same shape; None if they were
            not asked for, or the network returns no logits.
        images: The images as the network takes them; None if they are not known.
        ids: Their ids in the dataset; None if they are not known.
    """

    labels: Mapping[str, Any]
    predictions: Mapping[str, Any]
    confidences: Mapping[str, Any] | None = None
    images: Any = None
    ids: Sequence[bytes] | None = None


@dataclass(frozen=True, eq=False)
class EvaluatedImage:
    """One image of an evaluation.

    Attributes:
        position: Its position among the images, counted from 0.
        matrices: Its own confusion matrix for each head.
        labels: Labels by head, shape `(height, width)`.
        predictions: Predictions by head, of the same shape.
        confidences: Probabilities of the predictions by head, of the same shape, or None.
        image: The image as the network takes it, shape `(height, width, channels)`, or None.
        id: Its id in the dataset, or None.
    """

    position: int
    matrices: Mapping[str, ConfusionMatrix]
    labels: Mapping[str, np.ndarray]
    predictions: Mapping[str, np.ndarray]
    confidences: Mapping[str, np.ndarray] | None = None
    image: np.ndarray | None = None
    id: str | None = None


OnImage = Callable[[EvaluatedImage], Any]


def confusion_matrices(
    predictor: Predictor,
    batches: Iterable[tuple[Any, ...]],
    heads: Heads,
    on_image: OnImage | None = None,
    *,
    confidences: bool = False,
) -> dict[str, ConfusionMatrix]:
    """Runs a network on labeled images and counts its predictions.

    The network runs in a thread of its own, one batch ahead of the counting.

    Args:
        predictor: The network.
        batches: Images, labels and, if they are known, ids, as
            `evaluation_batches(...).as_numpy_iterator()` yields them.
        heads: What the labels mean. There must be labels for every head of the network.
        on_image: Called after each image.
        confidences: Whether `on_image` gets the probabilities of the predictions, too. The network
            runs once in either case. A network that returns no logits has none.

    Returns:
        A `ConfusionMatrix` for each head of the network.

    Example:
        >>> import keras
        >>> from keras_fcn.prediction import KerasPredictor
        >>> images = keras.Input((None, None, 3))
        >>> brightest = KerasPredictor(keras.Model(images, keras.layers.Rescaling(1.0)(images)))
        >>> batch = np.uint8([[[[9, 0, 0], [0, 9, 0]]]]), np.uint8([[[0, 2]]])
        >>> matrices = confusion_matrices(brightest, [batch], Heads(LabelSpec(("r", "g", "b"))))
        >>> matrices["segmentation"].counts.tolist()
        [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    """
    with_confidences = confidences and predictor.has_logits

    def predicted(images: np.ndarray, labels: Any, ids: Any = None) -> PredictedBatch:
        labels = heads.by_name(labels)
        if not with_confidences:
            predictions = predictor.predictions_by_head(images)
            return PredictedBatch(labels, predictions, None, images, ids)
        return PredictedBatch(labels, *predictor.predictions_and_confidences(images), images, ids)

    specs = {head: heads[head] for head in predictor.heads}
    results = parallel_map(lambda batch: predicted(*batch), batches, ahead=2, num_threads=1)
    with closing(results):
        return count_predictions(results, specs, on_image)


def count_predictions(
    batches: Iterable[tuple[Any, ...]],
    specs: Mapping[str, LabelSpec],
    on_image: OnImage | None = None,
) -> dict[str, ConfusionMatrix]:
    """Counts batches of predictions: the loop of `confusion_matrices`, whatever runs the network.

    Args:
        batches: The fields of a `PredictedBatch`: at least labels and predictions.
        specs: The classes of each head to count.
        on_image: As for `confusion_matrices`.

    Returns:
        A `ConfusionMatrix` for each head of `specs`.
    """
    totals = {head: ConfusionMatrix.of(spec) for head, spec in specs.items()}
    position = 0
    for fields in batches:
        batch = PredictedBatch(*fields)
        labels = {head: np.asarray(batch.labels[head]) for head in specs}
        predictions = {head: np.asarray(batch.predictions[head]) for head in specs}
        for i in range(len(next(iter(labels.values())))):
            matrices = {head: ConfusionMatrix.of(spec) for head, spec in specs.items()}
            for head, matrix in matrices.items():
                matrix.update(labels[head][i], predictions[head][i])
                totals[head] += matrix
            if on_image:
                on_image(
                    EvaluatedImage(
                        position,
                        matrices,
                        _each(labels, i),
                        _each(predictions, i),
                        None if batch.confidences is None else _each(batch.confidences, i),
                        None if batch.images is None else batch.images[i],
                        None if batch.ids is None else batch.ids[i].decode(errors="replace"),
                    )
                )
            position += 1
    return totals


def _each(maps: Mapping[str, Any], index: int) -> dict[str, Any]:
    return {head: of_head[index] for head, of_head in maps.items()}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The metrics of one head of a network on one split of a dataset.

    Printed with rich it is a table.

    Attributes:
        model: What was evaluated: a path, or a name.
        format: `"keras"`, `"savedmodel"`, `"tflite"` or `"onnx"`.
        dataset: Name of the dataset.
        split: Name of the split.
        confusion_matrix: The pixels by label and prediction, with the class names of the dataset.
        num_images: Number of images.
        notes: Remarks on the metrics.
        classes: Names of the classes that `mean_iou_of_classes` averages over; may be empty.
        head: Name of the head; None for a network with a single head without a name.
    """

    model: str
    format: str
    dataset: str
    split: str
    confusion_matrix: ConfusionMatrix = field(repr=False)
    num_images: int
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    head: str | None = None

    @cached_property
    def metrics(self) -> Metrics:
        """The four metrics of the paper, and those of each class."""
        return self.confusion_matrix.metrics()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, as the dataset has them."""
        return self.confusion_matrix.class_names

    @property
    def unscored(self) -> tuple[str, ...]:
        """Names of the classes that do not enter `mean_iou`; see `LabelSpec`."""
        return tuple(self.class_names[label] for label in self.confusion_matrix.unscored)

    @property
    def mean_iou_of_classes(self) -> float:
        """Mean IoU of `classes`, over those that are labeled or predicted; NaN without any.

        Every pixel counts as in `mean_iou`: one of `classes` that was taken for another class
        is a miss. Only the mean leaves the other classes out.
        """
        chosen = self.metrics.per_class_iou[[self.class_names.index(name) for name in self.classes]]
        defined = chosen[~np.isnan(chosen)]
        return float(defined.mean()) if defined.size else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Returns metrics, counts and circumstances as plain values; None for undefined values."""
        per_class = zip(self.class_names, self.metrics.per_class_iou.tolist(), strict=True)
        subset = {"mean_iou_of_classes": _defined(self.mean_iou_of_classes)} if self.classes else {}
        return {
            **{name: _defined(getattr(self.metrics, name)) for name in METRIC_NAMES},
            **subset,
            "per_class_iou": {name: _defined(iou) for name, iou in per_class},
            "num_images": self.num_images,
            "num_pixels": self.confusion_matrix.num_pixels,
            "num_ignored_pixels": self.confusion_matrix.num_ignored,
            "confusion_matrix": self.confusion_matrix.counts.tolist(),
            "model": self.model,
            **({"head": self.head} if self.head else {}),
            **({"unscored": list(self.unscored)} if self.unscored else {}),
            "format": self.format,
            "dataset": self.dataset,
            "split": self.split,
            "classes": list(self.classes or self.class_names),
            "notes": list(self.notes),
        }

    def save_confusion_matrix(self, path: str | Path) -> Path:
        """Draws the confusion matrix as a PNG."""
        title = f"{Path(self.model).name}{self._of_head} on {self.dataset}, {self.split}"
        return save_confusion_matrix(path, self.confusion_matrix, title)

    @property
    def _of_head(self) -> str:
        return f", head {self.head}" if self.head else ""

    @property
    def _all_notes(self) -> tuple[str, ...]:
        if not self.unscored:
            return self.notes
        names = ", ".join(self.unscored)
        return (*self.notes, f"Not in the mean IoU, as the dataset has it: {names}.")

    def __rich__(self) -> RenderableType:
        """Returns the header, a row for each class, and the four metrics."""
        counted, ignored = self.confusion_matrix.num_pixels, self.confusion_matrix.num_ignored
        share = f", {ignored / (counted + ignored):.1%} more ignored" if ignored else ""
        header = (
            f"[bold]{escape(self.model)}[/] ({_FORMATS[self.format]}){escape(self._of_head)} on "
            f"[bold]{escape(self.dataset)}[/], split {escape(self.split)}: "
            f"{self.num_images:,} images, {counted:,} pixels{share}"
        )
        notes = [f"[yellow]Note:[/] {escape(note)}" for note in self._all_notes]
        return Group(header, *notes, "", self._class_table(), "", self._metrics_table(), "")

    def _class_table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        table.add_column("class")
        for title in ("IoU", "accuracy", "pixels"):
            table.add_column(title, justify="right")
        num_pixels = max(self.confusion_matrix.num_pixels, 1)
        for row in self.confusion_matrix.per_class():
            mark = " *" if row.name in self.classes else ""
            table.add_row(
                escape(row.name) + mark,
                _number(row.iou),
                _number(row.accuracy),
                f"{row.num_labeled / num_pixels:.2%}",
            )
        return table

    def _metrics_table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
        table.add_column()
        table.add_column(justify="right", style="bold")
        rows = {"mean IoU": self.metrics.mean_iou}
        if self.classes:
            rows[f"mean IoU of {len(self.classes)} classes *"] = self.mean_iou_of_classes
        rows["pixel accuracy"] = self.metrics.pixel_accuracy
        rows["mean accuracy"] = self.metrics.mean_accuracy
        rows["frequency-weighted IoU"] = self.metrics.frequency_weighted_iou
        for name, value in rows.items():
            table.add_row(name, _number(_defined(value)))
        return table


def evaluate(
    predictor: Predictor, dataset: SegmentationDataset, split: str = "val", **options: Any
) -> Evaluation:
    """Evaluates a network with one head on every image of a split, at native size.

    Args:
        predictor: The network.
        dataset: The dataset. It must have the classes of the network.
        split: One of its splits.
        **options: As for `evaluate_heads`.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: As for `evaluate_heads`, or if network or dataset have several heads.

    Example:
        >>> import keras, keras_fcn
        >>> from keras_fcn.datasets import from_arrays
        >>> from keras_fcn.prediction import KerasPredictor
        >>> image = np.array([[[9, 0, 0], [0, 9, 0]]], "uint8")
        >>> labels = keras_fcn.LabelSpec(("red", "green", "blue"))
        >>> one = {"image": image, "label": np.array([[0, 2]], "uint8")}
        >>> x = keras.Input((None, None, 3))
        >>> brightest_channel = KerasPredictor(keras.Model(x, keras.layers.Rescaling(1.0)(x)))
        >>> result = evaluate(brightest_channel, from_arrays("tiny", labels, {"val": [one]}))
        >>> result.metrics.pixel_accuracy, result.to_dict()["per_class_iou"]
        (0.5, {'red': 1.0, 'green': 0.0, 'blue': 0.0})
    """
    for heads in (predictor.heads, dataset.heads):
        if heads.is_named:
            raise ValueError(
                f"`evaluate` is for one head; use `evaluate_heads` for {', '.join(heads)}."
            )
    return evaluate_heads(predictor, dataset, split, **options)[Heads.ONLY]


def evaluate_heads(
    predictor: Predictor,
    dataset: SegmentationDataset,
    split: str = "val",
    *,
    classes: Sequence[str] = (),
    batch_size: int = 1,
    modalities: Sequence[str] | None = None,
    on_image: OnImage | None = None,
    confidences: bool = False,
) -> dict[str, Evaluation]:
    """Evaluates every head of a network on every image of a split, at native size.

    Args:
        predictor: The network.
        dataset: The dataset. It must have labels for each head of the network, with its classes.
        split: One of its splits.
        classes: Names of classes whose mean IoU is reported besides the mean of all; with several
            heads the names of classes of any of them.
        batch_size: Largest number of images that run at once. Images of one size form a batch,
            so that it changes no metric.
        modalities: Names of the images that the network takes, in its order, such as `("rgb",
            "hha")`. By default those that its file names.
        on_image: Called after each image with an `EvaluatedImage`.
        confidences: See `confusion_matrices`.

    Returns:
        One `Evaluation` for each head of the network.

    Raises:
        ValueError: If there is no such split or class, the classes of network and dataset
            do not agree, or the dataset lacks labels or images that the network needs.
    """
    notes = _notes(predictor, dataset)
    specs = {head: dataset.heads[head] for head in predictor.heads}
    _check_classes(classes, [name for spec in specs.values() for name in spec.class_names])
    batches = evaluation_batches(
        dataset,
        split,
        batch_size,
        modalities=_modalities(predictor, dataset, modalities),
        ids=True,
    )
    matrices = confusion_matrices(
        predictor,
        batches.as_numpy_iterator(),
        dataset.heads,
        on_image,
        confidences=confidences,
    )
    return {
        head: Evaluation(
            model=str(predictor.path or "model"),
            format=predictor.format,
            dataset=dataset.name,
            split=split,
            confusion_matrix=matrices[head],
            num_images=dataset.splits[split],
            notes=(*predictor.notes, *notes[head]),
            classes=tuple(name for name in classes if name in spec.class_names),
            head=head if predictor.heads.is_named else None,
        )
        for head, spec in specs.items()
    }


def save_json(
    evaluations: Mapping[str, Evaluation],
    path: str | Path,
    details: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Writes the metrics of each head as JSON. Returns `path`.

    Of a single head without a name the file contains `Evaluation.to_dict`; of others an object
    `heads` with that of each head.

    Args:
        evaluations: The evaluation of each head.
        path: The file to write.
        details: Further values of each head, such as those of `keras_fcn_report`.
    """
    details = details or {}
    values = {head: {**e.to_dict(), **details.get(head, {})} for head, e in evaluations.items()}
    is_named = any(evaluation.head for evaluation in evaluations.values())
    content = {"heads": values} if is_named else values[Heads.ONLY]
    path = Path(path)
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return path


def _modalities(
    predictor: Predictor, dataset: SegmentationDataset, modalities: Sequence[str] | None
) -> tuple[str, ...]:
    """Returns the names of the images that the network takes."""
    if modalities is None:
        modalities = predictor.modalities
    bands = dataset.image_reading.num_channels
    channels = num_channels(modalities) if modalities else bands
    if channels != predictor.num_channels:
        raise ValueError(
            f"The network takes images of {predictor.num_channels} channels; "
            + (
                f"{', '.join(modalities) or 'colors'} are {channels}. Set `modalities` to the "
                "names of the images that it takes, in its order."
                if dataset.image_reading.is_rgb
                else f"those of the dataset have {bands} bands."
            )
        )
    return tuple(modalities)


def _notes(predictor: Predictor, dataset: SegmentationDataset) -> dict[str, tuple[str, ...]]:
    """Returns by head how the classes of network and dataset differ, or raises ValueError."""
    ours, theirs = predictor.heads, dataset.heads
    if ours.is_named != theirs.is_named or not set(ours) <= set(theirs):
        raise ValueError(
            f"The dataset {dataset.name!r} must have labels for each head of the network: "
            f"{_listed_heads(ours)}. It has labels for: {_listed_heads(theirs)}."
        )
    return {head: _notes_of_head(ours[head], theirs[head], dataset.name) for head in ours}


def _listed_heads(heads: Heads) -> str:
    return ", ".join(heads) if heads.is_named else "one head without a name"


def _notes_of_head(ours: LabelSpec, theirs: LabelSpec, dataset_name: str) -> tuple[str, ...]:
    if ours.num_classes != theirs.num_classes:
        raise ValueError(
            f"The network has {ours.num_classes} classes ({_listed(ours.class_names)}), the "
            f"dataset {dataset_name!r} has {theirs.num_classes} ({_listed(theirs.class_names)}). "
            "Evaluate it on the dataset it was trained for, or train it for this one "
            "(`keras-fcn train --init` keeps the classes they share)."
        )
    names = [name.casefold() for name in ours.class_names]
    true_names = [name.casefold() for name in theirs.class_names]
    if names == true_names:
        return ()
    if sorted(names) == sorted(true_names):
        raise ValueError(
            f"The network has the classes of the dataset {dataset_name!r} in another order: "
            f"{_listed(ours.class_names)} instead of {_listed(theirs.class_names)}. Its labels "
            "mean something else."
        )
    if ours.class_names == LabelSpec.numbered(ours.num_classes).class_names:
        return ("The network does not name its classes; the dataset's names are shown.",)
    i = next(i for i, name in enumerate(names) if name != true_names[i])
    differing = sum(a != b for a, b in zip(names, true_names, strict=True))
    note = (
        f"{differing} class names differ, such as {ours.class_names[i]!r} in the network and "
        f"{theirs.class_names[i]!r} in the dataset; classes are compared by number."
    )
    return (note,)


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


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
