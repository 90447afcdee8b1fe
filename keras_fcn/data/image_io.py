"""Reading images and depth maps exactly: files with Pillow, bytes with TensorFlow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from keras_fcn.data.bands import (
    NPY,
    Form,
    check_page,
    has_tifffile,
    image_of,
    is_tiff,
    open_raster,
    turned,
    valid_values,
)
from keras_fcn.modalities import ImageReading

# Tags of TIFF.
_BITS_PER_SAMPLE = 258
_SAMPLES_PER_PIXEL = 277
_SUBFILE_TYPE = 254
_ORIENTATION = 274  # of EXIF, too
_BYTES_WITH_EXIF = 65536  # at the start and the end of a PNG, where its EXIF data may be
_LOOKED_AT = 1024  # pixels on either side of the middle that show which values an image has
# Formats whose frames are layers, or an image with its thumbnails and depth.
_NO_FRAMES = ("MPO", "PSD", "ICO", "ICNS", "XCF")

# Pillow's modes of 16-bit gray PNG files: "I;16", and "I" in older versions.
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
RGB = ImageReading()


@dataclass(frozen=True)
class StoredImage:
    """The pixels of an image file before anything says what their values mean.

    Args:
        values: Shape `(height, width, bands)`. Of 8-bit files that are read as RGB, RGB.
        form: What the bands are.
        orientation: The EXIF orientation, 1 to 8, which is not applied.
    """

    values: np.ndarray
    form: Form
    orientation: int = 1

    @classmethod
    def read(cls, path: str | Path, reading: ImageReading = RGB) -> "StoredImage":
        """Reads an image file; errors as of `read_image`."""
        path = Path(path)
        if path.suffix.lower() == NPY or (path.is_file() and _needs_raster(path, reading)):
            with open_raster(path, reading) as raster:
                return cls(raster.read(), raster.form, raster.orientation)
        with opened_image(path) as image:
            _choose_page(image, path, reading.page)
            if reading.channels is None:
                _check_bands(image, path)
            return cls._of_pillow(image, path, reading)

    @classmethod
    def _of_pillow(cls, image: Image.Image, path: Path, reading: ImageReading) -> "StoredImage":
        is_deep_png = _is_deep_png(image)  # before the EXIF data, for which a PNG is decoded
        orientation = orientation_of(image)
        if image.mode in DEEP_MODES or image.mode == "F":
            values = np.asarray(image)[..., None]
            if image.mode == "I" and values.min() >= 0 and values.max() <= 65535:
                values = values.astype(np.uint16)
            form = Form(1, "gray")
        elif is_deep_png:
            values = _decoded_png(path)
            bands = values.shape[-1]
            form = Form(bands, "gray" if bands < 3 else "rgb", has_alpha=bands in (2, 4))
        elif reading.is_rgb:
            if "transparency" in image.info:
                # Pillow warns when a palette with alpha becomes RGB
                image = image.convert("RGBA")
            values, form = np.asarray(image.convert("RGB")), Form(3, "rgb")
        elif image.mode == "P":
            raise ValueError(
                f"{path}: the network takes images of {reading.num_channels} bands (`--channels "
                f"{reading.num_channels}`). Received: an image with a palette, whose values are "
                "no measurements."
            )
        else:
            values = np.atleast_3d(np.asarray(image))
            form = Form(values.shape[-1], has_alpha=image.mode in ("LA", "RGBA", "La", "RGBa"))
        # Pillow has turned a TIFF when its pixels are read.
        return cls(
            turned(values, _INVERSE.get(orientation, orientation))
            if image.format == "TIFF"
            else values,
            form,
            orientation,
        )


_INVERSE = {6: 8, 8: 6}


def read_image(
    path: str | Path, reading: ImageReading = RGB, *, is_turned: bool = True
) -> np.ndarray:
    """Reads an image file, by default as RGB; of any format that Pillow supports.

    An alpha channel is dropped, gray repeated, and of 16-bit values the upper 8 bits are kept, as
    `decode_image` does, unless `reading` says otherwise. Bands that are no color are never
    dropped unless it says so.

    Args:
        path: An image file; for other images than RGB also a `.npy` array.
        reading: How files become images.
        is_turned: Whether the EXIF orientation is applied.

    Returns:
        RGB, uint8, shape `(height, width, 3)`; for other numbers of channels float32, in the
        file's own values, NaN where it says that there is no data.

    Raises:
        ValueError: If the file is no image, is damaged or has no such form.
            The message names the file.
        FileNotFoundError: If there is no such file.
    """
    stored = StoredImage.read(path, reading)
    values = turned(stored.values, stored.orientation) if is_turned else stored.values
    return np.ascontiguousarray(image_of(values, stored.form, reading, Path(path)))


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF orientation of an open image, 1 to 8."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def find_orientation(path: Path) -> int:
    """Returns the EXIF orientation of a file without decoding it; 1 if it cannot be read."""
    try:
        with Image.open(path) as image:
            if image.format == "PNG" and not _may_have_exif(path):
                return 1
            return orientation_of(image)
    except UnidentifiedImageError:
        return _tiff_orientation(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1  # reported where it is read


def _tiff_orientation(path: Path) -> int:
    """Returns the orientation of a TIFF that Pillow does not open."""
    if not path.is_file() or not is_tiff(path) or not has_tifffile():
        return 1
    try:
        with open_raster(path, ImageReading(page=1)) as raster:
            return raster.orientation
    except ValueError:
        return 1  # reported where it is read


def _may_have_exif(path: Path) -> bool:
    # Pillow decodes a PNG to look for EXIF data after its pixels.
    with path.open("rb") as file:
        contents = file.read(_BYTES_WITH_EXIF)
        file.seek(max(0, path.stat().st_size - _BYTES_WITH_EXIF))
        contents += file.read()
    return b"eXIf" in contents or b"Raw profile type" in contents


def depth_problem(paths: Sequence[Path], reading: ImageReading = RGB, looked_at: int = 16) -> str:
    """Returns what is wrong if images of more than 8 bits would be read as RGB nearly black.

    Args:
        paths: The images, of which some are looked at.
        reading: How they are read.
        looked_at: Number of images that are looked at.

    Returns:
        One sentence and the way out; "" if nothing is wrong.
    """
    if not reading.is_rgb or reading.value_range is not None:
        return ""
    ranges, common, first = [], 0.0, None
    for path in paths[:: max(1, len(paths) // looked_at)]:
        try:
            valid = _values_of_16_bits(path, reading)
        except (OSError, ValueError):
            continue  # reported where it is read
        if valid.size:
            first = first or path
            ranges += [int(valid.min()), int(valid.max())]
            # A few hot pixels do not make the others bright.
            common = max(common, float(np.percentile(valid, 99.9)))
    if first is None or (max(ranges) >= 1 << 15 and common >= 1 << 14):
        return ""
    low, high = min(ranges), max(ranges)
    bits = high.bit_length()
    return (
        f"{first}: images of 16 bits are read by their upper 8 bits, and the values go from {low} "
        f"to {high} ({bits} bits; 99.9 % of them are below {common:.0f}), which would be dark or "
        "nearly black. Say which values become black and white, for example by --value-range "
        f"0,{(1 << bits) - 1}; --value-range 0,65535 if they are right as they are."
    )


def _values_of_16_bits(path: Path, reading: ImageReading) -> np.ndarray:
    """Returns the values of an image of 16 bits, of a large one those in the middle; else none."""
    if _needs_raster(path, reading):
        with open_raster(path, reading) as raster:
            rows, columns = (
                slice(max(0, length // 2 - _LOOKED_AT), length // 2 + _LOOKED_AT)
                for length in (raster.height, raster.width)
            )
            values, form = raster.read(rows, columns), raster.form
    else:
        with opened_image(path) as image:
            if image.mode not in DEEP_MODES and not _is_deep_png(image):
                return np.empty(0)
        stored = StoredImage.read(path, reading)
        values, form = stored.values, stored.form
    return valid_values(values, form) if values.dtype == np.uint16 else np.empty(0)


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


def _needs_raster(path: Path, reading: ImageReading) -> bool:
    """Returns whether a file is a TIFF that Pillow does not read exactly."""
    if not is_tiff(path):
        return False
    try:
        with Image.open(path) as image:
            if image.format != "TIFF":
                return False
            bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, 1)
            deep = max(bits if isinstance(bits, tuple) else (bits,)) > 8
            hidden = _hidden_bands(image)
            num_bands = len(image.getbands())
    except UnidentifiedImageError:
        return True
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return has_tifffile()
    if hidden and reading.channels is None:
        return False  # refused there
    if not reading.is_rgb and has_tifffile():
        return True  # it knows which values mean that there is no data
    # Pillow keeps the upper 8 bits of colors.
    return bool(hidden) or (deep and (has_tifffile() or num_bands > 1))


def _hidden_bands(image: Image.Image) -> int:
    """Returns the number of bands of a TIFF if Pillow would drop some that are no alpha."""
    num_bands = int(getattr(image, "tag_v2", {}).get(_SAMPLES_PER_PIXEL, 1))
    is_cut = num_bands > len(image.getbands()) or image.mode in ("RGBX", "LX")
    return num_bands if is_cut else 0


def _check_bands(image: Image.Image, path: Path) -> None:
    """Raises ValueError if Pillow would drop bands that are no alpha channel."""
    count = _hidden_bands(image) if image.format == "TIFF" else 0
    if image.format == "JPEG2000" and image.mode in ("LA", "RGBA"):
        with path.open("rb") as file:
            # The box that says what the bands are; without it Pillow takes the last for alpha.
            count = 0 if b"cdef" in file.read(_BYTES_WITH_EXIF) else len(image.getbands())
    if count:
        image_of(np.zeros((1, 1, count), np.uint8), Form(count), RGB, path)


def _choose_page(image: Image.Image, path: Path, page: int | None) -> None:
    """Goes to the page that is to be read."""
    indices = full_pages(image)
    index = indices[check_page(path, len(indices), page)]
    if index != image.tell():
        image.seek(index)


def full_pages(image: Image.Image) -> list[int]:
    """Returns the indices of the pages or frames of an open image that are images of their own.

    Smaller copies in a TIFF are none, nor are the layers of a drawing.
    """
    count = 1 if image.format in _NO_FRAMES else getattr(image, "n_frames", 1)
    if image.format != "TIFF" or count == 1:
        return list(range(count))
    indices = [index for index in range(count) if _is_full(image, index)] or [0]
    image.seek(0)
    return indices


def _is_full(image: Image.Image, index: int) -> bool:
    image.seek(index)
    # Bits: a smaller copy, a mask of transparency.
    return not int(getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE, 0)) & 0b101


def _is_deep_png(image: Image.Image) -> bool:
    """Returns whether a color PNG has 16 bits, of which Pillow keeps the upper 8."""
    tiles = getattr(image, "tile", None) or [("", (), 0, "")]
    return image.format == "PNG" and ";16" in str(tiles[0][3])


def _decoded_png(path: Path) -> np.ndarray:
    try:
        return np.asarray(tf.io.decode_png(path.read_bytes(), dtype=tf.uint16))
    except tf.errors.OpError as error:
        raise ValueError(f"{path}: the image cannot be read ({error.message}).") from error


@contextmanager
def opened_image(path: str | Path) -> Iterator[Image.Image]:
    """Opens an image; every error while it is open names the file."""
    if Path(path).is_dir():
        raise ValueError(f"{path}: expected an image file, received a folder.")
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError as error:
        text = f"{path}: not an image that can be read.{_what_it_is(Path(path))}"
        raise ValueError(text) from error
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow reports damaged PNG chunks as SyntaxError.
        raise ValueError(f"{path}: the image cannot be read ({error}).") from error


def _what_it_is(path: Path) -> str:
    """Returns what a file is that is no image, a sentence with a space before it, if known."""
    with path.open("rb") as file:
        start = file.read(200).lstrip().lower()
    if not start:
        return " It is empty."
    if start.startswith(b"version https://git-lfs"):
        return " It is a pointer of Git LFS; `git lfs pull` gets the file itself."
    if start.startswith((b"<!doctype html", b"<html")):
        return " It is a page of HTML, such as the error of a download: get the file again."
    return ""
