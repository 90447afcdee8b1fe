"""Label Studio's JSON export.

https://labelstud.io/guide/export
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np

from keras_fcn.datasets.importers.annotations import (
    AnnotatedImage,
    Annotations,
    ImageFiles,
    ImportOptions,
    files_below,
    read_json,
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
)

# Types of regions with an area; with labels of their own they end in "labels".
_KINDS = {"polygon", "brush", "rectangle", "ellipse"}
# Of pixels: without the noise of percentages, which would decide where a center is on a line.
_DECIMALS = 6
_CHANNELS = 4  # a brush is stored as RGBA, of which alpha counts

_Record = Mapping[str, Any]


def read(source: Path, images: Path | None, options: ImportOptions) -> Annotations:
    """Reads an export of the type JSON, or the only one in a folder.

    Regions are drawn in the order in which they were made, later ones above. Of several
    annotations of a task the first that was not canceled counts, one marked as ground truth
    before others; predictions do not count. Classes are in the order of their names, because the
    export does not contain the labelling configuration; `classes.txt` beside it gives another.
    """
    del options  # a rectangle is a region of its own in Label Studio
    file = source if source.is_file() else _export_file(source)
    tasks = read_json(file)
    if isinstance(tasks, dict):
        tasks = [tasks]
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ValueError(f"{file}: expected a list of tasks, as Label Studio's export JSON has.")
    root = images or file.absolute().parent
    finder = ImageFiles(root)
    found = Annotations([], [])
    names: set[str] = set()
    pictures: list[AnnotatedImage] = []
    num_several = 0
    for number, task in enumerate(tasks, 1):
        place = f"{file}, task {task.get('id', number)}"
        results, num_annotations = _results(task, place)
        num_several += num_annotations > 1
        name = _image_name(task, results, place)
        if results is None:
            found.left_out.append((name, "tasks without an annotation that was submitted"))
            continue
        path = _find(finder, name)
        if path is None:
            found.left_out.append((name, f"the image is not in {root}"))
            continue
        regions = _regions(results)
        names.update(label for _, _, labels in regions for label in labels[:1])
        pictures.append(_picture(path, path.relative_to(root), place, regions))
    if not pictures and any("not in" in reason for _, reason in found.left_out):
        raise ValueError(
            f"{file}: none of its images is in {root}. The export JSON contains no images: give "
            f"their folder by --images FOLDER. Missing is, for example, {found.left_out[0][0]}."
        )
    if num_several:
        found.notes.append(
            f"{num_several:,} tasks have more than one annotation; the first was taken, one marked "
            "as ground truth before others."
        )
    found.images = pictures
    found.names = unique([*_listed_names(file), *sorted(names)])
    return found


def _picture(
    path: Path, name: Path, place: str, regions: list[tuple[str, _Record, list[str]]]
) -> AnnotatedImage:
    sizes = {
        (region["original_height"], region["original_width"])
        for _, region, _ in regions
        if region.get("original_height") and region.get("original_width")
    }
    if len(sizes) > 1:
        raise ValueError(
            f"{place}: its regions are for images of different sizes (height, width): "
            f"{', '.join(map(str, sorted(sizes)))}. Annotate the image again."
        )
    if any(region.get("image_rotation") for _, region, _ in regions):
        raise ValueError(
            f"{place}: the image was annotated in a turned view, whose coordinates are not known. "
            "Turn it back in Label Studio, submit the task again and export it."
        )
    return AnnotatedImage(
        name.as_posix(),
        path,
        split_of("/".join(name.parts[:-1])),
        place,
        lambda size: _shapes(regions, size),
        next(iter(sizes), None),
    )


def _export_file(folder: Path) -> Path:
    files = [file for file in files_below(folder, [".json"]) if file.name != "notes.json"]
    exports = [file for file in files if _is_export(file)]
    if len(exports) == 1:
        return exports[0]
    raise ValueError(
        f"{folder}: there is no JSON file of Label Studio. Export the project as JSON."
        if not exports
        else f"{folder}: there are {len(exports)} exports, {exports[0].name} and "
        f"{exports[1].name} among them. Give the one to import."
    )


def _is_export(file: Path) -> bool:
    with file.open("rb") as stream:
        head = stream.read(1 << 16).lstrip()
    return (head.startswith(b"[") and b'"data"' in head) or b'"original_width"' in head


def _listed_names(file: Path) -> list[str]:
    path = file.parent / "classes.txt"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _results(task: _Record, place: str) -> tuple[list[_Record] | None, int]:
    """Returns the results of the annotation that counts, and how many annotations there are."""
    annotations = task.get("annotations", task.get("completions"))
    if annotations is None:
        return _results_of_minimal_task(task, place)
    done = [a for a in annotations if isinstance(a, dict) and not a.get("was_cancelled")]
    # `sorted` keeps the order otherwise.
    done = sorted(done, key=lambda annotation: not annotation.get("ground_truth"))
    return (done[0].get("result") or [] if done else None), len(done)


def _results_of_minimal_task(task: _Record, place: str) -> tuple[list[_Record] | None, int]:
    """Returns the results of the export JSON-MIN, in which they are values of the task."""
    results: list[_Record] = []
    for value in task.values():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for region in value:
                kind = next((key for key in region if key.endswith("labels")), "")
                results.append({**region, "type": kind, "value": region})
    if not results and "annotation_id" not in task:
        raise ValueError(
            f"{place}: there are no annotations. Expected an export of the type JSON or JSON-MIN."
        )
    return results, 1


def _image_name(task: _Record, results: Sequence[_Record] | None, place: str) -> str:
    """Returns the path or address of a task's image."""
    data = task.get("data", task)
    target = results[0].get("to_name") if results else None
    candidates = [data.get(target), data.get("image"), data.get("img"), *data.values()]
    for value in (task.get("file_upload"), *candidates):
        if isinstance(value, str) and re.search(
            r"\.(jpe?g|png|bmp|gif|tiff?|webp|jfif|avif|jp2|tga)($|[?&#])", value, re.IGNORECASE
        ):
            return _path_of(value)
    raise ValueError(f"{place}: the data of the task name no image.")


def _path_of(address: str) -> str:
    """Returns the path in an address; of local files the one that is asked for (`?d=`)."""
    parsed = urlparse(address)
    query = parse_qs(parsed.query)
    return query["d"][0] if "d" in query else unquote(parsed.path or address)


def _find(finder: ImageFiles, name: str) -> Path | None:
    """Returns the image; uploads have eight hexadecimal digits before their names."""
    found = finder.find(name)
    if found is None:
        own = re.sub(r"^[0-9a-f]{8}-", "", Path(name).name)
        found = finder.find(own)
    return found


def _regions(results: Sequence[_Record]) -> list[tuple[str, _Record, list[str]]]:
    """Returns the kind, the result and the labels of each region."""
    labels_by_id: dict[Any, list[str]] = {}
    for result in results:
        if result.get("type") == "labels":
            labels_by_id[result.get("id")] = result.get("value", {}).get("labels") or []
    regions = []
    for result in results:
        kind = str(result.get("type", "")).removesuffix("labels")
        value = result.get("value")
        if not isinstance(value, dict) or kind in ("", "choices", "taxonomy", "textarea"):
            continue
        labels = value.get(f"{kind}labels") or labels_by_id.get(result.get("id")) or []
        regions.append((kind, result, labels))
    return regions


def _shapes(
    regions: Sequence[tuple[str, _Record, list[str]]], size: tuple[int, int]
) -> Iterator[Shape | LeftOut]:
    for kind, result, labels in regions:
        if kind not in _KINDS:
            yield LeftOut(f"regions of Label Studio of the type {kind!r} are not drawn")
        elif not labels:
            yield LeftOut(f"regions ({kind}) without a label")
        else:
            try:
                patch = _patch(kind, result["value"], size)
            except (KeyError, TypeError, ValueError) as error:
                cause = f"{error} is missing" if isinstance(error, KeyError) else error
                raise ValueError(
                    f"the region {result.get('id')} ({kind}, {labels[0]}): {cause}"
                ) from error
            yield Shape(labels[0], (patch,))


def _patch(kind: str, value: _Record, size: tuple[int, int]) -> Patch:
    height, width = size
    # Coordinates are percentages.
    scale = np.array([width, height]) / 100
    if kind == "brush":
        return _brush(value, size)
    if kind == "polygon":
        corners = np.asarray(value["points"], np.float64).reshape(-1, 2) * scale
        return polygon(corners.round(_DECIMALS), size)
    degrees = float(value.get("rotation") or 0)
    start = np.array([value["x"], value["y"]], np.float64) * scale
    if kind == "ellipse":
        radii = np.array([value["radiusX"], value["radiusY"]], np.float64) * scale
        return ellipse(start, radii, degrees, size)
    end = start + np.array([value["width"], value["height"]], np.float64) * scale
    # Rectangles are turned around their top left corner.
    corners = rotated(rectangle(*start, *end), degrees, start)
    return polygon(corners.round(_DECIMALS), size)


def _brush(value: _Record, size: tuple[int, int]) -> Patch:
    if value.get("format", "rle") != "rle":
        raise ValueError(f"the format {value['format']!r} of a brush is not known.")
    height, width = size
    pixels = unpacked_brush(bytes(value["rle"]))
    if len(pixels) != height * width * _CHANNELS:
        raise ValueError(
            f"the brush has {len(pixels)} values, an image of {width}x{height} (width x height) "
            f"has {height * width * _CHANNELS}."
        )
    return Patch(0, 0, pixels.reshape(height, width, _CHANNELS)[..., -1] > 0)


def unpacked_brush(packed: bytes) -> np.ndarray:
    """Returns the values that Label Studio's run lengths contain, uint8.

    The bits are: 32 for the number of values, 5 for the bits of a value, four times 4 for the
    bits of a length. Then for each run: 1 for whether it repeats a single value, 2 for which of
    the four the length has, the length, and one value or as many as the length. What is stored
    is each number less 1, apart from the first. (`rle-pack` of https://github.com/thi-ng/umbrella)
    """
    bits = int.from_bytes(packed, "big")
    position, total = 0, 8 * len(packed)
    text = f"{bits:0{total}b}" if total else ""

    def number(length: int) -> int:
        nonlocal position
        position += length
        if position > total:
            raise ValueError("the run lengths of a brush end too early. Export it again.")
        return int(text[position - length : position], 2)

    count = number(32)
    word = number(5) + 1
    lengths = [number(4) + 1 for _ in range(4)]
    if word != 8:
        raise ValueError(f"a brush has values of {word} bits, not 8.")
    parts: list[np.ndarray] = []
    size = 0
    while size < count:
        repeats = number(1)
        length = number(lengths[number(2)]) + 1
        if repeats:
            parts.append(np.full(length, number(word), np.uint8))
        else:
            parts.append(np.array([number(word) for _ in range(length)], np.uint8))
        size += length
    return np.concatenate(parts or [np.zeros(0, np.uint8)])[:count]
