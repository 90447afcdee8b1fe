"""Reading images, masks and depth maps exactly: files with Pillow, bytes with TensorFlow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_fcn.labels import Color, LabelSpec

# Pillow's modes of 16-bit gray PNG files: "I;16", and "I" in older versions.
_16_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


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
    with _opened(path) as image:
        # Orientation first: `convert` would drop its metadata.
        image = ImageOps.exif_transpose(image)
        if image.mode in _16_BIT_MODES:
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


def read_mask(
    path: str | Path,
    colors: Mapping[Color, int] | None = None,
    labels: Sequence[int] | None = None,
) -> np.ndarray:
    """Reads a label map, in the forms in which segmentation datasets are published.

    * Palette images (mode "P", as PASCAL VOC has): the indices, whatever the colors are.
    * Gray images of 1, 8 or 16 bits: the gray values.
    * RGB images: through `colors`, which must contain every color that occurs.

    With `colors`, a palette image is read by its colors too (an editor may have
    renumbered its palette; index 255 stays 255), and so is a gray image, if all the colors
    are gray, such as black and white. Otherwise a gray image contains the labels themselves.

    Args:
        path: An image file without loss: PNG, BMP, GIF, TIFF.
        colors: Label by `(red, green, blue)`.
        labels: Label by number, for masks that contain numbers of another order
            than the classes; numbers beyond the list stay what they are.

    Returns:
        Labels, uint8, shape `(height, width)`.

    Raises:
        ValueError: If the file is damaged, is of another form, or contains a
            color that is not in the table. The message names the file and
            the likely cause.
        FileNotFoundError: If there is no such file.
    """
    with _opened(path) as image:
        if image.format in ("JPEG", "MPO"):
            raise ValueError(
                f"{path}: a mask must not be a JPEG, whose compression changes labels. Export it "
                "again as PNG."
            )
        image = _without_opaque_alpha(image, path)
        if image.mode == "P" and colors:
            return _labels_of_palette(image, colors, path)
        if image.mode == "RGB":
            return _labels_of_colors(np.asarray(image), _table_for_rgb(image, colors, path), path)
        if image.mode in ("1", "L") and colors and all(r == g == b for r, g, b in colors):
            return _labels_of_colors(np.asarray(image.convert("RGB")), colors, path)
        if image.mode in ("1", "L", "P"):
            return _labels_of_numbers(np.asarray(image).astype(np.uint8), labels)
        if image.mode in _16_BIT_MODES:
            return _labels_of_numbers(_narrowed(np.asarray(image), path), labels)
        raise ValueError(
            f"{path}: a mask of mode {image.mode!r} cannot be read. Expected a palette image, a "
            "gray image of labels, or RGB with a table of colors."
        )


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
    with _opened(path) as image:
        depth = np.asarray(image)
        if image.mode not in _16_BIT_MODES or depth.min() < 0 or depth.max() > 65535:
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
    with _opened(path) as image:
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


def check_labels(label: np.ndarray, spec: LabelSpec, path: str | Path) -> None:
    """Raises ValueError unless every label is a class or `ignore_class`.

    Args:
        label: Labels, uint8, shape `(height, width)`.
        spec: The classes.
        path: The file they were read from, for the message.
    """
    counts = np.bincount(label.reshape(-1), minlength=256)
    outside = counts.copy()
    outside[: spec.num_classes] = 0
    if 0 <= spec.ignore_class < len(outside):
        outside[spec.ignore_class] = 0
    if outside.any():
        values = np.flatnonzero(outside)
        shown = ", ".join(str(value) for value in values[:6]) + (", ..." * (len(values) > 6))
        raise ValueError(
            f"{path}: labels must be in [0, {spec.num_classes}) or be {spec.ignore_class} "
            f"(ignored). Received: {shown} in {outside.sum()} of {label.size} pixels. Likely "
            f"cause: {_likely_cause(counts, values, spec)}"
        )


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


def _likely_cause(counts: np.ndarray, outside: np.ndarray, spec: LabelSpec) -> str:
    num_classes = spec.num_classes
    if len(outside) > 20:
        return (
            "the mask contains gray levels, not class numbers (saved as a gray picture of its "
            "colors, or resized with smoothing)."
        )
    if list(outside) == [num_classes] and counts[0] == 0:
        return "the classes are numbered from 1, not from 0."
    if list(outside) == [num_classes]:
        return (
            f"there is one class more than {num_classes}, or {num_classes} marks void pixels, "
            f"which must be {spec.ignore_class}."
        )
    if set(np.flatnonzero(counts)) <= {0, 128, 255}:
        return "a mask of two gray levels; give their colors in the table of classes."
    return f"there are more than {num_classes} classes, or the mask is another kind of picture."


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
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


def _without_opaque_alpha(image: Image.Image, path: str | Path) -> Image.Image:
    opaque_mode = {"RGBA": "RGB", "LA": "L"}.get(image.mode)
    if opaque_mode is None:
        return image
    if np.asarray(image.getchannel("A")).min() < 255:
        raise ValueError(
            f"{path}: the mask has transparent pixels, which have no label. Export it "
            "without an alpha channel."
        )
    return image.convert(opaque_mode)


def _labels_of_numbers(numbers: np.ndarray, labels: Sequence[int] | None) -> np.ndarray:
    if labels is None:
        return numbers
    label_of_number = np.arange(256, dtype=np.uint8)
    label_of_number[: len(labels)] = labels
    return label_of_number[numbers]


def _labels_of_palette(
    image: Image.Image, colors: Mapping[Color, int], path: str | Path
) -> np.ndarray:
    indices = np.asarray(image)
    used = np.unique(indices)
    palette = np.zeros((256, 3), np.uint8)
    stored = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette[: len(stored)] = stored
    label_of_index = np.arange(256, dtype=np.uint8)
    for index in used:
        if index == 255:
            continue
        red, green, blue = (int(channel) for channel in palette[index])
        label = colors.get((red, green, blue))
        if label is None:
            count = int((indices == index).sum())
            raise ValueError(
                f"{path}: the palette gives index {index} ({count} pixels) the color "
                f"{(red, green, blue)}, which is not in the table of colors. Add it there, or "
                "leave the colors out of the table if the indices are the labels."
            )
        label_of_index[index] = label
    return label_of_index[indices]


def _table_for_rgb(
    image: Image.Image, colors: Mapping[Color, int] | None, path: str | Path
) -> Mapping[Color, int]:
    if colors:
        return colors
    red, green, blue = (np.asarray(channel) for channel in image.split())
    if (red == green).all() and (red == blue).all():
        raise ValueError(
            f"{path}: the mask is an RGB image in which all pixels are gray. If its gray values "
            "are the labels, save it with one channel; else give a table of colors."
        )
    raise ValueError(
        f"{path}: the mask is an RGB image. Give a table of colors that says which color is "
        "which class, or save the labels as a palette or gray PNG."
    )


def _labels_of_colors(
    image: np.ndarray, colors: Mapping[Color, int], path: str | Path
) -> np.ndarray:
    codes = _codes(image)
    table = sorted((int(_codes(np.array(color))), label) for color, label in colors.items())
    known = np.array([code for code, _ in table], np.int32)
    labels = np.array([label for _, label in table], np.uint8)
    position = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    unknown = known[position] != codes
    if unknown.any():
        y, x = (int(i) for i in np.argwhere(unknown)[0])
        num_colors = len(np.unique(codes[unknown]))
        cause = (
            "the mask was resized with smoothing or drawn with anti-aliased edges; export it "
            "without."
            if num_colors > 8
            else "a class is missing in the table."
        )
        raise ValueError(
            f"{path}: the color {tuple(image[y, x].tolist())} at x={x}, y={y} is not in the "
            f"table of colors; {unknown.sum()} pixels in {num_colors} colors are not. Likely "
            f"cause: {cause}"
        )
    return labels[position]


def _codes(colors: np.ndarray) -> np.ndarray:
    """Returns one number a color: shape `(..., 3)` to `(...)`."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return (red << 16) | (green << 8) | blue


def _narrowed(values: np.ndarray, path: str | Path) -> np.ndarray:
    if values.min() < 0 or values.max() > 255:
        raise ValueError(
            f"{path}: labels must be in [0, 255]. Received: {values.min()} to {values.max()} in "
            "a mask of more than 8 bits. Likely cause: it contains instance numbers or depth, not "
            "classes."
        )
    return values.astype(np.uint8)
