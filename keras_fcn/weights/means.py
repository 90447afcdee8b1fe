"""The mean that a network of a weight file subtracts from its images, which no file contains."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_fcn.layers.normalization import CAFFE_MEAN_BGR
from keras_fcn.modalities import MODALITIES
from keras_fcn.weights.published import CAFFENET_MEAN, CARDS, DATASETS, WeightCard
from keras_fcn.weights.source import WeightFile

NumClasses = int | Mapping[str, int]

_TITLES = {
    "voc": "PASCAL VOC",
    "pascalcontext": "PASCAL-Context",
    "nyud": "NYUDv2",
    "siftflow": "SIFT Flow",
}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Mean:
    """What is subtracted from each channel, and why.

    Args:
        values: Of each channel in the order that the network takes them: blue, green, red.
        reason: How it is known, for the user.
        dataset: The dataset of `published.DATASETS` whose mean it is; None for a classifier's.
    """

    values: tuple[float, ...]
    reason: str
    dataset: str | None = None

    def __str__(self) -> str:
        return f"{', '.join(f'{value:g}' for value in self.values)}: {self.reason}"


def find_published(
    source: WeightFile, num_classes: NumClasses | None
) -> tuple[WeightCard, str] | None:
    """Returns the card of a file, and how it was recognized; None if it is no published file.

    A file is recognized by its checksum, and where none is published by its name and classes.

    Args:
        source: From `open_weight_file`.
        num_classes: Of the network; `None` for a classifier.
    """
    digests = _digests(source.path)
    for card in CARDS.values():
        for algorithm, expected in (("SHA-256", card.sha256), ("SHA-1", card.sha1)):
            if expected and digests[algorithm].startswith(expected):
                return card, f"the file has the {algorithm} of the published {card.name}"
    for card in CARDS.values():
        has_checksum = card.sha256 or card.sha1
        fits = source.is_classifier or card.num_classes == num_classes
        if source.path.name == card.filename and not has_checksum and fits:
            return card, (
                f"the file has the name and the classes of the published {card.name}, for which "
                "no checksum is published"
            )
    return None


def choose_mean(
    source: WeightFile,
    num_classes: NumClasses | None,
    modalities: Sequence[str],
    published: tuple[WeightCard, str] | None,
    given: tuple[float, ...] | None = None,
) -> Mean | None:
    """Returns the mean for the network of a file: the one that is given, or the file's own.

    Args:
        source: From `open_weight_file`.
        num_classes: Classes of the network, those of the file; `None` for a classifier.
        modalities: Modalities of the network; empty where they are not given.
        published: From `find_published`.
        given: What the user wants, instead.

    Returns:
        The mean; None for files whose images are normalized otherwise.

    Raises:
        ValueError: If none is given and the file's own cannot be decided.
    """
    if given is None:
        return _mean_of(source, num_classes, modalities, published)
    try:
        own = _mean_of(source, num_classes, modalities, published)
    except ValueError:
        own = None
    if own is None or own.values == given:
        return Mean(given, "as given", own.dataset if own else None)
    return Mean(given, f"as given, although the file's own is {own}", own.dataset)


def _mean_of(
    source: WeightFile,
    num_classes: NumClasses | None,
    modalities: Sequence[str],
    published: tuple[WeightCard, str] | None,
) -> Mean | None:
    """Returns the mean that a file was trained with.

    It is None for files whose images are normalized otherwise.

    Raises:
        ValueError: If it cannot be decided.
    """
    if source.normalization != "caffe":
        return None
    if published:
        card, how = published
        return Mean(card.mean, how, None if source.is_classifier else card.dataset)
    if source.is_classifier:
        is_vgg = source.input_layer == "conv1_1"
        name = "VGG networks" if is_vgg else "Caffe's AlexNet and GoogLeNet"
        values = CAFFE_MEAN_BGR if is_vgg else CAFFENET_MEAN
        return Mean(values, f"the mean of the ImageNet classifiers of its kind, {name}")
    for dataset, known in DATASETS.items():
        if known["num_classes"] != num_classes:
            continue
        reason = f"the mean of {_TITLES[dataset]}, because the file has its {_listed(num_classes)}"
        if dataset != "nyud":
            if tuple(modalities) in ((), ("rgb",)):
                return Mean(known["mean"], reason, dataset)
        elif modalities:
            by_channel = [value for name in modalities for value in MODALITIES[name].mean]
            return Mean(tuple(by_channel), f"{reason}, and takes {', '.join(modalities)}", dataset)
        else:
            raise _undecided(
                source,
                "it has the 40 classes of NYUDv2, whose networks subtract other means from RGB "
                'than from HHA. Give the modality, `modalities=("rgb",)` or `("hha",)` in Python '
                "and `--modalities` on the command line, or give",
            )
    others = "; ".join(
        f"{_TITLES[name]} {_listed(d['num_classes'])}" for name, d in DATASETS.items()
    )
    of_what = f" of {', '.join(modalities)}" if modalities else ""
    raise _undecided(
        source,
        f"it has {_listed(num_classes)}{of_what}, as none of the datasets that are known "
        f"({others}). Give",
    )


def _undecided(source: WeightFile, why: str) -> ValueError:
    return ValueError(
        f"The mean that the network of {str(source.path)!r} subtracts from its images is not in "
        f"the file, and cannot be decided: {why} the mean of its training images, blue, green, "
        "red for RGB: `mean` of the backbone in Python, `--mean B,G,R` on the command line."
    )


def _listed(num_classes: NumClasses | None) -> str:
    if isinstance(num_classes, Mapping):
        return " and ".join(f"{number} {head}" for head, number in num_classes.items()) + " classes"
    return f"{num_classes} classes"


def _digests(path: Path) -> dict[str, str]:
    hashes = {"SHA-256": hashlib.sha256(), "SHA-1": hashlib.sha1(usedforsecurity=False)}
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            for digest in hashes.values():
                digest.update(block)
    return {name: digest.hexdigest() for name, digest in hashes.items()}
