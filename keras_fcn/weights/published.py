"""The weight files that the authors of FCN, Caffe, VGG and torchvision publish."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_fcn.files import replacing
from keras_fcn.weights.source import WeightFileError

# Means of the training images, blue, green, red (fcn.berkeleyvision.org, data layers and nets).
_VOC_MEAN = (104.00699, 116.66877, 122.67892)
_CONTEXT_MEAN = (104.007, 116.669, 122.679)
_NYUD_MEAN = (116.190, 97.203, 92.318)
_SIFTFLOW_MEAN = (114.578, 115.294, 108.353)
_CAFFENET_MEAN = (104.0, 117.0, 123.0)
_HHA_MEAN = (132.431, 94.076, 118.477)  # disparity, height, angle: the channels as they are stored


@dataclass(frozen=True)
class PublishedMetrics:
    """Measured metrics; those of different splits are not comparable.

    Args:
        split: Dataset and split, with the number of images where it is known.
        source: Where the number is published.
        mean_iou: Percent, as all others.
        pixel_accuracy: `None` where it was not published.
        mean_accuracy: As before.
        frequency_weighted_iou: As before.
    """

    split: str
    source: str
    mean_iou: float
    pixel_accuracy: float | None = None
    mean_accuracy: float | None = None
    frequency_weighted_iou: float | None = None


@dataclass(frozen=True)
class WeightCard:
    """What is known about a published weight file.

    Args:
        name: Name of the card, as the reference names its folders.
        url: Where the file is published.
        dataset: What it was trained on: `"voc"`, `"pascalcontext"`, `"nyud"`,
            `"siftflow"`, or `"imagenet"` for a classifier to start training from.
        num_classes: Number of classes; a number per head where there are several.
        backbone: The name in `backbone=` whose layers it fits.
        stride: 32, 16 or 8; `None` for a classifier.
        mean: What was subtracted from each channel, in the order that the network
            takes them: blue, green, red for colors. Empty for torchvision's, which
            normalizes otherwise.
        inputs: Its modalities: `("rgb",)`, `("hha",)` or both.
        at_once: Whether the skips are scaled, as in FCN-8s at-once.
        sha256: Checksum of the file, or its first digits, where it is published.
        sha1: The same, for files whose SHA-256 is not published.
        checksum_source: Who published the checksum.
        metrics: Metrics of this very file.
    """

    name: str
    url: str
    dataset: str
    num_classes: int | Mapping[str, int]
    backbone: str = "vgg16"
    stride: int | None = None
    mean: tuple[float, ...] = ()
    inputs: tuple[str, ...] = ("rgb",)
    at_once: bool = False
    sha256: str | None = None
    sha1: str | None = None
    checksum_source: str | None = None
    metrics: tuple[PublishedMetrics, ...] = ()

    @property
    def filename(self) -> str:
        """The last part of the URL."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def verification(self) -> str:
        """Describes what a download is compared with.

        >>> CARDS["voc-fcn16s"].verification
        'not verified: no checksum is published'
        """
        if self.sha256 or self.sha1:
            kind = "SHA-256" if self.sha256 else "SHA-1"
            return f"{kind} from {self.checksum_source}"
        return "not verified: no checksum is published"


def find_card(
    dataset: str,
    *,
    backbone: str = "vgg16",
    stride: int | None = None,
    at_once: bool = False,
    inputs: tuple[str, ...] = ("rgb",),
) -> WeightCard:
    """Returns the card of the file for a network.

    Args:
        dataset: `"voc"`, `"pascalcontext"`, `"nyud"`, `"siftflow"` or `"imagenet"`.
        backbone: Such as `"vgg16"`, `"alexnet"` or `"googlenet"`.
        stride: 32, 16 or 8; `None` for an ImageNet classifier.
        at_once: Whether the network scales its skips.
        inputs: Its modalities: `("rgb",)`, `("hha",)` or both.

    Raises:
        ValueError: If no such file was published; the error lists those that were.

    Example:
        >>> find_card("voc", stride=8).url
        'http://dl.caffe.berkeleyvision.org/fcn8s-heavy-pascal.caffemodel'
    """
    wanted = (dataset, backbone, stride, at_once, inputs)
    for card in CARDS.values():
        if wanted == (card.dataset, card.backbone, card.stride, card.at_once, card.inputs):
            return card
    raise ValueError(
        f"There are no published weights with dataset={dataset!r}, backbone={backbone!r}, "
        f"stride={stride}, at_once={at_once}, inputs={inputs}. "
        f"Published are: {', '.join(CARDS)}."
    )


def download(card: WeightCard, cache_dir: str | Path | None = None) -> Path:
    """Returns the file of a card, downloaded unless it is in Keras' cache already.

    Args:
        card: One of `CARDS`.
        cache_dir: Folder to use instead of `$KERAS_HOME` or `~/.keras`.

    Returns:
        The file, with the checksum of the card, where it has one.

    Raises:
        ConnectionError: If it cannot be downloaded; the message states what to do by hand.
        WeightFileError: If it has another checksum. It is removed then.
    """
    home = cache_dir or os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    path = Path(home) / "models" / card.filename
    if path.is_file() and _has_checksum(path, card):
        return path
    with replacing(path) as temporary:
        _download(card, temporary, path)
    return path


def _download(card: WeightCard, temporary: Path, path: Path) -> None:
    try:
        # Keras silently takes /tmp instead of a folder that does not exist; this one does.
        keras.utils.get_file(
            temporary.name, card.url, cache_dir=str(temporary.parent), cache_subdir=""
        )
    except Exception as error:  # Keras turns every failure into a plain Exception
        raise ConnectionError(
            f"Could not download {card.url} ({error}). Get this file with a browser or on another "
            f"machine, then either put it at {path} or convert it where it is: "
            f"keras-fcn convert --from {card.filename} --output model.keras"
        ) from error
    if not _has_checksum(temporary, card):
        raise WeightFileError(
            f"{card.url} must have the {card.verification}: {card.sha256 or card.sha1}. "
            "Received: another file, which was removed. Download it again, or look for the "
            "file elsewhere by its checksum."
        )


def _has_checksum(path: Path, card: WeightCard) -> bool:
    for expected, algorithm in ((card.sha256, "sha256"), (card.sha1, "sha1")):
        if expected is not None:
            with path.open("rb") as file:
                return hashlib.file_digest(file, algorithm).hexdigest().startswith(expected)
    return True


_README = "shelhamer/fcn.berkeleyvision.org, README.md"
_SEG11VALID = "VOC 2011 seg11valid, 736 images"  # VOC 2011 val without SBD train


def _voc_metrics(published: float, *measured: float) -> tuple[PublishedMetrics, ...]:
    """The authors' mean IoU, and the four metrics that wkentaro measured with the same file."""
    metrics = (PublishedMetrics(_SEG11VALID, _README, published),)
    return metrics + (
        (PublishedMetrics(_SEG11VALID, "wkentaro/fcn, README.md", *measured),) if measured else ()
    )


def _reference(name: str, filename: str, dataset: str, stride: int, **details: Any) -> WeightCard:
    return WeightCard(
        name,
        f"http://dl.caffe.berkeleyvision.org/{filename}.caffemodel",
        dataset,
        stride=stride,
        **{**_DATASETS[dataset], **details},
    )


_DATASETS: dict[str, dict[str, Any]] = {
    "voc": {"num_classes": 21, "mean": _VOC_MEAN},
    "pascalcontext": {"num_classes": 60, "mean": _CONTEXT_MEAN},
    "nyud": {"num_classes": 40, "mean": _NYUD_MEAN},
    "siftflow": {"num_classes": {"semantic": 33, "geometric": 3}, "mean": _SIFTFLOW_MEAN},
}
_OPENCV = "opencv/opencv_extra, testdata/dnn/download_models.py"
_OPENVINO = "openvinotoolkit/open_model_zoo, models/public/{}/model.yml"
_FILE_NAME = "the file's name, which contains its first eight digits"

_CARDS = (
    _reference(
        "voc-fcn32s",
        "fcn32s-heavy-pascal",
        "voc",
        32,
        sha1="05eb922d7829c39448f57e5ab9d8cd75d6c0be6d",
        checksum_source=_OPENCV,
        metrics=_voc_metrics(63.6, 63.6261, 90.4810, 76.4824, 83.4580),
    ),
    _reference(
        "voc-fcn16s",
        "fcn16s-heavy-pascal",
        "voc",
        16,
        metrics=_voc_metrics(65.0, 65.0050, 90.9971, 78.0710, 84.2614),
    ),
    _reference(
        "voc-fcn8s",
        "fcn8s-heavy-pascal",
        "voc",
        8,
        sha1="c449ea74dd7d83751d1357d6a8c323fcf4038962",
        checksum_source=_OPENCV,
        metrics=(
            *_voc_metrics(65.5, 65.5126, 91.2212, 77.6146, 84.5445),
            PublishedMetrics("VOC 2012 seg12test", _README, 67.2),
        ),
    ),
    _reference(
        "voc-fcn8s-atonce",
        "fcn8s-atonce-pascal",
        "voc",
        8,
        at_once=True,
        metrics=_voc_metrics(65.4, 65.3998, 91.1288, 78.4979, 84.4326),
    ),
    _reference(
        "voc-fcn-alexnet",
        "fcn-alexnet-pascal",
        "voc",
        32,
        backbone="alexnet",
        metrics=_voc_metrics(48.0),
    ),
    _reference("pascalcontext-fcn32s", "pascalcontext-fcn32s-heavy", "pascalcontext", 32),
    _reference("pascalcontext-fcn16s", "pascalcontext-fcn16s-heavy", "pascalcontext", 16),
    _reference("pascalcontext-fcn8s", "pascalcontext-fcn8s-heavy", "pascalcontext", 8),
    _reference("nyud-fcn32s-color", "nyud-fcn32s-color-heavy", "nyud", 32),
    _reference(
        "nyud-fcn32s-hha", "nyud-fcn32s-hha-heavy", "nyud", 32, inputs=("hha",), mean=_HHA_MEAN
    ),
    _reference(
        "nyud-fcn32s-color-hha",
        "nyud-fcn32s-color-hha-heavy",
        "nyud",
        32,
        inputs=("rgb", "hha"),
        mean=_NYUD_MEAN + _HHA_MEAN,
    ),
    _reference("siftflow-fcn32s", "siftflow-fcn32s-heavy", "siftflow", 32),
    _reference("siftflow-fcn16s", "siftflow-fcn16s-heavy", "siftflow", 16),
    _reference("siftflow-fcn8s", "siftflow-fcn8s-heavy", "siftflow", 8),
    WeightCard(
        "imagenet-vgg16",
        "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/VGG_ILSVRC_16_layers.caffemodel",
        "imagenet",
        1000,
        mean=(103.939, 116.779, 123.68),
        sha256="a6196bc498e45ea4cb2637114ae8db9410cf1556fd60a55ae93272371beba197",
        checksum_source=_OPENVINO.format("vgg16"),
    ),
    WeightCard(
        "imagenet-caffenet",
        "http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",
        "imagenet",
        1000,
        backbone="alexnet",
        mean=_CAFFENET_MEAN,
        sha1="4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
        checksum_source="BVLC/caffe, models/bvlc_reference_caffenet/readme.md",
    ),
    WeightCard(
        "imagenet-googlenet",
        "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
        "imagenet",
        1000,
        backbone="googlenet",
        mean=_CAFFENET_MEAN,
        sha256="6f7101e3a2183738a7125a0c5021ba82a1feb4228c5ca0924d991b6daf6f6fad",
        checksum_source=_OPENVINO.format("googlenet-v1"),
    ),
    WeightCard(
        "imagenet-vgg16-torchvision",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "imagenet",
        1000,
        sha256="397923af",
        checksum_source=_FILE_NAME,
    ),
    WeightCard(
        "imagenet-alexnet-torchvision",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "imagenet",
        1000,
        backbone="alexnet_torchvision",
        sha256="7be5be79",
        checksum_source=_FILE_NAME,
    ),
    WeightCard(
        "imagenet-googlenet-torchvision",
        "https://download.pytorch.org/models/googlenet-1378be20.pth",
        "imagenet",
        1000,
        backbone="googlenet_torchvision",
        sha256="1378be20",
        checksum_source=_FILE_NAME,
    ),
)
CARDS: dict[str, WeightCard] = {card.name: card for card in _CARDS}
# Datasets that whole networks were published for.
NETWORK_DATASETS = tuple(_DATASETS)
