"""Reading masks exactly: what a file stores, and the labels that it stands for."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from keras_fcn.data.bands import turned
from keras_fcn.data.image_io import DEEP_MODES, full_pages, opened_image, orientation_of
from keras_fcn.labels import Color, LabelSpec

VOID = 255

# Compressions of TIFF files that change values.
_LOSSY_TIFF = ("jpeg", "tiff_jpeg", "webp")
_WHITE = 0xFFFFFF
_PICTURE = 64  # so many values are rather those of a picture than of labels
_SMALL = 1024  # in fewer pixels there is no telling areas from lines


@dataclass(frozen=True)
class StoredMask:
    """A mask as its file stores it, before anything says what the values mean.

    Args:
        path: The file.
        kind: `gray`: `values` are gray values; `palette`: indices; `rgb`: colors as `code_of`
            returns them.
        values: Stored values, shape `(height, width)`: those of 2 and 4 bits are 0 to 3
            and 0 to 15, those of 1 bit 0 and 1.
        white: The gray value that is white; of a gray image only.
        palette: Color code of each index, shape `(256,)`; of a palette image only.
        is_gif: Whether it is a GIF, whose indices change whenever a program saves it.
    """

    path: Path
    kind: Literal["gray", "palette", "rgb"]
    values: np.ndarray
    white: int = 255
    palette: np.ndarray | None = None
    is_gif: bool = False

    @classmethod
    def read(cls, path: str | Path) -> "StoredMask":
        """Reads a mask: a palette image, a gray image of 1 to 16 bits, or RGB; alpha is dropped.

        The EXIF orientation of the file is applied.

        Raises:
            ValueError: If the file is damaged, its compression changes values, or it is of
                another form. The message names the file.
            FileNotFoundError: If there is no such file.
        """
        with opened_image(path) as image:
            _check_form(image, path)
            stored = cls._of(image, Path(path))
            # After the pixels, for which Pillow decodes a PNG; it turns a TIFF itself.
            orientation = 1 if image.format == "TIFF" else orientation_of(image)
            return replace(stored, values=turned(stored.values, orientation))

    @classmethod
    def _of(cls, image: Image.Image, path: Path) -> "StoredMask":
        raw_mode, maximum = _raw_mode(image)
        if ";16" in raw_mode and not image.mode.startswith("I"):
            raise ValueError(
                f"{path}: a mask with 16 bits a channel and alpha or colors cannot be read "
                "exactly. Export it as a gray or palette PNG, or as RGB with 8 bits a channel."
            )
        if image.mode == "P":
            return cls(
                path,
                "palette",
                np.asarray(image),
                palette=_palette_codes(image),
                is_gif=image.format == "GIF",
            )
        if image.mode in ("RGBA", "LA", "RGBX", "PA"):
            image = _without_alpha(image, path)
        if image.mode == "RGB":
            return cls(path, "rgb", code_of(np.asarray(image)))
        if image.mode == "1":
            return cls(path, "gray", np.asarray(image).astype(np.uint8), white=1)
        if image.mode in DEEP_MODES:
            values = np.asarray(image).astype(np.int64)
            if maximum and maximum != 65535:  # PGM: Pillow has stretched it
                values = np.rint(values * maximum / 65535).astype(np.int64)
            return cls(path, "gray", values, white=maximum or 65535)
        if image.mode != "L":
            raise ValueError(
                f"{path}: a mask of mode {image.mode!r} cannot be read. Expected a palette "
                "image, a gray image of labels, or RGB with a table of colors."
            )
        values = np.asarray(image)
        white = maximum or 255
        if maximum:  # PGM: Pillow has stretched it to 255
            values = np.rint(values * (maximum / 255)).astype(np.uint8)
        elif bits := re.match(r"L;([24])", raw_mode):
            white = 2 ** int(bits[1]) - 1
            values = values // (255 // white)
        if re.match(r"L(;\d)?;?I", raw_mode):  # TIFF in which 0 is white
            values = np.uint8(white) - values
        return cls(path, "gray", values, white=white)

    @property
    def gray_levels(self) -> np.ndarray | None:
        """The brightness of each pixel, 0 to 255; `None` where a pixel is not gray."""
        codes = self.codes
        levels = codes & 0xFF
        return levels if (codes == levels * 0x010101).all() else None

    @property
    def codes(self) -> np.ndarray:
        """The color of each pixel as one number; -1 where a 16-bit value has no color."""
        return self.codes_of(self.values)

    @property
    def is_set(self) -> np.ndarray:
        """Whether each pixel is in a mask of a single class: not 0, of a palette not black."""
        if self.palette is not None and self.codes.any():
            return np.asarray(self.codes != 0)
        return np.asarray(self.values != 0)

    def codes_of(self, values: np.ndarray) -> np.ndarray:
        """Returns the color codes of values among those that are stored."""
        if self.kind == "rgb":
            return values
        if self.palette is not None:
            return self.palette[values]
        values = values.astype(np.int64)
        if self.white > 255:
            # Labels up to 255 in 16 bits, or colors stretched to 16 bits.
            stretched = self.values.max(initial=0) > 255
            levels = values // 257 if stretched else values
            return np.where(stretched & (values % 257 != 0), -1, levels * 0x010101)
        return np.rint(values * (255 / self.white)).astype(np.int64) * 0x010101

    def by_number(self, numbers: Mapping[int, int] | None = None) -> np.ndarray:
        """Returns the labels of stored numbers: of gray values, or of palette indices.

        Args:
            numbers: Label by number; 255 is ignored unless it is among them. Without it
                the numbers are the labels.
        """
        values = self.values
        if self.kind == "rgb":
            levels = self.gray_levels
            if levels is None:
                raise ValueError(self._rgb_needs_table())
            values = levels
        return self._labels(values, numbers)

    def by_gray_level(self, numbers: Mapping[int, int] | None = None) -> np.ndarray:
        """Returns the labels of brightnesses, also where they are stored in a palette."""
        levels = self.gray_levels
        if self.kind == "gray" or levels is None:
            return self.by_number(numbers)
        return self._labels(levels, numbers)

    def by_color(self, colors: Mapping[Color, int]) -> np.ndarray:
        """Returns the labels of colors, which must all be in the table.

        The index 255 of a palette is ignored, unless it has a color of its own that the table
        gives to a class.
        """
        table = {int(code_of(np.array(color))): label for color, label in colors.items()}
        if self.palette is not None:
            return self._by_palette(table)
        codes = self.codes
        if self.kind == "gray" and self.white == 255:
            # 255 means ignored in a gray mask, unless the table gives white to a class.
            table.setdefault(_WHITE, VOID)
        return _lookup(codes, table, self)

    def _by_palette(self, table: Mapping[int, int]) -> np.ndarray:
        assert self.palette is not None
        label_of_index = np.full(256, VOID, np.uint8)
        for index in np.unique(self.values):
            code = int(self.palette[index])
            if index == VOID and ((self.palette[:VOID] == code).any() or code not in table):
                continue  # a padded palette gives index 255 the color of other indices
            if code not in table:
                count = int((self.values == index).sum())
                raise ValueError(
                    f"{self.path}: the palette gives index {index} ({count} pixels) the color "
                    f"{color_of(code)}, which is not in the table of colors. Add it there, or "
                    "leave the colors out of the table if the indices are the labels."
                )
            label_of_index[index] = table[code]
        return label_of_index[self.values]

    def _labels(self, values: np.ndarray, numbers: Mapping[int, int] | None) -> np.ndarray:
        lowest, highest = int(values.min(initial=0)), int(values.max(initial=0))
        if numbers is None:
            if highest == self.white > 255 and set(np.unique(values).tolist()) == {0, highest}:
                raise ValueError(
                    f"{self.path}: the mask contains only 0 and {highest}. If {highest} is a "
                    f"class, write a classes.csv of two lines: `0,background`, `{highest},object`."
                )
            if lowest < 0 or highest > 255:
                raise ValueError(
                    f"{self.path}: labels must be in [0, 255]. Received: {lowest} to {highest} in "
                    "a mask of more than 8 bits. Likely cause: it contains instance numbers or "
                    "depth, not classes. Export the class numbers."
                )
            return values.astype(np.uint8)
        table = {VOID: VOID, **numbers}
        if lowest >= 0 and highest <= 65535:
            label_of_number = np.full(65536, -1, np.int16)
            for number, label in table.items():
                if 0 <= number <= 65535:
                    label_of_number[number] = label
            labels = label_of_number[values]
            if labels.min(initial=0) >= 0:
                return labels.astype(np.uint8)
        found, counts = np.unique(values, return_counts=True)
        outside = [k for k, value in enumerate(found) if int(value) not in table]
        shown = ", ".join(str(found[k]) for k in outside[:6]) + ", ..." * (len(outside) > 6)
        raise ValueError(
            f"{self.path}: labels must be in the table of classes, which contains "
            f"{describe_numbers(numbers)}. Received: {shown} in {counts[outside].sum()} of "
            f"{values.size} pixels. Likely cause: {_cause_of_numbers(found, outside, numbers)}"
        )

    def _rgb_needs_table(self) -> str:
        found = [color_of(int(code)) for code in np.unique(self.values)]
        shown = ", ".join(map(str, found[:6])) + f" and {len(found) - 6} more" * (len(found) > 6)
        return (
            f"{self.path}: the mask is an RGB image. Give a table of colors that says which color "
            "is which class (classes.txt, lines such as `car 64 0 128`; --write-classes writes one "
            "of the colors that occur), or save the labels as a palette or gray PNG. Its colors: "
            f"{shown}."
        )


def read_mask(
    path: str | Path,
    colors: Mapping[Color, int] | None = None,
    numbers: Mapping[int, int] | None = None,
) -> np.ndarray:
    """Reads a label map, in the forms in which segmentation datasets are published.

    * Palette images (mode "P", as PASCAL VOC has): the indices, whatever the colors are.
    * Gray images of 1 to 16 bits: the stored values. So are RGB images in which all is gray.
    * RGB images: through `colors`, which must contain every color that occurs.

    With `colors`, a palette image is read by its colors too (an editor may have
    renumbered its palette), and so is a gray image, if all its gray values are colors of
    the table, such as black and white. Otherwise a gray image contains the numbers themselves.

    Args:
        path: An image file without loss: PNG, BMP, GIF, TIFF.
        colors: Label by `(red, green, blue)`.
        numbers: Label by number, for masks that contain numbers of another order
            than the classes; 255 is ignored unless it is one of them.

    Returns:
        Labels, uint8, shape `(height, width)`.

    Raises:
        ValueError: If the file is damaged, is of another form, or contains a
            color or number that is not in the table. The message names the file and
            the likely cause.
        FileNotFoundError: If there is no such file.
    """
    stored = StoredMask.read(path)
    if colors and (stored.kind != "gray" or _fits_gray(stored, colors)):
        return stored.by_color(colors)
    return stored.by_number(numbers)


def code_of(colors: np.ndarray) -> np.ndarray:
    """Returns one number a color: shape `(..., 3)` to `(...)`.

    >>> hex(code_of(np.array([255, 128, 0])))
    '0xff8000'
    """
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return (red << 16) | (green << 8) | blue


def color_of(code: int) -> Color:
    """Returns the color of `code_of`.

    >>> color_of(0xff8000)
    (255, 128, 0)
    """
    return code >> 16, (code >> 8) & 0xFF, code & 0xFF


def value_counts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values that occur, in order, and how often; fast where equal ones are in runs.

    >>> value_counts(np.array([[7, 7, 2], [2, 7, 7]]))
    (array([2, 7]), array([2, 4]))
    """
    flat = values.reshape(-1)
    if flat.dtype == np.uint8:
        counts = np.bincount(flat, minlength=256)
        found = np.flatnonzero(counts)
        return found, counts[found]
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(np.concatenate([starts, [flat.size]]))
    found, inverse = np.unique(flat[starts], return_inverse=True)
    return found, np.bincount(inverse, weights=lengths).astype(np.int64)


def is_lossy(values: np.ndarray) -> bool:
    """Returns whether the values of a mask were changed by a lossy compression, or smoothed.

    Labels form areas: nearly every pixel has a neighbor of the same label. A lossy
    compression leaves many values of which each occurs in scattered pixels along the edges.

    >>> is_lossy(np.repeat(np.arange(30), 40).reshape(30, 40))
    False
    """
    found, counts = value_counts(values)
    if len(found) < 12:
        return False
    places = _places(values, found)
    alone = np.ones(values.shape, bool)
    for one, other, same in _neighbors(places):
        alone[one] &= ~same
        alone[other] &= ~same
    scattered = np.bincount(places[alone], minlength=len(counts)) > 0.3 * counts
    if len(found) < _PICTURE and alone.mean() > 0.5:
        return False  # noise, such as labels that were drawn at random
    return int(scattered.sum()) >= max(8, len(counts) // 3)


def is_thin(values: np.ndarray) -> bool:
    """Returns whether half of the values of a mask form no areas, but lines of one pixel.

    Such are the values between labels of nearly equal numbers after a lossy compression. Masks of
    many thin objects have them too: it is a sign only if most masks of a dataset have it.

    >>> sharp, soft = np.repeat([0, 5, 9], 20), np.minimum(np.arange(60), 12)
    >>> is_thin(np.tile(sharp, (40, 1))), is_thin(np.tile(soft, (40, 1)))
    (False, True)
    """
    found, counts = value_counts(values)
    if len(found) < 7 or values.size < _SMALL:
        return False
    places = _places(values, found)
    inside = np.ones(values.shape, bool)
    for one, other, same in _neighbors(places):
        inside[one] &= same
        inside[other] &= same
    thin = np.bincount(places[inside], minlength=len(counts)) < 0.1 * counts
    are_few = bool(counts[thin].sum() < 0.5 * values.size)
    return are_few and int(thin.sum()) >= max(5, len(counts) / 2)


def _places(values: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Returns the place of each value among those that occur."""
    if values.dtype != np.uint8:
        return np.searchsorted(found, values)
    places = np.zeros(256, np.uint8)
    places[found] = np.arange(len(found))
    return places[values]


def _neighbors(values: np.ndarray) -> Iterator[tuple[Any, Any, np.ndarray]]:
    """Yields slices of pixels and of those below and to the right, and where both are equal."""
    for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        yield one, other, values[one] == values[other]


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


def describe_numbers(numbers: Mapping[int, int]) -> str:
    """Returns the numbers in short, such as `0 to 20`, or `0, 7, 8, 11`."""
    found = sorted(numbers)
    if found == list(range(found[0], found[-1] + 1)) and len(found) > 2:
        return f"{found[0]} to {found[-1]}"
    return ", ".join(map(str, found[:12])) + ", ..." * (len(found) > 12)


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


def _cause_of_numbers(found: np.ndarray, outside: list[int], numbers: Mapping[int, int]) -> str:
    present = {int(value) for value in found}
    missing = [int(found[k]) for k in outside]
    count = len(numbers)
    if len(missing) > 20:
        return (
            "the mask contains gray levels, not class numbers (saved as a gray picture of its "
            "colors, or resized with smoothing)."
        )
    if present <= {0, 128, 255}:
        return "a mask of two gray levels; give their colors in the table of classes."
    if missing == [count] and sorted(numbers) == list(range(count)):
        if 0 not in present:
            return (
                "the classes are numbered from 1, not from 0; write the numbers into the table "
                "(lines such as `1 car`)."
            )
        return (
            f"there is one class more than the {count} of the table (is 0 a background that the "
            "table leaves out? then write it as the first line, or give --ignore 0), or "
            f"{count} marks ignored pixels (--ignore {count})."
        )
    return (
        f"a class is missing in the table, or the mask is another kind of picture. --ignore "
        f"{missing[0]} ignores a number."
    )


def _check_form(image: Image.Image, path: str | Path) -> None:
    lossy = image.format in ("JPEG", "MPO")
    kind = "a JPEG"
    if image.format == "TIFF" and str(image.info.get("compression")) in _LOSSY_TIFF:
        lossy, kind = True, f"a TIFF with {image.info['compression'].upper()} compression"
    if image.format == "WEBP" and b"VP8 " in Path(path).read_bytes()[:512]:
        lossy, kind = True, "a lossy WebP"
    if image.format == "JPEG2000" and _is_irreversible(Path(path)):
        lossy, kind = True, "a lossy JPEG 2000"
    if image.format == "AVIF":
        # Nothing in the file says whether it is lossless, and small labels hide the loss.
        lossy, kind = True, "an AVIF"
    if lossy:
        raise ValueError(
            f"{path}: a mask must not be {kind}, whose compression changes labels. Export it "
            "again as PNG."
        )
    pages = full_pages(image)
    if len(pages) > 1:
        raise ValueError(
            f"{path}: the mask has {len(pages)} pages or frames, of which only one can be its "
            "label map. Save that one as PNG."
        )


def _is_irreversible(path: Path) -> bool:
    """Returns whether JPEG 2000 uses the wavelet that rounds (9-7), or layers with loss."""
    contents = path.read_bytes()[:65536]
    start = contents.find(b"\xff\x52")  # COD, the marker of the coding style
    return start >= 0 and len(contents) > start + 13 and contents[start + 13] == 0


def _raw_mode(image: Image.Image) -> tuple[str, int | None]:
    """Returns how the pixels are stored, and the value of white of a PGM that is not 255."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return "", None
    arguments = tiles[0][3]
    if image.format == "PPM":
        maximum = arguments[1] if isinstance(arguments, tuple) and len(arguments) == 2 else None
        return "", maximum if isinstance(maximum, int) and maximum != 255 else None
    raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return (raw_mode if isinstance(raw_mode, str) else ""), None


def _palette_codes(image: Image.Image) -> np.ndarray:
    codes = np.full(256, -1, np.int64)
    stored = code_of(np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3))
    codes[: len(stored)] = stored
    return codes


def _without_alpha(image: Image.Image, path: Path) -> Image.Image:
    """Returns the colors of a mask with alpha, if no pixel is ambiguous."""
    opaque_mode = "L" if image.mode == "LA" else "RGB"
    if image.mode == "RGBX":
        raise ValueError(f"{path}: the mask has 4 channels. Export it as RGB or as a palette PNG.")
    alpha = np.asarray(image.getchannel("A"))
    if alpha.min() == 255:
        return image.convert(opaque_mode)
    # Exports of drawing programs: areas of one opacity on a background that is transparent
    # and black. Anything else is an edge, or an erased area with a forgotten color.
    pixels = np.asarray(image)
    clear_is_black = not pixels[alpha == 0][:, :-1].any()
    if opaque_mode == "RGB" and len(np.unique(alpha)) <= 2 and clear_is_black:
        return image.convert("RGB")
    raise ValueError(
        f"{path}: the mask has transparent pixels, which have no label. Export it "
        "without an alpha channel."
    )


def _fits_gray(stored: StoredMask, colors: Mapping[Color, int]) -> bool:
    """Returns whether a gray mask is read by color."""
    if all(red == green == blue for red, green, blue in colors):
        return True
    codes = {int(code_of(np.array(color))) for color in colors}
    return {int(code) for code in np.unique(stored.codes)} <= codes


def _lookup(codes: np.ndarray, table: Mapping[int, int], stored: StoredMask) -> np.ndarray:
    known = np.array(sorted(table), np.int64)
    labels = np.array([table[code] for code in sorted(table)], np.uint8)
    position = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    unknown = known[position] != codes
    if unknown.any():
        raise ValueError(_unknown_colors(codes, unknown, table, stored))
    return labels[position]


def _unknown_colors(
    codes: np.ndarray, unknown: np.ndarray, table: Mapping[int, int], stored: StoredMask
) -> str:
    y, x = (int(i) for i in np.argwhere(unknown)[0])
    found = np.unique(codes[unknown])
    cause = "a class is missing in the table."
    if len(found) > 8:
        cause = (
            "the mask was resized with smoothing, drawn with anti-aliased edges, or compressed "
            "with loss; export it without."
        )
    elif stored.kind == "gray":
        level = int(codes[y, x]) & 0xFF
        for code in table:
            red, green, blue = color_of(code)
            brightness = (299 * red + 587 * green + 114 * blue) / 1000
            if code & 0xFF != level and abs(brightness - level) < 1:
                cause = (
                    f"{level} is the brightness of the color {color_of(code)}: a color mask was "
                    "saved as a gray picture. Export it in color."
                )
    return (
        f"{stored.path}: the color {color_of(int(codes[y, x]))} at x={x}, y={y} is not in the "
        f"table of colors; {unknown.sum()} pixels in {len(found)} colors are not. Likely "
        f"cause: {cause}"
    )
