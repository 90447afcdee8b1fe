"""Prediction on image files: predictions and an overlay for each."""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_fcn.data.bands import (
    NPY,
    TIFF_SUFFIXES,
    BandCountError,
    Raster,
    has_tifffile,
    image_of,
    open_raster,
    picture_of,
    write_georeferenced,
)
from keras_fcn.data.image_io import depth_problem, read_image
from keras_fcn.data.modality_files import Partners, joined, read_modalities, shown
from keras_fcn.datasets.folder_names import is_leftover, picture_suffixes
from keras_fcn.files import WrittenFiles, move, temporary_folder
from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.modalities import MODALITIES, ImageReading, num_channels
from keras_fcn.prediction.polygons import PolygonFiles, PolygonFormat
from keras_fcn.prediction.predictor import ImageSizeError, Predictor
from keras_fcn.prediction.tiling import TiledPredictor
from keras_fcn.visualization import label_image, overlay

# Files with more pixels are read by windows, if their format has any.
WINDOW_PIXELS = 4096**2

_MAX_JPEG_SIDE = 65_500  # of libjpeg

# Tags of a GeoTIFF, see `Raster.georeference`.
Georeference = Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class FilePrediction:
    """The result of one image file.

    Attributes:
        path: The image.
        written: The files written for it: predictions and overlay, for each head; none if there
            is an error.
        replaced: Number of those that existed before.
        error: What was wrong with it; None if nothing was.
    """

    path: Path
    written: tuple[Path, ...] = ()
    replaced: int = 0
    error: str | None = None


def find_images(
    inputs: Iterable[str | Path],
    *,
    with_arrays: bool = False,
    on_left_out: Callable[[str], object] | None = None,
) -> list[Path]:
    """Returns the image files that files, folders and patterns name, each once.

    What commands of this package wrote, and what systems leave in folders, is left out unless it
    is named itself.

    Args:
        inputs: Files, whether they exist or not; folders, for the images directly in them, of all
            formats that are read for training; and patterns with `*`, `?`, `[...]`, `**`.
        with_arrays: Whether the `.npy` files in a folder are images.
        on_left_out: Called for each folder and pattern of which something was left out, with a
            sentence.

    Returns:
        The files: in the order of `inputs`, sorted within a folder or pattern.

    Raises:
        ValueError: If a folder or pattern yields no image.
    """
    files: dict[Path, Path] = {}
    for name in inputs:
        suffixes = picture_suffixes() | ({NPY} if with_arrays else set())
        for path in _files_of(name, suffixes, on_left_out or (lambda _: None)):
            files.setdefault(path.absolute(), path)
    return list(files.values())


def predict_files(
    predictor: Predictor,
    paths: Sequence[str | Path],
    output_dir: str | Path,
    *,
    folders: Mapping[str, str | Path] | None = None,
    modalities: Sequence[str] | None = None,
    image_reading: ImageReading | None = None,
    with_overlay: bool = True,
    polygons: PolygonFormat | None = None,
    overwrite: bool = False,
    on_file: Callable[[FilePrediction], None] | None = None,
) -> list[FilePrediction]:
    """Predicts the classes of image files, one file after the other.

    For `photo.jpg` it writes `photo.png`, the predictions as a palette image of the photo's size,
    and `photo_overlay.jpg`. For a GeoTIFF it writes `photo.tif` instead, with the same
    georeference; so it does for a TIFF or array of more than `WINDOW_PIXELS`, which it reads by
    windows, in tiles, and of which it draws no overlay. Pixels in which all bands have no data are
    ignored pixels there. If two images had the same name that way, all outputs keep the
    folders of their images; if that is not enough, also the suffix (`photo.jpg.png`). With
    several heads the names end in the head's (`photo_semantic.png`).

    Args:
        predictor: The network.
        paths: Image files. The EXIF orientation is applied. For a network of several
            modalities those of the first. A network of other channels that does not name them
            takes files of as many bands.
        output_dir: Folder to write to; created if missing. Files of an earlier run are replaced.
            Others, and those that were edited since, are not.
        folders: For a network of several modalities: by name of each further one, such as
            `"hha"`, the folder of its images, which have the names of `paths`.
        modalities: Names of the images that the network takes, in its order, such as
            `("rgb", "depth")`. By default those that its file names.
        image_reading: How image files are read. By default as in the training.
        with_overlay: Whether to write overlays.
        polygons: A labelling tool, whose files are written instead of palette images
            (`PolygonFiles`); with several heads in a folder for each.
        overwrite: Whether to replace files that this package did not write, or that were edited
            since, such as corrected masks.
        on_file: Called after each file.

    Returns:
        One result for each of `paths`. Images that could not be read, and those of which a file
        could not be written, have an `error`. All files of an image are written, or none.

    Raises:
        ValueError: If an image would be overwritten, image files do not have the network's
            channels, or `folders` are not those of its modalities.
        FileExistsError: If files would be overwritten that an earlier run did not write, or that
            were edited since; nothing was predicted then.
    """
    names = _checked_modalities(predictor, modalities)
    reading = image_reading or predictor.image_reading
    _check_folders(names, {name: Path(folder) for name, folder in (folders or {}).items()})
    others = {name: Partners(Path(folder)) for name, folder in (folders or {}).items()}
    images = [Path(path) for path in paths]
    targets = [Path(output_dir) / name for name in _output_names(images)]
    inputs = [*images, *(file for folder in others.values() for file in folder.files)]
    _check_inputs_stay(inputs, targets, predictor.heads)
    written = WrittenFiles()
    writers = _polygon_files(polygons, Path(output_dir), predictor.heads, images, written)
    outputs = _all_outputs(
        images, targets, Path(output_dir), predictor.heads, with_overlay, writers
    )
    written.check(outputs, overwrite=overwrite)
    if _is_one_picture(names) and (problem := depth_problem(images, reading)):
        raise ValueError(problem)
    run = _Run(predictor, names, others, reading, Path(output_dir), with_overlay, writers, written)
    results = []
    for path, target in zip(images, targets, strict=True):
        result = run.predict(path, target)
        results.append(result)
        if on_file:
            on_file(result)
    for writer in writers.values():
        writer.finish()
    return results


def _polygon_files(
    polygons: PolygonFormat | None,
    output_dir: Path,
    heads: Heads,
    images: Sequence[Path],
    written: WrittenFiles,
) -> dict[str, PolygonFiles]:
    """Returns what writes the polygons of each head; nothing if there are none to write."""
    if polygons is None:
        return {}
    common = Path(os.path.commonpath([path.absolute().parent for path in images]))
    return {
        head: PolygonFiles(
            polygons, output_dir / (head if heads.is_named else ""), spec, common, written
        )
        for head, spec in heads.items()
    }


def _all_outputs(
    images: Sequence[Path],
    targets: Sequence[Path],
    output_dir: Path,
    heads: Heads,
    with_overlay: bool,
    polygons: Mapping[str, PolygonFiles],
) -> Iterator[Path]:
    """Yields all files that may be written if all images can be read."""
    for head in heads:
        for image, target in zip(images, targets, strict=True):
            # Which one is known when the image is read.
            may_be_tiff = image.suffix.lower() in (*TIFF_SUFFIXES, NPY)
            for suffix in (".png", ".tif") if may_be_tiff else (".png",):
                labels_file, overlay_file = _output_files(target, heads, head, suffix)
                if head not in polygons:
                    yield labels_file
            if with_overlay:
                yield overlay_file
    for writer in polygons.values():
        yield from writer.files(target.relative_to(output_dir).as_posix() for target in targets)


def _checked_modalities(predictor: Predictor, modalities: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the modalities to read; none for images that are read unchanged."""
    names = tuple(predictor.modalities if modalities is None else modalities)
    if not names and predictor.num_channels == 3:
        names = ("rgb",)
    channels = num_channels(names) if names else predictor.num_channels
    if channels != predictor.num_channels:
        raise ValueError(
            f"The network takes images of {predictor.num_channels} channels; {', '.join(names)} "
            f"have {channels}. Set `modalities` (`--modalities`) to those that it takes, in its "
            "order."
        )
    return names


def _check_folders(modalities: Sequence[str], others: Mapping[str, Path]) -> None:
    """Raises ValueError unless there is a folder for each modality but the first."""
    if others and not modalities:
        raise ValueError(
            "The network's file does not name its modalities. Set `modalities` (`--modalities`) "
            f"to those that it takes, in its order. Received: folders for {', '.join(others)}."
        )
    first, rest = next(iter(modalities), ""), modalities[1:]
    if set(rest) != set(others):
        raise ValueError(
            f"The network takes {', '.join(modalities)}. Expected: the {first} images"
            + "".join(f", and a folder of {name} images with the same names" for name in rest)
            + f". Received: folders for {', '.join(others) or 'no other modality'}."
        )
    for name, folder in others.items():
        if not folder.is_dir():
            raise ValueError(f"The {name} images must be in a folder. There is none at {folder}.")


@dataclass(frozen=True)
class _Run:
    """What is the same for all images of one call of `predict_files`."""

    predictor: Predictor
    modalities: tuple[str, ...]
    others: Mapping[str, Partners]
    reading: ImageReading
    output_dir: Path
    with_overlay: bool
    polygons: Mapping[str, PolygonFiles]
    written: WrittenFiles

    def predict(self, path: Path, target: Path) -> FilePrediction:
        """Predicts an image and writes its files, whose names begin with that of `target`."""
        try:
            with _raster_of(path, self.reading) as raster:
                is_large = raster and raster.height * raster.width > WINDOW_PIXELS
                if raster and is_large and _is_one_picture(self.modalities):
                    return self._predict_windows(path, target, raster)
                georeference = raster.georeference if raster else ()
            image, picture = _read(path, self.modalities, self.others, self.reading)
        except FileNotFoundError:
            return FilePrediction(path, error=f"{path}: there is no such file.")
        except BandCountError as error:
            hint = (
                " If they are several modalities, whose names its file does not contain, set "
                f"`modalities` (`--modalities`), in its order, of {', '.join(MODALITIES)}."
            )
            return FilePrediction(path, error=str(error) + hint)
        except (OSError, ValueError) as error:
            return FilePrediction(path, error=str(error))
        try:
            outputs = self.predictor.predictions_by_head(image[None])
        except ImageSizeError as error:
            return FilePrediction(path, error=f"{path}: {error}")
        labels = {
            head: _without_data_ignored(outputs[head][0], image, spec)
            for head, spec in self.predictor.heads.items()
        }
        return self._write(path, target, labels, georeference, picture)

    def _predict_windows(self, path: Path, target: Path, raster: Raster) -> FilePrediction:
        """Predicts a large image tile by tile; memory does not grow with its size."""
        if raster.orientation != 1:
            raise ValueError(
                f"{path}: an image of this size cannot be turned by its EXIF orientation. Save it "
                "without one."
            )
        try:
            with temporary_folder(target.parent) as folder:
                maps = self._maps_by_windows(path, raster, folder)
                result = self._write(path, target, maps, raster.georeference, None)
                maps.clear()  # Windows removes no file that is open
        except (ImageSizeError, OSError) as error:
            return FilePrediction(path, error=f"{path}: {error}")
        return result

    def _maps_by_windows(self, path: Path, raster: Raster, folder: Path) -> dict[str, np.ndarray]:
        """Returns the predictions of each head, which are files in a folder.

        All heads are predicted at once, and a TIFF is written from its first row on.
        """
        size, heads = (raster.height, raster.width), self.predictor.heads

        def read(rows: slice, columns: slice) -> np.ndarray:
            return image_of(raster.read(rows, columns), raster.form, self.reading, path)

        tiled = self.predictor
        if not isinstance(tiled, TiledPredictor):
            tiled = TiledPredictor(tiled)
        maps: dict[str, np.ndarray] = {
            head: np.lib.format.open_memmap(folder / f"{number}.npy", "w+", np.uint8, size)
            for number, head in enumerate(heads)
        }
        for head, (rows, columns, labels) in tiled.prediction_blocks(size, read):
            maps[head][rows, columns] = (
                labels
                if self.reading.is_rgb
                else _without_data_ignored(labels, read(rows, columns), heads[head])
            )
        return maps

    def _write(
        self,
        path: Path,
        target: Path,
        labels: Mapping[str, np.ndarray],
        georeference: Georeference,
        picture: np.ndarray | None,
    ) -> FilePrediction:
        """Writes the files of an image, all or none.

        Args:
            path: The image.
            target: Where to, without a suffix.
            labels: Predictions of each head.
            georeference: The tags of a GeoTIFF, which becomes another one.
            picture: What overlays are drawn on; `None` for an image that is read by windows,
                which becomes a TIFF.
        """
        heads = self.predictor.heads
        suffix = ".tif" if georeference or picture is None else ".png"
        pictures: dict[Path, Image.Image | _LabelTiff] = {}
        for head, spec in heads.items():
            labels_file, overlay_file = _output_files(target, heads, head, suffix)
            if head not in self.polygons:
                pictures[labels_file] = (
                    label_image(labels[head], spec)
                    if suffix == ".png"
                    else _LabelTiff(labels[head], spec, georeference)
                )
            if self.with_overlay and picture is not None:
                pictures[overlay_file] = overlay(picture, labels[head], spec)
        written = list(pictures)
        try:
            replaced = _write_all(pictures, self.written)
        except OSError as error:
            return FilePrediction(path, error=f"{path}: {error}")
        try:
            for head, writer in self.polygons.items():
                name = target.relative_to(self.output_dir).as_posix()
                written.append(writer.add(name, path, labels[head]))
        except OSError as error:
            for file in written:
                file.unlink(missing_ok=True)
            return FilePrediction(path, error=f"{path}: {error}")
        return FilePrediction(path, tuple(written), replaced)


@dataclass(frozen=True, eq=False)
class _LabelTiff:
    """Predictions to be saved as a TIFF with colors and a georeference, as Pillow saves pictures.

    The labels may be a file that is mapped into memory.
    """

    labels: np.ndarray
    spec: LabelSpec
    georeference: Georeference

    @property
    def size(self) -> tuple[int, ...]:
        """Width and height."""
        return self.labels.shape[::-1]

    def save(self, path: Path, quality: int) -> None:
        """Writes the file; `quality` is for pictures in JPEG."""
        palette = label_image(np.zeros((1, 1), np.uint8), self.spec).getpalette()
        colors = np.array(palette, np.uint8).reshape(-1, 3)
        write_georeferenced(path, self.labels, self.georeference, colors)


def _write_all(pictures: Mapping[Path, Image.Image | _LabelTiff], written: WrittenFiles) -> int:
    """Writes the pictures of one image, all or none; returns how many existed before.

    Raises:
        OSError: If one cannot be written. The text has its path and the cause.
    """
    if not pictures:
        return 0
    file = next(iter(pictures))
    moved: list[Path] = []
    try:
        with temporary_folder(file.parent) as folder:
            for file, picture in pictures.items():
                _check_writable(file, picture)
                picture.save(folder / file.name, quality=92)
            replaced = sum(file.exists() for file in pictures)
            for file in pictures:
                written.add(file, folder / file.name)
                move(folder / file.name, file.resolve())
                moved.append(file)
    except OSError as error:
        for path in moved:
            path.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise OSError(f"{file} cannot be written ({reason}). No file of this image is.") from error
    return replaced


def _check_writable(file: Path, picture: Image.Image | _LabelTiff) -> None:
    """Raises OSError for what would fail only when files are already moved, or without a cause."""
    if file.is_dir():
        raise OSError("there is a folder of this name")
    if file.suffix == ".jpg" and max(picture.size) > _MAX_JPEG_SIDE:
        raise OSError(
            f"a JPEG file has at most {_MAX_JPEG_SIDE:,} pixels a side, this picture "
            f"{max(picture.size):,}; --no-overlay leaves out the overlays"
        )


def _is_one_picture(modalities: Sequence[str]) -> bool:
    """Whether a network takes one file per image, whose values are no depth."""
    return len(modalities) < 2 and tuple(modalities) != ("depth",)


@contextmanager
def _raster_of(path: Path, reading: ImageReading) -> Iterator[Raster | None]:
    """Opens a file that has windows or a georeference; yields None for any other."""
    suffix = path.suffix.lower()
    if suffix != NPY and not (suffix in TIFF_SUFFIXES and has_tifffile() and path.is_file()):
        yield None
        return
    with ExitStack() as stack:
        raster = None
        # Pillow may read what tifffile does not; what neither reads is an error there.
        with suppress(ValueError):
            raster = stack.enter_context(open_raster(path, reading))
        yield raster


def _without_data_ignored(labels: np.ndarray, image: np.ndarray, spec: LabelSpec) -> np.ndarray:
    """Returns predictions in which pixels are ignored whose bands all have no data."""
    if image.dtype == np.uint8:
        return labels
    missing = np.isnan(image).all(axis=-1)
    return np.where(missing, np.uint8(spec.ignore_class), labels)


def _read(
    path: Path, modalities: Sequence[str], others: Mapping[str, Partners], reading: ImageReading
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the network takes, and what a viewer sees of it (RGB, uint8)."""
    if _is_one_picture(modalities):
        image = read_image(path, reading)
        return image, image if reading.is_rgb else picture_of(image)
    images = read_modalities(
        {name: others[name].of(path) if name in others else path for name in modalities}
    )
    return joined(images), shown(images)


def _files_of(
    name: str | Path, suffixes: frozenset[str], on_left_out: Callable[[str], object]
) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if not is_leftover(file.name)]
        files, left_out = _images_among(found, suffixes)
        if not files:
            raise ValueError(
                f"There is no image in the folder {path}{left_out and f', only {left_out}'}. "
                "Folders below it are not searched: for them give a pattern such as "
                f"'{path}/**/*.jpg'."
            )
    elif path.exists() or not glob.has_magic(str(name)):
        return [path]
    else:
        found = [file for file in sorted(_matches(path.parts)) if not is_leftover(file.name)]
        files, left_out = _images_among(found, None)
        if not files:
            written = f" that keras-fcn did not write: there are {left_out}" if left_out else ""
            raise ValueError(f"No file matches the pattern {name}{written}.")
    if left_out:
        on_left_out(f"Left out of {name}: {left_out}.")
    return files


def _images_among(paths: Sequence[Path], suffixes: frozenset[str] | None) -> tuple[list[Path], str]:
    """Returns those of the contents of a folder, or matches of a pattern, that are predicted.

    Args:
        paths: The files and folders.
        suffixes: Of the images in a folder; `None` for a pattern, which was meant as it is.

    Returns:
        The files, and a text with what was left out; empty if nothing was.
    """
    written = WrittenFiles()
    images, num_folders, num_written, num_broken = [], 0, 0, 0
    others: Counter[str] = Counter()
    for path in paths:
        suffix = path.suffix.lower()
        if path.is_dir():
            num_folders += suffixes is not None
        elif path.name in written.names(path.parent):
            num_written += 1
        elif suffixes is not None and suffix not in suffixes:
            others[suffix or "without a suffix"] += 1
        elif path.is_file():
            images.append(path)
        else:
            num_broken += 1
    parts = [f"{count:,} {suffix}" for suffix, count in sorted(others.items())]
    if num_written:
        parts.append(f"{num_written:,} written by keras-fcn")
    if num_broken:
        parts.append(f"{num_broken:,} link{'s' * (num_broken > 1)} to no file")
    if num_folders:
        parts.append(f"{num_folders:,} folder{'s' * (num_folders > 1)} (not searched)")
    return images, ", ".join(parts)


def _matches(pattern: Sequence[str]) -> Iterator[Path]:
    """Yields what matches the parts of a pattern, through each folder once.

    `glob` itself follows links to folders above 40 times, and two of them without end.
    """
    if "**" not in pattern:
        # `Path.glob` takes no absolute pattern.
        yield from map(Path, glob.glob(str(Path(*pattern))))  # noqa: PTH207
        return
    position = pattern.index("**")
    rest = pattern[position + 1 :] or ("*",)
    seen: set[Path] = set()
    for base in sorted(_matches(pattern[:position] or (".",))):
        for folder in _folders(base, seen):
            yield from _matches((*map(glob.escape, folder.parts), *rest))


def _folders(base: Path, seen: set[Path]) -> Iterator[Path]:
    """Yields a folder and those below that are neither hidden nor seen before."""
    if not base.is_dir() or base.resolve() in seen:
        return
    seen.add(base.resolve())
    yield base
    for path in sorted(base.iterdir()):
        if not is_leftover(path.name):
            yield from _folders(path, seen)


def _output_names(paths: Sequence[Path]) -> list[str]:
    """Returns a name without suffix for each path, all different."""
    stems = [path.stem for path in paths]
    if _all_differ(stems):
        return stems
    resolved = [path.absolute() for path in paths]
    common = Path(os.path.commonpath([path.parent for path in resolved]))
    relative = [path.relative_to(common) for path in resolved]
    without_suffix = [str(path.with_suffix("")) for path in relative]
    return without_suffix if _all_differ(without_suffix) else [str(path) for path in relative]


def _all_differ(names: Sequence[str]) -> bool:
    # Some file systems take A.png and a.png for the same file.
    return len({name.casefold() for name in names}) == len(names)


def _check_inputs_stay(paths: Sequence[Path], targets: Sequence[Path], heads: Heads) -> None:
    """Raises ValueError if a file to be written is one of the images."""
    images = {path.resolve() for path in paths}
    for target in targets:
        for head in heads:
            files = {
                file
                for suffix in (".png", ".tif")
                for file in _output_files(target, heads, head, suffix)
            }
            for file in files:
                if file.resolve() in images:
                    raise ValueError(
                        f"The prediction would overwrite the image {file}. Choose another folder "
                        f"for the output. Received: {file.parent}."
                    )


def _output_files(target: Path, heads: Heads, head: str, suffix: str) -> tuple[Path, Path]:
    """Returns the files of a head's predictions and overlay."""
    name = target.name + heads.suffix(head)
    return target.with_name(name + suffix), target.with_name(f"{name}_overlay.jpg")
