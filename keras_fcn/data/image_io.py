"""Reading images and depth maps exactly: files with Pillow, bytes with TensorFlow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

_SAMPLES_PER_PIXEL = 277  # tag of TIFF

# Pillow's modes of 16-bit gray PNG files: "I;16", and "I" in older versions.
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def read_image(path: str | Path) -> np.ndarray:
    """Reads an image file of any format that Pillow supports, as RGB.

    The EXIF orientation is applied, an alpha channel dropped, gray repeated,
    and of 16-bit values the upper 8 bits are kept, as `decode_image` does.

    Args:
        path: An image file.

    Returns:
        RGB, uint8, shape `(height, width, 3)`.

    Raises:
        ValueError: If the file is no image, is damaged or has no such form.
            The message names the file.
        FileNotFoundError: If there is no such file.
    """
    with opened_image(path) as image:
        _check_bands(image, path)
        # Orientation first: `convert` would drop its metadata.
        image = ImageOps.exif_transpose(image)
        if image.mode in DEEP_MODES:
            gray = np.asarray(image).astype(np.int64)
            if gray.min() < 0 or gray.max() > 65535:
                raise ValueError(
                    f"{path}: 32-bit images are not supported. Save it with 8 bits a channel."
                )
            return np.repeat((gray >> 8).astype(np.uint8)[..., None], 3, axis=-1)
        if image.mode == "F":
            raise ValueError(
                f"{path}: images of floating-point numbers have no range of their own. Save it "
                "with 8 bits a channel."
            )
        if "transparency" in image.info:
            image = image.convert("RGBA")  # Pillow warns when a palette with alpha becomes RGB
        return np.asarray(image.convert("RGB"))


def read_mat_labels(path: Path, variable: str) -> np.ndarray:
    """Reads a label map that is a variable of a MATLAB file.

    Args:
        path: A `.mat` file as MATLAB's `save` writes it by default (up to version 7).
        variable: Its name, such as `LabelMap`.

    Returns:
        int64, shape `(height, width)`, the numbers of the file.

    Raises:
        ValueError: If the file is damaged or has no such map. The message names the file.
    """
    from scipy.io import loadmat

    try:
        numbers = loadmat(path, variable_names=[variable])[variable]
    except Exception as error:  # SciPy raises whatever the damage leads it to
        raise ValueError(
            f"{path}: not a MATLAB file with the label map {variable!r} ({error})."
        ) from error
    if numbers.ndim != 2 or numbers.dtype.kind not in "uif":
        raise ValueError(
            f"{path}: {variable!r} must be a label map (height, width). Received: shape "
            f"{numbers.shape}, dtype {numbers.dtype}."
        )
    return numbers.astype(np.int64)


def labels_from_one(numbers: np.ndarray, path: Path) -> np.ndarray:
    """Returns labels from 0 of numbers from 1; 0 and -1, which mean void, become 255.

    Raises:
        ValueError: If a number is no label of 8 bits. The message names the file.
    """
    if numbers.min(initial=0) < -1 or numbers.max(initial=0) > 255:
        raise ValueError(
            f"{path}: labels must be in [-1, 255]. Received: {numbers.min()} to {numbers.max()}."
        )
    return np.where(numbers < 1, 255, numbers - 1).astype(np.uint8)


def read_depth(path: str | Path) -> np.ndarray:
    """Reads a depth map from a gray image of 16 bits, as NYUDv2's are: whole millimeters.

    Returns:
        uint16, shape `(height, width)`; 0 where the distance is unknown.

    Raises:
        ValueError: If the file is damaged or no such image. The message names it.
        FileNotFoundError: If there is no such file.
    """
    with opened_image(path) as image:
        depth = np.asarray(image)
        if image.mode not in DEEP_MODES or depth.min() < 0 or depth.max() > 65535:
            raise ValueError(
                f"{path}: depth must be a gray image of 16 bits, in millimeters. Received: "
                f"an image of mode {image.mode!r}."
            )
        return depth.astype(np.uint16)


def read_channels(path: str | Path, num_channels: int) -> np.ndarray:
    """Reads an image file of 1 or 4 channels without conversion: gray of any depth, RGBA or CMYK.

    Returns:
        float32, shape `(height, width, num_channels)`, in the file's own range.

    Raises:
        ValueError: If the file is no image, is damaged, or has other channels. The message
            names the file.
        FileNotFoundError: If there is no such file.
    """
    with opened_image(path) as image:
        image = ImageOps.exif_transpose(image)
        pixels = np.asarray(image).astype(np.float32)
        if image.mode == "P" or np.atleast_3d(pixels).shape[2] != num_channels:
            raise ValueError(
                f"{path}: the network takes images of {num_channels} channels. Received: an "
                f"image of mode {image.mode!r}."
            )
        return np.atleast_3d(pixels)


def decode_image(contents: Any) -> Any:
    """Decodes the bytes of a JPEG, PNG or GIF image, in TensorFlow, exactly as Pillow does.

    JPEG goes through the accurate integer DCT; TensorFlow's default differs
    from Pillow in most pixels. The EXIF orientation is *not* applied.

    Args:
        contents: Bytes of the file, string scalar tensor.

    Returns:
        RGB, uint8, shape `(height, width, 3)`.

    Example:
        >>> png = tf.io.encode_png(tf.fill((2, 3, 1), tf.constant(7, tf.uint8)))
        >>> decode_image(png)[0, 0].numpy()
        array([7, 7, 7], dtype=uint8)
    """
    # One operation decodes all three kinds; only this one takes a DCT method.
    image = tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(image, (None, None, 3))


def decode_label(contents: Any) -> Any:
    """Decodes the bytes of a gray 8-bit PNG of labels, in TensorFlow.

    Args:
        contents: Bytes of the file, string scalar tensor. Not a palette image, such as PASCAL
            VOC's masks: TensorFlow would return the brightness of their colors.

    Returns:
        Labels, uint8, shape `(height, width)`.
    """
    return tf.ensure_shape(tf.io.decode_png(contents, channels=1), (None, None, 1))[..., 0]


def check_size(
    image: str | Path,
    image_size: Sequence[int],
    mask: str | Path,
    mask_size: Sequence[int],
    kind: str = "mask",
) -> None:
    """Raises ValueError unless an image and its mask have the same `(height, width)`.

    Args:
        image: File of the image.
        image_size: Height and width of the image.
        mask: File of the mask.
        mask_size: Height and width of the mask.
        kind: What to call it, if it is no mask.
    """
    if tuple(image_size) != tuple(mask_size):
        height, width = image_size
        mask_height, mask_width = mask_size
        turned = tuple(image_size) == tuple(mask_size)[::-1]
        cause = (
            f" Likely cause: the image is turned by its EXIF orientation and the {kind} is not."
            if turned
            else ""
        )
        raise ValueError(
            f"{mask}: the {kind} is {mask_width}x{mask_height}, its image {image} is "
            f"{width}x{height} (width x height). They must be equal.{cause}"
        )


def _check_bands(image: Image.Image, path: str | Path) -> None:
    """Raises ValueError if Pillow would drop bands that are no alpha channel."""
    if image.format != "TIFF":
        return
    tags = getattr(image, "tag_v2", {})
    num_bands = int(tags.get(_SAMPLES_PER_PIXEL, 1))
    if num_bands > len(image.getbands()) or image.mode in ("RGBX", "LX"):
        raise ValueError(
            f"{path}: the image has {num_bands} bands ({num_bands} channels), of which only "
            f"{len(image.getbands())} would be read. Save the three that the network sees as RGB."
        )


@contextmanager
def opened_image(path: str | Path) -> Iterator[Image.Image]:
    """Opens an image; every error while it is open names the file."""
    if Path(path).is_dir():
        raise ValueError(f"{path}: expected an image file, received a folder.")
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: not an image that can be read.") from error
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow reports damaged PNG chunks as SyntaxError.
        raise ValueError(f"{path}: the image cannot be read ({error}).") from error
