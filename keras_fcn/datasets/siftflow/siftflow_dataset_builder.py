"""SIFT Flow: two label maps per image, 33 semantic and 3 geometric classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from keras_fcn.data.image_io import labels_from_one, read_mat_labels
from keras_fcn.datasets.tfds_builder import (
    Archive,
    SegmentationBuilder,
    SegmentationConfig,
    SplitFiles,
    find_folder,
)
from keras_fcn.labels import LabelSpec

_SEMANTIC = (
    "awning balcony bird boat bridge building bus car cow crosswalk desert door fence field grass "
    "moon mountain person plant pole river road rock sand sea sidewalk sign sky staircase "
    "streetlight sun tree window"
)
_GEOMETRIC = "sky horizontal vertical"
_CATEGORIES = "spatial_envelope_256x256_static_8outdoorcategories"
# Two images without labels.
_WITHOUT_LABELS = ("highway_bost181", "street_urb506")
# The reference's list, for folders without one.
_TEST_LIST = Path(__file__).parent / "test_ids.txt"


class Builder(SegmentationBuilder):
    """SIFT Flow from the folder that Tighe and Lazebnik publish."""

    BUILDER_CONFIGS: ClassVar = [SegmentationConfig(name="tighe", variant="tighe")]
    HOMEPAGE = "http://www.cs.unc.edu/~jtighe/Papers/ECCV10/"
    LABELS: ClassVar = {
        "semantic": LabelSpec(tuple(_SEMANTIC.split()), unscored=("cow", "desert", "moon")),
        "geometric": LabelSpec(tuple(_GEOMETRIC.split())),
    }
    ARCHIVES: ClassVar = {
        "tighe": [
            Archive("http://www.cs.unc.edu/~jtighe/Papers/ECCV10/siftflow/SiftFlowDataset.zip")
        ]
    }

    @classmethod
    def find_files(cls, folders: Sequence[Path], variant: str) -> SplitFiles:
        what = f"SIFT Flow (Images, SemanticLabels and GeoLabels, each with {_CATEGORIES})"
        root = find_folder(folders, ["SemanticLabels", "*/SemanticLabels"], what).parent
        ids = [
            path.stem
            for path in sorted((root / "SemanticLabels" / _CATEGORIES).glob("*.mat"))
            if path.stem not in _WITHOUT_LABELS
        ]
        test_list = root / "test.txt"
        in_test = set((test_list if test_list.exists() else _TEST_LIST).read_text().split())
        splits = {
            "train": [item for item in ids if item not in in_test],
            "test": [item for item in ids if item in in_test],
        }
        return {
            split: {
                item: {
                    "image": root / "Images" / _CATEGORIES / f"{item}.jpg",
                    "semantic": root / "SemanticLabels" / _CATEGORIES / f"{item}.mat",
                    "geometric": root / "GeoLabels" / _CATEGORIES / f"{item}.mat",
                }
                for item in items
            }
            for split, items in splits.items()
            if items
        }

    def read_label(self, path: Path) -> np.ndarray:
        return labels_from_one(read_mat_labels(path, "S"), path)
