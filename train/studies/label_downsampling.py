"""What coarse labels cost: the upper bound of mean IoU for scores of a given stride.

The paper's Appendix A gives one row of numbers and does not say how labels are resampled, so
three ways are measured here beside it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.data.resizing import resized_logits
from keras_fcn.labels import LabelSpec
from keras_fcn.visualization import save_picture

FACTORS = (128, 64, 32, 16, 8, 4)
# Long, Shelhamer and Darrell, CVPR 2015, Appendix A: on PASCAL VOC 2011.
PAPER = dict(zip(FACTORS, (0.509, 0.733, 0.861, 0.928, 0.964, 0.985), strict=True))

Maps = np.ndarray


def center(labels: Maps, factor: int, spec: LabelSpec) -> Maps:
    """Returns the label of the middle of each cell of `factor` x `factor` pixels, repeated.

    An ignored label says nothing; class 0 takes its place.

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

    The samples are those of `center`, as one score of 1 for the class and 0 for the others: what
    a network of this stride could tell at best. Where all samples around are ignored, class 0.

    >>> labels = np.array([[1] * 8 + [2] * 8] * 8, "uint8")
    >>> bilinear(labels, 4, LabelSpec.numbered(3))[0].tolist()
    [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]
    """
    samples = _sampled(labels, factor)
    scores = (samples[..., None] == np.arange(spec.num_classes)).astype("float32")
    height, width = samples.shape
    enlarged = resized_logits(scores[None], (height * factor, width * factor))[0]
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
