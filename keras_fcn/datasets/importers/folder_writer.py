"""Writes images, masks and the table of classes as a folder that `--dataset folder:PATH` reads."""

import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_fcn.data.bands import has_tifffile, is_tiff, open_raster
from keras_fcn.data.parallel import parallel_map
from keras_fcn.datasets.importers.annotations import (
    RECORD,
    AnnotatedImage,
    Annotations,
    is_background,
    is_ignored,
    read_json,
)
from keras_fcn.datasets.importers.drawing import (
    LeftOut,
    Shape,
    draw,
)
from keras_fcn.files import move, temporary_folder, write_json
from keras_fcn.labels import LabelSpec
from keras_fcn.modalities import ImageReading
from keras_fcn.visualization import label_image

_IGNORED = 255
_MAX_CLASSES = 255
_ORIENTATION = 0x0112
_SUFFIX_OF_FORMAT = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "TIFF": ".tif", "BMP": ".bmp"}
_NUM_EXAMPLES = 3


@dataclass(frozen=True)
class ImportSummary:
    """What an import wrote.

    Args:
        folder: The folder.
        class_names: Names of the classes.
        splits: Number of images by split; the key is "" if there are no splits.
        pixels: Pixels of each class, then those ignored.
        images: Images in which each class occurs, then those with ignored pixels.
        left_out: Reasons, and for each the number of cases and the first names of images.
        notes: What the user should know, one sentence each.
    """

    folder: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, int]
    pixels: np.ndarray
    images: np.ndarray
    left_out: Mapping[str, tuple[int, list[str]]]
    notes: Sequence[str]


@dataclass
class _Progress:
    pixels: np.ndarray
    images: np.ndarray
    left_out: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    def leave_out(self, reason: str, name: str, count: int = 1) -> None:
        number, examples = self.left_out.get(reason, (0, []))
        if len(examples) < _NUM_EXAMPLES and name not in examples:
            examples.append(name)
        self.left_out[reason] = (number + count, examples)


def check_target(target: Path) -> None:
    """Raises ValueError if a folder contains files that no import has written."""
    if not target.exists():
        return
    if not target.is_dir():
        raise ValueError(f"{target}: there is a file of this name. Choose another output.")
    present = {path for path in target.rglob("*") if not path.is_dir()}
    if not present:
        return
    record = target / RECORD
    if not record.is_file():
        raise ValueError(
            f"{target}: the folder is not empty and was not written by an import. Choose another "
            "output, so that nothing of yours is replaced."
        )
    written = read_json(record)["files"]
    for path in sorted(present - {record}):
        status = path.stat()
        if written.get(path.relative_to(target).as_posix()) != [status.st_size, status.st_mtime_ns]:
            raise ValueError(
                f"{path}: the file was changed or added after the import that wrote the folder. "
                "Choose another output, so that nothing of yours is replaced."
            )


def write_folder(
    annotations: Annotations,
    target: Path,
    *,
    background: bool | None,
    on_image: Callable[[int], None] | None,
) -> ImportSummary:
    """Writes the folder, and returns what is in it.

    Args:
        annotations: What the tool exported.
        target: The folder; one that an earlier import wrote is replaced.
        background: Whether pixels in no shape are the class 0, `background`; else they are
            ignored. `None` for what is usual for the tool.
        on_image: Called with the number of images, then with 0 after each.

    Raises:
        ValueError: If there are no images or too many classes, images cannot be read, or
            annotations do not fit them. The message names the file.
    """
    check_target(target)
    has_background = annotations.has_background if background is None else background
    spec, label_of = _classes(annotations.names, has_background, target)
    images = _with_splits(annotations)
    progress = _Progress(
        np.zeros(spec.num_classes + 1, np.int64), np.zeros(spec.num_classes + 1, np.int64)
    )
    for name, reason in annotations.left_out:
        progress.leave_out(reason, name)
    if not images:
        raise ValueError(_nothing_to_write(progress))
    if on_image:
        on_image(len(images))
    names = _output_names(images)
    notes = list(annotations.notes)
    with temporary_folder(target.absolute().parent) as temporary:
        folder = temporary / "new"
        uncovered = 0 if has_background else _IGNORED

        def write(item: tuple[AnnotatedImage, str]) -> tuple[AnnotatedImage, np.ndarray, Counter]:  # type: ignore[type-arg]
            return (item[0], *_write_image(*item, folder, spec, label_of, uncovered))

        for image, counts, reasons in parallel_map(write, zip(images, names, strict=True)):
            counted = np.append(counts[: spec.num_classes], counts[_IGNORED])
            progress.pixels += counted
            progress.images += counted > 0
            for reason, count in reasons.items():
                progress.leave_out(reason, image.name, count)
            if on_image:
                on_image(0)
        (folder / "classes.txt").write_text(_table(spec), encoding="utf-8")
        _write_record(folder, spec)
        if target.exists():
            target.rename(temporary / "earlier")
        move(folder, target.absolute())
    splits = Counter(image.split or "" for image in images)
    notes += _notes(spec, progress, has_background, splits)
    return ImportSummary(
        target,
        spec.class_names,
        dict(splits),
        progress.pixels,
        progress.images,
        progress.left_out,
        notes,
    )


def _classes(
    names: Sequence[str], has_background: bool, target: Path
) -> tuple[LabelSpec, dict[str, int]]:
    """Returns the classes, and the label of each name in the tool."""
    label_of: dict[str, int] = {}
    names_of: dict[str, set[str]] = {"background": set()} if has_background else {}
    for name in names:
        stripped = " ".join(name.split())
        if is_ignored(stripped):
            label_of[name] = _IGNORED
            continue
        # A "#" would begin a comment in the table.
        key = " ".join(stripped.replace("#", " ").split()) or "class"
        key = "background" if is_background(key) else key
        names_of.setdefault(key, set()).add(stripped)
        label_of[name] = list(names_of).index(key)
    classes = list(names_of)
    for key, originals in names_of.items():
        if key != "background" and len(originals) > 1:
            raise ValueError(
                f"The classes {' and '.join(map(repr, sorted(originals)))} would both be called "
                f"{key!r} in the table of classes, in which # begins a comment. Rename one."
            )
    if len(classes) > _MAX_CLASSES:
        raise ValueError(
            f"The annotations have {len(classes)} classes with the background; masks of 8 bits "
            f"have at most {_MAX_CLASSES}. Merge or remove classes in the tool, then export again."
        )
    if len(classes) < 2:
        raise ValueError(
            f"A network needs at least 2 classes. The annotations have: {', '.join(classes)}."
            + ("" if has_background else " Import with the background as a class (--background).")
        )
    return LabelSpec(tuple(classes)), label_of


def _with_splits(annotations: Annotations) -> list[AnnotatedImage]:
    """Returns the images; those of a single split `train` without a split."""
    images = list(annotations.images)
    without = [image for image in images if image.split is None]
    if without and len(without) < len(images):
        others = sorted({image.split for image in images if image.split})
        raise ValueError(
            f"{without[0].place}: {len(without)} images are in no split, such as "
            f"{without[0].name}, and {len(images) - len(without)} are in {', '.join(others)}. Give "
            "all images a split in the tool, or none."
        )
    if {image.split for image in images} == {"train"}:
        annotations.notes.append(
            "All images are in the split train: they are written without splits, so that one in "
            "five is used for validation."
        )
        return [replace(image, split=None) for image in images]
    return images


def _output_names(images: Sequence[AnnotatedImage]) -> list[str]:
    """Returns a name without suffix for each image, different within a split.

    Names of folders are not kept, because `images`, `masks` or `val` among them would mean
    something else; they become part of the name where that is needed.
    """
    paths = [PurePosixPath(image.name.replace("\\", "/")) for image in images]
    counts = Counter((i.split, p.stem.casefold()) for i, p in zip(images, paths, strict=True))
    taken: set[tuple[str | None, str]] = set()
    names = []
    for image, path in zip(images, paths, strict=True):
        name = path.stem
        if counts[image.split, name.casefold()] > 1:
            parts = [part for part in path.parts[:-1] if part not in ("/", ".", "..")]
            name = "_".join([*parts, name])
        base, number = name, 2
        while (image.split, name.casefold()) in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add((image.split, name.casefold()))
        names.append(name)
    return names


def _write_image(
    image: AnnotatedImage,
    name: str,
    folder: Path,
    spec: LabelSpec,
    label_of: Mapping[str, int],
    uncovered: int,
) -> tuple[np.ndarray, "Counter[str]"]:
    """Writes an image and its mask; returns the pixels of each label, and what was left out."""
    size, orientation, suffix = _properties(image)
    is_turned = orientation in (5, 6, 7, 8)
    upright = size[::-1] if is_turned else size
    drawn = upright
    if image.size is not None and tuple(image.size) != upright:
        # Annotated without regard to the EXIF orientation.
        if tuple(image.size) != size or not is_turned:
            raise ValueError(
                f"{image.place}: the annotations of {image.name} are for {image.size[1]}x"
                f"{image.size[0]}, the image is {upright[1]}x{upright[0]} (width x height). Likely "
                "cause: the image was resized after it was annotated. Give the folder of the "
                "annotated images by --images FOLDER."
            )
        drawn = size
    try:
        shapes = list(image.shapes(drawn))
    except ValueError as error:
        text = str(error)
        raise ValueError(
            text if text.startswith(image.place) else f"{image.place}, image {image.name}: {text}"
        ) from error
    for shape in shapes:
        if isinstance(shape, Shape) and shape.name not in label_of:
            raise ValueError(
                f"{image.place}, image {image.name}: the class {shape.name!r} is not in the list "
                f"of classes ({', '.join(list(label_of)[:8])}). Add it there, or correct the name."
            )
    labels = draw(shapes, drawn, label_of, uncovered)
    mask = label_image(labels, spec)
    if drawn != upright:
        mask = _turned(mask, orientation)
    parts = (image.split,) if image.split else ()
    image_path = folder.joinpath("images", *parts, name + suffix)
    mask_path = folder.joinpath("masks", *parts, name + ".png")
    for path in (image_path, mask_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _write_upright(image, image_path, orientation)
    mask.save(mask_path)
    reasons = Counter(shape.reason for shape in shapes if isinstance(shape, LeftOut))
    return np.bincount(labels.reshape(-1), minlength=256), reasons


def _properties(image: AnnotatedImage) -> tuple[tuple[int, int], int, str]:
    """Returns the stored height and width, the EXIF orientation and the suffix to write."""
    if isinstance(image.file, Path) and (size := _size_of_bands(image.file)):
        return size, 1, image.file.suffix
    with _opened(image) as picture:
        orientation = picture.getexif().get(_ORIENTATION, 1)
        known = _SUFFIX_OF_FORMAT.get(picture.format or "", f".{(picture.format or 'png').lower()}")
        suffix = image.file.suffix if isinstance(image.file, Path) else known
        return picture.size[::-1], orientation, ".png" if orientation in range(2, 9) else suffix


def _size_of_bands(path: Path) -> tuple[int, int] | None:
    """Returns height and width of a TIFF that Pillow does not open; `None` of other files."""
    try:
        with Image.open(path):
            return None
    except UnidentifiedImageError:
        if not has_tifffile() or not is_tiff(path):
            return None
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return None  # reported where it is read
    # Its pages, of one band each, are no matter here.
    with open_raster(path, ImageReading(page=1)) as raster:
        if raster.orientation != 1:
            raise ValueError(
                f"{path}: an image of these bands cannot be turned by its EXIF orientation. Save "
                "it without one."
            )
        return raster.height, raster.width


def _write_upright(image: AnnotatedImage, path: Path, orientation: int) -> None:
    """Writes an image as it is shown; the file itself if that needs no turning."""
    if orientation in range(2, 9):
        with _opened(image) as picture:
            turned = ImageOps.exif_transpose(picture)
        # Pillow would write the EXIF data, whose orientation is no longer right.
        turned.info.pop("exif", None)
        turned.save(path)
    elif isinstance(image.file, Path):
        shutil.copyfile(image.file, path)
    else:
        path.write_bytes(image.file())


def _turned(mask: Image.Image, orientation: int) -> Image.Image:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    mask.info["exif"] = exif.tobytes()
    turned = ImageOps.exif_transpose(mask)
    turned.info.pop("exif", None)
    return turned


@contextmanager
def _opened(image: AnnotatedImage) -> Iterator[Image.Image]:
    """Opens an image; every error while it is open names the file."""
    is_file = isinstance(image.file, Path)
    place = image.file if is_file else f"{image.place}, embedded image"
    source = image.file if isinstance(image.file, Path) else io.BytesIO(image.file())
    try:
        with Image.open(source) as picture:
            yield picture
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{place}: not an image that can be read. Replace it, or remove its annotations."
        ) from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{place}: the image cannot be read ({error}). Replace it, or remove its annotations."
        ) from error


def _table(spec: LabelSpec) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "r", "g", "b"])  # without it a class called "7" would be a number
    for name, color in zip(spec.class_names, spec.palette, strict=True):
        writer.writerow([name, *color])
    return text.getvalue()


def _write_record(folder: Path, spec: LabelSpec) -> None:
    """Writes which files the import wrote, so that the next one knows them as its own."""
    files: dict[str, Any] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            status = path.stat()
            files[path.relative_to(folder).as_posix()] = [status.st_size, status.st_mtime_ns]
    write_json(folder / RECORD, {"classes": spec.class_names, "files": files})


def _notes(
    spec: LabelSpec, progress: _Progress, has_background: bool, splits: Mapping[str, int]
) -> list[str]:
    notes = []
    absent = [name for name, n in zip(spec.class_names, progress.images, strict=False) if not n]
    if has_background and "background" in absent:
        notes.append(
            "Shapes cover every pixel, so that the class background never occurs. Import with "
            "--no-background to leave it out."
        )
        absent.remove("background")
    if absent:
        notes.append(f"Classes that never occur: {', '.join(absent)}.")
    if set(splits) - {""} and "train" not in splits:
        notes.append(f"There is no split train, only {', '.join(splits)}: evaluate with --split.")
    return notes


def _nothing_to_write(progress: _Progress) -> str:
    reasons = "; ".join(
        f"{count} times: {reason} ({', '.join(examples)})"
        for reason, (count, examples) in progress.left_out.items()
    )
    return f"There are no annotated images to import. {reasons or 'The export is empty'}."
