"""Proof that an artifact answers what the model answers that it was made from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.data.dataset import SegmentationDataset
from keras_fcn.data.pipeline import evaluation_batches
from keras_fcn.data.resizing import resized_images, resized_labels
from keras_fcn.labels import Labels, LabelSpec

from .engines import Answer, Arrays, Engine, open_engines
from .model_info import Size, head_scores, image_dtype, label_specs, labels_of, num_channels
from .operators import tensor_types
from .report import Comparison, VerificationReport
from .signatures import ServingOptions

# Share of labels that must be equal, by the coarsest numbers in the file. Labels differ where two
# classes have nearly the same score; untrained networks have many such places.
_MIN_EQUAL_LABELS = {"INT8": 0.9, "FLOAT16": 0.99, "BFLOAT16": 0.98, "FLOAT32": 0.999}


def verify(
    artifact: str | Path,
    against: str | Path | keras.Model,
    data: Iterable[np.ndarray] | SegmentationDataset,
    *,
    split: str = "val",
    max_images: int | None = None,
    min_equal_labels: float | None = None,
) -> VerificationReport:
    """Compares an artifact with the model it was made from, on real images.

    A `.tflite` runs with and without the XNNPACK delegate, because the two
    have different kernels and not all of them were right in every release.
    The model gets what the network inside the artifact gets: if the artifact
    has a fixed size, images of that size, and if mirroring is baked in, so.

    Args:
        artifact: A `.tflite` or `.onnx` file, or the folder of a SavedModel.
        against: The model, or its `.keras` file.
        data: Images, uint8 RGB `(height, width, 3)`, of any sizes; or a data
            set, whose labels then give the mean IoU of both, if it has the
            model's classes.
        split: Split of the dataset.
        max_images: How many images to take at most.
        min_equal_labels: Share of equal labels to reach, 0 to 1. By default
            0.999, but 0.99 with float16, 0.98 with bfloat16 and 0.9 with int8 weights.

    Returns:
        The report; its `passed` tells whether the artifact is good.

    Raises:
        ValueError: If there are no images, or the two have different classes or channels.
    """
    model = against if isinstance(against, keras.Model) else _load(against)
    engines = open_engines(artifact)
    _check_same_classes(engines[0].labels, labels_of(model))
    if engines[0].num_channels != num_channels(model):
        raise ValueError(
            "The artifact and the model must take the same images: this artifact was made from "
            f"another model. Received: {engines[0].num_channels} channels in the artifact, "
            f"{num_channels(model)} in the model."
        )
    reference = _Reference(model, engines[0].options)
    tallies = {engine.name: _Tally() for engine in engines}
    model_tally, num_images = _Tally(), 0
    specs = label_specs(labels_of(model))
    scored = _has_classes_of(data, labels_of(model))
    modalities = getattr(model, "modalities", ())
    for image, labels in _examples(data, split, max_images, modalities):
        labels = labels if scored else None
        num_images += 1
        size, seen = image.shape[:2], _seen_by(engines[0], image)
        expected = reference.run(seen[None])
        model_tally.add(expected, expected, labels, specs, size)
        for engine in engines:
            tallies[engine.name].add(engine.run(seen[None]), expected, labels, specs, size)
    if not num_images:
        raise ValueError("`data` must hold at least one image. Received: none.")
    return VerificationReport(
        artifact=str(artifact),
        size_bytes=_size_on_disk(Path(artifact)),
        num_images=num_images,
        num_pixels=model_tally.num_pixels,
        model_mean_iou=model_tally.mean_iou(),
        comparisons=tuple(tally.comparison(name) for name, tally in tallies.items()),
        min_equal_labels=_default_threshold(Path(artifact), engines[0].options)
        if min_equal_labels is None
        else min_equal_labels,
        notes=_notes(engines[0], model_tally, scored=scored),
    )


class _Reference:
    """The model, run as the artifact runs it."""

    def __init__(self, model: keras.Model, options: ServingOptions) -> None:
        def scores_of(images: tf.Tensor) -> dict[str, tf.Tensor]:
            by_head = head_scores(model, images, size=options.size, flip=options.flip)
            if options.scores == "probabilities":
                return {head: tf.nn.softmax(value) for head, value in by_head.items()}
            return by_head

        shape = (None, None, None, num_channels(model))
        specification = tf.TensorSpec(shape, image_dtype(model))
        self._scores_of = tf.function(scores_of, input_signature=[specification])

    def run(self, images: np.ndarray) -> Answer:
        scores = {head: value.numpy() for head, value in self._scores_of(images).items()}
        labels = {head: value.argmax(-1).astype("uint8") for head, value in scores.items()}
        return Answer(labels, scores)


class _Tally:
    """Sums over images of what one runtime answered."""

    def __init__(self) -> None:
        self.num_pixels = 0
        self.classes: set[tuple[str, int]] = set()
        self._num_equal = 0
        self._num_compared = 0
        self._max_difference = 0.0
        self._max_score = 0.0
        self._confusion: dict[str, ConfusionMatrix] = {}

    def add(
        self,
        answer: Answer,
        expected: Answer,
        labels: Arrays | None,
        specs: Mapping[str, LabelSpec],
        size: Size,
    ) -> None:
        self.num_pixels += size[0] * size[1]
        for head, spec in specs.items():
            ours, theirs = answer.labels[head], expected.labels[head]
            self.classes.update((head, int(label)) for label in np.unique(ours))
            self._num_equal += int(np.sum(ours == theirs))
            self._num_compared += theirs.size
            difference = np.abs(answer.scores[head] - expected.scores[head]).max()
            # A NaN must win: `max(0.0, nan)` is 0.
            self._max_difference = float(np.maximum(self._max_difference, difference))
            self._max_score = max(self._max_score, float(np.abs(expected.scores[head]).max()))
            if labels is not None:
                predictions = resized_labels(ours, size)
                matrix = self._confusion.setdefault(head, ConfusionMatrix.of(spec))
                matrix.update(labels[head], predictions[0])

    def mean_iou(self) -> float | None:
        """Returns the mean IoU, averaged over the heads; None without labels."""
        if not self._confusion:
            return None
        scores = [matrix.metrics().mean_iou for matrix in self._confusion.values()]
        return float(np.mean(scores))

    def comparison(self, engine: str) -> Comparison:
        return Comparison(
            engine=engine,
            max_score_difference=self._max_difference,
            max_score=self._max_score,
            equal_labels=self._num_equal / self._num_compared,
            mean_iou=self.mean_iou(),
        )


def _load(path: str | Path) -> keras.Model:
    # `keras_fcn` is imported by now, so that every class in the file is known.
    return keras.saving.load_model(path, compile=False)


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
            by_head = labels if isinstance(labels, dict) else {"": labels}
            yield images[0].numpy(), {head: value[0].numpy() for head, value in by_head.items()}
        return
    for index, image in enumerate(data):
        if max_images is not None and index >= max_images:
            return
        yield np.asarray(image), None


def _seen_by(engine: Engine, image: np.ndarray) -> np.ndarray:
    if engine.fixed_size is None:
        return image
    return resized_images(image[None], engine.fixed_size)[0]


def _check_same_classes(artifact: Labels, model: Labels) -> None:
    ours, theirs = label_specs(artifact), label_specs(model)
    if {h: s.class_names for h, s in ours.items()} != {h: s.class_names for h, s in theirs.items()}:
        raise ValueError(
            "The artifact and the model must have the same classes: this artifact was made from "
            f"another model. Received: {_names(ours)} in the artifact, {_names(theirs)} in the "
            "model."
        )


def _names(specs: Mapping[str, LabelSpec]) -> str:
    return "; ".join(", ".join(spec.class_names[:8]) for spec in specs.values())


def _default_threshold(artifact: Path, options: ServingOptions) -> float:
    types = tensor_types(artifact) if artifact.suffix == ".tflite" else {options.precision.upper()}
    return min(_MIN_EQUAL_LABELS.get(name, 1.0) for name in {*types, "FLOAT32"})


def _size_on_disk(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _has_classes_of(data: Any, labels: Labels) -> bool:
    """Returns whether a dataset's labels can be compared; plain images have none to object to."""
    if not isinstance(data, SegmentationDataset):
        return True
    ours, theirs = label_specs(labels), label_specs(data.labels)
    return {h: s.num_classes for h, s in ours.items()} == {
        h: s.num_classes for h, s in theirs.items()
    }


def _notes(engine: Engine, model_tally: _Tally, *, scored: bool) -> tuple[str, ...]:
    notes = []
    if engine.fixed_size is not None:
        height, width = engine.fixed_size
        notes.append(
            f"Fixed input of {height}x{width}: both got the images resized to it, and labels went "
            "back by nearest for the mean IoU."
        )
    if not scored:
        notes.append("The dataset has other classes than the model, so there is no mean IoU.")
    heads = len(label_specs(engine.labels))
    if len(model_tally.classes) <= heads:
        notes.append(
            "The model gives one class everywhere, so equal labels prove little. Is it trained?"
        )
    return tuple(notes)
