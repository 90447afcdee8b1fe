"""A folder of the user's own images and masks.

Three layouts are supported; masks have the names of their images, apart from the extension:

* `images/` and `masks/`, with `train.txt` and `val.txt` that list names, or
  split by seed: one fifth for `val`;
* `images/train/`, `images/val/` and `masks/train/`, `masks/val/`;
* `train/images/`, `train/masks/` and `val/images/`, `val/masks/`.

`test` is a third split if there is one. `classes.txt` (`class_table.py`) contains
names and colors; without it the classes are counted in the masks.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_fcn.data.dataset import Example, SegmentationDataset
from keras_fcn.data.image_io import check_labels, check_size, read_image, read_mask
from keras_fcn.data.parallel import parallel_map
from keras_fcn.datasets.class_table import ClassTable, find_class_table
from keras_fcn.files import read_text
from keras_fcn.labels import LabelSpec

SPLITS = ("train", "val", "test")
_VAL_SHARE = 0.2
_VOID = 255

# Id of an example -> (image, mask).
Pairs = Mapping[str, tuple[Path, Path]]


@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder, by what they are.

    Args:
        splits: Pairs of image and mask by split.
        table: The table of classes, if there is one.
        problems: The problems of the files, one sentence each, with the name of the file.
    """

    splits: Mapping[str, Pairs]
    table: ClassTable | None
    problems: list[str] = field(default_factory=list)

    def read_mask(self, path: Path) -> np.ndarray:
        """Returns the labels of a mask, without any check."""
        if self.table is None:
            return read_mask(path)
        return read_mask(path, self.table.colors, self.table.label_of_line)


def open_folder(path: str | Path, seed: int = 0) -> SegmentationDataset:
    """Opens a folder of images and masks; nothing is copied, files are read when needed.

    Args:
        path: The folder.
        seed: Seed of the split, if the folder does not define one.

    Raises:
        ValueError: If the layout is not supported, images and masks do not
            match, or the number of classes cannot be found in the masks.
    """
    root = Path(path).expanduser()
    files = find_folder_files(root, seed)
    if files.problems:
        others = f" {len(files.problems) - 1} more files are wrong; run: keras-fcn datasets check "
        raise ValueError(
            files.problems[0]
            + (others + f"--dataset folder:{path}" if len(files.problems) > 1 else "")
        )
    labels = files.table.labels if files.table else _counted_classes(files)
    counts = {split: len(pairs) for split, pairs in files.splits.items()}

    def read(image_path: bytes, mask_path: bytes) -> tuple[np.ndarray, np.ndarray]:
        image_file, mask_file = Path(image_path.decode()), Path(mask_path.decode())
        image, label = read_image(image_file), files.read_mask(mask_file)
        check_size(image_file, image.shape[:2], mask_file, label.shape)
        check_labels(label, labels, mask_file)
        return image, label

    def decode(record: Example) -> Example:
        image, label = tf.numpy_function(
            read, [record["image"], record["label"]], (tf.uint8, tf.uint8), stateful=False
        )
        return {
            "image": tf.ensure_shape(image, (None, None, 3)),
            "label": tf.ensure_shape(label, (None, None)),
            "id": record["id"],
        }

    return SegmentationDataset(
        name=f"folder:{path}",
        labels=labels,
        splits=counts,
        records=lambda split: _records(files.splits[split]),
        decode=decode,
        description=f"Images and masks of the folder {root}.",
    )


def find_folder_files(root: Path, seed: int = 0) -> FolderFiles:
    """Returns the pairs of image and mask in each split, and the problems of the files.

    Only this function knows the layout of the folder.

    Raises:
        ValueError: If the layout is not supported or there are no images.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: there is no such folder.")
    problems: list[str] = []
    folders = {split: root / split for split in SPLITS if (root / split / "images").is_dir()}
    lists = {split: root / f"{split}.txt" for split in SPLITS if (root / f"{split}.txt").is_file()}
    if folders:
        splits = {split: _pairs(folder, problems) for split, folder in folders.items()}
    elif not ((root / "images").is_dir() and (root / "masks").is_dir()):
        raise ValueError(
            f"{root}: expected the folders images/ and masks/, or train/images/, train/masks/, "
            f"val/images/ and val/masks/. Found: {_listing(root)}."
        )
    elif lists:
        splits = _split_by_lists(root, lists, problems)
    else:
        pairs = _pairs(root, problems)
        splits = _split_by_subfolders(pairs) or _split_by_seed(root, pairs, seed)
    empty = [split for split, pairs in splits.items() if not pairs]
    if empty and not problems:
        raise ValueError(f"{root}: there are no images in the split {empty[0]!r}.")
    return FolderFiles(splits, find_class_table(root), problems)


def _pairs(folder: Path, problems: list[str], wanted: Iterable[str] | None = None) -> Pairs:
    """Returns the pairs of `folder/images` and `folder/masks`: all, or the wanted ones."""
    images = _images(folder / "images", problems)
    masks = _images(folder / "masks", problems) if (folder / "masks").is_dir() else {}
    names = sorted(images) if wanted is None else wanted
    for name in names:
        if name not in masks:
            problems.append(
                f"{images[name]}: there is no mask of that name in {folder / 'masks'} (expected "
                f"{name}.png, for example)."
            )
    if wanted is None:
        problems += [
            f"{masks[name]}: there is no image of that name in {folder / 'images'}."
            for name in sorted(masks.keys() - images.keys())
        ]
    return {name: (images[name], masks[name]) for name in names if name in masks}


def _images(folder: Path, problems: list[str]) -> dict[str, Path]:
    """Returns the image files of a folder and its subfolders by name without extension."""
    known = Image.registered_extensions()
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in known or path.name.startswith("."):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            problems.append(
                f"{path}: {found[name].name} has the same name apart from the extension."
            )
        else:
            found[name] = path
    return found


def _split_by_lists(root: Path, lists: Mapping[str, Path], problems: list[str]) -> dict[str, Pairs]:
    names = _images(root / "images", [])
    return {
        split: _pairs(root, problems, _listed(path, names, problems))
        for split, path in lists.items()
    }


def _split_by_subfolders(pairs: Pairs) -> dict[str, Pairs]:
    """Returns the splits of pairs called `train/NAME`, `val/NAME`; {} if there are others."""
    folders = {name.partition("/")[0] for name in pairs if "/" in name}
    if not folders or not folders <= set(SPLITS) or not all("/" in name for name in pairs):
        return {}
    return {
        split: {name: pair for name, pair in pairs.items() if name.startswith(f"{split}/")}
        for split in SPLITS
        if split in folders
    }


def _listed(path: Path, names: Mapping[str, Path], problems: list[str]) -> list[str]:
    """Returns the names in a list: with or without extension, `images/` before it or not."""
    listed: dict[str, None] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        entry = line.strip().replace("\\", "/").removeprefix("./").removeprefix("images/")
        if not entry:
            continue
        stem = entry if entry in names else Path(entry).with_suffix("").as_posix()
        if stem not in names:
            problems.append(f"{path}, line {number}: there is no image {entry!r}.")
        elif stem in listed:
            problems.append(f"{path}, line {number}: {entry!r} is listed twice.")
        else:
            listed[stem] = None
    return list(listed)


def _split_by_seed(root: Path, pairs: Pairs, seed: int) -> dict[str, Pairs]:
    if len(pairs) == 1:
        raise ValueError(
            f"{root}: one image cannot be split into train and val. Add images, or list them in "
            "train.txt and val.txt."
        )
    # Sorted by hash, so that the names and their order do not matter, and an added image moves
    # few others.
    order = sorted(pairs, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    num_val = max(1, round(_VAL_SHARE * len(order)))
    chosen = set(order[:num_val])
    return {
        "train": {name: pair for name, pair in pairs.items() if name not in chosen},
        "val": {name: pair for name, pair in pairs.items() if name in chosen},
    }


def _counted_classes(files: FolderFiles) -> LabelSpec:
    """Returns numbered classes up to the highest label of all masks."""
    masks = [mask for pairs in files.splits.values() for _, mask in pairs.values()]
    present = np.zeros(256, bool)
    for found in parallel_map(lambda mask: np.unique(files.read_mask(mask)), masks):
        present[found] = True
    return spec_of_present(present, f"{masks[0].parent}")


def spec_of_present(present: np.ndarray, place: str) -> LabelSpec:
    """Returns numbered classes up to the highest label that is present, void left out.

    Raises:
        ValueError: If there are fewer than two classes.
    """
    classes = np.flatnonzero(present[:_VOID])
    if len(classes) and classes[-1] > 0:
        return LabelSpec.numbered(int(classes[-1]) + 1)
    if present[_VOID]:
        raise ValueError(
            f"{place}: the masks contain only the labels "
            f"{' and '.join(str(label) for label in np.flatnonzero(present))}, and 255 means "
            "ignored. If white is a class, write a classes.txt beside the folders: "
            "`background 0 0 0` and `object 255 255 255` on two lines."
        )
    raise ValueError(f"{place}: all masks contain only label 0; there is nothing to learn.")


def _records(pairs: Pairs) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(
        {
            "image": [str(image) for image, _ in pairs.values()],
            "label": [str(mask) for _, mask in pairs.values()],
            "id": list(pairs),
        }
    )


def _listing(root: Path) -> str:
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in root.iterdir())
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"
