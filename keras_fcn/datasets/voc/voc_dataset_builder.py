"""PASCAL VOC segmentation: 2011, 2012, and both with the masks of SBD."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from keras_fcn.data.masks import read_mask
from keras_fcn.datasets.tfds_builder import (
    Archive,
    Files,
    SegmentationBuilder,
    SegmentationConfig,
    SplitFiles,
    find_folder,
)
from keras_fcn.labels import LabelSpec

_CLASSES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor"
)
_HOST = "http://host.robots.ox.ac.uk/pascal/VOC"
# The checksums are those of torchvision, datasets/voc.py and datasets/sbd.py.
_VOC2011 = Archive(
    f"{_HOST}/voc2011/VOCtrainval_25-May-2011.tar", "md5:6c3384ef61512963050cb5d687e5bf1e"
)
_VOC2012 = Archive(
    f"{_HOST}/voc2012/VOCtrainval_11-May-2012.tar", "md5:6cd6e144f989b92b3379bac3b3de84fd"
)
_SBD = Archive(
    "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
    "benchmark.tgz",
    "md5:82b4d87ceb2ed10f6038a1cba92111cb",
)
# Lists of the usual SegmentationClassAug archive, whose masks are SBD's and VOC's.
_AUG_LISTS = ("train_aug.txt", "trainaug.txt")


class Builder(SegmentationBuilder):
    """PASCAL VOC from the devkit's folder, and SBD from its own or joined to the devkit."""

    name = "voc_segmentation"  # `voc`, as the folder is called, has boxes in tfds
    BUILDER_CONFIGS: ClassVar = [
        SegmentationConfig(name=variant, variant=variant)
        for variant in ("2012", "2011", "2012_aug", "2011_sbd")
    ]
    HOMEPAGE = "http://host.robots.ox.ac.uk/pascal/VOC/"
    LABELS = LabelSpec(tuple(_CLASSES.split()))
    ARCHIVES: ClassVar = {
        "2011": [_VOC2011],
        "2012": [_VOC2012],
        "2012_aug": [_VOC2012, _SBD],
        "2011_sbd": [_VOC2011, _SBD],
    }

    @classmethod
    def find_files(cls, folders: Sequence[Path], variant: str) -> SplitFiles:
        root = find_devkit(folders, variant[:4])
        lists = {
            path.name: path.read_text().split()
            for path in sorted((root / "ImageSets" / "Segmentation").glob("*.txt"))
        }
        if variant in ("2011", "2012"):
            return {
                re.sub(r"\W", "_", Path(name).stem): _voc_examples(root, ids)
                for name, ids in _plain_lists(root, lists).items()
            }
        if "val.txt" not in lists:
            raise ValueError(f"{root}: ImageSets/Segmentation/val.txt is missing.")
        if variant == "2011_sbd":
            return _reference_splits(folders, root, lists["val.txt"])
        return {
            "train": _train_aug(folders, root, lists),
            "val": _voc_examples(root, lists["val.txt"]),
        }

    def read_label(self, path: Path) -> np.ndarray:
        return read_sbd_mask(path) if path.suffix == ".mat" else read_mask(path)


def read_sbd_mask(path: Path) -> np.ndarray:
    """Reads a `cls/*.mat` file of SBD: labels, uint8, shape `(height, width)`."""
    from scipy.io import loadmat

    try:
        contents = loadmat(path, variable_names=["GTcls"])
        label = contents["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # SciPy raises errors of many types for damaged files
        raise ValueError(f"{path}: not a mask of SBD (GTcls.Segmentation): {error}.") from error
    return np.asarray(label, np.uint8)


def find_devkit(folders: Sequence[Path], year: str) -> Path:
    """Returns the folder `VOC<year>` of a devkit, or raises ValueError."""
    places = [f"{place}VOC{year}/JPEGImages" for place in ("", "VOCdevkit/", "TrainVal/VOCdevkit/")]
    what = f"VOC{year} (the devkit's folder with JPEGImages, SegmentationClass and ImageSets)"
    for folder in folders:
        is_other_year = re.fullmatch(r"VOC20\d\d", folder.name) and folder.name != f"VOC{year}"
        if (folder / "JPEGImages").is_dir() and not is_other_year:
            return folder
    return find_folder(folders, places, what).parent


def _plain_lists(root: Path, lists: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Returns the lists that become splits: those with masks that do not join two others."""
    plain = {
        name: ids
        for name, ids in lists.items()
        if name not in _AUG_LISTS
        and any((root / "SegmentationClass" / f"{item}.png").exists() for item in ids)
    }
    if "train.txt" in plain and "val.txt" in plain:
        plain.pop("trainval.txt", None)
    if not plain:
        raise ValueError(
            f"{root}: no list in ImageSets/Segmentation names an image that has a mask in "
            "SegmentationClass."
        )
    return plain


def _voc_examples(
    root: Path, ids: Iterable[str], masks: str = "SegmentationClass"
) -> dict[str, Files]:
    return {
        item: {
            "image": root / "JPEGImages" / f"{item}.jpg",
            "label": root / masks / f"{item}.png",
        }
        for item in ids
    }


def _train_aug(
    folders: Sequence[Path], root: Path, lists: Mapping[str, list[str]]
) -> dict[str, Files]:
    joined = [lists[name] for name in _AUG_LISTS if name in lists]
    if joined and (root / "SegmentationClassAug").is_dir():
        return _voc_examples(root, joined[0], "SegmentationClassAug")
    sbd = _find_sbd(
        folders,
        root,
        "masks of SBD (train_aug.txt with SegmentationClassAug in the devkit, or SBD's own folder)",
    )
    sbd_ids = {
        item for name in ("train.txt", "val.txt") for item in (sbd / name).read_text().split()
    }
    voc_ids = set(lists.get("train.txt", ()))
    ids = sorted((sbd_ids | voc_ids) - set(lists["val.txt"]))
    examples = dict(_voc_examples(root, ids))
    for item in sbd_ids & examples.keys():
        if item not in voc_ids:
            examples[item] = {**examples[item], "label": sbd / "cls" / f"{item}.mat"}
    return examples


def _reference_splits(folders: Sequence[Path], root: Path, val_ids: Iterable[str]) -> SplitFiles:
    """Returns the reference's splits: SBD's train, and VOC's val without the images of SBD's."""
    sbd = _find_sbd(folders, root, "masks of SBD (its own folder, with train.txt, cls and img)")
    train = {}
    for item in (sbd / "train.txt").read_text().split():
        image = sbd / "img" / f"{item}.jpg"
        train[item] = {
            # The archive contains its images, which are VOC's.
            "image": image if image.exists() else root / "JPEGImages" / image.name,
            "label": sbd / "cls" / f"{item}.mat",
        }
    return {
        "train": train,
        "val": _voc_examples(root, [item for item in val_ids if item not in train]),
    }


def _find_sbd(folders: Sequence[Path], root: Path, what: str) -> Path:
    """Returns SBD's folder `dataset`, which may be in VOC's devkit or beside it."""
    return find_folder(
        [*folders, root, root.parent, root.parent.parent],
        ["benchmark_RELEASE/dataset/cls", "dataset/cls", "SBD/cls", "sbd/cls"],
        what,
    ).parent
