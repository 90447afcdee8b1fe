from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_fcn.data.modality_files import Partners, joined, read_modalities, shown


def write_scene(folder, size=(2, 3)):
    """Writes an RGB image of 10, 20, 30, an HHA image of 40, 50, 60, and a depth map of 7000."""
    files = {name: folder / f"{name}.png" for name in ("rgb", "hha", "depth")}
    Image.fromarray(np.full((*size, 3), (10, 20, 30), "uint8")).save(files["rgb"])
    Image.fromarray(np.full((*size, 3), (40, 50, 60), "uint8")).save(files["hha"])
    Image.fromarray(np.full(size, 7000, "uint16")).save(files["depth"])
    return files


def test_modalities_are_read_and_joined_in_the_order_given(tmp_path):
    files = write_scene(tmp_path)

    images = read_modalities({name: files[name] for name in ("depth", "rgb", "hha")})

    assert {name: (image.shape, image.dtype.name) for name, image in images.items()} == {
        "depth": ((2, 3, 1), "uint16"),
        "rgb": ((2, 3, 3), "uint8"),
        "hha": ((2, 3, 3), "uint8"),
    }
    assert joined(images).dtype == "float32"
    assert joined(images)[1, 2].tolist() == [7000, 10, 20, 30, 40, 50, 60]


def test_three_channels_stay_whole_numbers(tmp_path):
    images = read_modalities({"hha": write_scene(tmp_path)["hha"]})

    assert joined(images).dtype == "uint8"


def test_images_of_one_scene_must_have_one_size(tmp_path):
    files = write_scene(tmp_path)
    Image.fromarray(np.zeros((4, 5), "uint16")).save(files["depth"])

    with pytest.raises(ValueError, match=r"depth.png must have the size of .*rgb.png.*\(4, 5\)"):
        read_modalities({"rgb": files["rgb"], "depth": files["depth"]})


def test_partner_has_the_same_name_whatever_its_suffix(tmp_path):
    (tmp_path / "room.tif").touch()

    assert Partners(tmp_path).of(tmp_path / "elsewhere" / "room.jpg") == tmp_path / "room.tif"
    with pytest.raises(ValueError, match=r"must contain one file hall.\*.*no such file"):
        Partners(tmp_path).of(tmp_path / "hall.jpg")
    (tmp_path / "room.png").touch()
    with pytest.raises(ValueError, match=r"Found: room.png, room.tif"):
        Partners(tmp_path).of(tmp_path / "room.jpg")


def test_depth_alone_is_shown_in_gray():
    depth = np.array([[[0], [1000]], [[2000], [4000]]], "uint16")

    # 255 times the share of the largest distance, rounded down.
    assert shown({"depth": depth})[..., 0].tolist() == [[0, 63], [127, 255]]
    assert shown({"depth": depth}).shape == (2, 2, 3)


def test_first_image_with_colors_is_shown():
    images = {"depth": np.ones((1, 1, 1), "uint16"), "hha": np.full((1, 1, 3), 9, "uint8")}

    assert shown(images) is images["hha"]


def test_a_folder_is_listed_once_for_all_images(tmp_path, monkeypatch):
    for number in range(300):
        (tmp_path / f"{number}.png").touch()
    entries = []
    iterdir = Path.iterdir

    def counted(folder):
        for path in iterdir(folder):
            entries.append(path)
            yield path

    monkeypatch.setattr(Path, "iterdir", counted)
    monkeypatch.setattr(Path, "glob", None)

    partners = Partners(tmp_path)
    found = [partners.of(Path(f"{number}.jpg")).name for number in range(300)]

    assert found == [f"{number}.png" for number in range(300)]
    assert len(entries) == 300
