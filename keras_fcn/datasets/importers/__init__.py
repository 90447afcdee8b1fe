"""Imports of annotations: polygons, runs and bitmaps of labelling tools become a folder of masks.

One file per tool reads its files into `Annotations` (`annotations.py`); `drawing.py` makes class
maps of them, and `folder_writer.py` writes the folder.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

from keras_fcn.datasets.importers.annotations import Annotations, ImportOptions, is_archive
from keras_fcn.datasets.importers.folder_writer import ImportSummary, check_target, write_folder

__all__ = ["TOOLS", "ImportOptions", "ImportSummary", "import_annotations"]

# Each is a module of this package with a function `read`.
TOOLS = ("coco", "labelme", "yolo", "cvat", "labelstudio")


def import_annotations(
    tool: str,
    path: str | Path,
    output: str | Path,
    *,
    images: str | Path | None = None,
    background: bool | None = None,
    options: ImportOptions | None = None,
    on_image: Callable[[int], None] | None = None,
) -> ImportSummary:
    """Writes the annotations of a labelling tool as a folder of images and masks.

    Labels called `background` or `_background_` are class 0; the other classes follow in the order
    of the tool. Pixels in no shape are background, or ignored without one. Labels called
    `__ignore__`, `ignore`, `ignored` or `void` are ignored (255), and so are the crowd regions of
    COCO. Shapes are drawn over each other as the tool does. The EXIF orientation is applied: images
    that have one are written upright, as PNG.

    Args:
        tool: One of `TOOLS`.
        path: What the tool exported: a file or a folder.
        output: Folder to write; it must not exist, be empty, or be as an earlier import wrote it.
        images: Folder of the images, if it is not with the annotations.
        background: Whether pixels in no shape are a class. By default they are, except for
            COCO's panoptic files.
        options: What the export does not say.
        on_image: Called with the number of images first, and with 0 after each.

    Raises:
        ValueError: If the files cannot be understood, or `output` contains other files. The
            message names the file, the cause and what to do.

    Example:
        >>> from keras_fcn.datasets.importers import import_annotations
        >>> summary = import_annotations(  # doctest: +SKIP
        ...     "coco", "export/annotations.json", "photos"
        ... )
    """
    if tool not in TOOLS:
        raise ValueError(f"`tool` must be one of {', '.join(TOOLS)}. Received: tool={tool!r}.")
    source, target = Path(path).expanduser(), Path(output).expanduser()
    folder = Path(images).expanduser() if images is not None else None
    if not source.exists():
        raise ValueError(f"{source}: there is no such file or folder.")
    if is_archive(source):
        raise ValueError(f"{source}: unpack the archive first, then import the folder.")
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder of images (--images).")
    check_target(target)
    module = importlib.import_module(f"keras_fcn.datasets.importers.{tool}")
    annotations: Annotations = module.read(source, folder, options or ImportOptions())
    return write_folder(annotations, target, background=background, on_image=on_image)
