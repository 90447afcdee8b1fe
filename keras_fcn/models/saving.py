"""Saving networks that hardly fit into memory."""

import math
import os
import shutil
import zipfile
from pathlib import Path

import keras

from keras_fcn.files import replacing

# What HDF5 adds to the weights.
_OVERHEAD = 2**20


def save_model(model: keras.Model, path: str | Path) -> None:
    """Writes a `.keras` file, complete or not at all.

    The file is that of `model.save(path)`, which needs the memory of all weights once more: here
    they go to the disk one by one.

    Args:
        model: The network.
        path: The file, which is replaced.

    Raises:
        OSError: If it cannot be written.
    """
    with replacing(Path(path)) as temporary:
        folder = temporary.with_suffix("")
        folder.mkdir()
        _check_space(folder, sum(4 * math.prod(weight.shape) for weight in model.weights))
        model.save(folder, zipped=False)
        with zipfile.ZipFile(temporary, "w") as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file():  # not the folder of assets, of which there are none
                    archive.write(file, file.relative_to(folder))
        shutil.rmtree(folder)


def _check_space(folder: Path, num_bytes: int) -> None:
    """Raises OSError if the disk is too full, of which HDF5 would end the process."""
    if hasattr(os, "posix_fallocate"):
        path = folder / "space"
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, num_bytes + _OVERHEAD)
        path.unlink()
