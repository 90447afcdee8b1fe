"""Ultralytics' YOLO segmentation: a text file of polygons per image, and `data.yaml`.

https://docs.ultralytics.com/datasets/segment/
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from keras_fcn.datasets.folder_names import picture_suffixes
from keras_fcn.datasets.importers.annotations import (
    AnnotatedImage,
    Annotations,
    ImageFiles,
    ImportOptions,
    checked_split,
    files_below,
    split_of,
)
from keras_fcn.datasets.importers.drawing import (
    Patch,
    Shape,
    polygon,
    rectangle,
)

_NAME_LISTS = ("classes.txt", "obj.names", "labels.txt")
_SPLIT_KEYS = ("train", "val", "valid", "validation", "test")
# Rounding may put corners a little outside of the image.
_TOLERANCE = 0.01
_DECIMALS = 6


def read(source: Path, images: Path | None, options: ImportOptions) -> Annotations:
    """Reads the images and labels that a `data.yaml` names, or the folders images/ and labels/.

    Smaller polygons are drawn above larger ones, as Ultralytics does. An image without a file
    of labels has no objects. Without `data.yaml`, names are in `classes.txt`.
    """
    root = source if source.is_dir() else source.parent
    settings_file = source if source.is_file() else _settings_file(source)
    settings = _settings(settings_file) if settings_file else {}
    names = _names(settings, settings_file, root)
    if images is not None:
        splits = _files_by_folder(images)
    elif settings_file and any(settings.get(key) for key in _SPLIT_KEYS):
        splits = _files_of_settings(settings, settings_file)
    else:
        splits = _files_by_folder(root)
        inside = [(s, path) for s, path in splits if "images" in path.relative_to(root).parts[:-1]]
        splits = inside or splits
    labels: dict[str, list[Path]] = {}
    for path in files_below(root, [".txt"]) if images else ():
        labels.setdefault(path.stem, []).append(path)
    found = Annotations(names, [])
    pictures = []
    num_without = 0
    for split, file in splits:
        label = _label_file(file) or _same_name(file, split, labels)
        num_without += label is None
        pictures.append(_picture(file, split, label, names, root, options.boxes))
    if pictures and num_without == len(pictures):
        raise ValueError(
            f"{root}: there is no file of labels for any of {len(pictures):,} images. "
            f"Expected, for {pictures[0].file}: {_expected(splits[0][1])}."
        )
    if num_without:
        found.notes.append(
            f"{num_without:,} images have no file of labels: all of their pixels are background."
        )
    found.images = pictures
    return found


def _picture(
    file: Path, split: str | None, label: Path | None, names: list[str], root: Path, boxes: bool
) -> AnnotatedImage:
    def shapes(size: tuple[int, int]) -> list[Shape]:
        return _shapes(label, names, size, boxes) if label else []

    shown = file.relative_to(root) if file.is_relative_to(root) else file
    return AnnotatedImage(shown.as_posix(), file, split, str(label or file), shapes)


def _settings_file(folder: Path) -> Path | None:
    """Returns `data.yaml`, or the only file of its kind under another name."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".yaml", ".yml")]
    preferred = [path for path in files if path.stem.lower() in ("data", "dataset")]
    if len(preferred or files) > 1:
        raise ValueError(
            f"{folder}: there are {len(files)} YAML files. Give the one that describes the "
            f"dataset, such as {files[0]}."
        )
    return next(iter(preferred or files), None)


def _settings(file: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: the file is no valid YAML ({error}).") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{file}: expected the keys train, val and names, as Ultralytics writes.")
    return settings


def _names(settings: Mapping[str, Any], file: Path | None, root: Path) -> list[str]:
    names = settings.get("names")
    if isinstance(names, dict):
        numbers = sorted(int(number) for number in names)
        if numbers != list(range(len(numbers))):
            raise ValueError(f"{file}: the classes must be numbered 0, 1, 2, ... Found: {numbers}.")
        by_number = {int(number): str(name) for number, name in names.items()}
        return [by_number[number] for number in numbers]
    if isinstance(names, list):
        return [str(name) for name in names]
    for candidate in _NAME_LISTS:
        if (root / candidate).is_file():
            lines = (root / candidate).read_text(encoding="utf-8-sig").splitlines()
            return [line.strip() for line in lines if line.strip()]
    raise ValueError(
        f"{file or root}: the names of the classes are missing. Expected `names:` in data.yaml, or "
        "a file classes.txt with a name per line, of which the first is class 0."
    )


def _files_of_settings(settings: Mapping[str, Any], file: Path) -> list[tuple[str | None, Path]]:
    """Returns the images that the settings name, with their splits."""
    bases = [file.parent]
    if settings.get("path"):
        bases = [file.parent / str(settings["path"]), file.parent]
    finder = ImageFiles(file.parent)
    files: list[tuple[str | None, Path]] = []
    for key in _SPLIT_KEYS:
        entries = settings.get(key) or []
        for entry in [entries] if isinstance(entries, str) else entries:
            place = _existing(bases, str(entry))
            if place is None:
                if key == "test" and not isinstance(entries, list):
                    continue  # templates name a folder of test images that need not exist
                raise ValueError(
                    f"{file}: {key}: {entry} does not exist (looked in "
                    f"{', '.join(str(base) for base in dict.fromkeys(bases))}). Correct `path:` or "
                    f"`{key}:`, or give the folder of images by --images FOLDER."
                )
            split = checked_split(key, str(file))
            found = (
                list(files_below(place, picture_suffixes()))
                if place.is_dir()
                else list(_listed(place, bases, finder, split))
            )
            files += [(split, path) for path in found]
    splits: dict[Path, set[str]] = {}
    for known, path in files:
        splits.setdefault(path, set()).add(str(known))
    several = [path for path, names in splits.items() if len(names) > 1]
    if several:
        raise ValueError(
            f"{file}: {len(several)} images are in more than one split, such as {several[0]} in "
            f"{' and '.join(sorted(splits[several[0]]))}. Validation would be on images of the "
            "training; name different folders."
        )
    return list(dict.fromkeys(files))


def _existing(bases: Sequence[Path], entry: str) -> Path | None:
    """Returns a file or folder; exports often begin with one `../` too many."""
    for base in bases:
        for name in (entry, entry.removeprefix("../")):
            if (base / name).exists():
                return base / name
    return None


def _listed(file: Path, bases: Sequence[Path], finder: ImageFiles, split: str) -> Iterator[Path]:
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        name = line.strip()
        if not name:
            continue
        path = _existing([file.parent, *bases], name) or finder.find(name, split=split)
        if path is None:
            raise ValueError(
                f"{file}, line {number}: there is no image {name} in {finder.folder}. Copy the "
                "images there, or give their folder by --images FOLDER."
            )
        yield path


def _files_by_folder(root: Path) -> list[tuple[str | None, Path]]:
    """Returns all images, with splits by the names of folders."""
    return [
        (split_of("/".join(path.relative_to(root).parts[:-1])), path)
        for path in files_below(root, picture_suffixes())
    ]


def _expected(image: Path) -> Path:
    """Returns where the labels of an image are: `images` in its path becomes `labels`."""
    parts = list(image.parts[:-1])
    for position in range(len(parts) - 1, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            break
    return Path(*parts, f"{image.stem}.txt")


def _label_file(image: Path) -> Path | None:
    for path in (_expected(image), image.with_suffix(".txt")):
        if path.is_file():
            return path
    return None


def _same_name(image: Path, split: str | None, labels: Mapping[str, Sequence[Path]]) -> Path | None:
    """Returns the labels of an image that is elsewhere: by the name, and the folder of the split.

    Raises:
        ValueError: If it is not clear which of several they are.
    """
    found = labels.get(image.stem, [])
    if len(found) > 1:
        found = [path for path in found if split_of(path.parent.name) == split]
    if len(found) > 1:
        raise ValueError(
            f"{image}: there are {len(found)} files of labels of this name, {found[0]} and "
            f"{found[1]}. Put the images into images/ beside labels/."
        )
    return found[0] if found else None


def _shapes(file: Path, names: Sequence[str], size: tuple[int, int], boxes: bool) -> list[Shape]:
    shapes = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        if line.strip():
            shapes.append(_shape(line.split(), names, size, boxes, f"{file}, line {number}"))
    # `sorted` keeps the order of equal areas.
    return sorted(shapes, key=lambda shape: -shape.patches[0].area)


def _shape(
    words: list[str], names: Sequence[str], size: tuple[int, int], boxes: bool, place: str
) -> Shape:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise ValueError(
            f"{place}: expected a class number and a polygon x1 y1 x2 y2 ... Received: "
            f"{' '.join(words)[:60]!r}."
        ) from error
    number, coordinates = values[0], values[1:]
    if number != int(number) or not 0 <= number < len(names):
        raise ValueError(
            f"{place}: the class {words[0]} is not one of 0 to {len(names) - 1} "
            f"({', '.join(names[:6])}{', ...' * (len(names) > 6)}). Add its name to the list of "
            "classes."
        )
    if not all(-_TOLERANCE <= value <= 1 + _TOLERANCE for value in coordinates):
        raise ValueError(
            f"{place}: coordinates must be shares of the width and height, from 0 to 1. Received: "
            f"{max(coordinates, key=lambda v: abs(v) if math.isfinite(v) else math.inf):g}. Likely "
            "cause: they are in pixels; export them as YOLO."
        )
    if len(coordinates) == 4:
        if not boxes:
            raise ValueError(
                f"{place}: the line is a box, not a polygon, and a box does not show which of its "
                "pixels are the object. Export the dataset as YOLO segmentation, or fill the "
                "boxes: --boxes."
            )
        x, y, width, height = coordinates
        corners = rectangle(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    elif len(coordinates) < 6 or len(coordinates) % 2:
        raise ValueError(
            f"{place}: expected a class number and the pairs x y of at least three corners. "
            f"Received: {len(coordinates)} numbers after the class."
        )
    else:
        corners = np.asarray(coordinates).reshape(-1, 2)
    return Shape(names[int(number)], (_patch(corners, size),))


def _patch(corners: np.ndarray, size: tuple[int, int]) -> Patch:
    # Without the noise of the division, which would decide where a pixel's center is on the line.
    return polygon((corners * size[::-1]).round(_DECIMALS), size)
