"""labelme's JSON files, one per image.

https://github.com/wkentaro/labelme
"""

import base64
import binascii
import io
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from keras_fcn.data.parallel import parallel_map
from keras_fcn.datasets.folder_names import picture_suffixes
from keras_fcn.datasets.importers.annotations import (
    AnnotatedImage,
    Annotations,
    ImageFiles,
    ImportOptions,
    files_below,
    read_json,
    required,
    split_of,
    unique,
)
from keras_fcn.datasets.importers.drawing import (
    LeftOut,
    Patch,
    Shape,
    ellipse,
    polygon,
    rectangle,
)

# The width in which labelme draws lines, and the radius of its points, when it makes masks.
_LINE_WIDTH = 10
_POINT_RADIUS = 5
_LABEL_FILES = ("labels.txt", "class_names.txt", "classes.txt")


def read(source: Path, images: Path | None, options: ImportOptions) -> Annotations:
    """Reads the JSON files of a folder, or one of them.

    Shapes are drawn in the order of the file, later ones above. The classes are in the order of
    `labels.txt` if the folder has one, else by name; labels that are not in it are added.
    Folders called train, val or test are splits. Images without a JSON file are left out.
    """
    del options  # labelme fills rectangles itself
    root = source if source.is_dir() else source.parent
    files = [source] if source.is_file() else list(files_below(source, [".json"]))
    found = Annotations([], [])
    labels: set[str] = set()
    pictures: list[AnnotatedImage] = []
    finder: ImageFiles | None = None
    used = set()
    for file, content in zip(files, parallel_map(_without_image, files), strict=True):
        if content is None:
            found.left_out.append((_shown(file, root), "a JSON file that is not labelme's"))
            continue
        labels.update(_labels(content, file))
        embedded, name, size = content["imageData"], content["imagePath"], content["size"]
        image = None if embedded else _beside(file, name)
        if not embedded and (image is None or images is not None):
            finder = finder or ImageFiles(images or root)
            split = split_of(file.relative_to(root).parent.as_posix())
            image = finder.find(name, near=file.parent, split=split) or image
        if image is None and not embedded:
            reason = f"neither is the image embedded nor is it in {images or root}"
            found.left_out.append((_shown(file, root), reason))
            continue
        used.add(image)
        pictures.append(_picture(file, root, image, size))
    found.left_out += [
        (_shown(path, root), "images without a JSON file")
        for path in (files_below(root, picture_suffixes()) if source.is_dir() else ())
        if path not in used and path.with_suffix(".json") not in set(files)
    ]
    if not pictures and not found.left_out:
        raise ValueError(f"{source}: there is no JSON file of labelme.")
    found.images = pictures
    found.names = _names(root, labels)
    return found


def _picture(
    file: Path, root: Path, image: Path | None, size: tuple[int, int] | None
) -> AnnotatedImage:
    relative = file.relative_to(root)
    return AnnotatedImage(
        relative.as_posix(),
        image or (lambda: _embedded_image(file)),
        split_of(relative.parent.as_posix()),
        str(file),
        lambda size: _shapes(file, size),
        size,
    )


def _without_image(file: Path) -> dict[str, Any] | None:
    """Returns what is needed of a file to find its image; `None` if it is not labelme's."""
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return None
    size = (content.get("imageHeight"), content.get("imageWidth"))
    is_embedded = bool(content.get("imageData"))
    return {
        "shapes": [{"label": shape.get("label")} for shape in content["shapes"]],
        "imageData": is_embedded,
        "imagePath": required(content, "imagePath", str, str(file)) if not is_embedded else "",
        "size": size if all(isinstance(length, int) for length in size) else None,
    }


def _beside(file: Path, name: str) -> Path | None:
    path = file.parent / PureWindowsPath(name).as_posix()
    return path if path.is_file() else None


def _labels(content: Mapping[str, Any], file: Path) -> Iterator[str]:
    for shape in content["shapes"]:
        yield required(shape, "label", str, str(file))


def _names(root: Path, labels: set[str]) -> list[str]:
    """Returns the labels: those of a list in its order, then others by name."""
    listed: list[str] = []
    for name in _LABEL_FILES:
        if (root / name).is_file():
            lines = (root / name).read_text(encoding="utf-8-sig").splitlines()
            listed = [line.strip() for line in lines if line.strip()]
            break
    return unique([*listed, *sorted(labels - {""})])


def _embedded_image(file: Path) -> bytes:
    try:
        return base64.b64decode(read_json(file)["imageData"])
    except (binascii.Error, TypeError) as error:
        raise ValueError(
            f"{file}: the embedded image ('imageData') is damaged. Save the file again in labelme."
        ) from error


def _shapes(file: Path, size: tuple[int, int]) -> Iterator[Shape | LeftOut]:
    for number, shape in enumerate(read_json(file)["shapes"], 1):
        kind = shape.get("shape_type") or "polygon"
        place = f"{file}, shape {number} ({shape['label']}, {kind})"
        try:
            points = np.asarray(required(shape, "points", list, place), np.float64).reshape(-1, 2)
            patches = _patches(kind, points, shape.get("mask"), size)
        except ValueError as error:
            text = str(error)
            raise ValueError(text if text.startswith(place) else f"{place}: {text}") from error
        if patches is None:
            yield LeftOut(f"shapes of labelme of the unknown type {kind!r}")
        else:
            yield Shape(shape["label"], patches)


def _patches(
    kind: str, points: np.ndarray, mask: str | None, size: tuple[int, int]
) -> tuple[Patch, ...] | None:
    expected = {"rectangle": (2, 4), "circle": (2,), "mask": (2,), "point": (1,), "line": (2,)}
    if len(points) not in expected.get(kind, (len(points),)):
        raise ValueError(f"it has {len(points)} points. Draw it again in labelme.")
    if kind == "mask":
        return (_bitmap(points, mask),)
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points.min(0), points.max(0)
        return (polygon(rectangle(left, top, right, bottom), size),)
    if kind in ("polygon", "rectangle", "oriented_rectangle"):
        return (polygon(points, size),)
    if kind == "circle":
        radius = math.dist(points[0], points[1])
        return (ellipse(points[0], (radius, radius), 0, size),)
    if kind == "point":
        return (ellipse(points[0], (_POINT_RADIUS, _POINT_RADIUS), 0, size),)
    return _strokes(points, size) if kind in ("line", "linestrip") else None


def _bitmap(points: np.ndarray, mask: str | None) -> Patch:
    """Returns a mask, which is stored as a PNG of its bounding box."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(mask or ""))) as picture:
            pixels = np.asarray(picture).astype(bool)
    except (OSError, binascii.Error) as error:
        raise ValueError("the picture of the mask is damaged. Draw it again in labelme.") from error
    (left, top), (right, bottom) = points.astype(int)
    if pixels.shape != (bottom - top + 1, right - left + 1):
        raise ValueError(
            f"the picture of the mask is {pixels.shape[1]}x{pixels.shape[0]}, its box is "
            f"{right - left + 1}x{bottom - top + 1} (width x height). Draw it again in labelme."
        )
    return Patch(int(top), int(left), pixels)


def _strokes(points: np.ndarray, size: tuple[int, int]) -> tuple[Patch, ...]:
    """Returns the straight pieces of a line, each a rectangle."""
    patches = []
    for start, end in itertools.pairwise(points):
        length = math.dist(start, end)
        if length:
            x, y = (end - start) * (_LINE_WIDTH / 2 / length)
            across = np.array([-y, x])
            corners = [start + across, end + across, end - across, start - across]
            patches.append(polygon(corners, size))
    return tuple(patches)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
