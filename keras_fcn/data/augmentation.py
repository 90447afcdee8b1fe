"""Augmentation of images together with their label maps, by stateless random numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.labels import check_is_uint8

# Subtracted from images before they are warped, so that pixels outside an image become
# mid-gray: 0 for a backbone that wants [-1, 1], close to the mean for one that subtracts it.
MID_GRAY = 127.5

# The value of pixels outside a depth map, in millimeters: the middle of NYUDv2's distances,
# e**7.844, which a network that takes logarithms minus their mean sees as 0.
MIDDLE_DEPTH = 2550

# The key of images without a name, of any number of bands.
BANDS = "bands"

# ITU-R BT.601, the weights of JPEG's luma.
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training example; the defaults suit photographs.

    Geometry moves an image and its label maps alike. Color changes the image only.

    Args:
        scale: Smallest and largest factor of size, above 0; drawn so that half is as likely as
            double.
        aspect: Smallest and largest factor of width over height, above 0, drawn likewise.
        rotation: Largest rotation in degrees, either way, in [0, 180].
        flip: Whether half of the examples are mirrored, left to right.
        brightness: Largest change, as a share of the range, in [0, 1]: 0.1 adds up to 25.5 either
            way.
        contrast: Largest change of the factor 1 on the distance from mid-gray, in [0, 1].
        saturation: Largest change of the factor 1 on the distance from the pixel's gray, in
            [0, 1].
        hue: Largest rotation about the gray axis, in full turns, in [0, 0.5]: 0.5 reaches every
            hue.
        grayscale: Share of the examples that lose their color, in [0, 1].
        autocontrast: Share of the examples whose channels are first stretched to the whole range
            (keras-cv), in [0, 1].
        equalize: Share of the examples whose histograms are first equalized (keras-cv), in
            [0, 1].

    Raises:
        ValueError: If a value is outside its range.

    Example:
        >>> Augmentation(scale=(0.7, 1.5), hue=0.02).flip
        True
    """

    scale: tuple[float, float] = (0.5, 2.0)
    aspect: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    flip: bool = True
    brightness: float = 0.1
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.0
    grayscale: float = 0.0
    autocontrast: float = 0.0
    equalize: float = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "aspect"):
            # Lists (from JSON) become tuples, so that equal augmentations compare equal.
            limits = tuple(getattr(self, name))
            object.__setattr__(self, name, limits)
            if len(limits) != 2 or not 0 < limits[0] <= limits[1] < float("inf"):
                raise ValueError(
                    f"`{name}` must be the smallest and the largest factor, both above 0, such as "
                    f"(0.5, 2.0). Received: {name}={limits}."
                )
        for name, largest in _LARGEST.items():
            value = getattr(self, name)
            if not 0 <= value <= largest:
                raise ValueError(
                    f"`{name}` must be in [0, {largest:g}]. Received: {name}={value!r}."
                )

    @classmethod
    def none(cls) -> "Augmentation":
        """Returns the augmentation that changes nothing; crops are still taken at random."""
        off: dict[str, Any] = {field.name: 0.0 for field in fields(cls)}
        return cls(**{**off, "scale": (1.0, 1.0), "aspect": (1.0, 1.0), "flip": False})


# The other settings are numbers from 0 to these.
_LARGEST = {
    "rotation": 180.0,
    "brightness": 1.0,
    "contrast": 1.0,
    "saturation": 1.0,
    "hue": 0.5,
    "grayscale": 1.0,
    "autocontrast": 1.0,
    "equalize": 1.0,
}

# The random numbers of an example, each uniform in [0, 1). New ones go to the end, so that the
# others keep their values for a seed.
_DRAWS = (
    *("scale", "aspect", "rotation", "flip", "top", "left", "brightness", "contrast"),
    *("saturation", "hue", "grayscale", "autocontrast", "equalize"),
)


def augment(
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    seed: Any,
    crop_size: tuple[int, int] | None,
    ignore_class: Mapping[str, int],
    augmentation: Augmentation | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns augmented images and label maps, the same whenever the seed is the same.

    Images are interpolated bilinearly (antialiased where they shrink, unless they also turn),
    label maps take the nearest label. A crop is taken at a random place; where it is larger than
    the image, the image is put at a random place in it, with mid-gray around it, which is labeled
    `ignore_class`.

    All modalities move alike. `bands` are NaN outside the image, and pixels without data (NaN) do
    not blend into others. Only `rgb` changes its colors; `depth` takes the nearest distance,
    as between two surfaces there is none, with `MIDDLE_DEPTH` around it. Distances and heights
    keep their values whatever the scale.

    Args:
        images: Tensors by modality. `rgb`: shape `(height, width, 3)`, 0..255, any dtype; `hha`
            like that; `depth`: shape `(height, width, 1)`; `bands`: float32, any number of them.
        labels: Label maps by head, uint8, shape `(height, width)`.
        seed: int32 tensor, shape `(2,)`.
        crop_size: Height and width of the result in pixels; `None` keeps the
            image whole, at the size that `scale` and `aspect` give it.
        ignore_class: Label of pixels outside the image, by head.
        augmentation: What may happen; `None` for nothing but the crop.

    Returns:
        `(images, labels)`: uint8, depth and bands in their own dtype.

    Raises:
        ValueError: If an `ignore_class` is not in [0, 255].

    Example:
        >>> images = {"rgb": tf.zeros((60, 80, 3), "uint8")}
        >>> labels = {"segmentation": tf.ones((60, 80), "uint8")}
        >>> images, labels = augment(images, labels, [0, 1], (32, 48), {"segmentation": 255})
        >>> images["rgb"].shape, labels["segmentation"].shape
        (TensorShape([32, 48, 3]), TensorShape([32, 48]))
    """
    for label in ignore_class.values():
        check_is_uint8(label)
    augmentation = augmentation or Augmentation.none()
    uniform = tf.unstack(tf.random.stateless_uniform([len(_DRAWS)], seed), num=len(_DRAWS))
    draws = dict(zip(_DRAWS, uniform, strict=True))
    warp = _Warp(tf.shape(next(iter(images.values())))[:2], draws, crop_size, augmentation)
    return (
        {
            name: warp.depth(image)
            if name == "depth"
            else warp.bands(image)
            if name == BANDS
            else _picture(image, warp, draws, augmentation, has_colors=name == "rgb")
            for name, image in images.items()
        },
        {head: warp.label(label, ignore_class[head]) for head, label in labels.items()},
    )


def keep_cells(
    labels: Mapping[str, Any],
    seed: Any,
    share: float,
    cell_size: int,
    ignore_class: Mapping[str, int],
) -> dict[str, Any]:
    """Returns label maps in which each cell is kept or ignored as a whole, at random.

    So a training on whole images becomes one on patches: its loss does not count everywhere
    (Long et al., CVPR 2015, section 3.4). Cells begin at the top left, as those of the logits do
    before upsampling; the last ones may be cut off.

    Args:
        labels: Label maps by head, uint8, shape `(height, width)`; the same cells of all of them
            are kept.
        seed: int32, shape `(2,)`. The same seed keeps the same cells.
        share: Probability of keeping a cell, in (0, 1].
        cell_size: Pixels along each side of a cell: the stride of the finest logits.
        ignore_class: Label of the cells that are left out, by head.

    Raises:
        ValueError: If an `ignore_class` is not in [0, 255].

    Example:
        >>> labels = {"segmentation": tf.ones((2, 6), "uint8")}
        >>> labels = keep_cells(labels, [0, 2], 0.5, 2, {"segmentation": 255})
        >>> labels["segmentation"].numpy().tolist()
        [[1, 1, 255, 255, 255, 255], [1, 1, 255, 255, 255, 255]]
    """
    for label in ignore_class.values():
        check_is_uint8(label)
    shape = tf.shape(next(iter(labels.values())))
    height, width = shape[0], shape[1]
    cells = tf.stack([-(-height // cell_size), -(-width // cell_size)])
    kept = tf.random.stateless_uniform(cells, seed) < share
    pixels = tf.repeat(tf.repeat(kept, cell_size, axis=0), cell_size, axis=1)[:height, :width]
    return {
        head: tf.ensure_shape(
            tf.where(pixels, label, tf.cast(ignore_class[head], label.dtype)), label.shape
        )
        for head, label in labels.items()
    }


def _picture(
    image: Any,
    warp: "_Warp",
    draws: dict[str, Any],
    augmentation: Augmentation,
    has_colors: bool,
) -> Any:
    """Returns an image of three channels, warped; its colors are changed if it has colors."""
    if has_colors:
        image = _stretch(tf.cast(image, tf.float32), draws, augmentation)
    image = warp.image(tf.cast(image, tf.float32) - MID_GRAY)
    if has_colors:
        image = _recolor(image, draws, augmentation)
    return tf.saturate_cast(tf.round(image + MID_GRAY), tf.uint8)


class _Warp:
    """One geometry, drawn at random, applied to images and label maps alike.

    The center of the result's pixel i is at source coordinate
    `(i + 0.5 + offset) / factor`, along each axis, in pixels; with rotation, that point
    is first turned about the center of the result. The flip comes last.
    """

    def __init__(
        self,
        size: Any,
        draws: dict[str, Any],
        crop_size: tuple[int, int] | None,
        augmentation: Augmentation,
    ) -> None:
        scale = _drawn_factor(draws["scale"], augmentation.scale)
        stretch = tf.sqrt(_drawn_factor(draws["aspect"], augmentation.aspect))
        self.source_size = size
        self.crop_size = crop_size
        self.factors = tf.stack([scale / stretch, scale * stretch])
        scaled = tf.maximum(tf.round(tf.cast(size, tf.float32) * self.factors), 1.0)
        self.size = tf.cast(scaled, tf.int32) if crop_size is None else tf.constant(crop_size)
        # Whole pixels, so that scale 1 copies them. A crop larger than the image has a
        # negative offset: the image is inside it.
        room = scaled - tf.cast(self.size, tf.float32)
        self.offset = tf.round(tf.stack([draws["top"], draws["left"]]) * room)
        self.turn: Any = None
        if augmentation.rotation:
            self.turn = _symmetric(draws["rotation"]) * np.radians(augmentation.rotation)
        self.flip: Any = draws["flip"] < 0.5 if augmentation.flip else None

    def image(self, image: Any) -> Any:
        """Returns the warped image, 0 outside the source."""
        if self.turn is not None:
            warped = self._turned(image, "BILINEAR", 0.0)
        else:
            warped = tf.raw_ops.ScaleAndTranslate(
                images=image[None],
                size=self.size,
                scale=self.factors,
                translation=-self.offset,
                kernel_type="triangle",
                # Below a scale of 0.7 this keeps aliasing out, for 0.6 ms a crop of 288 x 288.
                antialias=True,
            )[0]
        return self._finish(warped, (image.shape[-1],))

    def bands(self, image: Any) -> Any:
        """Returns the warped bands, NaN outside the source and where most of it has no data."""
        missing = tf.math.is_nan(image)
        known = self.image(tf.where(missing, 0.0, image))
        # The same interpolation of ones is the share of a pixel that has data.
        share = self.image(tf.where(missing, 0.0, tf.ones_like(image)))
        return tf.where(share > 0.5, known / tf.maximum(share, 0.5), np.nan)

    def label(self, label: Any, ignore_class: int) -> Any:
        """Returns the warped label map, `ignore_class` outside the source."""
        if self.turn is not None:
            return self._finish(
                self._turned(label[..., None], "NEAREST", float(ignore_class))[..., 0], ()
            )
        rows, row_inside = self._nearest(axis=0)
        columns, column_inside = self._nearest(axis=1)
        warped = tf.gather(tf.gather(label, rows), columns, axis=1)
        inside = row_inside[:, None] & column_inside
        return self._finish(tf.where(inside, warped, tf.cast(ignore_class, label.dtype)), ())

    def depth(self, depth: Any) -> Any:
        """Returns the warped depth map, `MIDDLE_DEPTH` outside the source."""
        # As int32, because the rotation does not support uint16.
        warped = self.label(tf.cast(depth[..., 0], tf.int32), MIDDLE_DEPTH)
        return tf.cast(warped, depth.dtype)[..., None]

    def _nearest(self, axis: int) -> tuple[Any, Any]:
        """Returns the source index of each pixel along an axis, and whether there is one."""
        target = tf.range(tf.cast(self.size[axis], tf.float32)) + 0.5 + self.offset[axis]
        source = tf.cast(tf.floor(target / self.factors[axis]), tf.int32)
        last = self.source_size[axis] - 1
        return tf.clip_by_value(source, 0, last), (source >= 0) & (source <= last)

    def _turned(self, image: Any, interpolation: str, fill: float) -> Any:
        cos, sin = tf.cos(self.turn), tf.sin(self.turn)
        middle = tf.cast(self.size, tf.float32) / 2
        # The operation counts pixels from the center of the first: hence the halves.
        down, right = 0.5 - middle[0], 0.5 - middle[1]
        top = middle[0] + sin * right + cos * down + self.offset[0]
        left = middle[1] + cos * right - sin * down + self.offset[1]
        y, x = self.factors[0], self.factors[1]
        transform = [cos / x, -sin / x, left / x - 0.5, sin / y, cos / y, top / y - 0.5, 0.0, 0.0]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=image[None],
            transforms=tf.stack(transform)[None],
            output_shape=self.size,
            fill_value=fill,
            interpolation=interpolation,
            fill_mode="CONSTANT",
        )[0]

    def _finish(self, warped: Any, channels: tuple[int, ...]) -> Any:
        if self.flip is not None:
            # A negative factor would do for the label; the image operation takes none.
            warped = tf.cond(self.flip, lambda: tf.reverse(warped, [1]), lambda: warped)
        return tf.ensure_shape(warped, (*(self.crop_size or (None, None)), *channels))


def _recolor(image: Any, draws: dict[str, Any], augmentation: Augmentation) -> Any:
    """Returns the image with new colors; its values are centered on mid-gray.

    Brightness, contrast, saturation, hue and grayscale are linear, so they
    are one 3x3 matrix and a shift, and cost one pass over the pixels.
    """
    linear = ("brightness", "contrast", "saturation", "hue", "grayscale")
    if not any(getattr(augmentation, name) for name in linear):
        return image
    brightness = _symmetric(draws["brightness"]) * augmentation.brightness * 255
    contrast = 1 + _symmetric(draws["contrast"]) * augmentation.contrast
    saturation = 1 + _symmetric(draws["saturation"]) * augmentation.saturation
    saturation = tf.where(draws["grayscale"] < augmentation.grayscale, 0.0, saturation)
    gray = tf.constant([LUMA] * 3)
    matrix = contrast * (gray + saturation * (tf.eye(3) - gray))
    if augmentation.hue:
        matrix = tf.matmul(matrix, _hue_turn(_symmetric(draws["hue"]) * augmentation.hue))
    colors = tf.matmul(tf.reshape(image, (-1, 3)), matrix, transpose_b=True)
    return tf.reshape(colors, tf.shape(image)) + brightness


def _hue_turn(turns: Any) -> Any:
    """Returns the rotation of RGB about the gray axis (Rodrigues' formula)."""
    cos, sin = tf.cos(2 * np.pi * turns), tf.sin(2 * np.pi * turns)
    axis = np.full((3, 3), 1 / 3)
    across = np.array([(0, -1, 1), (1, 0, -1), (-1, 1, 0)]) / np.sqrt(3)
    constant = [tf.constant(part, tf.float32) for part in (axis, np.eye(3) - axis, across)]
    return constant[0] + cos * constant[1] + sin * constant[2]


def _stretch(image: Any, draws: dict[str, Any], augmentation: Augmentation) -> Any:
    """Returns the image after the operations on its histogram: autocontrast and equalization."""
    for name in ("autocontrast", "equalize"):
        share = getattr(augmentation, name)
        if share:
            layer = _keras_cv_layer(name)
            image = tf.cond(
                draws[name] < share,
                lambda image=image, layer=layer: tf.cast(layer(image), tf.float32),
                lambda image=image: image,
            )
    return image


@cache
def _keras_cv_layer(name: str) -> Any:
    # keras-cv's random layers do not repeat by seed; its deterministic ones do, and the
    # random number is ours. Imported here: half a second, and only training needs it.
    from keras_cv import layers

    layer = {"autocontrast": layers.AutoContrast, "equalize": layers.Equalization}[name]
    return layer(value_range=(0, 255))


def _drawn_factor(draw: Any, limits: tuple[float, float]) -> Any:
    if limits[0] == limits[1]:
        # Not exp(log(x)), which misses a factor of 1 by a rounding.
        return tf.constant(limits[0], tf.float32)
    low, high = np.log(limits)
    return tf.exp(low + draw * (high - low))


def _symmetric(draw: Any) -> Any:
    return 2 * draw - 1
