"""Every layer, loss, metric and network x every property; see conformance/rows.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parent / "check.py"


def check(prop, folder, **environment):
    result = subprocess.run(
        [sys.executable, CHECK, prop, folder],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conformance")
    check("make", folder)
    return folder


@pytest.fixture(scope="session")
def exported_rows(rows):
    check("export", rows)
    return rows


@pytest.mark.parametrize("prop", ["any_size", "saving", "mixed_precision", "jit"])
def test_property(prop, rows):
    assert "rows" in check(prop, rows)


def test_jax_answers_as_tensorflow_does(rows):
    pytest.importorskip("jax")
    assert "rows" in check("jax", rows, KERAS_BACKEND="jax")


@pytest.mark.full
def test_jax_answers_as_tensorflow_does_for_large_networks(tmp_path):
    pytest.importorskip("jax")
    check("make_large", tmp_path)

    assert "2 rows" in check("jax", tmp_path, KERAS_BACKEND="jax")


@pytest.mark.parametrize("prop", ["savedmodel", "tflite"])
def test_exported_rows_answer_as_the_model_does(prop, exported_rows):
    assert "rows" in check(prop, exported_rows)
