"""CVAT's XML "CVAT for images".

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from keras_fcn.datasets.importers.annotations import (
    AnnotatedImage,
    Annotations,
    ImageFiles,
    ImportOptions,
    checked_split,
    files_below,
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
    rotated,
    runs,
)

_WITHOUT_AREA = ("polyline", "points", "skeleton", "tag", "cuboid")
_WITH_AREA = ("polygon", "box", "ellipse", "mask")
_NO_SUBSET = ("", "default")

Element = ElementTree.Element


def read(source: Path, images: Path | None, options: ImportOptions) -> Annotations:
    """Reads an `annotations.xml`, or those of a folder.

    Shapes are drawn by their z-order, those of the same in the order of the file. Subsets called
    train, val or test are splits, or files so called, as datumaro's. Images without shapes are
    background.
    """
    del options  # a box is a shape of its own in CVAT
    files = [source] if source.is_file() else list(files_below(source, [".xml"]))
    trees = {file: tree for file in files if (tree := _tree(file)) is not None}
    root = source if source.is_dir() else source.absolute().parent
    if not trees:
        raise ValueError(_no_annotations(source))
    finder = ImageFiles(images or root)
    found = Annotations([], [])
    pictures, num_empty = [], 0
    for file, tree in trees.items():
        if tree.find("track") is not None:
            raise ValueError(
                f"{file}: the annotations are tracks of a video. Export the task again as "
                "'CVAT for images 1.1', which has the shapes of each frame."
            )
        elements = tree.findall("image")
        found.names = unique([*found.names, *_labels(tree)])
        for element in elements:
            name, subset = element.get("name", ""), element.get("subset", "")
            has_subset = subset.lower() not in _NO_SUBSET
            split = checked_split(subset, str(file)) if has_subset else split_of(file.stem)
            path = finder.find(name, near=file.parent, split=split)
            if path is None:
                found.left_out.append((name, f"the image is not in {finder.folder}"))
                continue
            num_empty += not any(child.tag in _WITH_AREA for child in element)
            pictures.append(_picture(file, element, path, name, split))
    if not pictures and found.left_out:
        raise ValueError(
            f"{files[0]}: none of its images is in {finder.folder}. Export with 'Save images', or "
            f"give their folder by --images FOLDER. Missing is, for example, "
            f"{found.left_out[0][0]}."
        )
    if num_empty:
        found.notes.append(
            f"{num_empty:,} of {len(pictures):,} images have no shapes: all of their pixels are "
            "background. If they were not annotated yet, remove them from the task."
        )
    found.images = pictures
    return found


def _picture(
    file: Path, element: Element, path: Path, name: str, split: str | None
) -> AnnotatedImage:
    width, height = element.get("width"), element.get("height")
    return AnnotatedImage(
        name,
        path,
        split,
        str(file),
        lambda size: _shapes(element, size),
        (int(height), int(width)) if width and height else None,
    )


def _tree(file: Path) -> Element | None:
    """Returns the root of a file of CVAT; `None` for other XML."""
    try:
        root = ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{file}: the file is no valid XML ({error}). Export it again.") from error
    return root if root.tag == "annotations" else None


def _labels(tree: Element) -> list[str]:
    """Returns the labels of the task in their order, else those that shapes have by name."""
    listed = [name.text or "" for name in tree.findall("meta//labels/label/name")]
    used = {
        shape.get("label", "")
        for image in tree.findall("image")
        for shape in image
        if shape.tag in _WITH_AREA
    }
    return unique([*listed, *sorted(used)])


def _shapes(element: Element, size: tuple[int, int]) -> Iterator[Shape | LeftOut]:
    # `sorted` keeps the order of the file where the z-order is equal.
    for shape in sorted(element, key=lambda shape: int(shape.get("z_order") or 0)):
        if shape.tag in _WITHOUT_AREA:
            yield LeftOut(f"shapes of CVAT of the type {shape.tag} are not drawn")
        elif shape.tag in _WITH_AREA:
            name = shape.get("label", "")
            try:
                patch = _patch(shape, size)
            except (TypeError, ValueError) as error:
                raise ValueError(f"a {shape.tag} of the label {name!r}: {error}") from error
            yield Shape(name, (patch,))


def _patch(shape: Element, size: tuple[int, int]) -> Patch:
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";") if pair]
        return polygon(np.array(pairs, np.float64).reshape(-1, 2), size)
    if shape.tag == "mask":
        counts = [int(count) for count in shape.get("rle", "").split(",")]
        top, left = _whole(shape, "top"), _whole(shape, "left")
        extent = (_whole(shape, "height"), _whole(shape, "width"))
        return Patch(top, left, runs(counts, extent, by_columns=False))
    degrees = float(shape.get("rotation") or 0)
    if shape.tag == "ellipse":
        center = (_number(shape, "cx"), _number(shape, "cy"))
        return ellipse(center, (_number(shape, "rx"), _number(shape, "ry")), degrees, size)
    corners = rectangle(*(_number(shape, side) for side in ("xtl", "ytl", "xbr", "ybr")))
    return polygon(rotated(corners, degrees, corners.mean(0)), size)


def _number(shape: Element, name: str) -> float:
    value = shape.get(name)
    if value is None:
        raise ValueError(f"the attribute {name} is missing. Export the task again.")
    return float(value)


def _whole(shape: Element, name: str) -> int:
    return int(_number(shape, name))


def _no_annotations(source: Path) -> str:
    if source.is_dir() and (source / "SegmentationClass").is_dir():
        return (
            f"{source}: this is CVAT's export 'Segmentation mask', which needs no import. Use it "
            f"as it is: --dataset folder:{source}"
        )
    return (
        f"{source}: there is no XML file of CVAT (annotations.xml). Export the task or project as "
        "'CVAT for images 1.1' and unpack the archive. (COCO's JSON files: --from coco.)"
    )
