"""What the readers of Caffe's and PyTorch's files return: layers, read on demand."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_fcn.layers.normalization import NormalizationMode

Shape = tuple[int, ...]

_BLOCK = 1 << 22  # values to read at a time


class WeightFileError(ValueError):
    """A weight file is cut short, damaged, or of another kind."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file, read on demand.

    Args:
        shape: Its shape in the file.
        read_values: Reads the values from one index up to another, in the order of the file: one
            axis, float32 (or the type in the file).
    """

    shape: Shape
    read_values: Callable[[int, int], np.ndarray]

    def read(self) -> np.ndarray:
        """Returns the whole tensor, of its shape."""
        return self.read_values(0, math.prod(self.shape)).reshape(self.shape)

    def rows(self, num_values: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Yields some rows of `num_values` values at a time, so that the memory stays small.

        Yields:
            The number of the first row, and an array of shape `(rows, num_values)`.
        """
        end = math.prod(self.shape)
        step = max(1, _BLOCK // num_values) * num_values
        for start in range(0, end, step):
            values = self.read_values(start, min(start + step, end))
            yield start // num_values, values.reshape(-1, num_values)


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
