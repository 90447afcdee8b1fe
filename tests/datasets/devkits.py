"""Tiny folders in the layouts of published data sets, made by the tests."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from keras_fcn.labels import voc_palette

PHOTO_SIZE = (20, 30)  # height, width


def photo(seed: int) -> np.ndarray:
    """A picture that JPEG changes: coarse coloured noise."""
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
