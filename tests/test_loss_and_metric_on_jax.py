"""The tests of the loss, the metric and the callback once more, on the JAX backend."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "selection",
    [
        "by_hand or named or 32_bits or harms_no or (fit and True and not eagerly)",
        pytest.param("", marks=pytest.mark.full),
    ],
)
def test_loss_and_metric_on_jax(selection):
    files = [HERE / f"test_{name}.py" for name in ("losses", "metrics", "callbacks")]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *files]

    finished = subprocess.run(
        [*command, "-k", selection],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=550,
    )

    assert finished.returncode == 0, finished.stdout[-4000:]
    assert " passed" in finished.stdout
