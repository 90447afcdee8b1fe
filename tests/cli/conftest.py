"""The command line in this process, and files for it to work on."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from keras_fcn_cli import quiet
from keras_fcn_cli.main import main
from PIL import Image

from .. import helpers


@pytest.fixture(autouse=True)
def _restored_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Undoes what the command does to its process; each test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quiet, "_is_quiet", False)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    for name in ("TF_CPP_MIN_LOG_LEVEL", "GRPC_VERBOSITY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


@pytest.fixture
def run() -> Callable[..., Result]:
    """Runs `keras-fcn` with arguments, in this process."""

    def run_command(*arguments: str | Path) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run_command


@pytest.fixture(scope="session")
def channel_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of three classes: the brightest channel of a pixel is its class."""
    path = tmp_path_factory.mktemp("model") / "channels.keras"
    helpers.channel_model().save(path)
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset for that network, with one pixel of the last image labeled wrongly."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    generator = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(6):
        image = generator.integers(0, 256, (20 + number, 30, 3)).astype("uint8")
        mask = image.argmax(-1).astype("uint8")
        if number == 5:
            mask[0, 0] = (mask[0, 0] + 1) % 3
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    (folder / "classes.txt").write_text("red\ngreen\nblue\n")
    (folder / "train.txt").write_text("0\n1\n2\n")
    (folder / "val.txt").write_text("3\n4\n5\n")
    return folder
