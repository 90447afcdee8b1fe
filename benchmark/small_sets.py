"""Folders of images and masks, made of published files as users have them.

They are written by Pillow, NumPy and tifffile alone, and not by what later reads them.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

# As the published files number them; `keras_fcn.datasets` has the same names.
_CLASSES_13 = (
    "bed,books,ceiling,chair,floor,furniture,objects,picture,sofa,table,television,wall,window"
)
_CLASSES_40 = (
    "wall,floor,cabinet,bed,chair,sofa,table,door,window,bookshelf,picture,counter,blinds,desk,"
    "shelves,curtain,dresser,pillow,mirror,floor mat,clothes,ceiling,books,refrigerator,"
    "television,paper,towel,shower curtain,box,whiteboard,person,night stand,toilet,sink,lamp,"
    "bathtub,bag,other structure,other furniture,other prop"
)
_CLASSES_VOC = (
    "background,aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,"
    "motorbike,person,pottedplant,sheep,sofa,train,tvmonitor"
)
# Bird, cat, cow, dog, horse, person, sheep.
_ALIVE = (3, 8, 10, 12, 13, 15, 17)
_VOID = 255

# The two frames of the kitchen, and those of other rooms, which contain all its classes.
_BANDS_FRAMES = {"train": ("0009", "0014", "0015", "0016", "0017", "0018"), "val": ("0001", "0002")}
_BINARY_IMAGES = {"train": 100, "val": 40}
_BINARY_SHARE = 0.05
_BINARY_VOID = 128
_PHOTOS = {"train": 32, "val": 8}
_PHOTO_SIZE = (4000, 3000)


def write_bands(nyud: Path, folder: Path) -> None:
    """Writes images of five bands of 16 bits: red, green, blue, depth, height above the ground.

    Args:
        nyud: NYUDv2's frames, in `rgbd_hha_label13/`.
        folder: The folder to write: `train/` and `val/` with `images/` and `masks/`, and the
            table of the classes, where 0 is void.
    """
    import tifffile

    root = _found(nyud, "label13_*.png")
    for split, names in _BANDS_FRAMES.items():
        for name in names:
            rgb, depth, hha = (
                _pixels(root / f"{kind}_{name}.png") for kind in ("img", "depth", "hha")
            )
            # The height is the second of three, in either order of the channels.
            bands = np.dstack([rgb, depth, hha[..., 1]]).astype("uint16")
            path = _image_path(folder, split, f"{name}.tif")
            tifffile.imwrite(path, bands, photometric="minisblack", planarconfig="contig")
            _save_mask(_pixels(root / f"label13_{name}.png"), folder, split, name)
    _write_classes(folder, {0: "void", **dict(enumerate(_CLASSES_13.split(","), start=1))})


def write_binary(devkit: Path, folder: Path) -> None:
    """Writes photographs of animals and persons with masks of 0 and 255.

    They are the first of VOC's lists with enough of them. VOC's void, which is neither, is 128 in
    the masks and void in the table.

    Args:
        devkit: VOCdevkit.
        folder: The folder to write, as in `write_bands`.
    """
    root = _found(devkit, "SegmentationClass").parent
    for split, count in _BINARY_IMAGES.items():
        chosen = 0
        for name, labels in _voc_masks(root, split):
            is_alive = np.isin(labels, _ALIVE)
            if is_alive.mean() < _BINARY_SHARE:
                continue
            mask = np.where(is_alive, 255, np.where(labels == _VOID, _BINARY_VOID, 0))
            _save_mask(mask.astype("uint8"), folder, split, name)
            _copy_image(root / "JPEGImages" / f"{name}.jpg", folder, split)
            chosen += 1
            if chosen == count:
                break
    _write_classes(folder, {0: "background", 255: "alive", _BINARY_VOID: "void"})


def write_nyu40(nyud: Path, folder: Path) -> None:
    """Writes a folder for each of NYUDv2's frames with 40 classes, in which it is for validation.

    Args:
        nyud: NYUDv2's frames, in `rgb_label40/`.
        folder: The folder to write: `fold0/`, `fold1/`, ..., each as in `write_bands`.
    """
    root = _found(nyud, "*_mask.png")
    names = sorted(path.name.removesuffix("_mask.png") for path in root.glob("*_mask.png"))
    for fold, left_out in enumerate(names):
        for name in names:
            split = "val" if name == left_out else "train"
            mask = _pixels(root / f"{name}_mask.png")
            _save_mask(mask, folder / f"fold{fold}", split, name)
            _copy_image(root / f"{name}.png", folder / f"fold{fold}", split)
        _write_classes(folder / f"fold{fold}", dict(enumerate(_CLASSES_40.split(","))))


def write_photos(devkit: Path, folder: Path) -> None:
    """Writes photographs of 4000x3000 pixels: VOC's of that shape, upscaled.

    Args:
        devkit: VOCdevkit.
        folder: The folder to write, as in `write_bands`.
    """
    root = _found(devkit, "SegmentationClass").parent
    for split, count in _PHOTOS.items():
        chosen = 0
        for name, labels in _voc_masks(root, split):
            height, width = labels.shape
            if width * _PHOTO_SIZE[1] != height * _PHOTO_SIZE[0]:
                continue
            mask = Image.fromarray(labels).resize(_PHOTO_SIZE, Image.Resampling.NEAREST)
            _save_mask(np.asarray(mask), folder, split, name)
            image = Image.fromarray(_pixels(root / "JPEGImages" / f"{name}.jpg"))
            large = image.resize(_PHOTO_SIZE, Image.Resampling.BICUBIC)
            large.save(_image_path(folder, split, f"{name}.jpg"), quality=95)
            chosen += 1
            if chosen == count:
                break
    _write_classes(folder, dict(enumerate(_CLASSES_VOC.split(","))))


def _found(folder: Path, pattern: str) -> Path:
    """Returns the folder below `folder` that contains files of a pattern, or has its name."""
    for path in sorted(folder.rglob(pattern)):
        return path if path.is_dir() else path.parent
    raise SystemExit(f"{folder} contains no {pattern}.")


def _voc_masks(root: Path, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yields names and label maps in the order of a list of VOC."""
    names = (root / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()
    for name in names:
        yield name, _pixels(root / "SegmentationClass" / f"{name}.png")


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _save_mask(values: np.ndarray, folder: Path, split: str, name: str) -> None:
    path = folder / split / "masks" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def _copy_image(path: Path, folder: Path, split: str) -> None:
    shutil.copyfile(path, _image_path(folder, split, path.name))


def _image_path(folder: Path, split: str, name: str) -> Path:
    path = folder / split / "images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_classes(folder: Path, names: dict[int, str]) -> None:
    """Writes the table of the classes: the value of each in the masks, and its name."""
    lines = [f"{value},{name}\n" for value, name in names.items()]
    (folder / "classes.txt").write_text("".join(lines))
