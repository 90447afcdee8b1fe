"""Two ways to dense logits from a network with strides, which give the same.

Section 3.2 of the paper: run the network on every shift of the image within its stride and
interlace the outputs, or leave the strides out and dilate the filters behind them ("à trous").
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops
from matplotlib.figure import Figure

from keras_fcn.data.image_io import read_image
from keras_fcn.datasets import SegmentationDataset
from keras_fcn.visualization import save_picture

from ..config import Config
from .report import Report
from .runs import Run, Trained

Network = Callable[[Any], Any]


def runs(base: Config, dataset: SegmentationDataset, **_: Any) -> list[Run]:
    """Returns no training: random weights do."""
    return []


def report(
    trained: Mapping[str, Trained], dataset: SegmentationDataset, image: Path | None, blocks: int
) -> Report:
    """Returns size and time of both ways on an image, and their difference.

    Args:
        trained: None are needed.
        dataset: The dataset whose first validation image is used without `image`.
        image: A file to read the image from.
        blocks: As `num_blocks` of `compare`.
    """
    if image is None:
        [example] = dataset.examples("val").take(1).as_numpy_iterator()
        pixels = example["image"]
    else:
        pixels = read_image(image)
    result = compare(pixels, blocks)
    coarse, dense = (
        "x".join(str(length) for length in logits.shape[:2])
        for logits in (result.coarse, result.stitched)
    )
    stitching, dilating = (f"{seconds:.2f}" for seconds in result.seconds)
    return Report(
        header=("", "runs", "logits", "seconds"),
        rows=[
            (f"stride {result.stride}", "1", coarse, ""),
            ("shifted and stitched", str(result.stride**2), dense, stitching),
            ("without strides, dilated", "1", dense, dilating),
        ],
        notes=(f"Largest difference: {result.largest_difference:.1e} of the logits' range.",),
        save_picture=partial(save_maps, comparison=result),
    )


def shift_and_stitch(network: Network, images: np.ndarray, stride: int) -> np.ndarray:
    """Returns the logits of a network at every pixel, from runs on shifted images.

    Args:
        network: Maps images to logits `stride` times smaller, without padding.
        images: Shape `(batch, height, width, channels)`.
        stride: Pixels from one logit to the next; the network runs `stride` squared times.

    Returns:
        Logits, shape `(batch, rows, columns, classes)`, where `rows` is the height less the
        receptive field plus 1. There must be a logit for every shift.

    Example:
        >>> every_other = layers.AveragePooling2D(1, 2)
        >>> images = np.arange(16.0).reshape(1, 4, 4, 1)
        >>> bool((shift_and_stitch(every_other, images, 2) == images).all())
        True
    """
    shifts = [(y, x) for y in range(stride) for x in range(stride)]
    outputs = {(y, x): ops.convert_to_numpy(network(images[:, y:, x:])) for y, x in shifts}
    rows = sum(outputs[y, 0].shape[1] for y in range(stride))
    columns = sum(outputs[0, x].shape[2] for x in range(stride))
    first = outputs[0, 0]
    stitched = np.empty((first.shape[0], rows, columns, first.shape[3]), first.dtype)
    for (y, x), output in outputs.items():
        stitched[:, y::stride, x::stride] = output
    return stitched


def dilated(chain: Sequence[layers.Layer]) -> keras.Sequential:
    """Returns a network without strides that outputs the logits of a chain of layers everywhere.

    Behind a stride of `s` the filters' taps are `s` pixels apart.

    Args:
        chain: Convolutions and max poolings with `padding="valid"`, which are built, and layers
            that work on each pixel alone.

    Raises:
        ValueError: If a layer pads.

    Example:
        >>> chain = [layers.MaxPooling2D(2), layers.MaxPooling2D(2)]
        >>> [(layer.pool_size, layer.dilation) for layer in dilated(chain).layers]
        [(2, 1), (2, 2)]
    """
    without_strides: list[layers.Layer] = []
    rate = 1
    for layer in chain:
        if isinstance(layer, layers.Conv2D | layers.MaxPooling2D) and layer.padding != "valid":
            raise ValueError(
                "The layers must not pad: the zeros around a shifted image are at other places. "
                f"Received: padding={layer.padding!r} of {layer.name!r}."
            )
        if isinstance(layer, layers.Conv2D):
            config = {**layer.get_config(), "strides": 1, "dilation_rate": rate}
            copy = layers.Conv2D.from_config(config)
            copy.build((None, None, None, layer.kernel.shape[2]))
            copy.set_weights(layer.get_weights())
            without_strides.append(copy)
            rate *= layer.strides[0]
        elif isinstance(layer, layers.MaxPooling2D):
            without_strides.append(DilatedMaxPooling2D(layer.pool_size[0], rate, name=layer.name))
            rate *= layer.strides[0]
        else:
            without_strides.append(layer)
    return keras.Sequential(without_strides)


class DilatedMaxPooling2D(layers.Layer):
    """The largest of values `dilation` pixels apart, at every pixel, without padding.

    Args:
        pool_size: Values along each side.
        dilation: Pixels from one to the next.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Example:
        >>> row = np.array([3.0, 1.0, 2.0, 5.0]).reshape(1, 1, 4, 1).repeat(4, axis=1)
        >>> DilatedMaxPooling2D(2, 2)(row)[0, 0, :, 0].numpy().tolist()
        [3.0, 5.0]
    """

    def __init__(self, pool_size: int, dilation: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size = pool_size
        self.dilation = dilation

    def call(self, inputs: KerasTensor) -> KerasTensor:
        for axis in (1, 2):
            inputs = self._largest(inputs, axis)
        return inputs

    def _largest(self, x: KerasTensor, axis: int) -> KerasTensor:
        length = x.shape[axis] - (self.pool_size - 1) * self.dilation
        taps = [
            ops.take(x, ops.arange(start, start + length), axis=axis)
            for start in range(0, self.pool_size * self.dilation, self.dilation)
        ]
        return ops.max(ops.stack(taps), axis=0)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Both ways on one image.

    Attributes:
        stride: Stride of the network.
        coarse: Logits of the network itself, shape `(rows, columns, classes)`.
        stitched: Logits from `stride` squared shifts.
        dilated: Logits of the network without strides.
        seconds: Time of the shifted runs, and of the network without strides.
    """

    stride: int
    coarse: np.ndarray
    stitched: np.ndarray
    dilated: np.ndarray
    seconds: tuple[float, float]

    @property
    def largest_difference(self) -> float:
        """Largest difference of the logits, relative to their range."""
        difference = np.abs(self.stitched - self.dilated).max()
        return float(difference / max(np.ptp(self.dilated), 1e-30))


def compare(image: np.ndarray, num_blocks: int, seed: int = 0) -> Comparison:
    """Runs a narrow VGG of random weights both ways on an image.

    Args:
        image: RGB, shape `(height, width, 3)`.
        num_blocks: Blocks of two 3x3 convolutions and a pooling; the stride is 2 to this power.
        seed: Of the weights.

    Raises:
        ValueError: If the image is too small for one logit of every shift.
    """
    chain = _vgg(num_blocks, seed)
    network, without_strides = keras.Sequential(chain), dilated(chain)
    stride = 2**num_blocks
    needed = 6 * stride  # five strides are seen by a logit, and the shifts take one
    if min(image.shape[:2]) < needed:
        raise ValueError(
            f"`image` must have at least {needed} rows and columns for a stride of {stride}. "
            f"Received: {image.shape[0]}x{image.shape[1]}."
        )
    images = image[None].astype("float32") / 255 - 0.5
    coarse = ops.convert_to_numpy(network(images))
    started = time.perf_counter()
    stitched = shift_and_stitch(network, images, stride)
    between = time.perf_counter()
    everywhere = ops.convert_to_numpy(without_strides(images))
    seconds = (between - started, time.perf_counter() - between)
    return Comparison(stride, coarse[0], stitched[0], everywhere[0], seconds)


def save_maps(path: str | Path, comparison: Comparison) -> Path:
    """Writes pictures of the first class's logits, and of their difference. Returns `path`."""
    difference = np.abs(comparison.stitched - comparison.dilated)
    panels = {
        f"stride {comparison.stride}": comparison.coarse,
        "shifted and stitched": comparison.stitched,
        "without strides, dilated": comparison.dilated,
        f"difference (at most {difference.max():.1g})": difference,
    }
    figure = Figure(figsize=(3.2 * len(panels), 3), layout="constrained")
    for axes, (title, logits) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        top = None if logits is not difference else max(float(np.ptp(comparison.dilated)), 1e-30)
        axes.imshow(logits[..., 0], vmin=None if top is None else 0, vmax=top)
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    return save_picture(path, figure)


def _vgg(num_blocks: int, seed: int) -> list[layers.Layer]:
    generator = np.random.default_rng(seed)
    chain: list[layers.Layer] = []
    channels = 3

    def convolution(filters: int, size: int, activation: str | None) -> layers.Layer:
        layer = layers.Conv2D(filters, size, activation=activation)
        layer.build((None, None, None, channels))
        spread = math.sqrt(2 / (size * size * channels))
        kernel = generator.normal(0, spread, layer.kernel.shape)
        layer.set_weights([kernel, np.zeros(filters)])
        return layer

    for block in range(num_blocks):
        for _ in range(2):
            chain.append(convolution(8 * (block + 1), 3, "relu"))
            channels = 8 * (block + 1)
        chain.append(layers.MaxPooling2D(2))
    chain.append(convolution(2, 1, None))
    return chain
