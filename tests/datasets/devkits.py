"""Tiny folders in the layouts of published datasets, made by the tests."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from keras_fcn.labels import voc_palette

PHOTO_SIZE = (20, 30)  # height, width


def photo(seed: int) -> np.ndarray:
    """A picture that JPEG changes: coarse colored noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=0).repeat(5, axis=1)


def labels(seed: int, values: list[int]) -> np.ndarray:
    """A label map in which every value occurs."""
    height, width = PHOTO_SIZE
    return np.resize(np.roll(np.array(values, np.uint8), seed), (height, width))


def write_camvid(root: Path, counts: dict[str, int]) -> Path:
    """Writes `train/`, `trainannot/` and so on; labels 0..11, of which 11 is void."""
    for split, count in counts.items():
        (root / split).mkdir(parents=True)
        (root / f"{split}annot").mkdir()
        for number in range(count):
            name = f"{split}_{number:05d}.png"
            Image.fromarray(photo(number)).save(root / split / name)
            mask = labels(number, list(range(12)))
            Image.fromarray(mask).save(root / f"{split}annot" / name)
    return root


def write_voc(root: Path, lists: dict[str, list[str]], masks: str = "SegmentationClass") -> Path:
    """Writes a devkit's `VOC2012` whose masks hold 0, 5, 20 and 255, as palette images."""
    (root / "ImageSets" / "Segmentation").mkdir(parents=True, exist_ok=True)
    for name, ids in lists.items():
        (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("\n".join(ids) + "\n")
        for id_ in ids:
            write_voc_image(root, id_)
            write_voc_mask(root / masks / f"{id_}.png", labels(int(id_), [0, 5, 20, 255]))
    return root


def write_voc_image(root: Path, id_: str) -> None:
    (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo(int(id_))).save(root / "JPEGImages" / f"{id_}.jpg")


def write_voc_mask(path: Path, label: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label)
    image.putpalette([channel for color in voc_palette(256) for channel in color])
    image.save(path)


def write_sbd(root: Path, lists: dict[str, list[str]]) -> Path:
    """Writes `benchmark_RELEASE/dataset` whose masks hold 0, 7 and 12."""
    folder = root / "benchmark_RELEASE" / "dataset"
    (folder / "cls").mkdir(parents=True)
    for name, ids in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(ids) + "\n")
        for id_ in ids:
            segmentation = labels(int(id_), [0, 7, 12])
            # As the archive has it: a structure with further fields.
            structure = {"Segmentation": segmentation, "CategoriesPresent": [7, 12]}
            savemat(folder / "cls" / f"{id_}.mat", {"GTcls": structure})
    return root


def write_sbd_images(root: Path, ids: list[str]) -> None:
    """Writes SBD's own images, with which its archive comes."""
    folder = root / "benchmark_RELEASE" / "dataset" / "img"
    folder.mkdir(parents=True)
    for id_ in ids:
        Image.fromarray(photo(100 + int(id_))).save(folder / f"{id_}.jpg")


def depth(seed: int) -> np.ndarray:
    """Distances in millimeters, uint16."""
    return np.random.default_rng(seed).integers(500, 9000, PHOTO_SIZE, dtype=np.uint16)


def write_nyudv2(root: Path, lists: dict[str, list[str]]) -> Path:
    """Writes the reference's layout, with labels 0 (void), 1 and 40, and HHA images."""
    for folder in ("data/images", "data/depth", "data/hha", "segmentation"):
        (root / folder).mkdir(parents=True)
    for name, ids in lists.items():
        (root / f"{name}.txt").write_text("\n".join(ids) + "\n")
        for id_ in ids:
            number = int(id_)
            Image.fromarray(photo(number)).save(root / "data" / "images" / f"img_{id_}.png")
            Image.fromarray(depth(number)).save(root / "data" / "depth" / f"img_{id_}.png")
            Image.fromarray(photo(50 + number)).save(root / "data" / "hha" / f"img_{id_}.png")
            segmentation = labels(number, [0, 1, 40])
            savemat(root / "segmentation" / f"img_{id_}.mat", {"segmentation": segmentation})
    return root


def write_siftflow(root: Path, ids: list[str]) -> Path:
    """Writes Tighe's layout, with semantic labels 0 (void), 1, 33 and geometric -1 (void), 1, 3."""
    scenes = "spatial_envelope_256x256_static_8outdoorcategories"
    for folder in ("Images", "SemanticLabels", "GeoLabels"):
        (root / folder / scenes).mkdir(parents=True)
    for number, id_ in enumerate(ids):
        Image.fromarray(photo(number)).save(root / "Images" / scenes / f"{id_}.jpg")
        semantic = labels(number, [0, 1, 33]).astype(np.float64)
        geometric = labels(number, [0, 1, 3]).astype(np.int16)
        geometric[geometric == 0] = -1
        savemat(root / "SemanticLabels" / scenes / f"{id_}.mat", {"S": semantic, "names": ["x"]})
        savemat(root / "GeoLabels" / scenes / f"{id_}.mat", {"S": geometric})
    return root


def write_pascal_context(root: Path, lists: dict[str, list[str]], numbers: list[int]) -> Path:
    """Writes VOC 2010's devkit and `trainval/ID.mat`, in which these numbers of 0..459 occur."""
    devkit = root / "VOCdevkit" / "VOC2010"
    (devkit / "ImageSets" / "Main").mkdir(parents=True)
    (root / "trainval").mkdir()
    for name, ids in lists.items():
        (devkit / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(ids) + "\n")
        for id_ in ids:
            write_voc_image(devkit, id_)
            label_map = np.resize(np.array(numbers, np.uint16), PHOTO_SIZE)
            savemat(root / "trainval" / f"{id_}.mat", {"LabelMap": label_map})
    return root
