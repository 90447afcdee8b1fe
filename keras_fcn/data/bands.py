"""Files of any number of bands and any depth: TIFF, GeoTIFF and NumPy arrays.

They are read as a whole or by windows, so that memory does not grow with the file. TIFF needs
tifffile and imagecodecs, which `pip install "keras_fcn[bands]"` installs.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_fcn.modalities import ImageReading

NPY = ".npy"
TIFF_SUFFIXES = (".tif", ".tiff")
# Scale, tie points, transformation, keys, their numbers and texts, and rational polynomials.
_GEOREFERENCE = (33550, 33922, 34264, 34735, 34736, 34737, 50844)
_ALPHA = (1, 2)  # values of ExtraSamples
_PALETTE = 3
_KINDS = {0: "gray", 1: "gray", 2: "rgb", 6: "rgb"}  # by PhotometricInterpretation
_CACHE_BYTES = 256 * 2**20
_TILE = 256  # pixels along each side of the tiles that are written
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class BandCountError(ValueError):
    """A file has another number of bands than a network takes."""


@dataclass(frozen=True)
class Form:
    """What the bands of a file are.

    Args:
        num_bands: Number of bands, alpha included.
        kind: What the first ones are.
        has_alpha: Whether the last one is alpha.
        white_is_zero: Whether small gray values are bright.
        nodata: The value of pixels without data, if there is one.
    """

    num_bands: int
    kind: Literal["gray", "rgb", "other"] = "other"
    has_alpha: bool = False
    white_is_zero: bool = False
    nodata: float | None = None

    @property
    def num_colors(self) -> int:
        """Number of bands without alpha."""
        return self.num_bands - self.has_alpha


def image_of(values: np.ndarray, form: Form, reading: ImageReading, path: Path) -> np.ndarray:
    """Returns the image of a network from the values of a file.

    Args:
        values: As stored, shape `(height, width, bands)`.
        form: What the bands are.
        reading: What the network takes.
        path: The file, for messages.

    Returns:
        RGB, uint8; for other numbers of channels float32, NaN where there is no data.

    Raises:
        ValueError: If the file has other bands, or values that no range is given for.
    """
    if values.dtype.kind not in "buif":
        raise ValueError(f"{path}: values of the type {values.dtype} cannot be read.")
    if reading.is_rgb:
        return _rgb(_colors(values, form, reading, path), form, reading, path)
    wanted = reading.num_channels
    if wanted not in (form.num_bands, form.num_colors):
        raise BandCountError(
            f"{path}: the network takes images of {_bands(wanted)} (`--channels {wanted}`). "
            f"Received: {_described(form)}."
        )
    bands = values[..., :wanted].astype(np.float32)
    missing = ~np.isfinite(bands)
    if form.nodata is not None:
        missing |= values[..., :wanted] == form.nodata
    bands[missing] = np.nan
    return bands


def _described(form: Form) -> str:
    return _bands(form.num_bands) + ", the last of them alpha" * form.has_alpha


def _bands(count: int) -> str:
    return f"{count} band" + "s" * (count > 1)


def _colors(values: np.ndarray, form: Form, reading: ImageReading, path: Path) -> np.ndarray:
    """Returns one band or three of a file that is read as RGB."""
    colors = form.num_colors
    if colors in (1, 3):
        return values[..., :colors]
    if colors > 3 and reading.channels == 3:
        return values[..., :3]
    count = form.num_bands
    ways = f"Train on all of them by --channels {count}"
    if count > 2:
        ways += ", or on the first three as red, green and blue by --channels 3"
    raise ValueError(
        f"{path}: the image has {count} bands ({count} channels), and RGB has three. {ways}."
    )


def _rgb(colors: np.ndarray, form: Form, reading: ImageReading, path: Path) -> np.ndarray:
    """Returns RGB in 0..255 of one band or three."""
    limits = reading.value_range
    if limits is not None:
        if colors.dtype == np.uint8 and limits[1] > 255:
            raise ValueError(
                f"{path}: the image has 8 bits, and --value-range says that values go up to "
                f"{limits[1]:g}. All images of a dataset must have the same range."
            )
        shares = (colors.astype(np.float32) - limits[0]) / (limits[1] - limits[0])
        shares = np.clip(np.nan_to_num(shares, nan=0.0), 0, 1)
        if form.nodata is not None:
            shares[colors == form.nodata] = 0
        eight = np.rint(255 * shares).astype(np.uint8)
    elif colors.dtype == np.uint16:
        eight = (colors >> 8).astype(np.uint8)
    elif colors.dtype == bool:
        eight = 255 * colors.astype(np.uint8)
    elif colors.dtype == np.uint8:
        eight = np.asarray(colors)
    else:
        low, high = valid_range(colors, form)
        raise ValueError(
            f"{path}: {_described_type(colors.dtype)} have no range of their own; those found go "
            f"from {low:g} to {high:g}. Say which become black and white, for example by "
            f"--value-range {low:g},{high:g}, or save the image with 8 bits a channel."
        )
    if form.white_is_zero:
        eight = 255 - eight
    return np.repeat(eight, 3, axis=-1) if eight.shape[-1] == 1 else eight


def _described_type(dtype: np.dtype[Any]) -> str:
    return "floating-point numbers" if dtype.kind == "f" else f"whole numbers of type {dtype}"


def valid_range(values: np.ndarray, form: Form) -> tuple[float, float]:
    """Returns the smallest and the largest value, without alpha and pixels without data."""
    valid = valid_values(values, form)
    return (float(valid.min()), float(valid.max())) if valid.size else (0.0, 0.0)


def valid_values(values: np.ndarray, form: Form) -> np.ndarray:
    """Returns the values without alpha and pixels without data, flat."""
    colors = values[..., : form.num_colors].reshape(-1)
    valid = colors[np.isfinite(colors)] if colors.dtype.kind == "f" else colors
    return valid if form.nodata is None else valid[valid != form.nodata]


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Returns an image as its EXIF orientation, 1 to 8, says that it is shown.

    >>> turned(np.array([[1, 2, 3]]), 6).tolist()
    [[1], [2], [3]]
    """
    if orientation in (5, 6, 7, 8):
        values = np.swapaxes(values, 0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


def is_tiff(path: Path) -> bool:
    """Returns whether a file is a TIFF, by its first bytes."""
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


def has_tifffile() -> bool:
    """Returns whether the extra `bands` is installed."""
    return find_spec("tifffile") is not None


def check_page(path: Path, count: int, page: int | None) -> int:
    """Returns the index of the page to read, of a file with `count` of them.

    Raises:
        ValueError: If there are several and none is chosen, or there is no such page.
    """
    if page is None:
        if count > 1:
            raise ValueError(
                f"{path}: the file has {count} pages or frames, of which one is the image. Choose "
                f"it by --page N, 1 to {count}, or save it as a file of its own."
            )
        return 0
    if page > count:
        raise ValueError(
            f"{path}: --page {page} is not there; the number of pages or frames is {count}."
        )
    return page - 1


class Raster:
    """An open TIFF file or NumPy array, of which windows can be read; see `open_raster`.

    Attributes:
        height: Pixels.
        width: Pixels.
        form: What the bands are.
        orientation: The EXIF orientation, 1 to 8, which `read` does not apply.
        georeference: The tags of GeoTIFF that say where on earth it is, as
            `tifffile.TiffWriter.write` takes them; empty if there are none.
    """

    height: int
    width: int
    form: Form
    orientation = 1
    georeference: tuple[tuple[Any, ...], ...] = ()

    def read(self, rows: slice = slice(None), columns: slice = slice(None)) -> np.ndarray:
        """Returns a window as it is stored, shape `(height, width, bands)`."""
        raise NotImplementedError


@contextmanager
def open_raster(path: Path, reading: ImageReading) -> Iterator[Raster]:
    """Opens a TIFF file or a NumPy array.

    Args:
        path: The file.
        reading: Names the page and the number of bands.

    Raises:
        ValueError: If the file is damaged, of another form, or needs a package that is missing.
        FileNotFoundError: If there is no such file.
    """
    if path.suffix.lower() == NPY:
        yield _Array(path, reading)
        return
    if not has_tifffile():
        raise ValueError(
            f"{path}: a TIFF of this form needs tifffile and imagecodecs. Install them: "
            'pip install "keras_fcn[bands]"'
        )
    import tifffile

    with _errors_named(path):
        file = tifffile.TiffFile(path)
    with file:
        with _errors_named(path):
            raster = _Tiff(path, file, reading)
        yield raster


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Raises ValueError, which names the file, for whatever tifffile raises about it."""
    try:
        yield
    except (FileNotFoundError, ImportError, MemoryError):
        raise
    except Exception as error:  # whatever the damage leads it to
        if str(path) in str(error):
            raise
        hint = ""
        if "imagecodecs" in str(error):
            hint = ' Install it: pip install "keras_fcn[bands]"'
        raise ValueError(f"{path}: the image cannot be read ({error}).{hint}") from error


class _Array(Raster):
    def __init__(self, path: Path, reading: ImageReading) -> None:
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path}: not a NumPy array that can be read ({error}).") from error
        if not isinstance(values, np.ndarray) or values.ndim not in (2, 3):
            raise ValueError(
                f"{path}: an image must be an array of shape (height, width, bands). Received: "
                f"shape {getattr(values, 'shape', None)}."
            )
        if reading.page not in (None, 1):
            check_page(path, 1, reading.page)
        if values.ndim == 2:
            values = values[..., None]
        self._values = np.moveaxis(values, _axis_of_bands(values.shape, reading, path), -1)
        self.height, self.width, bands = self._values.shape
        self.form = Form(bands)

    def read(self, rows: slice = slice(None), columns: slice = slice(None)) -> np.ndarray:
        return _native(self._values[rows, columns])


def _axis_of_bands(shape: tuple[int, ...], reading: ImageReading, path: Path) -> int:
    """Returns which axis of an array are its bands: the one that has as many as are expected."""
    wanted = reading.channels
    if wanted is None:
        raise ValueError(
            f"{path}: an array does not say what its bands are. Received: shape {shape}. Say how "
            "many there are by --channels N."
        )
    axes = [axis for axis in (0, 2) if shape[axis] == wanted]
    if len(axes) == 1:
        return axes[0]
    if axes:
        raise ValueError(
            f"{path}: the first and the last axis of the array have {wanted} entries; it is not "
            f"clear which are the bands. Received: shape {shape}. Save it as TIFF."
        )
    raise BandCountError(
        f"{path}: the network takes images of {_bands(wanted)} (`--channels {wanted}`), as an "
        f"array (height, width, bands) or (bands, height, width). Received: shape {shape}."
    )


class _Tiff(Raster):
    """A page of a TIFF; or all its pages, if there are as many, of one band each, as expected."""

    def __init__(self, path: Path, file: Any, reading: ImageReading) -> None:
        self._path = path
        self._pages = self._chosen(file, reading)
        first = self._pages[0]
        photometric = int(first.photometric)
        if photometric == _PALETTE or (reading.is_rgb and photometric not in _KINDS):
            raise ValueError(
                f"{path}: a TIFF of the kind {first.photometric.name} cannot be read. Save it as "
                "gray or RGB."
            )
        self._maps = [_memory_map(path, page) for page in self._pages]
        self._segments: OrderedDict[tuple[int, int], np.ndarray | None] = OrderedDict()
        self._file = file
        self.height, self.width = first.imagelength, first.imagewidth
        if first.imagedepth > 1:
            raise ValueError(f"{path}: images of {first.imagedepth} slices cannot be read.")
        bands = len(self._pages) if len(self._pages) > 1 else first.samplesperpixel
        extra = tuple(first.extrasamples)
        self.form = Form(
            bands,
            _KINDS.get(photometric, "other"),  # type: ignore[arg-type]
            has_alpha=len(self._pages) == 1 and bool(extra) and int(extra[-1]) in _ALPHA,
            white_is_zero=photometric == 0,
            nodata=_nodata(first),
        )
        tags = first.tags
        self.orientation = int(tags[274].value) if 274 in tags else 1
        if self.orientation not in range(1, 9):
            self.orientation = 1
        if self.orientation == 1 and 34735 in tags:
            self.georeference = tuple(
                (code, int(tags[code].dtype), tags[code].count, tags[code].value, True)
                for code in _GEOREFERENCE
                if code in tags
            )

    def _chosen(self, file: Any, reading: ImageReading) -> list[Any]:
        pages = [page for page in file.pages if not (page.is_reduced or page.is_mask)]
        pages = pages or [file.pages[0]]
        if file.is_imagej and len(pages) == 1 and file.series[0].ndim > len(pages[0].shape):
            raise ValueError(
                f"{self._path}: a stack that ImageJ wrote as one block cannot be read. Save it as "
                "TIFF with one page per band, or as a .npy array."
            )
        if len(pages) > 1 and reading.page is None and len(pages) == reading.channels:
            same = {(page.shape, page.dtype, page.samplesperpixel) for page in pages}
            if len(same) == 1 and pages[0].samplesperpixel == 1:
                return pages
        return [pages[check_page(self._path, len(pages), reading.page)]]

    def read(self, rows: slice = slice(None), columns: slice = slice(None)) -> np.ndarray:
        top, bottom, _ = rows.indices(self.height)
        left, right, _ = columns.indices(self.width)
        with _errors_named(self._path):
            parts = [self._read(k, (top, bottom), (left, right)) for k in range(len(self._pages))]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def _read(self, k: int, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        page, mapped = self._pages[k], self._maps[k]
        if mapped is not None:
            return _native(mapped[slice(*rows), slice(*columns)])
        if (rows, columns) == ((0, self.height), (0, self.width)):
            return _native(_bands_last(page.asarray(), page))
        return _native(self._window(k, rows, columns))

    def _window(self, k: int, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        """Returns a window of a compressed page, from the tiles or strips that it touches."""
        page = self._pages[k]
        high = page.tilelength if page.is_tiled else min(page.rowsperstrip, self.height)
        wide = page.tilewidth if page.is_tiled else self.width
        across, down = -(-self.width // wide), -(-self.height // high)
        is_separate = int(page.planarconfig) == 2 and page.samplesperpixel > 1
        planes = page.samplesperpixel if is_separate else 1
        size = (rows[1] - rows[0], columns[1] - columns[0], page.samplesperpixel)
        window = np.full(size, self.form.nodata or 0, page.dtype)
        for plane in range(planes):
            into = window[..., plane : plane + 1] if is_separate else window
            for row in range(rows[0] // high, -(-rows[1] // high)):
                for column in range(columns[0] // wide, -(-columns[1] // wide)):
                    segment = self._segment(k, (plane * down + row) * across + column)
                    if segment is None:
                        continue  # a sparse file: no data there
                    top, left = row * high, column * wide
                    y = slice(max(rows[0], top), min(rows[1], top + segment.shape[0]))
                    x = slice(max(columns[0], left), min(columns[1], left + segment.shape[1]))
                    into[
                        y.start - rows[0] : y.stop - rows[0],
                        x.start - columns[0] : x.stop - columns[0],
                    ] = segment[y.start - top : y.stop - top, x.start - left : x.stop - left]
        return window

    def _segment(self, k: int, index: int) -> np.ndarray | None:
        """Returns a decoded tile or strip; the last ones are kept."""
        kept = self._segments
        if (k, index) in kept:
            kept.move_to_end((k, index))
            return kept[k, index]
        page = self._pages[k]
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        segment = None
        if count:
            self._file.filehandle.seek(offset)
            data = self._file.filehandle.read(count)
            decoded, _, shape = page.decode(data, index, jpegtables=page.jpegtables)
            if decoded is not None:
                segment = decoded[0, : shape[1], : shape[2]]
        kept[k, index] = segment
        while (
            len(kept) > 1 and sum(s.nbytes for s in kept.values() if s is not None) > _CACHE_BYTES
        ):
            kept.popitem(last=False)
        return segment


def _native(values: np.ndarray) -> np.ndarray:
    """Returns a copy in memory, in this machine's order of bytes."""
    return np.array(values, values.dtype.newbyteorder("="))


def _memory_map(path: Path, page: Any) -> np.ndarray | None:
    """Returns the values of a page as they are on disk, if nothing has to be decoded."""
    import tifffile

    if not page.is_memmappable:
        return None
    return _bands_last(tifffile.memmap(path, page=page.index, mode="r"), page)


def _bands_last(values: np.ndarray, page: Any) -> np.ndarray:
    """Returns the values of a page, shape `(height, width, bands)`."""
    if page.samplesperpixel == 1:
        return values.reshape(page.imagelength, page.imagewidth, 1)
    if int(page.planarconfig) == 2:
        values = values.reshape(page.samplesperpixel, page.imagelength, page.imagewidth)
        return np.moveaxis(values, 0, -1)
    return values.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)


def _nodata(page: Any) -> float | None:
    """Returns the value of pixels without data that GDAL notes in a tag of its own."""
    tag = page.tags.get(42113)
    try:
        return None if tag is None else float(str(tag.value).strip("\0 "))
    except ValueError:
        return None


def picture_of(image: np.ndarray) -> np.ndarray:
    """Returns an RGB picture of bands, to look at: the first three, else the first in gray.

    Each is stretched from its 2nd to its 98th percentile; pixels without data are black.

    >>> picture_of(np.array([[[0.0, 9.0], [50.0, 9.0]]], "float32"))[0, :, 0].tolist()
    [0, 255]
    """
    shown = image[..., :3] if image.shape[-1] >= 3 else image[..., :1]
    channels = [_stretched(shown[..., band]) for band in range(shown.shape[-1])]
    return np.stack(channels * (3 // len(channels)), axis=-1)


def _stretched(band: np.ndarray) -> np.ndarray:
    valid = band[np.isfinite(band)]
    low, high = np.percentile(valid, (2, 98)) if valid.size else (0.0, 1.0)
    share = (band - low) / max(high - low, 1e-9)
    return np.rint(255 * np.clip(np.nan_to_num(share, nan=0.0), 0, 1)).astype(np.uint8)


def write_georeferenced(
    path: Path,
    values: np.ndarray,
    georeference: Sequence[tuple[Any, ...]],
    palette: np.ndarray | None = None,
) -> None:
    """Writes predictions, or a value per pixel, as a compressed TIFF with a georeference, in tiles.

    Args:
        path: The file.
        values: Shape `(height, width)`; an array on disk is read tile by tile. Predictions are
            uint8.
        georeference: As of `Raster`.
        palette: Of predictions, the color of each value, uint8, shape `(256, 3)`.
    """
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=values.nbytes > 2**31) as writer:
        writer.write(
            _tiles_of(values),
            shape=values.shape,
            dtype=values.dtype,
            tile=(_TILE, _TILE),
            photometric="minisblack" if palette is None else "palette",
            colormap=None if palette is None else palette.T.astype(np.uint16) * 257,
            compression="zlib",
            metadata=None,
            extratags=list(georeference),
        )


def _tiles_of(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the tiles of a TIFF, row by row; those at the right and bottom are filled with 0."""
    height, width = values.shape
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            tile = np.zeros((_TILE, _TILE), values.dtype)
            part = values[top : top + _TILE, left : left + _TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile
