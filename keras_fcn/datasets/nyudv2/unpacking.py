"""NYUDv2's labeled frames from the one file that NYU publishes, in the layout of the reference.

    python -m keras_fcn.datasets.nyudv2.unpacking SOURCE TARGET

SOURCE is a folder with `nyu_depth_v2_labeled.mat` and `splits.mat` of the dataset's site, and with
`classMapping40.mat` of Gupta, Arbelaez and Malik (CVPR 2013), which maps each of the 894 labels
to one of the 40 classes. TARGET can then be the source of the dataset `nyudv2`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from keras_fcn.data.image_io import read_mat_labels
from keras_fcn.files import replacing, write_text

# The reference counts the frames from here.
_FIRST_ID = 5001
_FILES = ("nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat")


def unpack(source: Path, target: Path, on_frame: Callable[[int, int], None] | None = None) -> int:
    """Writes images, depth in millimeters, label maps of 40 classes, and the lists of the splits.

    HHA images are made when the dataset is prepared. The lists are written last: without them the
    folder is not complete.

    Args:
        source: Folder of the three files.
        target: Folder to write; created if missing.
        on_frame: Called after each frame with its number from 1 and the number of frames.

    Returns:
        The number of frames.

    Raises:
        ValueError: If a file is missing or has other contents.
    """
    labeled, splits, mapping = (source / name for name in _FILES)
    for path in (labeled, splits, mapping):
        if not path.is_file():
            raise ValueError(f"{path} is missing. Expected in the source: {', '.join(_FILES)}.")
    class_of_label = np.concatenate([[0], read_mat_labels(mapping, "mapClass")[0]])
    lists = {
        "trainval": read_mat_labels(splits, "trainNdxs")[:, 0],
        "test": read_mat_labels(splits, "testNdxs")[:, 0],
    }
    for folder in ("data/images", "data/depth", "segmentation"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name in lists:
        (target / f"{name}.txt").unlink(missing_ok=True)
    num_frames = _write_frames(labeled, target, class_of_label, on_frame)
    for name, numbers in lists.items():
        ids = "".join(f"{_FIRST_ID - 1 + number}\n" for number in numbers)
        write_text(target / f"{name}.txt", ids)
    return num_frames


def _write_frames(
    labeled: Path,
    target: Path,
    class_of_label: np.ndarray,
    on_frame: Callable[[int, int], None] | None,
) -> int:
    # The file is one of MATLAB 7.3, which SciPy does not read.
    import h5py

    try:
        file = h5py.File(labeled)
    except OSError as error:
        raise ValueError(f"{labeled}: not a MATLAB file of version 7.3 ({error}).") from error
    with file:
        missing = {"images", "depths", "labels"} - set(file)
        if missing:
            raise ValueError(f"{labeled}: not NYUDv2's file, {min(missing)!r} is missing.")
        num_frames = len(file["images"])
        for index in range(num_frames):
            _write_frame(target, _FIRST_ID + index, _frame(file, index), class_of_label)
            if on_frame:
                on_frame(index + 1, num_frames)
    return num_frames


def _frame(file: Any, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns image, depth in meters and labels of a frame; MATLAB stores columns first."""
    return tuple(file[name][index].T for name in ("images", "depths", "labels"))


def _write_frame(
    target: Path,
    number: int,
    frame: tuple[np.ndarray, np.ndarray, np.ndarray],
    class_of_label: np.ndarray,
) -> None:
    image, meters, labels = frame
    millimeters = np.clip(np.rint(meters * 1000), 0, 65535).astype(np.uint16)
    for folder, pixels in (("images", np.ascontiguousarray(image)), ("depth", millimeters)):
        with replacing(target / "data" / folder / f"img_{number}.png") as temporary:
            Image.fromarray(pixels).save(temporary)
    segmentation = class_of_label[labels].astype(np.uint8)
    with replacing(target / "segmentation" / f"img_{number}.mat") as temporary:
        savemat(temporary, {"segmentation": segmentation})


def _main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()

    def show(frame: int, total: int) -> None:
        print(f"\r{frame} of {total} frames", end="", flush=True)

    try:
        unpack(options.source, options.target, show)
    except ValueError as error:
        parser.exit(1, f"Error: {error}\n")
    print(f"\nNow: keras-fcn datasets prepare --dataset nyudv2 --source {options.target}")


if __name__ == "__main__":
    _main()
