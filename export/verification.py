"""Comparison of an exported model with the model it was exported from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.data.dataset import SegmentationDataset
from keras_fcn.data.pipeline import evaluation_batches
from keras_fcn.data.resizing import resized_images, resized_labels
from keras_fcn.labels import Heads
from keras_fcn.prediction import Predictor, load_model, open_predictor
from keras_fcn.prediction.keras_model import heads_of
from keras_fcn.prediction.predictor import ServingOptions, highest_class

from .model_info import Size, flipped_too, image_dtype, num_channels, run_at_size, run_of
from .operators import tensor_types
from .report import Comparison, VerificationReport

Arrays = Mapping[str, np.ndarray]

# Share of predictions that must be equal, by the lowest precision in the file. Predictions differ
# where two classes have nearly the same logit; untrained networks have many such pixels.
_MIN_EQUAL_LABELS = {"INT8": 0.9, "FLOAT16": 0.99, "BFLOAT16": 0.98, "FLOAT32": 0.999}


def verify(
    exported: str | Path,
    against: str | Path | keras.Model,
    data: Iterable[np.ndarray] | SegmentationDataset,
    *,
    split: str = "val",
    max_images: int | None = None,
    min_equal_predictions: float | None = None,
) -> VerificationReport:
    """Compares an exported model with the model it was exported from, on real images.

    A `.tflite` runs with and without the XNNPACK delegate, because the two
    have different kernels and not all of them were right in every release.
    The model gets the same inputs as the network in the exported model: images of its fixed size,
    if it has one, and also the mirrored images, if the export averages with them.

    Args:
        exported: A `.tflite` or `.onnx` file, or the folder of a SavedModel.
        against: The model, or its `.keras` file.
        data: Images, uint8 RGB `(height, width, 3)`, of any sizes; or a dataset, whose labels
            give the mean IoU of both, if it has the model's classes.
        split: Split of the dataset.
        max_images: Largest number of images.
        min_equal_predictions: Share of equal predictions to reach, 0 to 1. By default
            0.999, but 0.99 with float16, 0.98 with bfloat16 and 0.9 with int8 weights.

    Returns:
        The report; its `passed` is True if the two agree.

    Raises:
        ValueError: If there are no images, or the two have different classes or channels.
    """
    model = against if isinstance(against, keras.Model) else load_model(against)
    predictors = _open_predictors(Path(exported))
    first = predictors[0]
    heads = heads_of(model)
    _check_same_classes(first.heads, heads)
    if first.num_channels != num_channels(model):
        raise ValueError(
            "The exported model and the model must take the same images: it was exported from "
            f"another model. Received: {first.num_channels} channels in the exported model, "
            f"{num_channels(model)} in the model."
        )
    reference = _Reference(model, first.options)
    tallies = {predictor.runtime: _Tally(heads) for predictor in predictors}
    model_tally, num_images = _Tally(heads), 0
    scored = _has_classes_of(data, heads)
    modalities = getattr(model, "modalities", ())
    for image, labels in _examples(data, split, max_images, modalities):
        labels = labels if scored else None
        num_images += 1
        size, seen = image.shape[:2], _seen_by(first, image)[None]
        expected = reference.run(seen)
        model_tally.add(expected, expected, labels, size)
        for predictor in predictors:
            outputs = _Outputs(predictor.predictions_by_head(seen), predictor.logits_by_head(seen))
            tallies[predictor.runtime].add(outputs, expected, labels, size)
    if not num_images:
        raise ValueError("`data` must contain at least one image. Received: none.")
    return VerificationReport(
        exported=str(exported),
        size_bytes=_size_on_disk(Path(exported)),
        num_images=num_images,
        num_pixels=model_tally.num_pixels,
        model_mean_iou=model_tally.mean_iou(),
        comparisons=tuple(tally.comparison(name) for name, tally in tallies.items()),
        min_equal_predictions=_default_threshold(Path(exported), first.options)
        if min_equal_predictions is None
        else min_equal_predictions,
        notes=_notes(first, model_tally, scored=scored),
    )


def _open_predictors(path: Path) -> list[Predictor]:
    """Returns a predictor for every runtime that an exported model is to be compared on."""
    if path.suffix == ".keras":
        raise ValueError(
            f"An exported model must be a SavedModel, a .tflite or a .onnx file. Received: {path}."
        )
    if path.suffix != ".tflite":
        return [open_predictor(path)]
    return [
        open_predictor(path, use_delegate=use_delegate, keep_tensors=True)
        for use_delegate in (True, False)
    ]


@dataclass(frozen=True)
class _Outputs:
    """The outputs of a network for images, by head.

    Args:
        predictions: uint8, shape `(batch, height, width)`.
        logits: float32, shape `(batch, height, width, num_classes)`.
    """

    predictions: Arrays
    logits: Arrays


class _Reference:
    """The model, with the inputs of the exported model."""

    def __init__(self, model: keras.Model, options: ServingOptions) -> None:
        run = flipped_too(run_of(model)) if options.flip else run_of(model)

        def logits_of(images: tf.Tensor) -> dict[str, tf.Tensor]:
            logits = run_at_size(run, images, options.size)
            if options.probabilities:
                return {head: tf.nn.softmax(value) for head, value in logits.items()}
            return logits

        shape = (None, None, None, num_channels(model))
        specification = tf.TensorSpec(shape, image_dtype(model))
        self._logits_of = tf.function(logits_of, input_signature=[specification])

    def run(self, images: np.ndarray) -> _Outputs:
        logits = {head: value.numpy() for head, value in self._logits_of(images).items()}
        return _Outputs({head: highest_class(value) for head, value in logits.items()}, logits)


class _Tally:
    """Sums over images of the outputs of one runtime."""

    def __init__(self, heads: Heads) -> None:
        self.num_pixels = 0
        self.classes: set[tuple[str, int]] = set()
        self._heads = heads
        self._num_equal = 0
        self._num_compared = 0
        self._max_difference = 0.0
        self._max_logit = 0.0
        self._confusion: dict[str, ConfusionMatrix] = {}

    def add(self, outputs: _Outputs, expected: _Outputs, labels: Arrays | None, size: Size) -> None:
        self.num_pixels += size[0] * size[1]
        for head, spec in self._heads.items():
            ours, theirs = outputs.predictions[head], expected.predictions[head]
            self.classes.update((head, int(label)) for label in np.unique(ours))
            self._num_equal += int(np.sum(ours == theirs))
            self._num_compared += theirs.size
            difference = np.abs(outputs.logits[head] - expected.logits[head]).max()
            # A NaN must be kept: `max(0.0, nan)` is 0.
            self._max_difference = float(np.maximum(self._max_difference, difference))
            self._max_logit = max(self._max_logit, float(np.abs(expected.logits[head]).max()))
            if labels is not None:
                matrix = self._confusion.setdefault(head, ConfusionMatrix.of(spec))
                matrix.update(labels[head], resized_labels(ours, size)[0])

    def mean_iou(self) -> float | None:
        """Returns the mean IoU, averaged over the heads; None without labels."""
        if not self._confusion:
            return None
        return float(np.mean([matrix.metrics().mean_iou for matrix in self._confusion.values()]))

    def comparison(self, runtime: str) -> Comparison:
        return Comparison(
            runtime=runtime,
            max_logit_difference=self._max_difference,
            max_logit=self._max_logit,
            equal_predictions=self._num_equal / self._num_compared,
            mean_iou=self.mean_iou(),
        )


def _examples(
    data: Iterable[np.ndarray] | SegmentationDataset,
    split: str,
    max_images: int | None,
    modalities: Sequence[str],
) -> Iterator[tuple[np.ndarray, Arrays | None]]:
    """Yields images with their labels by head."""
    if isinstance(data, SegmentationDataset):
        batches = evaluation_batches(data, split, 1, modalities)
        for images, labels in batches.take(-1 if max_images is None else max_images):
            maps = data.heads.by_name(labels)
            yield images[0].numpy(), {head: value[0].numpy() for head, value in maps.items()}
        return
    for index, image in enumerate(data):
        if max_images is not None and index >= max_images:
            return
        yield np.asarray(image), None


def _seen_by(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    if predictor.fixed_size is None:
        return image
    return resized_images(image[None], predictor.fixed_size)[0]


def _check_same_classes(exported: Heads, model: Heads) -> None:
    ours = {head: spec.class_names for head, spec in exported.items()}
    theirs = {head: spec.class_names for head, spec in model.items()}
    if ours != theirs:
        raise ValueError(
            "The exported model and the model must have the same classes: it was exported from "
            f"another model. Received: {_names(exported)} in the exported model, {_names(model)} "
            "in the model."
        )


def _names(heads: Heads) -> str:
    return "; ".join(", ".join(spec.class_names[:8]) for spec in heads.values())


def _default_threshold(path: Path, options: ServingOptions) -> float:
    types = tensor_types(path) if path.suffix == ".tflite" else {options.precision.upper()}
    return min(_MIN_EQUAL_LABELS.get(name, 1.0) for name in {*types, "FLOAT32"})


def _size_on_disk(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _has_classes_of(data: Any, heads: Heads) -> bool:
    """Returns whether a dataset has the model's classes; True for images without labels."""
    if not isinstance(data, SegmentationDataset):
        return True
    theirs = {head: spec.num_classes for head, spec in data.heads.items()}
    return theirs == {head: spec.num_classes for head, spec in heads.items()}


def _notes(predictor: Predictor, model_tally: _Tally, *, scored: bool) -> tuple[str, ...]:
    notes = []
    if predictor.fixed_size is not None:
        height, width = predictor.fixed_size
        notes.append(
            f"Fixed input of {height}x{width}: both got the images resized to it, and predictions "
            "were resized back by nearest neighbor for the mean IoU."
        )
    if not scored:
        notes.append("The dataset has other classes than the model, so there is no mean IoU.")
    if len(model_tally.classes) <= len(predictor.heads):
        notes.append(
            "The model predicts one class everywhere, so equal predictions prove little. Is it "
            "trained?"
        )
    return tuple(notes)
