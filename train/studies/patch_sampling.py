"""Whole images against random patches of more images (section 3.4, figure 5 of the CVPR paper)."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from keras_fcn.datasets import SegmentationDataset

from ..config import Config
from .report import Line, Report, percent, save_lines
from .runs import Run, Trained

# A batch is larger by this, and keeps one in so many cells of the loss.
FACTORS = (1, 2, 4)


def runs(base: Config, dataset: SegmentationDataset) -> list[Run]:
    """Returns trainings whose steps count equally many cells in the loss, of more and more images.

    With a share p of the cells, a batch has 1/p times the images; `base.data.batch_size` is that of
    whole images. Then an epoch has p times the steps, and there are 1/p times the epochs. All
    are validated after the same steps.

    Raises:
        ValueError: If the training split does not fill the largest batch.
    """
    largest = base.data.batch_size * FACTORS[-1]
    examples = min(dataset.splits[base.data.train_split], base.data.limit or sys.maxsize)
    if examples < largest:
        raise ValueError(
            f"The split {base.data.train_split!r} must fill a batch of {FACTORS[-1]} times "
            f"`batch_size`. Received: {examples} images, batch_size={base.data.batch_size}."
        )
    # So that an epoch's steps are a whole number for each batch.
    limit = examples // largest * largest
    return [
        Run(
            f"share_1_of_{factor}",
            base.replace(
                loss_share=1 / factor,
                batch_size=base.data.batch_size * factor,
                epochs=base.run.epochs * factor,
                validate_every=factor,
                limit=limit,
            ),
        )
        for factor in FACTORS
    ]


def report(trained: Mapping[str, Trained], dataset: SegmentationDataset) -> Report:
    """Returns validation loss and mean IoU by steps, and the time per step."""
    curves = {_title(one): _curve(one, dataset) for one in trained.values()}
    steps = [step for step, *_ in next(iter(curves.values()))]
    rows = [
        (
            f"{step:,}",
            *(f"{curve[i][2]:.3f}" for curve in curves.values()),
            *(percent(curve[i][3]) for curve in curves.values()),
        )
        for i, step in enumerate(steps)
    ]
    rows.append(
        (
            "seconds per step",
            *(f"{curve[-1][1] / steps[-1]:.2f}" for curve in curves.values()),
            *[""] * len(curves),
        )
    )
    return Report(
        header=(
            "steps",
            *(f"loss, {name}" for name in curves),
            *(f"mean IoU, {name}" for name in curves),
        ),
        rows=rows,
        notes=(
            "A step counts equally many cells of the logits in its loss, whatever their share: "
            + ", ".join(
                f"{_title(one)} of {one.config.data.batch_size} images" for one in trained.values()
            )
            + ".",
        ),
        save_picture=partial(_save_curves, curves=curves),
    )


# Steps, seconds, validation loss and mean IoU, each time it was validated.
Curve = list[tuple[int, float, float, float]]


def _curve(trained: Trained, dataset: SegmentationDataset) -> Curve:
    config = trained.config
    images = min(dataset.splits[config.data.train_split], config.data.limit or 0)
    curve = []
    seconds = 0.0
    for row in trained.log:
        seconds += row["seconds"]
        if "val_loss" in row:
            steps = (int(row["epoch"]) + 1) * (images // config.data.batch_size)
            curve.append((steps, seconds, row["val_loss"], row["val_mean_iou"]))
    return curve


def _title(trained: Trained) -> str:
    share = trained.config.data.loss_share
    return "all cells" if share == 1 else f"1 in {round(1 / share)}"


def _save_curves(path: str | Path, curves: Mapping[str, Curve]) -> Path:
    by_steps: dict[str, Line] = {}
    by_seconds: dict[str, Line] = {}
    for name, curve in curves.items():
        steps, seconds, losses, _ = zip(*curve, strict=True)
        by_steps[name] = steps, losses
        by_seconds[name] = seconds, losses
    panels = {
        ("steps of equally many cells", "validation loss"): by_steps,
        ("seconds of training", "validation loss"): by_seconds,
    }
    return save_lines(path, panels)
