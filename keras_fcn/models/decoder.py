"""Scores, upsampling and sums, which turn features into logits: the paper's figure 3.

Everything here computes in float32, whatever the precision of the backbone: sums of scores are
cheap, and rounding could change the class with the highest of nearly equal logits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from keras import KerasTensor, layers

from keras_fcn.backbones.blocks import convolution_block
from keras_fcn.initializers import Bilinear
from keras_fcn.layers import CropLike
from keras_fcn.models.geometry import grid_of

Upsampling = Literal["fixed", "inner", "learned"]
# Suffix of a stream's layers -> its features: "P2" to "P5" at strides 4, 8, 16 and 32.
Streams = Mapping[str, Mapping[str, KerasTensor]]


def prepare_skips(
    features: Mapping[str, KerasTensor],
    scales: tuple[float, float],
    filters: int,
    suffix: str,
) -> dict[str, KerasTensor]:
    """Returns the features with what comes before the scores of pool4, pool3 and pool2.

    Args:
        features: `"P3"`, `"P4"`, `"P5"`, and perhaps `"P2"`, from a backbone.
        scales: Factors on pool4 and pool3; 1 for none.
        filters: Width of a 3x3 convolution on each; 0 for none.
        suffix: Appended to the name of each layer.
    """
    prepared = dict(features)
    for level, pool, scale in (("P4", "pool4", scales[0]), ("P3", "pool3", scales[1]),
                               ("P2", "pool2", 1.0)):  # fmt: skip
        if level in features:
            x = features[level]
            if scale != 1.0:
                x = layers.Rescaling(scale, dtype="float32", name=f"scale_{pool}{suffix}")(x)
            prepared[level] = convolution_block(x, filters, f"skip_{pool}", suffix)
    return prepared


@dataclass(frozen=True)
class Head:
    """Computes scores at strides 32, 16, 8 and 4, and sums them at the size of the image.

    Args:
        num_classes: Number of classes.
        stride: Stride of the finest features to score: 32, 16, 8 or 4.
        upsampling: Which transposed convolutions are trained: none of them, `"fixed"`; all but
            the last, `"inner"`; or all, `"learned"`.
        kernel: Size of their kernels for a factor f: `"2f"` or `"2f-1"`.
        is_aligned: Whether features lie side by side from the top left corner of the image on,
            each on as many pixels as its stride. Otherwise scores are placed by the coordinates
            of their windows on the image.
        suffix: Appended to the name of each layer, to distinguish heads.

    Raises:
        ValueError: If `stride`, `upsampling` or `kernel` is none of these.
    """

    num_classes: int
    stride: int
    upsampling: Upsampling = "fixed"
    kernel: str = "2f"
    is_aligned: bool = True
    suffix: str = ""

    def __post_init__(self) -> None:
        if self.stride not in (4, 8, 16, 32):
            raise ValueError(f"`stride` must be 4, 8, 16 or 32. Received: stride={self.stride}.")
        if self.upsampling not in get_args(Upsampling):
            raise ValueError(
                '`upsampling` must be "fixed", "inner" or "learned". '
                f"Received: {self.upsampling!r}."
            )
        if self.kernel not in ("2f", "2f-1"):
            raise ValueError(
                f'`upsampling_kernel` must be "2f" or "2f-1". Received: {self.kernel!r}.'
            )

    def __call__(self, streams: Streams, images: KerasTensor) -> KerasTensor:
        """Returns the logits of the images, shape `(batch, height, width, num_classes)`."""
        x = self._score(streams, "P5", "score_fr")
        if self.stride == 32:
            x = self._upsample(x, 32, "upscore", last=True)
            return self._crop(x, images, "score")

        x = self._upsample(x, 2, "upscore2")
        x = self._fuse(x, self._score(streams, "P4", "score_pool4"), "pool4")
        if self.stride == 16:
            x = self._upsample(x, 16, "upscore16", last=True)
            return self._crop(x, images, "score")

        x = self._upsample(x, 2, "upscore_pool4")
        x = self._fuse(x, self._score(streams, "P3", "score_pool3"), "pool3")
        if self.stride == 8:
            x = self._upsample(x, 8, "upscore8", last=True)
            return self._crop(x, images, "score")

        x = self._upsample(x, 2, "upscore_pool3")
        x = self._fuse(x, self._score(streams, "P2", "score_pool2"), "pool2")
        x = self._upsample(x, 4, "upscore4", last=True)
        return self._crop(x, images, "score")

    def _score(self, streams: Streams, level: str, name: str) -> KerasTensor:
        """Scores each stream by a 1x1 convolution, and averages the scores of several streams.

        Zeros make a new skip a no-op, so that a finer network starts as the
        coarser one it came from (paper, section 4.2).
        """
        scores = [
            layers.Conv2D(
                self.num_classes,
                1,
                kernel_initializer="zeros",
                dtype="float32",
                name=f"{name}{self.suffix}{stream}",
            )(features[level])
            for stream, features in streams.items()
        ]
        if len(scores) == 1:
            return scores[0]
        fused = f"{name.removesuffix('_fr')}_fused{self.suffix}"
        return layers.Average(dtype="float32", name=fused)(scores)

    def _upsample(
        self, scores: KerasTensor, factor: int, name: str, *, last: bool = False
    ) -> KerasTensor:
        """Enlarges by a transposed convolution, at first by bilinear interpolation."""
        return layers.Conv2DTranspose(
            self.num_classes,
            2 * factor - (1 if self.kernel == "2f-1" else 0),
            strides=factor,
            padding="same" if self.is_aligned else "valid",
            use_bias=False,
            kernel_initializer=Bilinear(),
            trainable=self.upsampling == "learned" or (self.upsampling == "inner" and not last),
            dtype="float32",
            name=name + self.suffix,
        )(scores)

    def _fuse(self, scores: KerasTensor, skip: KerasTensor, pool: str) -> KerasTensor:
        """Adds the scores of a skip, at the pixels that have both."""
        if not self.is_aligned:
            offset = grid_of(skip).offset_to(grid_of(scores))
            name = f"score_{pool}{self.suffix}c"
            if offset > 0:
                skip = CropLike(offset, dtype="float32", name=name)([skip, scores])
            else:
                scores = CropLike(-offset, dtype="float32", name=name)([scores, skip])
        return layers.Add(dtype="float32", name=f"fuse_{pool}{self.suffix}")([scores, skip])

    def _crop(self, scores: KerasTensor, images: KerasTensor, name: str) -> KerasTensor:
        """Cuts off the scores of what was added around the images."""
        offset = 0 if self.is_aligned else grid_of(scores).offset_to(grid_of(images))
        return CropLike(offset, dtype="float32", name=name + self.suffix)([scores, images])
