"""Prediction on image files: predictions and an overlay for each.

Three stages run at the same time, each on another image: threads read and decode, another one runs
the network, and the calling thread draws and writes. Few images wait between them, so that memory
does not grow with their number.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

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
)
from keras_fcn.data.image_io import depth_problem, read_image
from keras_fcn.data.modality_files import Partners, joined, read_modalities, shown
from keras_fcn.data.parallel import parallel_map
from keras_fcn.files import temporary_folder
from keras_fcn.modalities import MODALITIES, ImageReading, num_channels
from keras_fcn.prediction.output_files import (
    Georeference,
    ImagePrediction,
    OutputFiles,
    OutputFormat,
    Target,
)
from keras_fcn.prediction.predictor import ImageSizeError, Maps, Predictor, without_logits
from keras_fcn.prediction.tiling import TiledPredictor

# Files with more pixels are read by windows, if their format has any.
WINDOW_PIXELS = 4096**2

# Threads that read. More only take memory: the network takes longer.
_NUM_READERS = min(os.cpu_count() or 1, 8)
# Exceptions of TensorFlow and Python.
_OUT_OF_MEMORY = ("ResourceExhaustedError", "MemoryError")


@dataclass(frozen=True)
class FilePrediction:
    """The result of one image file.

    Attributes:
        path: The image.
        written: The files written for it: predictions and overlay, for each head; none if there
            is an error.
        replaced: Number of those that existed before.
        error: What was wrong with it; None if nothing was.
        skipped: Whether it was left out because its files existed.
    """

    path: Path
    written: tuple[Path, ...] = ()
    replaced: int = 0
    error: str | None = None
    skipped: bool = False


def predict_files(
    predictor: Predictor,
    paths: Sequence[str | Path],
    output_dir: str | Path,
    *,
    folders: Mapping[str, str | Path] | None = None,
    modalities: Sequence[str] | None = None,
    image_reading: ImageReading | None = None,
    with_overlay: bool = True,
    output_format: OutputFormat = "png",
    overwrite: bool = False,
    skip_existing: bool = False,
    on_file: Callable[[FilePrediction], None] | None = None,
) -> list[FilePrediction]:
    """Predicts the classes of image files.

    For `photo.jpg` it writes `photo.png`, the predictions as a palette image of the photo's size,
    and `photo_overlay.jpg`. For a GeoTIFF it writes `photo.tif` instead, with the same
    georeference; so it does for a TIFF or array of more than `WINDOW_PIXELS`, which it reads by
    windows, in tiles, and of which it draws no overlay. Pixels in which all bands have no data are
    ignored pixels there. If two images had the same name that way, all outputs keep the
    folders of their images; if that is not enough, also the suffix (`photo.jpg.png`). With
    several heads the names end in the head's (`photo_semantic.png`).

    Files are written in the calling thread, while the network runs on the next image in another
    one, and more threads read those after it.

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
        output_format: What is written instead of palette images: `"tiff"`, predictions as
            `photo.tif` and their probabilities, float32, as `photo_confidence.tif`, with the
            georeference if there is one; `"npz"`, an archive of `logits`, float32, shape
            `(height, width, num_classes)`, and `class_names`; `"labelme"` and `"coco"`, polygons
            (`PolygonFiles`), with several heads in a folder for each.
        overwrite: Whether to replace files that this package did not write, or that were edited
            since, such as corrected masks.
        skip_existing: Whether to leave out images whose predictions are there, whoever wrote them,
            so that an interrupted run goes on. Not for COCO's one file for all images.
        on_file: Called after each file, in their order; first for those that are skipped.

    Returns:
        One result for each of `paths`. Images that could not be read, are too large for the
        network or the memory, and those of which a file could not be written, have an `error`.
        All files of an image are written, or none.

    Raises:
        ValueError: If an image would be overwritten, image files do not have the network's
            channels, `folders` are not those of its modalities, or the network returns no logits
            for the format.
        FileExistsError: If files would be overwritten that an earlier run did not write, or that
            were edited since; nothing was predicted then.
    """
    names = _checked_modalities(predictor, modalities)
    reading = image_reading or predictor.image_reading
    _check_folders(names, {name: Path(folder) for name, folder in (folders or {}).items()})
    others = {name: Partners(Path(folder)) for name, folder in (folders or {}).items()}
    images = [Path(path) for path in paths]
    outputs = OutputFiles(output_format, predictor.heads, Path(output_dir), images, with_overlay)
    if outputs.needs != "predictions" and not predictor.has_logits:
        raise without_logits(predictor.path)
    if skip_existing and not outputs.is_per_image:
        raise ValueError(
            f"`skip_existing` (`--skip-existing`) is for formats with files for each image. "
            f"Received: the format {output_format}, which has one file for all."
        )
    targets = [
        Target(path, Path(output_dir) / name)
        for path, name in zip(images, output_names(images), strict=True)
    ]
    inputs = [*images, *(file for folder in others.values() for file in folder.files)]
    _check_inputs_stay(inputs, targets, outputs)
    skipped = {target for target in targets if skip_existing and outputs.exist(target)}
    remaining = [target for target in targets if target not in skipped]
    outputs.written.check(
        [*(file for target in remaining for file in outputs.of(target)), *outputs.shared()],
        overwrite=overwrite,
    )
    to_read = [target.image for target in remaining]
    if _is_one_picture(names) and (problem := depth_problem(to_read, reading)):
        raise ValueError(problem)
    run = _Run(predictor, names, others, reading, outputs)
    results = {target: FilePrediction(target.image, skipped=True) for target in skipped}
    for result in results.values():
        if on_file:
            on_file(result)
    for target, result in zip(remaining, run.results(remaining), strict=True):
        results[target] = result
        if on_file:
            on_file(result)
    outputs.finish()
    return [results[target] for target in targets]


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


@dataclass(frozen=True, eq=False)
class _ReadImage:
    """What the first stage passes to the second.

    Args:
        target: The image, and where its files are written.
        image: What the network takes; `None` for an image that is read by windows.
        picture: What overlays are drawn on.
        georeference: The tags of a GeoTIFF.
    """

    target: Target
    image: np.ndarray | None = None
    picture: np.ndarray | None = None
    georeference: Georeference = ()


@dataclass(frozen=True)
class _Run:
    """What is the same for all images of one call of `predict_files`."""

    predictor: Predictor
    modalities: tuple[str, ...]
    others: Mapping[str, Partners]
    reading: ImageReading
    outputs: OutputFiles

    def results(self, targets: Sequence[Target]) -> Iterator[FilePrediction]:
        """Yields the results of all images, in order, from stages that run at the same time."""
        with (
            closing(
                parallel_map(self.read, targets, _NUM_READERS + 1, num_threads=_NUM_READERS)
            ) as images,
            closing(parallel_map(self.predict, images, ahead=2, num_threads=1)) as predicted,
        ):
            # In this thread, which Ctrl-C interrupts, so that it waits for no slow disk.
            yield from map(self.write, predicted)

    def read(self, target: Target) -> _ReadImage | FilePrediction:
        """Reads an image; returns its result if that fails."""
        path = target.image
        try:
            with _raster_of(path, self.reading) as raster:
                is_large = raster and raster.height * raster.width > WINDOW_PIXELS
                if raster and is_large and _is_one_picture(self.modalities):
                    return _ReadImage(target, georeference=raster.georeference)
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
        except MemoryError:
            return FilePrediction(path, error=f"{path}: there is not enough memory to read it.")
        except (OSError, ValueError) as error:
            return FilePrediction(path, error=str(error))
        return _ReadImage(target, image, picture, georeference)

    def predict(
        self, read: _ReadImage | FilePrediction
    ) -> tuple[Target, ImagePrediction] | FilePrediction:
        """Runs the network on an image; returns its result if there is one already."""
        if isinstance(read, FilePrediction):
            return read
        path = read.target.image
        try:
            if read.image is None:
                return self._predict_windows(read)
            predictions, confidences, logits = self._maps(read.image[None])
        except ImageSizeError as error:
            return FilePrediction(path, error=f"{path}: {error}")
        except Exception as error:
            if type(error).__name__ not in _OUT_OF_MEMORY:
                raise
            size = "" if read.image is None else "{}x{} pixels of ".format(*read.image.shape[:2])
            return FilePrediction(
                path,
                error=f"{path}: there is not enough memory for {size}the image at once. Run it in "
                "tiles (`--tile`).",
            )
        missing = _missing(read.image)
        return read.target, ImagePrediction(
            predictions, confidences, logits, missing, read.picture, read.georeference
        )

    def write(self, predicted: tuple[Target, ImagePrediction] | FilePrediction) -> FilePrediction:
        """Writes the files of an image; a result is returned as it is."""
        if isinstance(predicted, FilePrediction):
            return predicted
        target, result = predicted
        try:
            written, num_replaced = self.outputs.write(target, result)
        except OSError as error:
            return FilePrediction(target.image, error=f"{target.image}: {error}")
        return FilePrediction(target.image, written, num_replaced)

    def _maps(self, images: np.ndarray) -> tuple[Maps, Maps, Maps]:
        """Returns predictions, confidences and logits of one image, as far as they are needed."""
        if self.outputs.needs == "logits":
            return {}, {}, _first(self.predictor.logits_by_head(images))
        if self.outputs.needs == "confidences":
            predictions, confidences = self.predictor.predictions_and_confidences(images)
            return _first(predictions), _first(confidences), {}
        return _first(self.predictor.predictions_by_head(images)), {}, {}

    def _predict_windows(self, read: _ReadImage) -> FilePrediction:
        """Predicts a large image tile by tile, and writes its files.

        Memory does not grow with its size.
        """
        path = read.target.image
        try:
            with (
                temporary_folder(read.target.stem.parent) as folder,
                open_raster(path, self.reading) as raster,
            ):
                predictions, confidences = self._maps_by_windows(path, raster, folder)
                result = ImagePrediction(
                    predictions, confidences, {}, None, None, read.georeference
                )
                done = self.write((read.target, result))
                for maps in (predictions, confidences):
                    maps.clear()  # Windows removes no file that is open
        except (OSError, ValueError) as error:
            text = str(error)
            return FilePrediction(path, error=text if str(path) in text else f"{path}: {text}")
        return done

    def _maps_by_windows(self, path: Path, raster: Raster, folder: Path) -> tuple[Maps, Maps]:
        """Returns predictions and confidences of each head, which are files in a folder.

        All heads are predicted at once, and a TIFF is written from its first row on.
        """
        if raster.orientation != 1:
            raise ValueError(
                f"{path}: an image of this size cannot be turned by its EXIF orientation. Save it "
                "without one."
            )
        size, heads = (raster.height, raster.width), self.predictor.heads
        if self.outputs.needs == "logits":
            num_bytes = (
                4 * raster.height * raster.width * sum(s.num_classes for s in heads.values())
            )
            raise ValueError(
                f"{path}: the logits of {size[0]}x{size[1]} pixels take {num_bytes / 2**30:.1f} "
                "GiB. `--format tiff` writes predictions and their probabilities by windows."
            )

        def read(rows: slice, columns: slice) -> np.ndarray:
            return image_of(raster.read(rows, columns), raster.form, self.reading, path)

        def files(kind: str, dtype: type) -> Maps:
            return {
                head: np.lib.format.open_memmap(folder / f"{kind}{number}.npy", "w+", dtype, size)
                for number, head in enumerate(heads)
            }

        tiled = self.predictor
        if not isinstance(tiled, TiledPredictor):
            tiled = TiledPredictor(tiled)
        with_confidences = self.outputs.needs == "confidences"
        predictions = files("predictions", np.uint8)
        confidences = files("confidences", np.float32) if with_confidences else {}
        for head, window, labels, probabilities in tiled.prediction_blocks(
            size, read, confidences=with_confidences
        ):
            missing = None if self.reading.is_rgb else _missing(read(*window))
            block = ImagePrediction({head: labels}, {}, {}, missing, None, ())
            predictions[head][window] = block.labels(head, heads[head])
            if probabilities is not None:
                confidences[head][window] = block.valid(probabilities)
        return predictions, confidences


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


def _first(maps: Maps) -> Maps:
    """Returns the maps of the only image of a batch."""
    return {head: batch[0] for head, batch in maps.items()}


def _missing(image: np.ndarray) -> np.ndarray | None:
    """Returns the pixels whose bands all have no data; None for images of bytes."""
    return None if image.dtype == np.uint8 else np.isnan(image).all(axis=-1)


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


def output_names(paths: Sequence[Path]) -> list[str]:
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


def _check_inputs_stay(
    images: Sequence[Path], targets: Sequence[Target], outputs: OutputFiles
) -> None:
    """Raises ValueError if a file to be written is one of the images."""
    resolved = {path.resolve() for path in images}
    for target in targets:
        for file in outputs.of(target):
            if file.resolve() in resolved:
                raise ValueError(
                    f"The prediction would overwrite the image {file}. Choose another folder "
                    f"for the output. Received: {file.parent}."
                )
