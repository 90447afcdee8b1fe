"""Mutated files: a few for each command here, a hundred with `-m full`; see `fuzz.py`."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from . import fuzz

ROOT = Path(__file__).parents[2]


def run(command: str, count: int, seed: int) -> dict:
    """Fuzzes one command in a process of its own, which a damaged file may end."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.robustness.fuzz", command, "--count", str(count),
         "--seed", str(seed)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", ["predict", "predict_tflite", "resume"])
def test_some_mutants(command):
    result = run(command, 6, seed=1)

    assert result["runs"] == 6
    assert result["faults"] == []


@pytest.mark.full
@pytest.mark.parametrize("command", fuzz.CASES)
def test_a_hundred_mutants(command):
    result = run(command, 100, seed=0)

    assert result["runs"] == 100
    assert result["faults"] == []


def test_mutants_differ_and_can_be_made_again():
    content = bytes(range(200))

    first = [fuzz.mutated(content, random.Random(number)) for number in range(50)]

    assert first == [fuzz.mutated(content, random.Random(number)) for number in range(50)]
    assert len(set(first)) > 45 and content not in first[:1]


@pytest.mark.parametrize(
    ("status", "text", "is_fault"),
    [
        (0, "fine", False),
        (1, "Error: /x/m.onnx cannot be read", False),
        (1, "Error: it cannot be read", True),
        (1, "Error: m.onnx: KeyError\nThis should not happen", True),
        (1, "Traceback: m.onnx", True),
    ],
)
def test_faults_are_told_from_refusals(status, text, is_fault):
    assert bool(fuzz._fault(status, text, "a/m.onnx", "/x")) == is_fault
