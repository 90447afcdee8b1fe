"""Prediction on image files: predictions and an overlay for each."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
from keras_fcn.data.modality_files import find_partner, joined, read_modalities, shown
from keras_fcn.files import replacing, temporary_folder
from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.modalities import MODALITIES, ImageReading, num_channels
from keras_fcn.prediction.predictor import ImageSizeError, Predictor
from keras_fcn.prediction.tiling import TiledPredictor
from keras_fcn.visualization import label_image, overlay, save_picture

# Files with more pixels are read by windows, if their format has any.
WINDOW_PIXELS = 4096**2
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


@dataclass(frozen=True)
class FilePrediction:
    """The result of one image file.

    Attributes:
        path: The image.
        written: The files written for it: predictions and overlay, for each head; none if it
            could not be read, or has a size that the network does not take.
        replaced: Number of those that existed before.
        error: What was wrong with it; None if nothing was.
    """

    path: Path
    written: tuple[Path, ...] = ()
    replaced: int = 0
    error: str | None = None


def find_images(inputs: Iterable[str | Path], *, with_arrays: bool = False) -> list[Path]:
    """Returns the image files that files, folders and patterns name, each once.

    Args:
        inputs: Files, whether they exist or not; folders, for the
            images directly in them; and patterns with `*`, `?`, `[...]`, `**`.
        with_arrays: Whether the `.npy` files in a folder are images.

    Returns:
        The files: in the order of `inputs`, sorted within a folder or pattern.

    Raises:
        ValueError: If a folder or pattern yields no image.
    """
    files: dict[Path, Path] = {}
    for name in inputs:
        for path in _files_of(name, IMAGE_SUFFIXES + (NPY,) * with_arrays):
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
        folders: For a network of several modalities: by name of each further one, such as
            `"hha"`, the folder of its images, which have the names of `paths`.
        modalities: Names of the images that the network takes, in its order, such as
            `("rgb", "depth")`. By default those that its file names.
        image_reading: How image files are read. By default as in the training.
        with_overlay: Whether to write overlays.
        on_file: Called after each file.

    Returns:
        One result for each of `paths`; those that could not be read have an `error`.

    Raises:
        ValueError: If an image would be overwritten, image files do not have the network's
            channels, or `folders` are not those of its modalities.
    """
    names = _checked_modalities(predictor, modalities)
    reading = image_reading or predictor.image_reading
    others = {name: Path(folder) for name, folder in (folders or {}).items()}
    _check_folders(names, others)
    images = [Path(path) for path in paths]
    targets = [Path(output_dir) / name for name in _output_names(images)]
    inputs = [*images, *(file for folder in others.values() for file in folder.iterdir())]
    _check_inputs_stay(inputs, targets, predictor.heads)
    if _is_one_picture(names) and (problem := depth_problem(images, reading)):
        raise ValueError(problem)
    results = []
    for path, target in zip(images, targets, strict=True):
        result = _predict_file(predictor, path, names, others, reading, target, with_overlay)
        results.append(result)
        if on_file:
            on_file(result)
    return results


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


def _predict_file(
    predictor: Predictor,
    path: Path,
    modalities: Sequence[str],
    others: Mapping[str, Path],
    reading: ImageReading,
    target: Path,
    with_overlay: bool,
) -> FilePrediction:
    try:
        with _raster_of(path, reading) as raster:
            is_large = raster and raster.height * raster.width > WINDOW_PIXELS
            if raster and is_large and _is_one_picture(modalities):
                return _predict_windows(predictor, path, raster, reading, target)
            georeference = raster.georeference if raster else ()
        image, picture = _read(path, modalities, others, reading)
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
        outputs = predictor.predictions_by_head(image[None])
    except ImageSizeError as error:
        return FilePrediction(path, error=f"{path}: {error}")
    written, replaced = [], 0
    for head, spec in predictor.heads.items():
        labels_file, overlay_file = _output_files(
            target, predictor.heads, head, ".tif" if georeference else ".png"
        )
        labels = _without_data_ignored(outputs[head][0], image, spec)
        replaced += labels_file.exists()
        if georeference:
            _save_tiff(labels_file, labels, spec, georeference)
        else:
            save_picture(labels_file, label_image(labels, spec))
        written.append(labels_file)
        if with_overlay:
            replaced += overlay_file.exists()
            written.append(save_picture(overlay_file, overlay(picture, labels, spec)))
    return FilePrediction(path, tuple(written), replaced)


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


def _predict_windows(
    predictor: Predictor, path: Path, raster: Raster, reading: ImageReading, target: Path
) -> FilePrediction:
    """Predicts a large image tile by tile; memory does not grow with its size."""
    if raster.orientation != 1:
        raise ValueError(
            f"{path}: an image of this size cannot be turned by its EXIF orientation. Save it "
            "without one."
        )
    tiled = predictor if isinstance(predictor, TiledPredictor) else TiledPredictor(predictor)
    size = raster.height, raster.width

    def read(rows: slice, columns: slice) -> np.ndarray:
        return image_of(raster.read(rows, columns), raster.form, reading, path)

    written, replaced = [], 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(target.parent) as folder:
        # On disk: all heads are predicted at once, and a TIFF is written from its first row on.
        maps = {
            head: np.lib.format.open_memmap(folder / f"{k}.npy", "w+", np.uint8, size)
            for k, head in enumerate(predictor.heads)
        }
        for head, (rows, columns, labels) in tiled.prediction_blocks(size, read):
            spec = predictor.heads[head]
            maps[head][rows, columns] = (
                labels
                if reading.is_rgb
                else _without_data_ignored(labels, read(rows, columns), spec)
            )
        for head, spec in predictor.heads.items():
            file, _ = _output_files(target, predictor.heads, head, ".tif")
            replaced += file.exists()
            _save_tiff(file, maps[head], spec, raster.georeference)
            written.append(file)
        maps.clear()  # Windows removes no file that is open
    return FilePrediction(path, tuple(written), replaced)


def _without_data_ignored(labels: np.ndarray, image: np.ndarray, spec: LabelSpec) -> np.ndarray:
    """Returns predictions in which pixels are ignored whose bands all have no data."""
    if image.dtype == np.uint8:
        return labels
    missing = np.isnan(image).all(axis=-1)
    return np.where(missing, np.uint8(spec.ignore_class), labels)


def _save_tiff(
    path: Path, labels: np.ndarray, spec: LabelSpec, georeference: Sequence[tuple[Any, ...]]
) -> None:
    palette = label_image(np.zeros((1, 1), np.uint8), spec).getpalette()
    colors = np.array(palette, np.uint8).reshape(-1, 3)
    with replacing(path) as temporary:
        write_georeferenced(temporary, labels, georeference, colors)


def _read(
    path: Path, modalities: Sequence[str], others: Mapping[str, Path], reading: ImageReading
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the network takes, and what a viewer sees of it (RGB, uint8)."""
    if _is_one_picture(modalities):
        image = read_image(path, reading)
        return image, image if reading.is_rgb else picture_of(image)
    images = read_modalities(
        {name: find_partner(path, others[name]) if name in others else path for name in modalities}
    )
    return joined(images), shown(images)


def _files_of(name: str | Path, suffixes: Sequence[str]) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        files = [f for f in path.iterdir() if f.is_file() and f.suffix.lower() in suffixes]
        if not files:
            raise ValueError(
                f"There is no image in the folder {path}. Folders below it are not searched: for "
                f"them give a pattern such as '{path}/**/*.jpg'."
            )
        return sorted(files)
    if path.exists() or not glob.has_magic(str(name)):
        return [path]
    # `Path.glob` takes no absolute pattern.
    matches = sorted(map(Path, glob.glob(str(name), recursive=True)))  # noqa: PTH207
    files = [match for match in matches if match.is_file()]
    if not files:
        raise ValueError(f"No file matches the pattern {name}.")
    return files


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
