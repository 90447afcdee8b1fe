"""What the readers of weight files return: layers whose tensors are read on demand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_fcn.layers.normalization import NormalizationMode

Shape = tuple[int, ...]


class WeightFileError(ValueError):
    """A weight file is cut short, damaged, or of another kind."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file, read on demand.

    A file of 540 MB is converted with one of its tensors in memory at a time.

    Args:
        shape: Its shape in the file.
        read: Reads it: float32 (or the type in the file), of that shape.
    """

    shape: Shape
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class SourceLayer:
    """A layer of a weight file.

    Args:
        name: Its name in the file.
        weight: Of a convolution `(out, in, height, width)`, of a transposed
            convolution `(in, out, height, width)`, of a fully connected layer
            `(out, in)`, whose inputs are flattened from `(channels, height, width)`.
        bias: As many values as outputs, in any shape; `None` without a bias.
    """

    name: str
    weight: StoredTensor
    bias: StoredTensor | None = None


@dataclass(frozen=True)
class WeightFile:
    """The layers of a weight file under the names that the reference gives them.

    Args:
        path: The file.
        layers: Reference name, such as `conv1_1` or `score_fr`, to layer.
        input_layer: Reference name of the layer that takes the image.
        normalization: What the images were normalized with, see `ImageNormalization`.
        is_classifier: Whether it is an ImageNet classifier, without score layers.
        records_scales: Whether the file records if pool3 and pool4 are scaled before
            their scores, as in FCN-8s at-once. Caffe's do, PyTorch's do not.
        backbone: Name of the backbone, where the names of the layers do not determine it.
        notes: Sentences for the user about differences between the file and the networks here.
    """

    path: Path
    layers: Mapping[str, SourceLayer]
    input_layer: str
    normalization: NormalizationMode = "caffe"
    is_classifier: bool = False
    records_scales: bool = True
    backbone: str | None = None
    notes: tuple[str, ...] = ()
