"""The trees and tables of docs/own_data.md are read as the page says."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_fcn.datasets import open_dataset
from keras_fcn.datasets.class_table import read_class_table

PAGE = (Path(__file__).parents[2] / "docs" / "own_data.md").read_text(encoding="utf-8")
TREES = re.findall(r"```text\nphotos/\n(.*?)```\nRead as: ([^.]*)\.", PAGE, re.DOTALL)
TABLES = re.findall(r"```text\n((?!photos/).*?)```", PAGE.partition("## Classes")[2], re.DOTALL)
NAMES = "background\nobject\n"


def write(root: Path, tree: str) -> None:
    mask = np.repeat(np.array([0, 1], np.uint8), 32).reshape(8, 8)
    for number, line in enumerate(tree.splitlines()):
        name, _, contents = line.strip().partition("    ")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if contents:
            path.write_text(contents.strip().removeprefix("lines: ").replace(", ", "\n"))
        elif path.suffix == ".npy":
            np.save(path, mask)
        elif path.suffix in (".txt", ".csv"):
            path.write_text(NAMES)
        elif re.search(r"mask|annot|label|ann_dir|SegmentationClass", name):
            Image.fromarray(mask).save(path)
        else:
            Image.fromarray(np.full((8, 8, 3), 20 * number, np.uint8)).save(path)


def test_the_page_shows_every_layout():
    assert len(TREES) == PAGE.count("```text\nphotos/\n") == 15


@pytest.mark.parametrize(("tree", "splits"), TREES)
def test_tree_is_read_as_the_page_says(tmp_path, tree, splits):
    write(tmp_path, tree)

    dataset = open_dataset(f"folder:{tmp_path}")

    assert ", ".join(f"{split} {count}" for split, count in dataset.splits.items()) == splits
    for split in dataset.splits:
        for example in dataset.examples(split).as_numpy_iterator():
            assert np.bincount(example["label"].reshape(-1)).tolist() == [32, 32]


@pytest.mark.parametrize("text", TABLES)
def test_tables_of_the_page_are_the_same(tmp_path, text):
    path = tmp_path / ("classes.json" if text.startswith("[") else "classes.txt")
    path.write_text(text)

    table = read_class_table(path)

    assert table.labels.class_names == ("background", "cat")
    assert table.colors == {(0, 0, 0): 0, (200, 40, 40): 1, (255, 255, 255): 255}


def test_the_page_shows_tables():
    assert len(TABLES) == 5
