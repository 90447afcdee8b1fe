"""Fixed against learned upsampling of the logits (section 3.3 of the CVPR paper)."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import keras

from keras_fcn.confusion_matrix import METRIC_NAMES
from keras_fcn.datasets import SegmentationDataset
from keras_fcn.prediction import load_model

from ..config import Config
from .report import METRIC_TITLES, Line, Report, percent, save_lines
from .runs import Run, Trained

TITLES = {
    "fixed": "all bilinear",
    "inner": "all but the last learned",
    "learned": "all learned",
}


def runs(base: Config, dataset: SegmentationDataset) -> list[Run]:
    """Returns a training for each value of `upsampling`.

    FCN-32s has one upsampling alone, so that there is none before the last.
    """
    has_inner = base.model.variant != "fcn32s"
    kinds = ("fixed", "inner", "learned") if has_inner else ("fixed", "learned")
    return [Run(kind, base.replace(upsampling=kind)) for kind in kinds]


def report(trained: Mapping[str, Trained], dataset: SegmentationDataset) -> Report:
    """Returns the metrics of each network, and their curves over the epochs."""
    rows = [
        (
            TITLES[kind],
            f"{_learned_parameters(one.network):,}",
            f"{one.metrics['loss']:.3f}",
            *(percent(one.metrics[name]) for name in METRIC_NAMES),
            f"{one.seconds / 60:.1f}",
        )
        for kind, one in trained.items()
    ]
    return Report(
        header=("upsampling", "weights learned", "loss", *METRIC_TITLES, "minutes"),
        rows=rows,
        notes=("Learned ones start as bilinear interpolation.",),
        save_picture=partial(_save_curves, trained=trained),
    )


def _learned_parameters(path: Path) -> int:
    """Returns how many weights of the upsampling are trained."""
    network = load_model(path)
    return sum(
        layer.count_params()
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2DTranspose) and layer.trainable
    )


def _save_curves(path: str | Path, trained: Mapping[str, Trained]) -> Path:
    lines: dict[tuple[str, str], dict[str, Line]] = {}
    for title, name in (("validation loss", "val_loss"), ("mean IoU", "val_mean_iou")):
        for kind, one in trained.items():
            validated = [row for row in one.log if name in row]
            line = [row["epoch"] + 1 for row in validated], [row[name] for row in validated]
            lines.setdefault(("epochs", title), {})[TITLES[kind]] = line
    return save_lines(path, lines)
