"""The images that a report shows: the worst ones, as small pictures."""

import base64
import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy import ndimage

from keras_fcn.data.bands import picture_of
from keras_fcn.labels import LabelSpec
from keras_fcn.visualization import label_image

# Longest side of a picture.
MAX_SIDE = 640
_WRONG, _IGNORED = (214, 41, 74, 255), (128, 128, 128, 90)
_OUTLINE = (255, 0, 200)


@dataclass(frozen=True, eq=False)
class Example:
    """Pictures of one image, or of a part of it.

    Attributes:
        position: The position of the image among all.
        pictures: PNG and WebP files by title.
    """

    position: int
    pictures: dict[str, bytes] = field(repr=False)

    @property
    def num_bytes(self) -> int:
        """The size of the pictures in a page."""
        return sum(4 * len(content) // 3 for content in self.pictures.values())

    def data_uris(self) -> dict[str, str]:
        """Returns the pictures as addresses that contain them."""
        return {
            title: f"data:image/{_kind(content)};base64,{base64.b64encode(content).decode()}"
            for title, content in self.pictures.items()
        }

    def scaled(self, factor: float) -> "Example":
        """Returns the example with smaller pictures."""
        smaller = {}
        for title, content in self.pictures.items():
            with Image.open(io.BytesIO(content)) as picture:
                side = max(1, round(factor * max(picture.size)))
                smaller[title] = _encoded(_fitted(picture, side))
        return Example(self.position, smaller)


def example_of(
    position: int,
    image: np.ndarray | None,
    labels: np.ndarray,
    predictions: np.ndarray,
    spec: LabelSpec,
) -> Example:
    """Returns the pictures of an image: itself, labels, predictions, and where they differ.

    Args:
        position: Its position among all.
        image: As the network takes it, or None.
        labels: Shape `(height, width)`.
        predictions: The same shape.
        spec: The classes and their colors.
    """
    pictures = {} if image is None else {"Image": viewable(image)}
    pictures |= {"Label": label_image(labels, spec), "Prediction": label_image(predictions, spec)}
    pictures["Difference"] = _difference(labels, predictions, spec.num_classes)
    return Example(position, {t: _encoded(_fitted(p, MAX_SIDE)) for t, p in pictures.items()})


def crop_of(
    position: int,
    image: np.ndarray | None,
    labels: np.ndarray,
    predictions: np.ndarray,
    spec: LabelSpec,
    box: tuple[int, int, int, int],
    pair: tuple[int, int],
) -> Example:
    """Returns the pictures of a region and its surroundings, the region outlined in the image.

    Args:
        position: As for `example_of`.
        image: As for `example_of`.
        labels: As for `example_of`.
        predictions: As for `example_of`.
        spec: As for `example_of`.
        box: Top, left, bottom and right of the region.
        pair: Label and prediction of its pixels.
    """
    top, left, bottom, right = box
    margin = max(24, (bottom - top) // 2, (right - left) // 2)
    rows = slice(max(0, top - margin), bottom + margin)
    columns = slice(max(0, left - margin), right + margin)
    inside = np.zeros(labels.shape, bool)
    inside[top:bottom, left:right] = True
    region = (inside & (labels == pair[0]) & (predictions == pair[1]))[rows, columns]
    pictures = {}
    if image is not None:
        pixels = np.array(viewable(image[rows, columns]))
        pixels[ndimage.binary_dilation(region) & ~region] = _OUTLINE
        pictures["Image"] = Image.fromarray(pixels)
    pictures["Label"] = label_image(labels[rows, columns], spec)
    pictures["Prediction"] = label_image(predictions[rows, columns], spec)
    return Example(position, {t: _encoded(_fitted(p, MAX_SIDE // 2)) for t, p in pictures.items()})


def viewable(image: np.ndarray) -> Image.Image:
    """Returns an image of any modalities as RGB.

    uint8 RGB is unchanged. Of other images the first three channels are shown, or the first one
    in gray, each stretched from its 2nd to its 98th percentile unless they are in 0..255. Pixels
    without data are black.
    """
    if image.dtype == np.uint8 and image.shape[-1] == 3:
        return Image.fromarray(image)
    channels = image[..., : 3 if image.shape[-1] >= 3 else 1].astype(np.float32)
    known = channels[np.isfinite(channels)]
    if not known.size or known.min() < 0 or not 1 < known.max() <= 255:
        return Image.fromarray(picture_of(channels))
    pixels = np.nan_to_num(channels).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy())


def heat_map(shares: np.ndarray) -> Example:
    """Returns a matrix of shares in 0..1 as a picture, one pixel per entry, NaN transparent."""
    alpha = (255 * np.nan_to_num(shares) ** 0.5).round().astype(np.uint8)
    pixels = np.zeros((*shares.shape, 4), np.uint8)
    pixels[...] = (47, 111, 208, 0)
    pixels[..., 3] = alpha
    return Example(0, {"Confusion matrix": _encoded(Image.fromarray(pixels))})


def _difference(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> Image.Image:
    """Returns wrong pixels red, ignored ones gray, right ones transparent."""
    is_class = labels < num_classes
    kinds = np.where(is_class, labels != predictions, 2).astype(np.uint8)
    picture = Image.fromarray(kinds)
    colors = [(255, 255, 255, 0), _WRONG, _IGNORED]
    picture.putpalette([channel for color in colors for channel in color], "RGBA")
    return picture


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """Returns the picture with no side longer than this; label maps by nearest neighbor."""
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
    is_photo = picture.mode == "RGB"
    method = Image.Resampling.LANCZOS if is_photo else Image.Resampling.NEAREST
    return picture.resize(size, method)


def _encoded(picture: Image.Image) -> bytes:
    """Returns a photograph as WebP, a map as PNG."""
    stream = io.BytesIO()
    if picture.mode == "RGB":
        picture.save(stream, "WEBP", quality=80, method=2)
    else:
        picture.save(stream, "PNG", compress_level=7)
    return stream.getvalue()


def _kind(content: bytes) -> str:
    return "webp" if content.startswith(b"RIFF") else "png"
