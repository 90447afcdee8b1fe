"""How the images of a folder are read: orientation, ranges, pages, bands."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from keras_fcn.datasets import open_dataset
from keras_fcn.datasets.checks import check

LABEL = np.zeros((6, 10), "uint8")
LABEL[:2, :3] = 1


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def write_pair(root, name: str, label: np.ndarray, orientation: int = 1, mask_orientation: int = 1):
    """Writes an image whose red is 100 times the label, both as they are stored."""
    image = np.dstack([100 * label, 0 * label, 0 * label]).astype("uint8")
    for folder, array, turn in (("images", image, orientation), ("masks", label, mask_orientation)):
        (root / folder).mkdir(exist_ok=True)
        options = {"exif": exif(turn)} if turn != 1 else {}
        Image.fromarray(array).save(root / folder / f"{name}.png", **options)


def read(root, **options) -> list[tuple[np.ndarray, np.ndarray]]:
    dataset = open_dataset(f"folder:{root}", **options)
    return [
        (example["image"], example["label"])
        for split in dataset.splits
        for example in dataset.examples(split).as_numpy_iterator()
    ]


def test_images_and_masks_are_turned_by_their_own_orientation(tmp_path):
    write_pair(tmp_path, "both", LABEL, 6, 6)
    write_pair(tmp_path, "none", LABEL)

    pairs = read(tmp_path)

    assert sorted(label.shape for _, label in pairs) == [(6, 10), (10, 6)]
    for image, label in pairs:
        np.testing.assert_array_equal(image[..., 0], 100 * label)


def test_a_mask_on_the_picture_as_it_is_shown(tmp_path):
    for name in ("a", "b"):
        write_pair(tmp_path, name, LABEL, 6)
        # Drawn on the picture as a viewer shows it, rotated clockwise.
        Image.fromarray(np.rot90(LABEL, -1)).save(tmp_path / "masks" / f"{name}.png")

    dataset = open_dataset(f"folder:{tmp_path}")

    for image, label in read(tmp_path):
        assert label.shape == (10, 6)
        np.testing.assert_array_equal(image[..., 0], 100 * label)
    assert any("2 masks lie as the picture is shown, 0 as it is stored" in n for n in dataset.notes)


def test_a_mask_on_the_pixels_as_they_are_stored(tmp_path):
    write_pair(tmp_path, "a", LABEL, 6)
    write_pair(tmp_path, "b", LABEL, 8)
    # Its size does not tell: the others do.
    write_pair(tmp_path, "c", LABEL, 3)

    pairs = read(tmp_path)

    assert len(pairs) == 3
    for image, label in pairs:
        np.testing.assert_array_equal(label, LABEL)
        np.testing.assert_array_equal(image[..., 0], 100 * LABEL)


@pytest.mark.parametrize(("shape", "orientation"), [((8, 8), 6), ((6, 10), 3)])
def test_sizes_that_do_not_tell_are_refused_with_both_ways(tmp_path, shape, orientation):
    label = np.zeros(shape, "uint8")
    label[:2, :3] = 1
    for name in ("a", "b"):
        write_pair(tmp_path, name, label, orientation)

    with pytest.raises(ValueError, match=r"a\.png: .*EXIF.*--exif apply.*--exif ignore"):
        read(tmp_path)
    for image, found in read(tmp_path, exif="ignore"):
        np.testing.assert_array_equal(found, label)
        np.testing.assert_array_equal(image[..., 0], 100 * label)
    turned = np.rot90(label, {6: -1, 3: 2}[orientation])
    for image, found in read(tmp_path, exif="apply"):
        np.testing.assert_array_equal(found, label)
        np.testing.assert_array_equal(image[..., 0], 100 * turned)
    assert not check(f"folder:{tmp_path}").ok
    assert not any("EXIF" in p.text for p in check(f"folder:{tmp_path}", exif="ignore").problems)


def test_masks_of_both_kinds_decide_one_by_one_but_no_others(tmp_path):
    write_pair(tmp_path, "stored", LABEL, 6)
    write_pair(tmp_path, "shown", LABEL, 6)
    Image.fromarray(np.rot90(LABEL, -1)).save(tmp_path / "masks" / "shown.png")

    for image, label in read(tmp_path):
        np.testing.assert_array_equal(image[..., 0], 100 * label)
    write_pair(tmp_path, "open", LABEL, 3)
    with pytest.raises(ValueError, match=r"open\.png: .*--exif apply"):
        read(tmp_path)


def write_deep(root, high: int, suffix: str = ".png") -> np.ndarray:
    values = np.random.default_rng(0).integers(0, high + 1, (6, 10)).astype("uint16")
    values[0, 0], values[0, 1] = 0, high
    for name in ("a", "b"):
        for folder, array in (("images", values), ("masks", LABEL)):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(array).save(root / folder / f"{name}{suffix}")
    return values


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_range_is_the_way_out_for_twelve_bits(tmp_path, suffix):
    values = write_deep(tmp_path, 4095, suffix)

    with pytest.raises(ValueError, match=r"from 0 to 4095 \(12 bits.*--value-range 0,4095"):
        read(tmp_path)
    expected = np.rint(values / 4095 * 255)
    for image, _ in read(tmp_path, value_range=(0, 4095)):
        np.testing.assert_array_equal(image, expected[..., None].repeat(3, axis=-1))
    for image, _ in read(tmp_path, value_range=(0, 65535)):
        assert image.max() == round(4095 / 65535 * 255)


def test_all_of_sixteen_bits_needs_no_range(tmp_path):
    values = write_deep(tmp_path, 65535)

    for image, _ in read(tmp_path):
        np.testing.assert_array_equal(image[..., 0], values // 256)


def test_a_page_is_chosen_for_all_images(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        first, second = (Image.new("RGB", (10, 6), color) for color in ("red", "lime"))
        first.save(tmp_path / "images" / f"{name}.tif", save_all=True, append_images=[second])
        Image.fromarray(LABEL).save(tmp_path / "masks" / f"{name}.png")

    report = check(f"folder:{tmp_path}")

    assert all("has 2 pages" in problem.text for problem in report.problems if problem.severe)
    assert not report.ok
    for image, _ in read(tmp_path, page=2):
        assert image[0, 0].tolist() == [0, 255, 0]


def write_bands(root, count: int = 5) -> dict[str, np.ndarray]:
    """Writes two images of five bands, as TIFF and as an array with the bands first."""
    draws = np.random.default_rng(0).integers(0, 5000, (2, 6, 10, count)).astype("uint16")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    tifffile.imwrite(
        root / "images" / "a.tif", draws[0], photometric="minisblack", planarconfig="contig"
    )
    np.save(root / "images" / "b.npy", np.moveaxis(draws[1], -1, 0))
    for name in ("a", "b"):
        Image.fromarray(LABEL).save(root / "masks" / f"{name}.png")
    return {"a": draws[0], "b": draws[1]}


def test_bands_are_read_as_they_are(tmp_path):
    arrays = write_bands(tmp_path)
    dataset = open_dataset(f"folder:{tmp_path}", channels=5)

    found = {
        example["id"].decode(): example["image"]
        for split in dataset.splits
        for example in dataset.examples(split).as_numpy_iterator()
    }

    assert dataset.image_reading.num_channels == 5 and dataset.modalities == ()
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array)
    with pytest.raises(ValueError, match="has images of 5 bands, which have no names"):
        dataset.check_modalities(["rgb"])


def test_bands_are_never_cut_without_being_asked(tmp_path):
    arrays = write_bands(tmp_path)
    (tmp_path / "images" / "b.npy").unlink()
    tifffile.imwrite(
        tmp_path / "images" / "b.tif",
        arrays["b"],
        photometric="minisblack",
        planarconfig="contig",
    )
    report = check(f"folder:{tmp_path}")

    assert any("--channels 5" in problem.text for problem in report.problems)
    assert check(f"folder:{tmp_path}", channels=5).ok
    assert any(
        "b.tif" in problem.file for problem in check(f"folder:{tmp_path}", channels=4).problems
    )


def test_arrays_alone_name_the_option(tmp_path):
    write_bands(tmp_path)
    (tmp_path / "images" / "a.tif").unlink()

    with pytest.raises(ValueError, match=r"b\.npy: an array does not say.*--channels N"):
        read(tmp_path)


def test_masks_in_arrays_are_no_images(tmp_path):
    write_bands(tmp_path)
    np.save(tmp_path / "masks" / "a.npy", LABEL)  # labelme leaves such

    assert len(read(tmp_path, channels=5)) == 2


def test_an_unknown_way_is_refused(tmp_path):
    with pytest.raises(ValueError, match='`exif` must be "apply" or "ignore"'):
        read(tmp_path, exif="maybe")
