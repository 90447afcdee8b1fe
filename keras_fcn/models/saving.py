"""Saving networks."""

import shutil
import zipfile
from pathlib import Path

import keras

from keras_fcn.files import replacing


def save_model(model: keras.Model, path: str | Path) -> None:
    """Writes a `.keras` file, complete or not at all.

    The file is that of `model.save(path)`, which keeps all weights in memory a second time.

    Args:
        model: The network.
        path: The file, which is replaced.

    Raises:
        OSError: If it cannot be written.
    """
    with replacing(Path(path)) as temporary:
        folder = temporary.with_suffix("")
        model.save(folder, zipped=False)
        with zipfile.ZipFile(temporary, "w") as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file():  # not the folder of assets, of which there are none
                    archive.write(file, file.relative_to(folder))
        shutil.rmtree(folder)
