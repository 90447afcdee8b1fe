"""Prediction on images of any size in constant memory: overlapping tiles, blended."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from keras_fcn.data.resizing import Size
from keras_fcn.models import MAX_STRIDE
from keras_fcn.prediction.predictor import ImageSizeError, Maps, Predictor

# VGG16 needs less than 3 GB for it, its weights and TensorFlow included.
TILE_SIZE: Size = (1408, 1408)
# Rows and columns over which one tile's logits fade into the next one's.
BLEND = 32

# Where in a batch: an image, its rows, its columns.
Place = tuple[int, slice, slice]
# Rows and columns of an image; the same and what they contain.
Window = tuple[slice, slice]
Block = tuple[slice, slice, np.ndarray]
ReadWindow = Callable[[slice, slice], np.ndarray]


class TiledPredictor(Predictor):
    """Prediction in tiles: as much memory for a large image as for one tile.

    The tiles overlap. In the middle of an overlap the logits of one tile fade into those of
    the next; towards their edges, where the network did not see all of a pixel's surroundings,
    they do not count. Tiles start at multiples of the network's stride, and those at the right
    and the bottom end with the image, so that the logits are those of the whole image if their
    surroundings were in the tile: all of them, up to rounding, if the overlap is at least twice
    `predictor.reach` and `BLEND`.

    A network of a fixed size gets tiles of that size, in the image's own resolution.

    Args:
        predictor: The network. It must return logits.
        tile_size: Height and width of the tiles, multiples of 32; at most as much of the image
            is processed at once. Default: 1408x1408, or the network's fixed size.
        overlap: Pixels that neighbors share, a multiple of 32, at most half a tile. Default:
            as many as exact logits take, if they are known and fit; else a quarter of a tile.

    Raises:
        ValueError: If a size is out of range; from `predict` and `logits` if the network
            returns predictions only.
        ImageSizeError: From them, if an image is smaller than the network's fixed size.

    Example:
        >>> import keras
        >>> from keras_fcn.prediction import KerasPredictor
        >>> images = keras.Input((None, None, 3))
        >>> brightest = KerasPredictor(keras.Model(images, keras.layers.Rescaling(1.0)(images)))
        >>> tiled = TiledPredictor(brightest, tile_size=(64, 64), overlap=32)
        >>> image = np.random.default_rng(0).integers(0, 256, (1, 150, 200, 3), "uint8")
        >>> bool((tiled.predict(image) == image.argmax(-1)).all())
        True
    """

    def __init__(
        self, predictor: Predictor, *, tile_size: Size | None = None, overlap: int | None = None
    ) -> None:
        super().__init__(
            predictor.path,
            predictor.heads,
            (None, None, predictor.num_channels),
            predictor.modalities,
            predictor.image_reading.to_dict(),
        )
        self.format, self.runtime = predictor.format, predictor.runtime
        self.options = predictor.options
        self.tile_size = _checked_tile_size(tile_size, predictor.network_size)
        self.is_fixed = predictor.network_size is not None
        exact = math.inf if predictor.reach is None else 2 * predictor.reach + BLEND
        self.overlap = _checked_overlap(overlap, exact, self.tile_size)
        self.is_exact = self.overlap >= exact and not self.is_fixed
        self._predictor = predictor

    @property
    def notes(self) -> tuple[str, ...]:
        height, width = self.tile_size
        return (
            *self._predictor.notes,
            f"Tiles of {height}x{width} that overlap by {self.overlap} pixels: "
            + (
                "logits as of the whole image."
                if self.is_exact
                else "logits near the seams may differ from those of the whole image."
            ),
        )

    @property
    def has_logits(self) -> bool:
        return self._predictor.has_logits

    @property
    def origin(self) -> Mapping[str, Any]:
        return self._predictor.origin

    def _predictions(self, images: np.ndarray) -> Maps:
        maps = {head: np.empty(images.shape[:3], "uint8") for head in self.heads}
        for head, block, logits in self._blocks_of(images):
            maps[head][block] = logits.argmax(-1)
        return maps

    def _logits(self, images: np.ndarray) -> Maps:
        maps = {
            head: np.empty((*images.shape[:3], spec.num_classes), "float32")
            for head, spec in self.heads.items()
        }
        for head, block, logits in self._blocks_of(images):
            maps[head][block] = logits
        return maps

    def _predictions_and_confidences(self, images: np.ndarray) -> tuple[Maps, Maps]:
        predictions = {head: np.empty(images.shape[:3], "uint8") for head in self.heads}
        confidences = {head: np.empty(images.shape[:3], "float32") for head in self.heads}
        for head, block, logits in self._blocks_of(images):
            predictions[head][block] = logits.argmax(-1)
            confidences[head][block] = self._confidence(logits[None])[0]
        return predictions, confidences

    def prediction_blocks(
        self, size: Size, read: ReadWindow, *, confidences: bool = False
    ) -> Iterator[tuple[str, Window, np.ndarray, np.ndarray | None]]:
        """Yields the predictions of an image that is read by windows, tile by tile.

        Args:
            size: Height and width of the image.
            read: Returns some rows and columns of it, as `predict` takes images.
            confidences: Whether the probabilities of the predictions are yielded, too.

        Yields:
            The head, the rows and columns of a block, its predictions, uint8, and their
            probabilities, float32, or None. Together the blocks of a head are the whole image,
            each pixel once.

        Raises:
            ImageSizeError: If the image is smaller than the network's fixed size.
        """
        for head, (rows, columns, logits) in self._blocks(size, read):
            predictions = logits.argmax(-1).astype("uint8")
            probabilities = self._confidence(logits[None])[0] if confidences else None
            yield head, (rows, columns), predictions, probabilities

    def _blocks_of(self, images: np.ndarray) -> Iterator[tuple[str, Place, np.ndarray]]:
        for index, image in enumerate(images):
            window = partial(_window_of, image)
            for head, (rows, columns, logits) in self._blocks(image.shape[:2], window):
                yield head, (index, rows, columns), logits

    def _blocks(self, size: Size, read: ReadWindow) -> Iterator[tuple[str, Block]]:
        """Yields the blended logits of each tile, by head, as soon as they are complete."""
        seams = {head: _Seams() for head in self.heads}
        all_columns = self._spans(size, 1)
        for row in self._spans(size, 0):
            for column in all_columns:
                tile = read(slice(row.start, row.stop), slice(column.start, column.stop))
                outputs = self._predictor.logits_by_head(np.ascontiguousarray(tile[None]))
                for head, logits in outputs.items():
                    (rows, columns), finished = seams[head].finished(logits[0], row, column)
                    yield head, (rows, columns, finished)

    def _spans(self, size: Size, axis: int) -> list["Span"]:
        length, tile = size[axis], self.tile_size[axis]
        if self.is_fixed and length < tile:
            raise ImageSizeError(
                f"Tiles of this network are {self.tile_size[0]}x{self.tile_size[1]}, and an image "
                f"must not be smaller. Received: {size[0]}x{size[1]}. Leave tiles out, so that it "
                "is resized."
            )
        return spans_of(length, tile, self.overlap, last_is_whole=self.is_fixed)


@dataclass(frozen=True)
class Span:
    """What a tile does along one axis, in pixels of the image.

    Args:
        start: First pixel that the network sees.
        stop: One past the last pixel that it sees.
        first: First pixel to which its logits contribute.
        end: One past the last such pixel.
        fades_in: Whether the first `BLEND` of them are shared with the tile before.
        fades_out: Whether the last `BLEND` of them are shared with the next tile.
    """

    start: int
    stop: int
    first: int
    end: int
    fades_in: bool
    fades_out: bool

    @property
    def finished(self) -> slice:
        """The pixels to which no later tile contributes."""
        return slice(self.first, self.end - BLEND if self.fades_out else self.end)

    def weights(self) -> np.ndarray:
        """Returns the weights of the pixels from `first` to `end`; those of all tiles sum to 1."""
        weights = np.ones(self.end - self.first, "float32")
        rising = (np.arange(BLEND, dtype="float32") + 0.5) / BLEND
        if self.fades_in:
            weights[:BLEND] = rising
        if self.fades_out:
            weights[-BLEND:] = 1 - rising
        return weights


def spans_of(length: int, tile: int, overlap: int, *, last_is_whole: bool = False) -> list[Span]:
    """Returns the tiles along an axis, from the first pixel to the last.

    Args:
        length: Pixels of the image.
        tile: Pixels of a tile.
        overlap: Pixels that neighbors share.
        last_is_whole: Whether the last tile, too, has the full size; it then shares more.

    Example:
        >>> [(span.start, span.stop, span.first, span.end) for span in spans_of(200, 128, 64)]
        [(0, 128, 0, 112), (64, 192, 80, 176), (128, 200, 144, 200)]
    """
    count = 1 + max(0, math.ceil((length - tile) / (tile - overlap)))
    seen = [(i * (tile - overlap), min(i * (tile - overlap) + tile, length)) for i in range(count)]
    if last_is_whole:
        seen[-1] = (length - tile, length)
    # A tile's logits begin to fade half a blend before the middle of what it shares.
    fades = [(start + stop - BLEND) // 2 for (_, stop), (start, _) in itertools.pairwise(seen)]
    return [
        Span(
            start,
            stop,
            first=fades[i - 1] if i > 0 else 0,
            end=fades[i] + BLEND if i < count - 1 else length,
            fades_in=i > 0,
            fades_out=i < count - 1,
        )
        for i, (start, stop) in enumerate(seen)
    ]


class _Seams:
    """The shared edges of tiles that came before: the left one, and the row above."""

    def __init__(self) -> None:
        self._left = np.empty(0)
        self._above: dict[int, np.ndarray] = {}

    def finished(
        self, logits: np.ndarray, row: Span, column: Span
    ) -> tuple[tuple[slice, slice], np.ndarray]:
        """Returns rows and columns that a tile finishes, and their logits; keeps what is shared.

        Args:
            logits: Logits of the tile, shape `(height, width, num_classes)`.
            row: What it does along the height.
            column: What it does along the width.
        """
        logits = logits[
            row.first - row.start : row.end - row.start,
            column.first - column.start : column.end - column.start,
        ]
        logits = logits * np.multiply.outer(row.weights(), column.weights())[..., None]
        if column.fades_in:
            logits[:, :BLEND] += self._left
        if column.fades_out:
            self._left = logits[:, -BLEND:].copy()
            logits = logits[:, :-BLEND]
        if row.fades_in:
            logits[:BLEND] += self._above[column.start]
        if row.fades_out:
            self._above[column.start] = logits[-BLEND:].copy()
            logits = logits[:-BLEND]
        return (row.finished, column.finished), logits


def _window_of(image: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    return image[rows, columns]


def _checked_tile_size(size: Size | None, fixed_size: Size | None) -> Size:
    if fixed_size is not None:
        if size not in (None, fixed_size):
            raise ValueError(
                f"`tile_size` must be the size of the images that the network takes, "
                f"{fixed_size[0]}x{fixed_size[1]}. Received: {size[0]}x{size[1]}."
            )
        size = fixed_size
        if min(size) < 4 * BLEND:
            raise ValueError(
                f"Tiles must be at least {4 * BLEND} pixels high and wide; the network takes "
                f"{size[0]}x{size[1]}."
            )
        return size
    size = size or TILE_SIZE
    if min(size) < 2 * MAX_STRIDE or any(length % MAX_STRIDE for length in size):
        raise ValueError(
            f"`tile_size` must be multiples of {MAX_STRIDE}, the network's coarsest stride, and at "
            f"least {2 * MAX_STRIDE}. Received: {size[0]}x{size[1]}."
        )
    return size


def _checked_overlap(overlap: int | None, exact: float, tile_size: Size) -> int:
    largest = min(tile_size) // 2 // MAX_STRIDE * MAX_STRIDE
    if overlap is None:
        if exact <= largest:
            return math.ceil(exact / MAX_STRIDE) * MAX_STRIDE
        return max(MAX_STRIDE, largest // 2 // MAX_STRIDE * MAX_STRIDE)
    if not BLEND <= overlap <= largest or overlap % MAX_STRIDE:
        raise ValueError(
            f"`overlap` must be a multiple of {MAX_STRIDE}, from {BLEND} to half a tile, {largest}."
            f" Received: overlap={overlap}."
        )
    return overlap
