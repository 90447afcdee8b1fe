"""Folders as people have them, made by `shared/cases/make_cases.py`, are read right or refused.

They lie outside the repository: beside it, or where `KERAS_FCN_CASES` says.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_fcn.datasets import open_dataset


def _generator() -> Path | None:
    named = os.environ.get("KERAS_FCN_CASES")
    beside = [parent / "shared" / "cases" for parent in Path(__file__).resolve().parents]
    for folder in [Path(named)] if named else beside:
        if (folder / "make_cases.py").is_file():
            return folder / "make_cases.py"
    return None


GENERATOR = _generator()
pytestmark = pytest.mark.skipif(GENERATOR is None, reason="shared/cases is not there")


def _names() -> list[str]:
    """Returns the names of the cases, which the generator prints into its JSON only."""
    if GENERATOR is None:
        return []
    import re

    return re.findall(r'case\("(\w+)"', GENERATOR.read_text())


@cache
def _made(folder: Path) -> dict[str, dict]:
    subprocess.run([sys.executable, str(GENERATOR), str(folder)], check=True, capture_output=True)
    return json.loads((folder / "cases.json").read_text())


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cases")


def _counts(label: np.ndarray) -> dict[str, int]:
    values, numbers = np.unique(label, return_counts=True)
    return {str(value): int(number) for value, number in zip(values, numbers, strict=True)}


def _read(folder: Path) -> tuple[object, dict[str, dict[str, dict[str, int]]]]:
    dataset = open_dataset(f"folder:{folder}")
    return dataset, {
        split: {
            example["id"].decode().rpartition("/")[2]: _counts(example["label"])
            for example in dataset.examples(split).as_numpy_iterator()
        }
        for split in dataset.splits
    }


def test_every_case_is_tried(cases):
    assert sorted(_made(cases)) == sorted(_names())


@pytest.mark.parametrize("name", _names())
def test_case_gives_its_values(cases, name):
    want = _made(cases)[name]
    if "refused" in want:
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as caught:
            _read(cases / name)
        assert any(text in str(caught.value) for text in want["refused"]), str(caught.value)
        return

    dataset, found = _read(cases / name)

    if want["classes"]:
        assert list(dataset.labels.class_names) == want["classes"]
    else:
        assert dataset.labels.num_classes == want["num_classes"]
    if "any" in want["splits"]:
        assert {k: v for of_split in found.values() for k, v in of_split.items()} == want["splits"][
            "any"
        ]
    else:
        assert found == want["splits"]
