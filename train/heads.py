"""The losses and metrics of the heads of a network."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_fcn.labels import Heads
from keras_fcn.losses import SegmentationLoss, SumOfLosses, create
from keras_fcn.metrics import SegmentationMetrics


def head_losses(
    heads: Heads,
    name: str = "crossentropy",
    reduction: str = "mean",
    class_arguments: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, SegmentationLoss | SumOfLosses]:
    """Returns the loss of each head; a training minimizes their sum.

    Args:
        heads: The classes.
        name: The loss, or several joined by `+`, as for `keras_fcn.losses.create`.
        reduction: What the losses are divided by.
        class_arguments: By head, the arguments that have one number per class.
    """
    return {
        head: create(
            name,
            ignore_class=spec.ignore_class,
            reduction=reduction,
            **(class_arguments or {}).get(head, {}),
        )
        for head, spec in heads.items()
    }


def head_metrics(heads: Heads) -> dict[str, SegmentationMetrics]:
    """Returns the metric of each head; in the logs its names begin with that of the head."""
    return {
        head: SegmentationMetrics(
            spec.num_classes,
            ignore_class=spec.ignore_class,
            class_names=spec.class_names,
            unscored=spec.unscored_labels,
            prefix=heads.prefix(head),
        )
        for head, spec in heads.items()
    }


def compile_heads(
    network: keras.Model,
    heads: Heads,
    losses: Mapping[str, SegmentationLoss | SumOfLosses],
    metrics: Mapping[str, SegmentationMetrics],
    **options: Any,
) -> None:
    """Compiles a network with the losses and metrics of its heads.

    With several heads the logs contain the loss of each as well, such as `semantic_loss`.
    """
    network.compile(
        loss=heads.unwrapped(losses),
        metrics=heads.unwrapped({head: [metric] for head, metric in metrics.items()}),
        **options,
    )
    # Keras makes the metrics of the single losses with the first batch, which is too late for
    # a training that resumes inside an epoch.
    labels = {head: np.zeros((1, 1, 1), "uint8") for head in heads}
    logits = {h: np.zeros((1, 1, 1, spec.num_classes), "float32") for h, spec in heads.items()}
    network.compute_loss(y=heads.unwrapped(labels), y_pred=heads.unwrapped(logits))
    network.reset_metrics()


def loss_metrics(network: keras.Model) -> list[keras.metrics.Metric]:
    """Returns the metrics of a compiled network that average its loss, and those of its heads."""
    return [metric for metric in network.metrics if metric.name.endswith("loss")]


def mean_over_heads(logs: Mapping[str, float], heads: Heads) -> float:
    """Returns the mean IoU in the logs, averaged over the heads.

    >>> from keras_fcn import LabelSpec
    >>> heads = Heads({"shape": LabelSpec(("disc", "star")), "place": LabelSpec(("left", "right"))})
    >>> mean_over_heads({"shape_mean_iou": 0.25, "place_mean_iou": 0.75}, heads)
    0.5
    """
    return float(np.mean([logs[f"{heads.prefix(head)}mean_iou"] for head in heads]))
