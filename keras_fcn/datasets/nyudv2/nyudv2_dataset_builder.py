"""NYU Depth V2 with RGB, depth and HHA images, in 40 or 13 classes."""

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_fcn.data.hha import encode_hha
from keras_fcn.data.image_io import labels_from_one, read_depth, read_mat_labels
from keras_fcn.data.masks import read_mask
from keras_fcn.datasets.tfds_builder import (
    Archive,
    Files,
    SegmentationBuilder,
    SegmentationConfig,
    SplitFiles,
    png_of,
)
from keras_fcn.labels import Labels, LabelSpec

_CLASSES_40 = (
    "wall,floor,cabinet,bed,chair,sofa,table,door,window,bookshelf,picture,counter,blinds,desk,"
    "shelves,curtain,dresser,pillow,mirror,floor mat,clothes,ceiling,books,refrigerator,"
    "television,paper,towel,shower curtain,box,whiteboard,person,night stand,toilet,sink,lamp,"
    "bathtub,bag,other structure,other furniture,other prop"
)
_CLASSES_13 = (
    "bed,books,ceiling,chair,floor,furniture,objects,picture,sofa,table,television,wall,window"
)
_LABELS = {
    "40": LabelSpec(tuple(_CLASSES_40.split(","))),
    "13": LabelSpec(tuple(_CLASSES_13.split(","))),
}
# The RGB camera in pixels, from the dataset's toolbox (camera_params.m), and where the
# RGB image of each size begins in that of 640x480.
_CAMERA = np.array([[518.85790, 0, 325.58245], [0, 519.46961, 253.73617], [0, 0, 1]])
_CROPS = {(480, 640): (0, 0), (425, 560): (45, 40)}


class Builder(SegmentationBuilder):
    """NYUDv2 from the reference's folder, or from plain folders of PNG files."""

    name = "nyudv2"
    BUILDER_CONFIGS: ClassVar = [
        SegmentationConfig(name=variant, variant=variant) for variant in _LABELS
    ]
    HOMEPAGE = "https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html"
    LABELS = _LABELS["40"]
    ARCHIVES: ClassVar = {
        "40": [Archive("http://dl.caffe.berkeleyvision.org/nyud.tar.gz")],
        "13": [],
    }

    @classmethod
    def find_files(cls, folders: Sequence[Path], variant: str) -> SplitFiles:
        for folder in folders:
            for root in (folder, *sorted(path for path in folder.glob("*") if path.is_dir())):
                for find in (_reference_files, _prefixed_files, _paired_files):
                    examples = find(root, variant)
                    if examples:
                        return _split(root, examples)
        raise ValueError(
            f"No NYUDv2 of {variant} classes found in {', '.join(map(str, folders))}. Looked for "
            f"data/images/img_ID.png with segmentation/img_ID.mat, for img_ID.png with "
            f"label{variant}_ID.png, and for ID.png with ID_mask.png (40 classes)."
        )

    @property
    def labels(self) -> Labels:
        return _LABELS[self.builder_config.variant]

    @cached_property
    def modalities(self) -> tuple[str, ...]:
        """All three, if there are depth files; HHA images are made from them if missing."""
        source = self.builder_config.source
        if not source:
            return ("rgb", "hha", "depth")
        splits = self.find_files([Path(source)], self.builder_config.variant)
        files = next(files for examples in splits.values() for files in examples.values())
        return ("rgb", "hha", "depth") if "depth" in files else ("rgb",)

    def read_label(self, path: Path) -> np.ndarray:
        if path.suffix == ".mat":
            return labels_from_one(read_mat_labels(path, "segmentation"), path)
        label = read_mask(path)
        # In files called `label13` and `label40`, 0 is void.
        if path.name.startswith("label"):
            return labels_from_one(label.astype(np.int64), path)
        return label

    def read_further_image(self, name: str, files: Files, size: tuple[int, int]) -> Any:
        if name == "hha" and "hha" not in files:
            depth = read_depth(files["depth"]) / 1000
            hha = encode_hha(depth, _camera(depth.shape, files["depth"]))
            return io.BytesIO(png_of(hha))
        return super().read_further_image(name, files, size)


def _camera(size: tuple[int, ...], path: Path) -> np.ndarray:
    """Returns the camera matrix of images of this height and width."""
    if size not in _CROPS:
        known = ", ".join(f"{width}x{height}" for height, width in _CROPS)
        raise ValueError(
            f"{path}: the camera is known for images of {known} only, and there is no HHA image. "
            "Add the HHA images; `keras_fcn.data.hha` makes them if you know the camera."
        )
    top, left = _CROPS[size]
    return _CAMERA - np.array([[0, 0, left], [0, 0, top], [0, 0, 0]])


def _reference_files(root: Path, variant: str) -> dict[str, Files]:
    """Returns the files in the layout of the reference's archive, by id."""
    data = root / "data"
    if variant != "40" or not (data / "images").is_dir():
        return {}
    folders = {"image": data / "images", "depth": data / "depth", "hha": data / "hha"}
    present = {kind: folder for kind, folder in folders.items() if folder.is_dir()}
    return {
        path.stem.removeprefix("img_"): {
            **{kind: folder / f"{path.stem}.png" for kind, folder in present.items()},
            "label": path,
        }
        for path in sorted((root / "segmentation").glob("img_*.mat"))
    }


def _prefixed_files(root: Path, variant: str) -> dict[str, Files]:
    """Returns `img_ID.png`, `label13_ID.png` and, if they are there, depth and HHA, by id."""
    examples: dict[str, Files] = {}
    for path in sorted(root.glob(f"label{variant}_*.png")):
        item = path.stem.partition("_")[2]
        further = {"depth": root / f"depth_{item}.png", "hha": root / f"hha_{item}.png"}
        present = {kind: file for kind, file in further.items() if file.exists()}
        examples[item] = {"image": root / f"img_{item}.png", **present, "label": path}
    return examples


def _paired_files(root: Path, variant: str) -> dict[str, Files]:
    """Returns `ID.png` with `ID_mask.png`, whose labels are 0..39 and 255, by id."""
    if variant != "40":
        return {}
    return {
        path.stem.removesuffix("_mask"): {
            "image": path.with_stem(path.stem.removesuffix("_mask")),
            "label": path,
        }
        for path in sorted(root.glob("*_mask.png"))
    }


def _split(root: Path, examples: Mapping[str, Files]) -> SplitFiles:
    """Returns the splits of the lists: trainval and test; without lists all is trainval."""
    lists = {
        name: (root / f"{name}.txt").read_text().split()
        for name in ("trainval", "train", "val", "test")
        if (root / f"{name}.txt").exists()
    }
    if not lists:
        return {"trainval": examples}
    both = lists.get("trainval") or [*lists.get("train", ()), *lists.get("val", ())]
    ids = {"trainval": both, "test": lists.get("test", [])}
    missing = [item for items in ids.values() for item in items if item not in examples]
    if missing:
        raise ValueError(
            f"{root}: the lists name {missing[0]}, which has no labels"
            f"{f', and {len(missing) - 1} more' * (len(missing) > 1)}. Is the folder complete?"
        )
    return {
        split: {item: examples[item] for item in items} for split, items in ids.items() if items
    }
