"""Scores, upsampling and sums: what turns features into a segmentation.

Everything here computes in float32, whatever the precision of the backbone:
sums of scores are cheap, and the arg max over nearly equal classes is not
forgiving.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from keras import KerasTensor, layers

from keras_fcn.initializers import Bilinear
from keras_fcn.layers import CropLike
from keras_fcn.models.geometry import grid_of

Upsampling = Literal["fixed", "inner", "learned"]
# Suffix of a stream's layers -> its features: "P3", "P4" and "P5" at strides 8, 16 and 32.
Streams = Mapping[str, Mapping[str, KerasTensor]]


@dataclass(frozen=True)
class Head:
    """Scores features at strides 32, 16 and 8, and sums them at the size of the image.

    Args:
        num_classes: Number of classes.
        stride: Stride of the finest features to score: 32, 16 or 8.
        upsampling: Which transposed convolutions are trained.
        kernel_margin: What their kernels lack of twice the factor: 0 for even
            kernels of `2f`, 1 for odd ones of `2f - 1`.
        exact: Place scores by the coordinates of their windows on the image.
            Otherwise features are taken to lie side by side from the top left
            corner on, each on as many pixels as its stride.
        suffix: Appended to the name of each layer; tells heads apart.
    """

    num_classes: int
    stride: int
    upsampling: Upsampling = "fixed"
    kernel_margin: int = 0
    exact: bool = False
    suffix: str = ""

    def __call__(self, streams: Streams, images: KerasTensor) -> KerasTensor:
        """Returns the scores of the images, shape `(batch, height, width, num_classes)`."""
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
        x = self._upsample(x, 8, "upscore8", last=True)
        return self._crop(x, images, "score")

    def _score(self, streams: Streams, level: str, name: str) -> KerasTensor:
        """Scores each stream by a 1x1 convolution, and averages where there are two.

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
            2 * factor - self.kernel_margin,
            strides=factor,
            padding="valid" if self.exact else "same",
            use_bias=False,
            kernel_initializer=Bilinear(),
            trainable=self.upsampling == "learned" or (self.upsampling == "inner" and not last),
            dtype="float32",
            name=name + self.suffix,
        )(scores)

    def _fuse(self, scores: KerasTensor, skip: KerasTensor, pool: str) -> KerasTensor:
        """Adds a skip where both have scores."""
        if self.exact:
            offset = grid_of(skip).offset_to(grid_of(scores))
            name = f"score_{pool}{self.suffix}c"
            if offset > 0:
                skip = CropLike(offset, dtype="float32", name=name)([skip, scores])
            else:
                scores = CropLike(-offset, dtype="float32", name=name)([scores, skip])
        return layers.Add(dtype="float32", name=f"fuse_{pool}{self.suffix}")([scores, skip])

    def _crop(self, scores: KerasTensor, images: KerasTensor, name: str) -> KerasTensor:
        """Cuts off the scores of what was added around the images."""
        offset = grid_of(scores).offset_to(grid_of(images)) if self.exact else 0
        return CropLike(offset, dtype="float32", name=name + self.suffix)([scores, images])
