"""Labels that are no masks: which tool wrote a file of polygons."""

import re
from pathlib import Path

TOOLS = {
    "yolo": "polygons of YOLO",
    "coco": "polygons of COCO",
    "labelme": "polygons of labelme",
    "labelstudio": "an export of Label Studio",
    "cvat": "an export of CVAT",
}


def is_yolo_label(path: Path) -> bool:
    """Returns whether a text file contains a class and coordinates from 0 to 1."""
    if path.suffix.lower() != ".txt":
        return False
    with path.open("rb") as file:
        first = file.read(4096).split(b"\n")[0]
    return b"." in first and bool(re.fullmatch(rb"\s*\d+(\s+([01]|[01]?\.\d+)){4,}\s*", first))


def tool_of(path: Path) -> str | None:
    """Returns the tool whose labels a file contains, if they are polygons."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return "yolo" if is_yolo_label(path) else None
    if suffix not in (".json", ".xml"):
        return None
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if suffix == ".xml":
        return "cvat" if b"<annotations>" in head else None
    if b'"shapes"' in head:
        return "labelme"
    if b'"completions"' in head or b'"original_width"' in head or b'"from_name"' in head:
        return "labelstudio"
    if re.search(rb'"(annotations|images|categories)"\s*:\s*\[', head):
        return "coco"
    return None
