"""FCN-32s, 16s from it, 8s from that, and 8s at once, side by side (Table 2 of the CVPR paper)."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from keras_fcn.confusion_matrix import METRIC_NAMES
from keras_fcn.datasets import SegmentationDataset
from keras_fcn.prediction import open_predictor
from keras_fcn.visualization import save_gallery

from ..config import Config
from .report import METRIC_TITLES, Report, percent
from .runs import Run, Trained

# Long, Shelhamer and Darrell, CVPR 2015, Table 2: in percent, on PASCAL VOC 2011 (seg11valid).
PAPER = {
    "fcn32s": (89.1, 73.3, 59.4, 81.4),
    "fcn16s": (90.0, 75.7, 62.4, 83.0),
    "fcn8s": (90.3, 75.9, 62.7, 83.2),
}
TITLES = {
    "fcn32s": "FCN-32s",
    "fcn16s": "FCN-16s, from it",
    "fcn8s": "FCN-8s, from that",
    "fcn32s_longer": "FCN-32s, as long",
    "fcn8s_atonce": "FCN-8s at once",
}
NUM_STAGES = 3
NUM_SHOWN = 3


def runs(base: Config, dataset: SegmentationDataset) -> list[Run]:
    """Returns the stages of the paper, and two networks of as many steps as all stages.

    `base.run.epochs` is the length of a stage. So that a finer network is not merely one that was
    trained for longer, FCN-32s is also trained on for as long as the other two stages take.
    """
    stage = base.run.epochs
    of = {name: base.replace(variant=name) for name in ("fcn32s", "fcn16s", "fcn8s")}
    at_once = base.replace(variant="fcn8s_atonce", epochs=NUM_STAGES * stage)
    longer = of["fcn32s"].replace(epochs=(NUM_STAGES - 1) * stage)
    return [
        Run("fcn32s", of["fcn32s"]),
        Run("fcn16s", of["fcn16s"], starts_from="fcn32s"),
        Run("fcn8s", of["fcn8s"], starts_from="fcn16s"),
        Run("fcn32s_longer", longer, starts_from="fcn32s"),
        Run("fcn8s_atonce", at_once),
    ]


def report(trained: Mapping[str, Trained], dataset: SegmentationDataset) -> Report:
    """Returns the four metrics of each network, with the paper's rows below, and predictions."""
    stages = {"fcn32s": 1, "fcn16s": 2}
    stage = trained["fcn32s"].config.run.epochs
    minutes = {name: one.seconds / 60 for name, one in trained.items()}
    earlier = {"fcn16s": "fcn32s", "fcn8s": "fcn16s", "fcn32s_longer": "fcn32s"}
    for name in earlier:
        minutes[name] += minutes[earlier[name]]
    rows = [
        (
            TITLES[run],
            *(percent(one.metrics[name]) for name in METRIC_NAMES),
            str(stage * stages.get(run, NUM_STAGES)),
            f"{minutes[run]:.1f}",
        )
        for run, one in trained.items()
    ]
    rows += [
        (f"the paper's {TITLES[name]}", *(f"{value:.1f}" for value in values), "", "")
        for name, values in PAPER.items()
    ]
    return Report(
        header=("network", *METRIC_TITLES, "epochs in all", "minutes in all"),
        rows=rows,
        notes=(
            "Epochs and minutes count the stages that a network starts from.",
            "The paper's rows: VGG16 on PASCAL VOC 2011 (CVPR 2015, Table 2).",
        ),
        save_picture=partial(_save_predictions, trained=trained, dataset=dataset),
    )


def _save_predictions(
    path: str | Path, trained: Mapping[str, Trained], dataset: SegmentationDataset
) -> Path:
    """Writes validation images with their labels and each network's prediction."""
    split = next(iter(trained.values())).config.data.validation_split
    examples = list(dataset.examples(str(split)).take(NUM_SHOWN).as_numpy_iterator())
    columns: list[list[np.ndarray]] = [[e["image"], e["label"]] for e in examples]
    for one in trained.values():
        predictor = open_predictor(one.network)
        for row, example in zip(columns, examples, strict=True):
            row.append(np.asarray(predictor.predict(example["image"][None]))[0])
    titles = ("image", "truth", *(TITLES[name].partition(", from")[0] for name in trained))
    specs = list(dataset.heads.values()) * (1 + len(trained))
    return save_gallery(path, columns, specs, titles=titles, cell_width=150)
