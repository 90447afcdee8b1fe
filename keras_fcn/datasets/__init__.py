"""Datasets: those of the FCN papers, CamVid, a folder of images and masks, the built-in sample.

`open_dataset` opens each of them by name. TensorFlow Datasets is imported only when a dataset
that it prepares is opened.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_fcn.data.dataset import Example, SegmentationDataset, from_arrays

# The datasets that `open_dataset` opens, with a description each; `folder` takes a path, as in
# `folder:path/to/data`.
SUMMARIES = {
    "sample": "generated shapes over textures, 7 classes, 1,000 + 100 images, no download",
    "sample_rgbd": "the sample dataset with depth and HHA images",
    "sample_geometric": "the sample dataset with a second label map, 3 classes",
    "folder": "folder:PATH, your own images/ and masks/",
    "camvid": "street scenes from a car, 11 classes, 367 + 101 images (and 233 test)",
    "voc2011": "PASCAL VOC 2011, 21 classes, 1,112 + 1,111 images",
    "voc2012": "PASCAL VOC 2012, 21 classes, 1,464 + 1,449 images",
    "voc2012_aug": "PASCAL VOC 2012 with the masks of SBD, 21 classes, 10,582 + 1,449 images",
    "voc2011_sbd": "the papers' SBD train and seg11valid, 21 classes, 8,498 + 736 images",
    "nyudv2": "indoor scenes with depth and HHA, 40 classes, 795 + 654 test images",
    "nyudv2_13": "NYUDv2 in 13 classes",
    "siftflow": "outdoor scenes, 33 and 3 classes (two label maps), 2,486 + 200 test images",
    "pascalcontext59": "PASCAL-Context, 59 classes, 4,998 + 5,105 images",
    "pascalcontext": "PASCAL-Context, 59 classes and the background",
    "pascalcontext33": "PASCAL-Context, 33 classes",
}
DATASET_NAMES = tuple(SUMMARIES)
_GENERATED = ("sample", "sample_rgbd", "sample_geometric")

__all__ = [
    "DATASET_NAMES",
    "SUMMARIES",
    "Example",
    "SegmentationDataset",
    "from_arrays",
    "open_dataset",
    "prepare_dataset",
]


def open_dataset(
    name: str,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    seed: int = 0,
    **folder: Any,
) -> SegmentationDataset:
    """Opens a dataset by name, and prepares it first if `source` is given.

    Args:
        name: A generated dataset (`sample`, `sample_rgbd`, `sample_geometric`), `folder:PATH`, or
            one that TensorFlow Datasets prepares, such as `camvid`; see `SUMMARIES`.
        source: Folder of the files as their authors publish them (a VOC
            devkit, a CamVid folder). Prepared once, and again when it
            changes. Without it, the dataset must have been prepared before.
        data_dir: Folder of the prepared datasets; `~/tensorflow_datasets` by default.
        seed: Seed of the generated sample, and of a folder's split.
        **folder: What you say about a folder that can be read in several ways, as
            `keras_fcn.datasets.folder.FolderOptions`: `image_files` and `mask_files` are patterns
            of files, `ignore` lists numbers in the masks that are ignored, `num_classes` says that
            the numbers in the masks are class numbers, and `write_classes` writes a table of
            those that occur. `channels`, `value_range`, `page` and `exif` say how images are
            read.

    Raises:
        ValueError: If the name is unknown, the dataset is not prepared, or its
            files are wrong.

    Example:
        >>> open_dataset("sample").splits
        {'train': 1000, 'val': 100}
    """
    kind, path = _checked_name(name, source)
    check_folder_options(name, folder)
    if kind in _GENERATED:
        from keras_fcn.datasets.sample import open_sample

        return open_sample(kind, seed)
    if kind == "folder":
        from keras_fcn.datasets.folder import FolderOptions, open_folder

        return open_folder(path, seed, FolderOptions(**folder))
    from keras_fcn.datasets.tfds_reader import open_prepared

    return open_prepared(name, source, data_dir)


def prepare_dataset(
    name: str, source: str | Path | None = None, data_dir: str | Path | None = None
) -> SegmentationDataset:
    """Prepares a dataset unless it is prepared; without `source` its archives are downloaded.

    Args:
        name: As for `open_dataset`; the sample datasets and folders need no preparation.
        source: As for `open_dataset`.
        data_dir: As for `open_dataset`.

    Returns:
        The dataset, opened.

    Raises:
        ValueError: If the name is unknown, or the files are wrong.
        ConnectionError: If an archive cannot be downloaded.
    """
    kind, _ = _checked_name(name, source)
    if kind in (*_GENERATED, "folder"):
        return open_dataset(name)
    from keras_fcn.datasets import tfds_reader

    return tfds_reader.prepare(name, source, data_dir)


def check_folder_options(name: str, folder: Mapping[str, Any]) -> None:
    """Raises ValueError if an option for folders is given with another dataset."""
    given = [option for option, value in folder.items() if value]
    if given and not name.startswith("folder:"):
        raise ValueError(
            f"`{given[0]}` is for folder:PATH and has no meaning for {name!r}. Received: "
            f"{given[0]}={folder[given[0]]!r}."
        )


def _checked_name(name: str, source: str | Path | None) -> tuple[str, str]:
    """Returns the part of the name before the colon and the part after it, both checked."""
    kind, _, path = name.partition(":")
    if kind not in SUMMARIES or bool(path) != (kind == "folder"):
        nearest = difflib.get_close_matches(kind, SUMMARIES, n=2)
        meant = f" Did you mean {' or '.join(nearest)}?" if nearest and nearest != [kind] else ""
        raise ValueError(
            f"Unknown dataset {name!r}.{meant} Expected one of: "
            f"{', '.join(known for known in SUMMARIES if known != 'folder')}, or folder:PATH for "
            "your own images and masks."
        )
    if source is not None and kind in (*_GENERATED, "folder"):
        raise ValueError(f"`source` has no meaning for {name!r}. Received: source={source}.")
    return kind, path
