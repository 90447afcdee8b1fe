"""What coarse labels cost: the upper bound of mean IoU for logits of a given stride.

The paper's Appendix A gives one row of numbers and does not state how labels are resampled, so
three ways are measured here beside it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.data.dataset import first_examples
from keras_fcn.data.resizing import resized_logits
from keras_fcn.datasets import SegmentationDataset
from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.visualization import save_picture

from ..config import Config
from .report import Report, percent
from .runs import Run, Trained

FACTORS = (128, 64, 32, 16, 8, 4)
# Long, Shelhamer and Darrell, CVPR 2015, Appendix A: on PASCAL VOC 2011.
PAPER = dict(zip(FACTORS, (0.509, 0.733, 0.861, 0.928, 0.964, 0.985), strict=True))

Maps = np.ndarray


def runs(base: Config, dataset: SegmentationDataset, **_: Any) -> list[Run]:
    """Returns no training: labels alone are compared."""
    return []


def report(
    trained: Mapping[str, Trained], dataset: SegmentationDataset, split: str, images: int | None
) -> Report:
    """Returns `upper_bounds`, with the paper's row below, as a table and as a chart.

    Args:
        trained: None are needed.
        dataset: The dataset.
        split: One of its splits.
        images: How many images of the split are used, from the first; `None` uses all.
    """
    dataset.check_split(split)
    shown = first_examples(dataset, split, images)
    count = shown.splits[split]
    bounds = upper_bounds(_label_maps(shown, split), dataset.heads[Heads.ONLY])
    rows = {**bounds, "the paper, VOC 2011 (its way is not stated)": PAPER}
    return Report(
        header=("mean IoU of labels downsampled by", *(str(factor) for factor in FACTORS)),
        rows=[(name, *(percent(values[f]) for f in FACTORS)) for name, values in rows.items()],
        notes=(f"{dataset.name}, {split}: {count} images.",),
        save_picture=partial(
            save_chart, bounds=bounds, title=f"{dataset.name}, {split}, {count} images"
        ),
    )


def center(labels: Maps, factor: int, spec: LabelSpec) -> Maps:
    """Returns the label of the middle of each cell of `factor` x `factor` pixels, repeated.

    Class 0 takes the place of ignored labels.

    Args:
        labels: uint8, shape `(height, width)`.
        factor: Pixels from one sample to the next.
        spec: The classes.

    Returns:
        Labels, all of them classes, of the same shape.

    Example:
        >>> labels = np.array([[1, 1, 2, 2], [1, 2, 2, 0]], "uint8")
        >>> center(labels, 2, LabelSpec.numbered(3)).tolist()
        [[2, 2, 0, 0], [2, 2, 0, 0]]
    """
    return _repeated(_as_classes(_sampled(labels, factor), spec), factor, labels.shape)


def majority(labels: Maps, factor: int, spec: LabelSpec) -> Maps:
    """Returns the commonest class of each cell, repeated; arguments as for `center`.

    >>> labels = np.array([[1, 1, 2, 255], [1, 2, 255, 255]], "uint8")
    >>> majority(labels, 2, LabelSpec.numbered(3)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    height, width = labels.shape
    rows, columns = np.arange(height) // factor, np.arange(width) // factor
    shape = (rows[-1] + 1, columns[-1] + 1, spec.num_classes)
    cells = rows[:, None] * shape[1] + columns
    valid = labels < spec.num_classes
    counts = np.bincount(
        cells[valid] * spec.num_classes + labels[valid], minlength=int(np.prod(shape))
    )
    return _repeated(counts.reshape(shape).argmax(-1).astype("uint8"), factor, labels.shape)


def bilinear(labels: Maps, factor: int, spec: LabelSpec) -> Maps:
    """Returns the highest of the bilinearly interpolated samples; arguments as for `center`.

    The samples are those of `center`, as a logit of 1 for the class and 0 for the others: the
    best that a network of this stride could output. Where all samples around are ignored, class 0.

    >>> labels = np.array([[1] * 8 + [2] * 8] * 8, "uint8")
    >>> bilinear(labels, 4, LabelSpec.numbered(3))[0].tolist()
    [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]
    """
    samples = _sampled(labels, factor)
    logits = (samples[..., None] == np.arange(spec.num_classes)).astype("float32")
    height, width = samples.shape
    enlarged = resized_logits(logits[None], (height * factor, width * factor))[0]
    return enlarged[: labels.shape[0], : labels.shape[1]].argmax(-1).astype("uint8")


METHODS: dict[str, Callable[[Maps, int, LabelSpec], Maps]] = {
    "center of each cell, repeated": center,
    "majority of each cell, repeated": majority,
    "center of each cell, bilinear": bilinear,
}


def upper_bounds(
    label_maps: Iterable[Maps], spec: LabelSpec, factors: Sequence[int] = FACTORS
) -> dict[str, dict[int, float]]:
    """Returns the mean IoU of downsampled labels against the labels themselves.

    Args:
        label_maps: Labels of images, uint8, shape `(height, width)` each.
        spec: The classes.
        factors: By how much the labels are downsampled.

    Returns:
        The mean IoU, 0 to 1, by method and factor.

    Raises:
        ValueError: If a factor is below 1.

    Example:
        >>> stripes = np.arange(8, dtype="uint8")[:, None].repeat(8, axis=1) // 4
        >>> upper_bounds([stripes], LabelSpec.numbered(2), [2])["majority of each cell, repeated"]
        {2: 1.0}
    """
    if any(factor < 1 for factor in factors):
        raise ValueError(f"`factors` must be at least 1. Received: {list(factors)}.")
    matrices = {(name, f): ConfusionMatrix.of(spec) for name in METHODS for f in factors}
    for labels in label_maps:
        for (name, factor), matrix in matrices.items():
            matrix.update(labels, METHODS[name](labels, factor, spec))
    return {name: {f: matrices[name, f].metrics().mean_iou for f in factors} for name in METHODS}


def save_chart(path: str | Path, bounds: Mapping[str, Mapping[int, float]], title: str) -> Path:
    """Writes a chart of `upper_bounds`, with the paper's row, as a PNG. Returns `path`."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="downsampling", ylabel="mean IoU")
    for name, values in bounds.items():
        axes.plot(list(values), list(values.values()), marker="o", label=name)
    axes.plot(list(PAPER), list(PAPER.values()), "k--", marker="x", label="the paper, VOC 2011")
    axes.set_xscale("log", base=2)
    axes.set_xticks(FACTORS, [str(factor) for factor in FACTORS])
    axes.invert_xaxis()
    axes.grid(alpha=0.3)
    axes.legend()
    return save_picture(path, figure)


def _label_maps(dataset: SegmentationDataset, split: str) -> Iterable[Maps]:
    """Yields the label maps of a split, with a bar on the terminal, if there is one."""
    screen = Console(stderr=True)
    examples = track(
        dataset.examples(split).as_numpy_iterator(),
        "Downsampling",
        dataset.splits[split],
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    )
    return (example["label"] for example in examples)


def _sampled(labels: Maps, factor: int) -> Maps:
    height, width = labels.shape
    # A cell that the border cuts off before its middle is sampled at the border.
    rows = np.minimum(np.arange(0, height, factor) + factor // 2, height - 1)
    columns = np.minimum(np.arange(0, width, factor) + factor // 2, width - 1)
    return labels[rows][:, columns]


def _as_classes(labels: Maps, spec: LabelSpec) -> Maps:
    return np.where(labels < spec.num_classes, labels, 0)


def _repeated(cells: Maps, factor: int, shape: tuple[int, ...]) -> Maps:
    height, width = shape
    return cells.repeat(factor, axis=0).repeat(factor, axis=1)[:height, :width]
