"""Predictions as polygons that labelling tools open: files of labelme and COCO.

Outlines follow the edges of pixels, so that drawing them gives the class map again, pixel for
pixel: `keras-fcn datasets import` reads both formats back exactly.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from keras_fcn.files import write_json, write_text
from keras_fcn.labels import BACKGROUND_NAMES, LabelSpec

PolygonFormat = Literal["labelme", "coco"]
# An image in COCO's file, and its annotations, both without their numbers.
_CocoImage = tuple[dict[str, Any], list[dict[str, Any]]]

# East, south, west, north: each is the one before, turned to the right.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_LABELME_VERSION = "5.5.0"
_LABELME_BACKGROUND = "_background_"
# Our imports, and labelme itself, take it for pixels without a class.
_IGNORED = "__ignore__"


@dataclass(frozen=True)
class Region:
    """Pixels of one class that are connected by their edges.

    Args:
        label: The class.
        outline: Corners `(x, y)` of the outer outline, clockwise, int, shape `(n, 2)`. It touches
            itself where two of its pixels touch by a corner only.
        num_holes: Number of holes.
        top: Row of `mask`.
        left: Column of `mask`.
        mask: The pixels, boolean, shape `(height, width)`.
    """

    label: int
    outline: np.ndarray
    num_holes: int
    top: int
    left: int
    mask: np.ndarray

    @property
    def filled_area(self) -> float:
        """Number of pixels inside the outline, those of holes included."""
        return _area(self.outline)


def regions(labels: np.ndarray) -> list[Region]:
    """Returns the regions of a class map, surrounding ones before those in their holes.

    Filling their outlines in this order gives the class map.

    Args:
        labels: Labels, integer, shape `(height, width)`.

    Example:
        >>> ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
        >>> [(region.label, region.outline.tolist()) for region in regions(ring)]
        [(1, [[0, 0], [3, 0], [3, 3], [0, 3]]), (0, [[1, 1], [2, 1], [2, 2], [1, 2]])]
    """
    found = []
    for label in np.unique(labels):
        numbers, _ = ndimage.label(labels == label)
        for number, place in enumerate(ndimage.find_objects(numbers), 1):
            mask = numbers[place] == number
            top, left = place[0].start, place[1].start
            loops = _loops(mask)
            # Those of holes go the other way round: their areas are negative.
            outline = max(loops, key=_area) + np.array([left, top])
            found.append(Region(int(label), outline, len(loops) - 1, top, left, mask))
    return sorted(found, key=lambda region: -region.filled_area)


@dataclass
class PolygonFiles:
    """Writes the predictions of one head as polygons.

    labelme gets a JSON file per image and `labels.txt`, COCO one file for all images.

    labelme has no holes: regions in a hole are drawn above the one that surrounds them, those of
    the background with the label `_background_`. In COCO a region with holes is stored as run
    lengths, others as polygons. Outside of holes a class 0 called `background` is not written.
    Pixels with the ignored label, such as those without data, are regions called `__ignore__`.

    Args:
        format: The tool.
        folder: Folder to write to.
        labels: The classes.
        images: Folder from which the names of images are, in COCO's file.
    """

    format: PolygonFormat
    folder: Path
    labels: LabelSpec
    images: Path
    _images: list[_CocoImage] = field(default_factory=list)

    @property
    def has_background(self) -> bool:
        """Whether class 0 means that there is no object."""
        return self.labels.class_names[0].lower() in BACKGROUND_NAMES

    def file(self, name: str) -> Path:
        """Returns the file of an image for labelme."""
        return self.folder / f"{name}.json"

    @property
    def shared_file(self) -> Path:
        """The file about all images, which `finish` writes."""
        return self.folder / ("labels.txt" if self.format == "labelme" else "annotations.json")

    def saver(self, file: Path, image: Path, labels: np.ndarray) -> Callable[[Path], object]:
        """Returns what writes the polygons of an image for labelme.

        Args:
            file: Where the file will be, for its path to the image.
            image: The image.
            labels: Its predictions, shape `(height, width)`.
        """
        text = json.dumps(self._labelme(file, image, labels), indent=1) + "\n"
        return lambda path: path.write_text(text, encoding="utf-8")

    def add(self, image: Path, labels: np.ndarray) -> None:
        """Keeps the polygons of an image for COCO's file. Several threads may call it."""
        self._images.append(self._coco(image, labels))

    def finish(self) -> None:
        """Writes what is about all images."""
        if self.format == "labelme":
            names = [_IGNORED, *map(self._labelme_name, range(self.labels.num_classes))]
            write_text(self.shared_file, "\n".join(names) + "\n")
            return
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, (record, of_image) in enumerate(sorted(self._images, key=_file_name), 1):
            images.append({"id": number, **record})
            for annotation in of_image:
                numbers = {"id": len(annotations) + 1, "image_id": number}
                annotations.append(numbers | annotation)
        first = 1 if self.has_background else 0
        categories = dict(enumerate(self.labels.class_names))
        ignored = self._category(self.labels.ignore_class)
        if any(annotation["category_id"] == ignored for annotation in annotations):
            categories[self.labels.ignore_class] = _IGNORED
        write_json(
            self.shared_file,
            {
                "info": {"description": "Predictions of keras_fcn"},
                "images": images,
                "annotations": annotations,
                "categories": [
                    {"id": self._category(label), "name": name, "supercategory": ""}
                    for label, name in categories.items()
                    if label >= first
                ],
            },
        )

    def _labelme(self, file: Path, image: Path, labels: np.ndarray) -> dict[str, Any]:
        height, width = labels.shape
        relative = os.path.relpath(image.absolute(), file.absolute().parent)
        shapes = [
            {
                "label": self._labelme_name(region.label),
                "points": region.outline.astype(float).tolist(),
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
                "mask": None,
            }
            for region in self._drawn(labels)
        ]
        return {
            "version": _LABELME_VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": Path(relative).as_posix(),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }

    def _labelme_name(self, label: int) -> str:
        if label == self.labels.ignore_class:
            return _IGNORED
        if label == 0 and self.has_background:
            return _LABELME_BACKGROUND
        return self.labels.class_names[label]

    def _drawn(self, labels: np.ndarray) -> Iterator[Region]:
        """Yields the regions to draw: of the background those that lie in holes."""
        found = regions(labels)
        if not self.has_background:
            yield from found
            return
        covered = np.zeros(labels.shape, bool)
        for region in found:
            if region.label and region.num_holes:
                filled = ndimage.binary_fill_holes(region.mask, np.ones((3, 3)))
                height, width = filled.shape
                rows = slice(region.top, region.top + height)
                covered[rows, region.left : region.left + width] |= filled
        for region in found:
            column = int(region.mask[0].argmax())
            if region.label or covered[region.top, region.left + column]:
                yield region

    def _coco(self, image: Path, labels: np.ndarray) -> _CocoImage:
        height, width = labels.shape
        name = image.absolute().relative_to(self.images).as_posix()
        annotations = [
            {
                "category_id": self._category(region.label),
                "segmentation": _segmentation(region, labels.shape),
                "area": int(np.count_nonzero(region.mask)),
                "bbox": [region.left, region.top, *region.mask.shape[::-1]],
                "iscrowd": 0,
            }
            for region in regions(labels)
            if region.label or not self.has_background
        ]
        return {"file_name": name, "height": height, "width": width}, annotations

    def _category(self, label: int) -> int:
        """Returns the id of a class; ids are from 1, and the ignored label has the last one."""
        if label == self.labels.ignore_class:
            return self.labels.num_classes + 1
        return label if self.has_background else label + 1


def _file_name(image: _CocoImage) -> str:
    return str(image[0]["file_name"])


def _segmentation(region: Region, size: tuple[int, ...]) -> Any:
    """Returns a region as COCO has it: the polygon, or run lengths if it has holes."""
    if not region.num_holes:
        return [region.outline.reshape(-1).tolist()]
    mask = np.zeros(size, bool)
    height, width = region.mask.shape
    rows = slice(region.top, region.top + height)
    mask[rows, region.left : region.left + width] = region.mask
    # Down the columns; the first run is outside.
    flat = np.concatenate([[False], mask.T.reshape(-1)])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def _loops(mask: np.ndarray) -> list[np.ndarray]:
    """Returns the outlines of a mask along the edges of its pixels, the mask on the right.

    Outer outlines are clockwise, those of holes counterclockwise. Pixels that touch by a corner
    only are not connected there.
    """
    inside = np.pad(mask, 1)
    here, above, left = inside[1:, 1:], inside[:-1, 1:], inside[1:, :-1]
    corner = inside[:-1, :-1]
    # By corner of the grid: whether an edge goes from it to the east, south, west, north.
    leaves = np.stack([here & ~above, left & ~here, corner & ~left, above & ~corner], axis=-1)
    east = leaves[..., 0]
    # Each loop has a line to the east; it begins where none comes from the west.
    begins = east & ~np.pad(east, ((0, 0), (1, 0)))[:, :-1]
    seen = np.zeros_like(leaves)
    return [
        _follow(leaves, seen, x, y) for y, x in np.argwhere(begins).tolist() if not seen[y, x, 0]
    ]


def _follow(leaves: np.ndarray, seen: np.ndarray, x: int, y: int) -> np.ndarray:
    """Returns the corners of the loop that begins with a line to the east."""
    corners = []
    direction, previous = 0, -1
    while not seen[y, x, direction]:
        seen[y, x, direction] = True
        if direction != previous:
            corners.append((x, y))
        step_x, step_y = _STEPS[direction]
        x, y, previous = x + step_x, y + step_y, direction
        # To the right first: around the same pixel, where two touch by a corner.
        turns = (1, 0, 3)
        direction = next(d for t in turns if leaves[y, x, d := (direction + t) % 4])
    return np.array(corners)


def _area(outline: np.ndarray) -> float:
    """Returns the area of a polygon, positive if it is clockwise in the image."""
    x, y = outline[:, 0].astype(np.int64), outline[:, 1].astype(np.int64)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
