"""Small exports of each tool, written by hand, and the class maps of folders that were imported."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from keras_fcn.datasets import open_dataset

SIZE = (40, 60)


def write_picture(path, size=SIZE, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype("uint8")
    Image.fromarray(pixels).save(path, **options)
    return path


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def read_masks(folder: Path) -> dict[str, np.ndarray]:
    """Returns the labels of a folder as training reads them, by the id of the example."""
    dataset = open_dataset(f"folder:{folder}")
    return {
        f"{split}/{Path(example['id'].numpy().decode()).name}": example["label"].numpy()
        for split in dataset.splits
        for example in dataset.examples(split)
    }


def stored_mask(folder: Path, name: str) -> np.ndarray:
    """Returns the numbers of one mask."""
    with Image.open(folder / "masks" / name) as picture:
        assert picture.mode == "P"
        return np.asarray(picture)
