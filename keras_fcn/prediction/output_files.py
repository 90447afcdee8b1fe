"""The files that are written for the prediction of an image, in each format."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from keras_fcn.data.bands import NPY, TIFF_SUFFIXES, has_tifffile, write_georeferenced
from keras_fcn.files import WrittenFiles, move, temporary_folder
from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.prediction.predictor import Maps, highest_class
from keras_fcn.visualization import label_image, overlay

OutputFormat = Literal["png", "tiff", "npz", "labelme", "coco"]
# What a format needs of the network.
Needs = Literal["predictions", "confidences", "logits"]
# Tags of a GeoTIFF, see `Raster.georeference`.
Georeference = Sequence[tuple[Any, ...]]
# Writes a file.
Save = Callable[[Path], Any]

_MAX_JPEG_SIDE = 65_500  # of libjpeg


@dataclass(frozen=True)
class Target:
    """Where the files of an image are written.

    Args:
        image: The image.
        stem: Where to, without a suffix.
    """

    image: Path
    stem: Path

    @property
    def may_be_tiff(self) -> bool:
        """Whether predictions may become a TIFF, which is known when the image is read."""
        return self.image.suffix.lower() in (*TIFF_SUFFIXES, NPY)


@dataclass(frozen=True, eq=False)
class ImagePrediction:
    """What a network returned for one image; each map by head.

    Args:
        predictions: Classes, shape `(height, width)`; empty if there are `logits`.
        confidences: Their probabilities, if the format needs them.
        logits: Shape `(height, width, num_classes)`, if the format needs them.
        missing: The pixels whose bands all have no data; `None` if there are none.
        picture: What overlays are drawn on; `None` for an image that is read by windows, which
            becomes a TIFF.
        georeference: The tags of a GeoTIFF, which becomes another one.
    """

    predictions: Maps
    confidences: Maps
    logits: Maps
    missing: np.ndarray | None
    picture: np.ndarray | None
    georeference: Georeference

    def labels(self, head: str, spec: LabelSpec) -> np.ndarray:
        """Returns the predictions of a head; pixels without data are ignored."""
        labels = (
            self.predictions[head]
            if self.predictions
            else highest_class(self.logits[head][None])[0]
        )
        if self.missing is None:
            return labels
        return np.where(self.missing, np.uint8(spec.ignore_class), labels)

    def valid(self, values: np.ndarray) -> np.ndarray:
        """Returns confidences or logits that are NaN in pixels without data."""
        if self.missing is not None:
            values = values.copy()
            values[self.missing] = np.nan
        return values


class HeadFiles(ABC):
    """The files in which a format has the predictions of one head.

    Args:
        head: The head.
        heads: All heads of the network.
        output_dir: Folder to write to.

    Attributes:
        needs: What it needs of the network.
        is_per_image: Whether each image has files of its own.
    """

    needs: ClassVar[Needs] = "predictions"
    is_per_image: bool = True

    def __init__(self, head: str, heads: Heads, output_dir: Path) -> None:
        self.head, self.spec, self.output_dir = head, heads[head], output_dir
        self._suffix = heads.suffix(head)

    def named(self, target: Target, ending: str) -> Path:
        """Returns the path of a file of an image: its name, that of the head, and an ending."""
        return target.stem.with_name(target.stem.name + self._suffix + ending)

    @abstractmethod
    def main_files(self, target: Target) -> tuple[Path, ...]:
        """Returns the file of an image that is written last; several if it may be any of them."""

    def further_files(self, target: Target) -> tuple[Path, ...]:
        """Returns the other files of an image."""
        return ()

    @property
    def shared_files(self) -> tuple[Path, ...]:
        """The files about all images, which `finish` writes."""
        return ()

    @abstractmethod
    def contents(self, target: Target, result: ImagePrediction) -> dict[Path, Save]:
        """Returns what writes each file of an image, the main one first."""

    def keep(self, target: Target, result: ImagePrediction) -> None:  # noqa: B027 (not for all)
        """Keeps what `finish` writes about an image, whose own files are written."""

    def finish(self, written: WrittenFiles) -> None:  # noqa: B027
        """Writes the shared files."""


class PNGFiles(HeadFiles):
    """A palette image, PNG or, for GeoTIFFs and what is read by windows, TIFF."""

    def main_files(self, target: Target) -> tuple[Path, ...]:
        endings = (".png", ".tif") if target.may_be_tiff else (".png",)
        return tuple(self.named(target, ending) for ending in endings)

    def contents(self, target: Target, result: ImagePrediction) -> dict[Path, Save]:
        labels = result.labels(self.head, self.spec)
        if result.georeference or result.picture is None:
            return {self.named(target, ".tif"): _label_tiff(labels, self.spec, result)}
        image = label_image(labels, self.spec)
        return {self.named(target, ".png"): image.save}


class TIFFFiles(HeadFiles):
    """Two TIFF files: predictions with their colors, and their probabilities."""

    needs = "confidences"

    def main_files(self, target: Target) -> tuple[Path, ...]:
        return (self.named(target, ".tif"),)

    def further_files(self, target: Target) -> tuple[Path, ...]:
        return (self.named(target, "_confidence.tif"),)

    def contents(self, target: Target, result: ImagePrediction) -> dict[Path, Save]:
        labels = result.labels(self.head, self.spec)
        confidences = result.valid(result.confidences[self.head])
        return {
            self.named(target, ".tif"): _label_tiff(labels, self.spec, result),
            self.named(target, "_confidence.tif"): partial(
                write_georeferenced, values=confidences, georeference=result.georeference
            ),
        }


class NPZFiles(HeadFiles):
    """Arrays of NumPy: the logits, float32, and the names of their classes."""

    needs = "logits"

    def main_files(self, target: Target) -> tuple[Path, ...]:
        return (self.named(target, ".npz"),)

    def contents(self, target: Target, result: ImagePrediction) -> dict[Path, Save]:
        logits = result.valid(result.logits[self.head])
        names = np.array(self.spec.class_names)
        return {
            self.named(target, ".npz"): lambda path: np.savez(
                path, logits=logits, class_names=names
            )
        }


class PolygonHeadFiles(HeadFiles):
    """Polygons of a labelling tool; with several heads in a folder for each."""

    def __init__(
        self,
        tool: Literal["labelme", "coco"],
        head: str,
        heads: Heads,
        output_dir: Path,
        images: Sequence[Path],
    ) -> None:
        from keras_fcn.prediction.polygons import PolygonFiles  # imports SciPy

        super().__init__(head, heads, output_dir)
        self.is_per_image = tool == "labelme"
        common = Path(os.path.commonpath([path.absolute().parent for path in images]))
        folder = output_dir / (head if heads.is_named else "")
        self._polygons = PolygonFiles(tool, folder, self.spec, common)

    def main_files(self, target: Target) -> tuple[Path, ...]:
        name = target.stem.relative_to(self.output_dir).as_posix()
        return (self._polygons.file(name),) if self.is_per_image else ()

    @property
    def shared_files(self) -> tuple[Path, ...]:
        return (self._polygons.shared_file,)

    def contents(self, target: Target, result: ImagePrediction) -> dict[Path, Save]:
        labels = result.labels(self.head, self.spec)
        return {
            file: self._polygons.saver(file, target.image, labels)
            for file in self.main_files(target)
        }

    def keep(self, target: Target, result: ImagePrediction) -> None:
        if not self.is_per_image:
            self._polygons.add(target.image, result.labels(self.head, self.spec))

    def finish(self, written: WrittenFiles) -> None:
        self._polygons.finish()
        written.add(self._polygons.shared_file)


_FORMATS: Mapping[str, type[HeadFiles]] = {"png": PNGFiles, "tiff": TIFFFiles, "npz": NPZFiles}


class OutputFiles:
    """The files of all heads and images of one run, in one format, with overlays.

    Args:
        format_: The format.
        heads: The heads of the network.
        output_dir: Folder to write to.
        images: The images.
        with_overlay: Whether overlays are written.

    Raises:
        ValueError: If the format needs a package that is not installed.
    """

    def __init__(
        self,
        format_: OutputFormat,
        heads: Heads,
        output_dir: Path,
        images: Sequence[Path],
        with_overlay: bool,
    ) -> None:
        if format_ == "tiff" and not has_tifffile():
            raise ValueError(
                "`--format tiff` needs tifffile and imagecodecs. Install them: "
                'pip install "keras_fcn[bands]"'
            )
        self.format = format_
        self.with_overlay = with_overlay
        self.written = WrittenFiles()
        self._heads: list[HeadFiles] = [
            PolygonHeadFiles(format_, head, heads, output_dir, images)
            if format_ in ("labelme", "coco")
            else _FORMATS[format_](head, heads, output_dir)
            for head in heads
        ]

    @property
    def needs(self) -> Needs:
        """What the format needs of the network."""
        return self._heads[0].needs

    @property
    def is_per_image(self) -> bool:
        """Whether each image has files of its own."""
        return self._heads[0].is_per_image

    def of(self, target: Target) -> Iterator[Path]:
        """Yields all files that may be written for an image."""
        for head in self._heads:
            yield from head.main_files(target)
            yield from head.further_files(target)
            if self.with_overlay:
                yield _overlay_file(head, target)

    def shared(self) -> Iterator[Path]:
        """Yields the files that are about all images."""
        for head in self._heads:
            yield from head.shared_files

    def exist(self, target: Target) -> bool:
        """Returns whether the files of an image are there: the main one is written last."""
        return self.is_per_image and all(
            any(file.is_file() for file in head.main_files(target)) for head in self._heads
        )

    def write(self, target: Target, result: ImagePrediction) -> tuple[tuple[Path, ...], int]:
        """Writes the files of an image, all or none. Several threads may call it.

        Returns:
            The files, and how many of them existed before.

        Raises:
            OSError: If one cannot be written. The text has its path and the cause.
        """
        contents: dict[Path, Save] = {}
        for head in self._heads:
            contents |= head.contents(target, result)
            if self.with_overlay and result.picture is not None:
                labels = result.labels(head.head, head.spec)
                contents[_overlay_file(head, target)] = partial(
                    _save_overlay, overlay(result.picture, labels, head.spec)
                )
        num_replaced = _write_all(contents, self.written)
        for head in self._heads:
            head.keep(target, result)
        shared = () if self.is_per_image else tuple(self.shared())
        return (*contents, *shared), num_replaced

    def finish(self) -> None:
        """Writes what is about all images."""
        for head in self._heads:
            head.finish(self.written)


def _overlay_file(head: HeadFiles, target: Target) -> Path:
    return head.named(target, "_overlay.jpg")


def _save_overlay(picture: Image.Image, path: Path) -> None:
    if max(picture.size) > _MAX_JPEG_SIDE:  # of which Pillow gives no cause
        raise OSError(
            f"a JPEG file has at most {_MAX_JPEG_SIDE:,} pixels a side, this picture "
            f"{max(picture.size):,}; --no-overlay leaves out the overlays"
        )
    picture.save(path, quality=92)


def _label_tiff(labels: np.ndarray, spec: LabelSpec, result: ImagePrediction) -> Save:
    """Returns what writes predictions, which may be a file mapped into memory, with colors."""
    palette = label_image(np.zeros((1, 1), np.uint8), spec).getpalette()
    return partial(
        write_georeferenced,
        values=labels,
        georeference=result.georeference,
        palette=np.array(palette, np.uint8).reshape(-1, 3),
    )


def _write_all(contents: Mapping[Path, Save], written: WrittenFiles) -> int:
    """Writes the files of one image, all or none; returns how many existed before.

    The first is moved last, so that it shows, if the process is killed, that all are there.

    Raises:
        OSError: If one cannot be written. The text has its path and the cause.
    """
    if not contents:
        return 0
    file = next(iter(contents))
    moved: list[Path] = []
    try:
        with temporary_folder(file.parent) as folder:
            temporary = {file: folder / f"{i}" / file.name for i, file in enumerate(contents)}
            for file, save in contents.items():
                if file.is_dir():  # which would fail only when others are already moved
                    raise OSError("there is a folder of this name")
                temporary[file].parent.mkdir()
                save(temporary[file])
            num_replaced = sum(file.exists() for file in contents)
            for file in reversed(temporary):
                file.parent.mkdir(parents=True, exist_ok=True)
                written.add(file, temporary[file])
                move(temporary[file], file.resolve())
                moved.append(file)
    except OSError as error:
        for path in moved:
            path.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise OSError(f"{file} cannot be written ({reason}). No file of this image is.") from error
    return num_replaced
