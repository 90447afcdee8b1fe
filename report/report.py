"""The report: collects what an evaluation yields, writes JSON values and the page."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_fcn.evaluation import EvaluatedImage, Evaluation
from keras_fcn.files import write_text
from keras_fcn.labels import LabelSpec

from .examples import Example, crop_of, example_of
from .page import page
from .sections import HeadContent
from .statistics import HeadStatistics, Worst

NUM_WORST = 20
NUM_SUSPECTS = 20
NUM_PER_CLASS = 2
# Worst images by class in one page, over all classes.
MAX_CLASS_EXAMPLES = 40
# Of the pictures of a page. Tables and charts take less than 1 MB for 200 images.
MAX_PICTURE_BYTES = 3_400_000


class Report:
    """What a report on an evaluation contains. It is complete after the last image.

    Memory does not grow with the pixels of the dataset: it keeps a few numbers for each image and
    class, and the pictures of the worst images.

    Args:
        heads: The classes of each head that is evaluated.
        origin: `Predictor.origin` of the network.
        pictures: Whether a page will be written; without, only the numbers are collected.

    Example:
        >>> import keras
        >>> from keras_fcn.datasets import from_arrays
        >>> from keras_fcn.evaluation import evaluate_heads
        >>> from keras_fcn.prediction import KerasPredictor
        >>> image = np.array([[[9, 0, 0], [0, 9, 0]]], "uint8")
        >>> labels = LabelSpec(("red", "green", "blue"))
        >>> one = {"image": image, "label": np.array([[0, 2]], "uint8")}
        >>> x = keras.Input((None, None, 3))
        >>> brightest = KerasPredictor(keras.Model(x, keras.layers.Rescaling(1.0)(x)))
        >>> dataset = from_arrays("tiny", labels, {"val": [one]})
        >>> report = Report(dataset.heads, pictures=False)
        >>> evaluations = evaluate_heads(
        ...     brightest, dataset, on_image=report.add, confidences=True
        ... )
        >>> report.details(evaluations)["segmentation"]["boundary_iou"]
        0.3333333333333333
    """

    def __init__(
        self,
        heads: Mapping[str, LabelSpec],
        origin: Mapping[str, Any] | None = None,
        *,
        pictures: bool = True,
    ) -> None:
        self._origin = origin or {}
        self._heads = {head: _Head(spec, pictures) for head, spec in heads.items()}

    def add(self, image: EvaluatedImage) -> None:
        """Adds an image; for `on_image` of `evaluate_heads`, with `confidences=True`."""
        for name, head in self._heads.items():
            if name in image.matrices:
                head.add(image, name)

    def details(self, evaluations: Mapping[str, Evaluation]) -> dict[str, dict[str, Any]]:
        """Returns the numbers by head, for `keras_fcn.evaluation.save_json`."""
        return {
            name: {
                "split_role": split_role(self._origin, evaluation)[0],
                **self._heads[name].statistics.to_dict(evaluation.classes),
            }
            for name, evaluation in evaluations.items()
        }

    def save(
        self,
        folder: str | Path,
        evaluations: Mapping[str, Evaluation],
        details: Mapping[str, Mapping[str, Any]],
    ) -> Path:
        """Writes the page.

        Args:
            folder: The folder to write to.
            evaluations: The result of the evaluation, by head.
            details: The result of `details`.

        Returns:
            The path of `index.html` in the folder.
        """
        budget = MAX_PICTURE_BYTES // len(evaluations)
        contents = [
            self._heads[name].content(evaluation, details[name], budget)
            for name, evaluation in evaluations.items()
        ]
        path = Path(folder) / "index.html"
        write_text(path, page(contents, split_role(self._origin, contents[0].evaluation)))
        return path


class _Head:
    """What is collected of one head."""

    def __init__(self, spec: LabelSpec, pictures: bool) -> None:
        self.statistics = HeadStatistics(spec)
        self._spec = spec
        self._pictures = pictures
        self._worst: Worst[Example] = Worst(NUM_WORST)
        self._of_class: list[Worst[tuple[Example, float]]] = [
            Worst(NUM_PER_CLASS) for _ in range(spec.num_classes)
        ]
        self._crops: Worst[Example] = Worst(NUM_SUSPECTS)

    def add(self, image: EvaluatedImage, head: str) -> None:
        labels, predictions = image.labels[head], image.predictions[head]
        confidences = None if image.confidences is None else image.confidences[head]
        id_ = image.id if image.id is not None else f"image {image.position}"
        found = self.statistics.add(id_, labels, predictions, image.matrices[head], confidences)
        if not self._pictures:
            return
        position = len(self.statistics.rows) - 1
        of_image = (position, image.image, labels, predictions, self._spec)
        example = cache(lambda: example_of(*of_image))  # one copy, however many show it
        mean_iou = self.statistics.rows[-1].mean_iou
        if mean_iou is not None:
            self._worst.push(1 - mean_iou, example)
        wrong = self.statistics.wrong_pixels() / max(1, image.matrices[head].num_pixels)
        for label in np.flatnonzero(wrong).tolist():
            share = float(wrong[label])
            self._of_class[label].push(share, partial(_with_share, example, share))
        for suspect in found:
            pair = (suspect.label, suspect.prediction)
            self._crops.push(suspect.share, partial(crop_of, *of_image, suspect.box, pair))

    def content(
        self, evaluation: Evaluation, details: Mapping[str, Any], max_bytes: int
    ) -> HeadContent:
        """Returns what the page shows of this head, its pictures small enough for `max_bytes`."""
        worst, crops = list(self._worst), list(self._crops)
        ious = np.nan_to_num(evaluation.metrics.per_class_iou, nan=np.inf)
        of_class = {label: list(self._of_class[label]) for label in np.argsort(ious).tolist()}
        per_class = NUM_PER_CLASS if 2 * len(ious) <= MAX_CLASS_EXAMPLES else 1
        left = MAX_CLASS_EXAMPLES
        for label, examples in of_class.items():
            of_class[label] = examples[: min(per_class, left)]
            left -= len(of_class[label])
        shown = [*worst, *crops, *(example for of in of_class.values() for example, _ in of)]
        smaller = _within({id(example): example for example in shown}, max_bytes)
        return HeadContent(
            evaluation,
            details,
            self.statistics,
            [smaller[id(example)] for example in worst],
            {
                label: [(smaller[id(example)], share) for example, share in examples]
                for label, examples in of_class.items()
                if examples
            },
            [smaller[id(example)] for example in crops],
        )


def split_role(origin: Mapping[str, Any], evaluation: Evaluation) -> tuple[str, str]:
    """Returns what the training used a split for, and a sentence on it.

    Args:
        origin: `Predictor.origin` of the network.
        evaluation: The dataset and the split.

    Returns:
        `"training"`, `"selection"`, `"other"` or `"unknown"`, and the sentence.
    """
    settings = (origin.get("config") or {}).get("data") or {}
    dataset, split = evaluation.dataset, evaluation.split
    if not settings:
        sentence = "The file does not state which images chose or trained the network."
        return "unknown", sentence
    if not _is_same_dataset(settings.get("dataset"), dataset):
        sentence = (
            f"The network was trained and chosen on another dataset: {settings.get('dataset')}."
        )
        return "other", sentence
    if split == settings.get("train_split"):
        sentence = (
            "The network was trained on this split: it does not show how well it generalizes."
        )
        return "training", sentence
    if split == settings.get("validation_split"):
        sentence = (
            "This split chose the network: its best epoch was selected by these images. Expect "
            "lower metrics on new ones."
        )
        return "selection", sentence
    sentence = "The network was neither trained nor chosen on this split, as its file states."
    return "other", sentence


def _is_same_dataset(trained: str | None, evaluated: str) -> bool:
    """Returns whether two names mean one dataset; a folder may have been moved as a whole."""
    prefix = "folder:"
    if trained and trained.startswith(prefix) and evaluated.startswith(prefix):
        return Path(trained[len(prefix) :]).name == Path(evaluated[len(prefix) :]).name
    return trained == evaluated


def _with_share(example: Callable[[], Example], share: float) -> tuple[Example, float]:
    return example(), share


def _within(examples: dict[int, Example], max_bytes: int) -> dict[int, Example]:
    """Returns the examples, all with smaller pictures if they take more than `max_bytes`."""
    original, factor = examples, 1.0
    while factor > 0.1 and sum(example.num_bytes for example in examples.values()) > max_bytes:
        factor *= 0.85
        examples = {key: example.scaled(factor) for key, example in original.items()}
    return examples
