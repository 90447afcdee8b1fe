"""What a network sees of an object: itself, what is around it, or its outline (PAMI, Table 8).

Foreground or background of the images are hidden behind one color, for training, for testing,
or for both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from keras_fcn.data.dataset import first_examples
from keras_fcn.datasets import SegmentationDataset
from keras_fcn.evaluation import evaluate
from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.prediction import open_predictor
from keras_fcn.visualization import save_picture

from ..config import Config
from .report import Report, percent
from .runs import Run, Trained

# The mean color is that of so many training images.
NUM_MEAN_IMAGES = 500
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class View:
    """What is seen of the images.

    Args:
        name: Its name.
        foreground: Whether the pixels of objects are seen.
        background: Whether the other ones are seen.
    """

    name: str
    foreground: bool = True
    background: bool = True


ALL = View("all")
ONLY_FOREGROUND = View("foreground", background=False)
ONLY_BACKGROUND = View("background", foreground=False)
OUTLINES = View("shape", foreground=False, background=False)


@dataclass(frozen=True)
class Setting:
    """A row of the paper's table: what is seen in training and in testing, and its mean IoU.

    Args:
        name: The paper's name.
        train: What is seen in training.
        test: What is seen in testing.
        paper: The paper's mean IoU without the background, FCN-32s on PASCAL VOC.
    """

    name: str
    train: View
    test: View
    paper: float


# Shelhamer, Long and Darrell, PAMI 2016, Table 8.
SETTINGS = (
    Setting("Reference", ALL, ALL, 0.848),
    Setting("Reference-FG", ALL, ONLY_FOREGROUND, 0.810),
    Setting("Reference-BG", ALL, ONLY_BACKGROUND, 0.198),
    Setting("FG-only", ONLY_FOREGROUND, ONLY_FOREGROUND, 0.761),
    Setting("BG-only", ONLY_BACKGROUND, ONLY_BACKGROUND, 0.378),
    Setting("Shape", OUTLINES, OUTLINES, 0.291),
)


def masked_image(
    image: Any,
    label: Any,
    view: View,
    color: Sequence[int],
    background: Sequence[int],
    spec: LabelSpec,
) -> Any:
    """Returns an image of which only the foreground, the background or the outlines are seen.

    What is hidden takes one color; for outlines, where all is hidden, the foreground is white.
    Ignored pixels are neither: they are hidden when anything is.

    Args:
        image: RGB, uint8, shape `(height, width, 3)`.
        label: uint8, shape `(height, width)`.
        view: What is seen.
        color: Red, green and blue of what is hidden, 0..255.
        background: Labels of the classes that are background.
        spec: The classes.

    Example:
        >>> spec = LabelSpec(("background", "cat"))
        >>> image, label = tf.fill((1, 3, 3), tf.constant(9, "uint8")), [[0, 1, 255]]
        >>> label = tf.constant(label, "uint8")
        >>> masked_image(image, label, ONLY_FOREGROUND, (1, 2, 3), [0], spec).numpy().tolist()
        [[[1, 2, 3], [9, 9, 9], [1, 2, 3]]]
    """
    if view.foreground and view.background:
        return image
    is_background = tf.reduce_any(label[..., None] == tf.constant(background, label.dtype), axis=-1)
    is_foreground = (label < spec.num_classes) & ~is_background
    hidden = tf.constant(color, image.dtype)
    if not view.foreground and not view.background:
        return tf.where(is_foreground[..., None], tf.constant(WHITE, image.dtype), hidden)
    seen = is_foreground if view.foreground else is_background
    return tf.where(seen[..., None], image, hidden)


def masked_dataset(
    dataset: SegmentationDataset, view: View, color: Sequence[int], background: Sequence[int]
) -> SegmentationDataset:
    """Returns a dataset with masked images and a name of its own; arguments as `masked_image`."""
    spec = dataset.heads[Heads.ONLY]

    def decode(record: Any) -> Any:
        example = dataset.decode(record)
        image = masked_image(example["image"], example["label"], view, color, background, spec)
        return {**example, "image": image}

    if view == ALL:
        return dataset
    return replace(dataset, name=f"{dataset.name}, {view.name} only", decode=decode)


def mean_color(dataset: SegmentationDataset, split: str) -> tuple[int, int, int]:
    """Returns the mean red, green and blue of a split's first 500 images, rounded."""
    total, count = np.zeros(3), 0
    for example in dataset.examples(split).take(NUM_MEAN_IMAGES).as_numpy_iterator():
        total += example["image"].sum(axis=(0, 1), dtype="float64")
        count += example["label"].size
    red, green, blue = np.round(total / count).astype(int).tolist()
    return red, green, blue


def background_labels(spec: LabelSpec, names: Sequence[str]) -> list[int]:
    """Returns the labels of the classes that are background.

    Raises:
        ValueError: If there is no such class, or no other.
    """
    unknown = [name for name in names if name not in spec.class_names]
    if unknown or not names or len(set(names)) == spec.num_classes:
        raise ValueError(
            "`background` must name classes of the dataset, not all of them: "
            f"{', '.join(spec.class_names)}. Received: {', '.join(names) or 'none'}."
        )
    return [spec.class_names.index(name) for name in names]


def runs(base: Config, dataset: SegmentationDataset, background: Sequence[str]) -> list[Run]:
    """Returns a training for each way of masking the training images.

    Args:
        base: The settings.
        dataset: The dataset.
        background: Names of the classes that are background.
    """
    views = dict.fromkeys(setting.train for setting in SETTINGS)
    sets = _masked_sets(base, dataset, background)
    return [
        Run(view.name, base.replace(dataset=sets[view].name), dataset=sets[view]) for view in views
    ]


def report(
    trained: Mapping[str, Trained], dataset: SegmentationDataset, background: Sequence[str]
) -> Report:
    """Returns the mean IoU of the classes that are no background, for the paper's six settings.

    Args:
        trained: The results of `runs`.
        dataset: The dataset.
        background: Names of the classes that are background.
    """
    config = trained[ALL.name].config
    sets = _masked_sets(config, dataset, background)
    objects = [name for name in dataset.heads[Heads.ONLY].class_names if name not in background]
    split = str(config.data.validation_split)
    predictors = {name: open_predictor(one.network) for name, one in trained.items()}
    mean_iou = {}
    for setting in SETTINGS:
        shown = first_examples(sets[setting.test], split, config.data.validation_limit)
        evaluation = evaluate(
            predictors[setting.train.name],
            shown,
            split,
            classes=objects,
            batch_size=config.data.batch_size,
        )
        mean_iou[setting.name] = evaluation.mean_iou_of_classes
    return Report(
        header=("", "training sees", "testing sees", "mean IoU", "the paper's"),
        rows=[
            (
                setting.name,
                setting.train.name,
                setting.test.name,
                percent(mean_iou[setting.name]),
                percent(setting.paper),
            )
            for setting in SETTINGS
        ],
        notes=(
            f"Mean IoU of the {len(objects)} classes that are no background.",
            "The paper's: FCN-32s on PASCAL VOC (PAMI, Table 8).",
        ),
        save_picture=partial(_save_bars, mean_iou=mean_iou, sets=sets, split=split),
    )


def _masked_sets(
    config: Config, dataset: SegmentationDataset, background: Sequence[str]
) -> dict[View, SegmentationDataset]:
    labels = background_labels(dataset.heads[Heads.ONLY], background)
    color = mean_color(dataset, config.data.train_split)
    views = (ALL, ONLY_FOREGROUND, ONLY_BACKGROUND, OUTLINES)
    return {view: masked_dataset(dataset, view, color, labels) for view in views}


def _save_bars(
    path: str | Path,
    mean_iou: Mapping[str, float],
    sets: Mapping[View, SegmentationDataset],
    split: str,
) -> Path:
    """Writes an image as each network sees it, above the mean IoU beside the paper's."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    grid = figure.add_gridspec(2, len(sets), height_ratios=(2, 3))
    for column, (view, dataset) in enumerate(sets.items()):
        [example] = dataset.examples(split).take(1).as_numpy_iterator()
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(example["image"], interpolation="nearest")
        axes.set_title(view.name, fontsize=10)
        axes.set_axis_off()
    axes = figure.add_subplot(grid[1, :])
    places = np.arange(len(mean_iou))
    ours = axes.bar(places - 0.2, [100 * value for value in mean_iou.values()], 0.38, label="here")
    paper = [100 * setting.paper for setting in SETTINGS]
    theirs = axes.bar(places + 0.2, paper, 0.38, color="0.75", label="the paper, PASCAL VOC")
    for bars in (ours, theirs):
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.set_xticks(places, list(mean_iou))
    axes.set(ylabel="mean IoU without background", ylim=(0, 100))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return save_picture(path, figure)
