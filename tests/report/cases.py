"""Networks, datasets and reports that several tests use."""

from typing import Any

import numpy as np
from keras_fcn_report import Report

from keras_fcn import LabelSpec
from keras_fcn.datasets import from_arrays
from keras_fcn.evaluation import evaluate_heads
from keras_fcn.labels import Labels
from keras_fcn.prediction import KerasPredictor

from ..helpers import channel_model, two_headed_model
from .scenes import scene

SPEC = LabelSpec(("red", "green", "blue"), palette=((200, 40, 40), (40, 160, 60), (40, 80, 200)))


def image_for(predictions: np.ndarray, seed: int) -> np.ndarray:
    """Returns an image for which `channel_model` predicts this: logits are the channels."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 3, (*predictions.shape, 3))
    strength = random.integers(3, 9, (*predictions.shape, 1))
    return (image + strength * np.eye(3, dtype=int)[predictions]).astype("uint8")


def examples(num_images: int, size: tuple[int, int] = (48, 64)) -> list[dict[str, Any]]:
    """Returns images of a width of their own, with labels and the predictions for them."""
    found = []
    for i in range(num_images):
        labels, predictions = scene(i, (size[0], size[1] + i % 5), 3)
        found.append(
            {
                "image": image_for(predictions, i),
                "label": labels,
                "id": f"street/{i:04}",
                "predictions": predictions,
            }
        )
    return found


def report_on(
    examples: list[dict[str, Any]],
    labels: Labels = SPEC,
    *,
    heads: bool = False,
    logits: bool = True,
    pictures: bool = True,
    origin: dict[str, Any] | None = None,
    name: str = "streets",
    classes: tuple[str, ...] = (),
):
    """Returns a report, its evaluations and its numbers."""

    class Predictor(KerasPredictor):
        has_logits = logits

    predictor = Predictor(two_headed_model() if heads else channel_model())
    known = [{k: v for k, v in example.items() if k != "predictions"} for example in examples]
    dataset = from_arrays(name, labels, {"val": known})
    predictor.heads = dataset.heads
    report = Report(dataset.heads, origin, pictures=pictures)
    evaluations = evaluate_heads(
        predictor, dataset, on_image=report.add, confidences=True, classes=classes
    )
    return report, evaluations, report.details(evaluations)
