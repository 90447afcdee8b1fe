"""COCO's JSON files: `instances_*.json` with polygons and runs, and `panoptic_*.json`.

https://cocodataset.org/#format-data
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

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
    polygon,
    rectangle,
    runs,
    unpacked_counts,
)

# In COCO's own files about one object in a hundred is a crowd.
_MAX_CROWDS = 0.1
# The label of crowd regions; any of the ignored names would do.
_CROWD = "__ignore__"
_OTHER_KINDS = re.compile(r"(captions|person_keypoints|image_info|stuff|panoptic)_")

_Record = Mapping[str, Any]


def read(source: Path, images: Path | None, options: ImportOptions) -> Annotations:
    """Reads a COCO file, or those of a folder, of which each is a split.

    Objects are drawn in the order of the file, later ones above; crowd regions are ignored where
    no object is. Classes are in the order of their ids.

    CVAT, datumaro and supervision mark every mask that they store as run lengths as a crowd, too:
    if crowds are many, the user has to say which they are.
    """
    files = _annotation_files(source)
    contents = {file: read_json(file) for file in files}
    splits = _splits(files, source)
    finder = ImageFiles(images or (source if source.is_dir() else _folder_of_images(source)))
    found = Annotations([_CROWD], [])
    crowds = _checked_crowds(contents, options, found)
    is_panoptic = {file: _is_panoptic(content) for file, content in contents.items()}
    if len(set(is_panoptic.values())) > 1:
        raise ValueError(f"{source}: panoptic and other files cannot be imported together.")
    # The 0 of panoptic files means that a pixel was not labelled.
    found.has_background = not all(is_panoptic.values())
    settings = replace(options, crowds=crowds)
    for file, content in contents.items():
        names = _category_names(content, file)
        found.names = unique([*found.names, *(names[i] for i in sorted(names))])
        reader = _panoptic_shapes if is_panoptic[file] else _object_shapes
        pictures = list(
            _images(file, content, names, splits[file], finder, found, reader, settings)
        )
        found.images = [*found.images, *pictures]
    if not found.images and found.left_out:
        raise ValueError(
            f"{files[0]}: none of its images is in {finder.folder}, which "
            f"contains {len(finder):,} images. Give their folder by --images FOLDER. Missing is, "
            f"for example, {found.left_out[0][0]}."
        )
    return found


def _annotation_files(source: Path) -> list[Path]:
    """Returns the files to read: of several kinds the instances."""
    if source.is_file():
        return [source]
    files = [file for file in files_below(source, [".json"]) if _looks_like_coco(file)]
    chosen = [file for file in files if not _OTHER_KINDS.match(file.name)] or [
        file for file in files if file.name.startswith("panoptic_")
    ]
    if not chosen:
        raise ValueError(
            f"{source}: there is no JSON file of COCO with images, annotations and categories. "
            "Give the file itself, such as annotations/instances_train.json."
        )
    return chosen


def _looks_like_coco(file: Path) -> bool:
    # Large files begin with images or annotations, of which a few suffice.
    with file.open("rb") as stream:
        head = stream.read(1 << 16)
    return re.search(rb'"(annotations|images|categories)"\s*:\s*\[', head) is not None


def _splits(files: list[Path], source: Path) -> dict[Path, str | None]:
    """Returns the split of each file, by its name or its folder."""
    splits: dict[Path, str | None] = {}
    for file in files:
        below = file.relative_to(source).parent if source.is_dir() else Path(file.parent.name)
        splits[file] = split_of(file.stem) or split_of(below.as_posix())
    if len(files) == 1:
        return splits
    for file, split in splits.items():
        same = [other for other in files if splits[other] == split]
        if split is None or len(same) > 1:
            raise ValueError(
                f"{source}: there are {len(files)} JSON files of COCO, and "
                + (
                    f"the name of {file} is of no split (train, val or test)."
                    if split is None
                    else f"{same[0]} and {same[1]} are both of the split {split}."
                )
                + " Import one of them by giving the file, or rename them."
            )
    return splits


def _folder_of_images(file: Path) -> Path:
    """Returns the folder to search: COCO's annotations/ is beside the folders of images."""
    folder = file.absolute().parent
    return (
        folder.parent if folder.name.lower() in ("annotations", "annotation", "labels") else folder
    )


def _is_panoptic(content: Any) -> bool:
    annotations = (content.get("annotations") if isinstance(content, dict) else None) or [{}]
    return "segments_info" in annotations[0]


def _category_names(content: Any, file: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for category in required(content, "categories", list, str(file)):
        names[required(category, "id", int, str(file))] = str(
            required(category, "name", (str, int), str(file))
        )
    return names


def _images(
    file: Path,
    content: _Record,
    names: Mapping[int, str],
    split: str | None,
    finder: ImageFiles,
    found: Annotations,
    reader: Callable[..., Iterator[Shape | LeftOut]],
    options: ImportOptions,
) -> Iterator[AnnotatedImage]:
    annotations: dict[Any, list[_Record]] = {}
    for annotation in required(content, "annotations", list, str(file)):
        key = required(annotation, "image_id", (int, str), str(file))
        annotations.setdefault(key, []).append(annotation)
    records = required(content, "images", list, str(file))
    missing = set(annotations) - {record.get("id") for record in records}
    if missing:
        raise ValueError(
            f"{file}: annotations are for the image with the id {min(missing, key=str)}, which "
            "the file does not list. Likely cause: the file was cut or joined; export it again."
        )
    for record in records:
        name = required(record, "file_name", str, str(file))
        path = finder.find(name, near=file.parent, split=split)
        if path is None:
            found.left_out.append((name, f"the image is not in {finder.folder}"))
            continue
        own = annotations.get(required(record, "id", (int, str), str(file)), [])
        height, width = record.get("height"), record.get("width")
        yield AnnotatedImage(
            name,
            path,
            split,
            str(file),
            partial(reader, file, own, names, options),
            (height, width) if height and width else None,
        )


def _object_shapes(
    file: Path,
    annotations: list[_Record],
    names: Mapping[int, str],
    options: ImportOptions,
    size: tuple[int, int],
) -> Iterator[Shape | LeftOut]:
    # Crowds are below all objects: `sorted` keeps the order otherwise.
    for annotation in sorted(annotations, key=lambda a: not _is_crowd(a, options)):
        place = f"{file}, annotation {annotation.get('id', '')}"
        name = _CROWD if _is_crowd(annotation, options) else _name(annotation, names, place)
        try:
            patches = _patches(annotation, size, options.boxes)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        yield (
            Shape(name, patches)
            if patches
            else LeftOut("polygons of fewer than three corners have no area")
        )


def _is_crowd(record: _Record, options: ImportOptions) -> bool:
    return bool(record.get("iscrowd")) and options.crowds != "objects"


def _checked_crowds(
    contents: Mapping[Path, Any], options: ImportOptions, found: Annotations
) -> Literal["ignore", "objects"]:
    """Returns what crowds are.

    Raises:
        ValueError: If they are too many to be the crowds of COCO, and the user did not say it.
    """
    if options.crowds:
        return options.crowds
    for file, content in contents.items():
        annotations = required(content, "annotations", list, str(file))
        records = [
            segment
            for annotation in annotations
            for segment in annotation.get("segments_info", [annotation])
        ]
        count = sum(bool(record.get("iscrowd")) for record in records)
        if count > _MAX_CROWDS * len(records):
            raise ValueError(
                f"{file}: {count:,} of {len(records):,} objects are marked as crowds (iscrowd: 1). "
                "CVAT, datumaro and supervision mark every mask so that they store as run lengths: "
                "then they are objects (--crowds objects). In COCO crowds are regions to ignore "
                "(--crowds ignore)."
            )
        if count:
            found.notes.append(
                f"{count:,} of {len(records):,} objects of {file.name} are crowds (iscrowd: 1), "
                "which are ignored. If they are objects, import with --crowds objects."
            )
    return "ignore"


def _name(annotation: _Record, names: Mapping[int, str], place: str) -> str:
    category = annotation.get("category_id")
    if not isinstance(category, int) or category not in names:
        raise ValueError(
            f"{place}: there is no category with the id {category}. The file has: "
            f"{', '.join(f'{i} {name}' for i, name in list(names.items())[:8])}. Export it again."
        )
    return names[category]


def _patches(annotation: _Record, size: tuple[int, int], boxes: bool) -> tuple[Patch, ...]:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        expected = tuple(segmentation.get("size", ()))
        if expected != size:
            raise ValueError(
                f"the runs of a mask are for the size {list(expected)}, the image has "
                f"{list(size)} (height, width)."
            )
        if isinstance(counts, str):
            counts = unpacked_counts(counts)
        if not isinstance(counts, list):
            raise ValueError("a mask has no runs ('counts').")
        return (Patch(0, 0, runs(counts, size, by_columns=True)),)
    if segmentation:
        if isinstance(segmentation[0], int | float):
            segmentation = [segmentation]
        if not all(isinstance(part, list) for part in segmentation):
            raise ValueError("a segmentation must be polygons or one mask of run lengths.")
        return tuple(polygon(_pairs(part), size) for part in segmentation if len(part) >= 6)
    box = annotation.get("bbox")
    if box and boxes:
        left, top, width, height = box
        return (polygon(rectangle(left, top, left + width, top + height), size),)
    if box:
        raise ValueError(
            "the object has a box and no outline. Export the dataset for segmentation, or fill "
            "the boxes: --boxes."
        )
    return ()


def _pairs(numbers: list[float]) -> np.ndarray:
    if len(numbers) % 2:
        raise ValueError(f"a polygon has {len(numbers)} numbers, which are no pairs of x and y.")
    return np.asarray(numbers, np.float64).reshape(-1, 2)


def _panoptic_shapes(
    file: Path,
    annotations: list[_Record],
    names: Mapping[int, str],
    options: ImportOptions,
    size: tuple[int, int],
) -> Iterator[Shape | LeftOut]:
    for annotation in annotations:
        path = _panoptic_file(file, required(annotation, "file_name", str, str(file)))
        with Image.open(path) as picture:
            colors = np.asarray(picture.convert("RGB")).astype(np.int64)
        if colors.shape[:2] != size:
            raise ValueError(f"{path}: the segments and their image have different sizes.")
        ids = colors @ np.array([1, 256, 256**2])
        for segment in required(annotation, "segments_info", list, str(file)):
            name = _CROWD if _is_crowd(segment, options) else _name(segment, names, str(file))
            yield Shape(name, (Patch(0, 0, ids == segment.get("id")),))


def _panoptic_file(file: Path, name: str) -> Path:
    """Returns the PNG of segments: in the folder called like the JSON file."""
    for folder in (file.with_suffix(""), file.parent, file.parent.parent / file.stem):
        if (folder / name).is_file():
            return folder / name
    raise ValueError(
        f"{file}: there is no {name} with the segments. Expected: {file.with_suffix('') / name}."
    )
