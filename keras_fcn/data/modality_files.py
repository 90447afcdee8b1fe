"""Reading the modalities of one scene (RGB, HHA, depth), each from a file of its own."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from keras_fcn.data.image_io import read_depth, read_image

_READERS: dict[str, Callable[[Path], np.ndarray]] = {
    "rgb": read_image,
    "hha": read_image,
    "depth": lambda path: read_depth(path)[..., None],
}


class Partners:
    """The files of a folder by their names without suffix, listed once.

    Args:
        folder: The folder, which is listed at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_stem: dict[str, list[Path]] = {}
        for file in sorted(folder.iterdir()):
            self._by_stem.setdefault(file.stem, []).append(file)

    @property
    def files(self) -> list[Path]:
        """All files of the folder."""
        return [file for files in self._by_stem.values() for file in files]

    def of(self, path: Path) -> Path:
        """Returns the file that has the name of another file, whatever its suffix.

        Raises:
            ValueError: If there is none, or several.
        """
        found = [file for file in self._by_stem.get(path.stem, ()) if file.is_file()]
        if len(found) != 1:
            listed = ", ".join(file.name for file in found) or "no such file"
            raise ValueError(
                f"The folder {self.folder} must contain one file {path.stem}.* for {path}. Found: "
                f"{listed}."
            )
        return found[0]


def read_modalities(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Reads the images of one scene.

    Args:
        files: File by modality.

    Returns:
        Image by modality. `rgb` and `hha`: uint8, shape `(height, width, 3)`; `depth`: uint16,
        shape `(height, width, 1)`.

    Raises:
        ValueError: If a file is damaged or is not such an image, or sizes differ.
        FileNotFoundError: If a file is missing.
    """
    images = {name: _READERS[name](path) for name, path in files.items()}
    (first, *others) = files
    for name in others:
        if images[name].shape[:2] != images[first].shape[:2]:
            raise ValueError(
                f"{files[name]} must have the size of {files[first]}, height and width "
                f"{images[first].shape[:2]}. It has {images[name].shape[:2]}."
            )
    return images


def joined(images: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the modalities as one image, one after the other along the channels.

    This is the input of a `Predictor`.

    >>> images = {"rgb": np.zeros((2, 2, 3), "uint8"), "depth": np.ones((2, 2, 1), "uint16")}
    >>> joined(images).shape, joined(images).dtype
    ((2, 2, 4), dtype('float32'))
    """
    together = np.concatenate(list(images.values()), axis=-1)
    return together if together.shape[-1] == 3 else together.astype("float32")


def shown(images: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns an RGB picture of a scene: the first image of three channels, else depth in gray."""
    for image in images.values():
        if image.shape[-1] == 3:
            return image
    (depth,) = images.values()
    gray = 255 * (depth / max(int(depth.max()), 1))
    return np.repeat(gray.astype("uint8"), 3, axis=-1)
