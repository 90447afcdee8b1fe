"""Losses and scores of a network's heads: of one without a name, or of several by name."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_fcn.labels import Labels
from keras_fcn.losses import PixelwiseCrossentropy
from keras_fcn.metrics import SegmentationMetrics
from keras_fcn.prediction.predictor import by_head


def head_losses(
    labels: Labels,
    reduction: str = "mean",
    class_arguments: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, PixelwiseCrossentropy]:
    """Returns the loss of each head; a training minimizes their sum.

    Args:
        labels: The classes.
        reduction: What the losses are divided by.
        class_arguments: By head, the arguments that have one number per class.
    """
    return {
        head: PixelwiseCrossentropy(
            spec.ignore_class, reduction, **(class_arguments or {}).get(head, {})
        )
        for head, spec in by_head(labels).items()
    }


def head_scores(labels: Labels) -> dict[str, SegmentationMetrics]:
    """Returns the metric of each head; in the logs its scores begin with the head's name."""
    return {
        head: SegmentationMetrics(
            spec.num_classes,
            ignore_class=spec.ignore_class,
            class_names=spec.class_names,
            unscored=spec.unscored_labels,
            prefix=head and f"{head}_",
        )
        for head, spec in by_head(labels).items()
    }


def compile_heads(
    network: keras.Model,
    losses: Mapping[str, PixelwiseCrossentropy],
    scores: Mapping[str, SegmentationMetrics],
    **options: Any,
) -> None:
    """Compiles a network with the losses and metrics of its heads.

    With several heads the logs hold the loss of each as well, such as `semantic_loss`.
    """
    if "" in losses:
        network.compile(loss=losses[""], metrics=[scores[""]], **options)
        return
    network.compile(loss=dict(losses), metrics=dict(scores), **options)
    # Keras makes the metrics of the single losses with the first batch, which is too late for
    # a training that goes on inside an epoch.
    network.compute_loss(
        y={head: np.zeros((1, 1, 1), "uint8") for head in losses},
        y_pred={
            head: np.zeros((1, 1, 1, metric.num_classes), "float32")
            for head, metric in scores.items()
        },
    )
    network.reset_metrics()


def loss_metrics(network: keras.Model) -> list[keras.metrics.Metric]:
    """Returns the metrics of a compiled network that average its loss, and those of its heads."""
    return [metric for metric in network.metrics if metric.name.endswith("loss")]


def mean_over_heads(logs: Mapping[str, float], labels: Labels) -> float:
    """Returns the mean IoU of the logs, with several heads the mean of theirs.

    >>> from keras_fcn import LabelSpec
    >>> labels = {"shape": LabelSpec(("disc", "star")), "place": LabelSpec(("left", "right"))}
    >>> mean_over_heads({"shape_mean_iou": 0.25, "place_mean_iou": 0.75}, labels)
    0.5
    """
    values = [logs[f"{head and head + '_'}mean_iou"] for head in by_head(labels)]
    return float(np.mean(values))
