"""PASCAL-Context: 59 classes, 59 and the background, or 33."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from keras_fcn.data.image_io import read_mat_labels
from keras_fcn.data.masks import read_mask
from keras_fcn.datasets.tfds_builder import (
    Archive,
    SegmentationBuilder,
    SegmentationConfig,
    SplitFiles,
    find_folder,
)
from keras_fcn.datasets.voc.voc_dataset_builder import find_devkit
from keras_fcn.labels import Labels, LabelSpec

# The classes in the order of the authors' lists (59_labels.txt, 33_labels.txt), each with its
# number in the label maps of all 459 (labels.txt). There `table`, `bedclothes` and `cloth` are what
# the list of 59 calls diningtable, bedcloth and clothes.
_NUMBERS_59 = {
    **{"aeroplane": 2, "bicycle": 23, "bird": 25, "boat": 31, "bottle": 34, "bus": 45, "car": 59},
    **{"cat": 65, "chair": 72, "cow": 98, "diningtable": 397, "dog": 113, "horse": 207},
    **{"motorbike": 258, "person": 284, "pottedplant": 308, "sheep": 347, "sofa": 368},
    **{"train": 416, "tvmonitor": 427, "bag": 9, "bed": 18, "bench": 22, "book": 33},
    **{"building": 44, "cabinet": 46, "ceiling": 68, "clothes": 80, "computer": 85, "cup": 104},
    **{"door": 115, "fence": 144, "floor": 158, "flower": 159, "food": 162, "grass": 187},
    **{"ground": 189, "keyboard": 220, "light": 232, "mountain": 259, "mouse": 260},
    **{"curtain": 105, "platform": 296, "sign": 355, "plate": 295, "road": 324, "rock": 326},
    **{"shelves": 349, "sidewalk": 354, "sky": 360, "snow": 366, "bedcloth": 19, "track": 415},
    **{"tree": 420, "truck": 424, "wall": 440, "water": 445, "window": 454, "wood": 458},
}
_CLASSES_33 = (
    *list(_NUMBERS_59)[:20],
    *("sky", "grass", "ground", "road", "building", "tree", "water", "mountain", "wall", "floor"),
    *("track", "keyboard", "ceiling"),
)
_CLASSES = {
    "59": tuple(_NUMBERS_59),
    "60": ("background", *_NUMBERS_59),
    "33": _CLASSES_33,
}
_NUM_LABELS = 459
_HOST = "https://cs.stanford.edu/~roozbeh/pascal-context"
# The checksum is torchvision's, datasets/voc.py.
_VOC2010 = Archive(
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar",
    "md5:da459979d0c395079b5c75ee67908abb",
)
_CONTEXT = Archive(f"{_HOST}/trainval.tar.gz")


class Builder(SegmentationBuilder):
    """PASCAL-Context from VOC 2010's devkit and the authors' label maps of all 459 labels."""

    name = "pascal_context"
    BUILDER_CONFIGS: ClassVar = [
        SegmentationConfig(name=variant, variant=variant) for variant in _CLASSES
    ]
    HOMEPAGE = _HOST
    LABELS = LabelSpec(_CLASSES["59"])
    ARCHIVES: ClassVar = {variant: [_VOC2010, _CONTEXT] for variant in _CLASSES}

    @classmethod
    def find_files(cls, folders: Sequence[Path], variant: str) -> SplitFiles:
        root = find_devkit(folders, "2010")
        names = ["trainval", f"{min(int(variant), 59)}_context_labels"]
        places = [f"{place}{name}" for name in names for place in ("", "*/", "*/*/")]
        masks = find_folder(
            [*folders, root, root.parent, root.parent.parent],
            places,
            "label maps of PASCAL-Context (trainval/ID.mat)",
        )
        suffix = ".mat" if masks.name == "trainval" else ".png"
        return {
            split: {
                item: {
                    "image": root / "JPEGImages" / f"{item}.jpg",
                    "label": masks / f"{item}{suffix}",
                }
                for item in _ids(root, split)
            }
            for split in ("train", "val")
        }

    @property
    def labels(self) -> Labels:
        return LabelSpec(_CLASSES[self.builder_config.variant])

    def read_label(self, path: Path) -> np.ndarray:
        variant = self.builder_config.variant
        if path.suffix == ".png":
            # The classes from 1, 0 for all others.
            label = read_mask(path)
            return label if variant == "60" else label - np.uint8(1)
        numbers = read_mat_labels(path, "LabelMap")
        if numbers.min(initial=0) < 0 or numbers.max(initial=0) > _NUM_LABELS:
            raise ValueError(
                f"{path}: labels must be in [0, {_NUM_LABELS}]. Received: {numbers.min()} to "
                f"{numbers.max()}."
            )
        return _label_of_number(variant)[numbers]


def _label_of_number(variant: str) -> np.ndarray:
    """Returns the label of each of the numbers 0..459: others are ignored, or background."""
    labels = np.full(_NUM_LABELS + 1, 0 if variant == "60" else 255, np.uint8)
    for label, name in enumerate(_CLASSES[variant]):
        if name != "background":
            labels[_NUMBERS_59[name]] = label
    return labels


def _ids(root: Path, split: str) -> list[str]:
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    if not path.exists():
        raise ValueError(f"{path} is missing.")
    # With a second column, as the lists of single classes have, the first is the id.
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
