"""Files of any number of bands and depth are read exactly, or refused with the way out.

The files are written by tifffile, NumPy and Pillow; the values are those that were written.
"""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image, ImageOps

from keras_fcn.data import bands, image_io
from keras_fcn.data.bands import open_raster, picture_of, turned
from keras_fcn.data.image_io import depth_problem, find_orientation, read_image
from keras_fcn.modalities import ImageReading

HEIGHT, WIDTH = 70, 93


def values(count: int, dtype: str = "uint16", high: int = 4000) -> np.ndarray:
    draws = np.random.default_rng(count).integers(0, high, (HEIGHT, WIDTH, count))
    return (draws / 7).astype(dtype) if dtype.startswith("float") else draws.astype(dtype)


def write_tiff(path: Path, array: np.ndarray, *, separate: bool = False, **options) -> Path:
    array = np.moveaxis(array, -1, 0) if separate else array
    options = {"photometric": "minisblack", "metadata": None, **options}
    tifffile.imwrite(path, array, planarconfig="separate" if separate else "contig", **options)
    return path


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rowsperstrip": 13},
        {"compression": "zlib", "predictor": True, "rowsperstrip": 16},
        {"compression": "lzw", "tile": (32, 48)},
        {"compression": "zstd", "tile": (64, 64)},
        {"bigtiff": True, "compression": "zlib"},
        {"byteorder": ">"},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "plain",
)
def test_tiff_of_five_bands_as_a_whole_and_by_windows(tmp_path, separate, options):
    array = values(5)
    path = write_tiff(tmp_path / "a.tif", array, separate=separate, **options)
    reading = ImageReading(5)

    image = read_image(path, reading)
    with open_raster(path, reading) as raster:
        windows = [
            (slice(0, 70), slice(3, 40)),
            (slice(31, 65), slice(48, 93)),
            (slice(69, 70),) * 2,
        ]
        found = [raster.read(*window) for window in windows]

    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, array)
    for window, part in zip(windows, found, strict=True):
        np.testing.assert_array_equal(part, array[window])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_tiff_of_other_types(tmp_path, dtype):
    array = values(4, dtype, high=250)

    image = read_image(write_tiff(tmp_path / "a.tif", array), ImageReading(4))

    np.testing.assert_allclose(image, array, rtol=1e-7)


def test_pixels_without_data_are_nan(tmp_path):
    array = values(2, "float32")
    array[0, 0, 0], array[1, 1, 1], array[2, 2, 0] = np.nan, -9999, np.inf
    # The tag in which GDAL notes the value.
    tag = (42113, "s", 0, "-9999", True)
    path = write_tiff(tmp_path / "a.tif", array, extratags=[tag])

    image = read_image(path, ImageReading(2))

    expected = np.where(np.isfinite(array) & (array != -9999), array, np.nan)
    assert np.isnan(expected).sum() == 3
    np.testing.assert_array_equal(image, expected)


def test_another_number_of_bands_is_refused(tmp_path):
    path = write_tiff(tmp_path / "a.tif", values(5))
    photo = tmp_path / "photo.png"
    Image.fromarray(values(3, "uint8", 256)).save(photo)

    with pytest.raises(ValueError, match=r"a\.tif: .*of 4 bands.*--channels 4.*Received: 5 bands"):
        read_image(path, ImageReading(4))
    with pytest.raises(ValueError, match=r"photo\.png: .*of 4 bands.*Received: 3 bands"):
        read_image(photo, ImageReading(4))
    with pytest.raises(
        ValueError, match=r"5 bands.*--channels 5, or on the first three.*--channels 3"
    ):
        read_image(path)


def test_three_of_more_bands_are_taken_when_asked(tmp_path):
    array = values(4, "uint8", 256)
    path = write_tiff(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unspecified"])

    with pytest.raises(ValueError, match="the image has 4 bands"):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, ImageReading(3)), array[..., :3])
    np.testing.assert_array_equal(read_image(path, ImageReading(4)), array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_is_no_band_of_rgb(tmp_path, dtype):
    array = values(4, dtype, 256 if dtype == "uint8" else 65536)
    path = write_tiff(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unassalpha"])

    expected = array[..., :3] if dtype == "uint8" else array[..., :3] >> 8
    np.testing.assert_array_equal(read_image(path), expected)
    np.testing.assert_array_equal(read_image(path, ImageReading(4)), array)


def test_values_become_black_and_white_by_their_range(tmp_path):
    deep = values(3, "uint16", 4096)
    real = values(3, "float32") / 500 - 0.2
    png = tmp_path / "deep.png"
    png.write_bytes(tf.io.encode_png(deep).numpy())
    gray = tmp_path / "gray.png"
    Image.fromarray(deep[..., 0]).save(gray)
    files = {
        png: (deep, (0, 4095)),
        gray: (deep[..., :1].repeat(3, axis=-1), (100, 3000)),
        write_tiff(tmp_path / "deep.tif", deep, photometric="rgb"): (deep, (100, 3000)),
        write_tiff(tmp_path / "real.tif", real): (real, (0, 1)),
    }

    for path, (stored, (low, high)) in files.items():
        image = read_image(path, ImageReading(value_range=(low, high)))
        expected = 255 * (np.clip(stored.astype(np.float64), low, high) - low) / (high - low)
        assert image.dtype == np.uint8
        # Half a level is rounded either way in float32.
        assert np.abs(image - expected).max() <= 0.501


def test_values_without_a_range_are_refused_with_those_found(tmp_path):
    real = values(3, "float32") / 571
    whole = values(3, "int32", 90000)
    one = tmp_path / "one.tif"
    Image.fromarray(real[..., 0]).save(one)  # as Pillow writes it

    low, high = real.min(), real.max()
    with pytest.raises(
        ValueError, match=rf"real\.tif: floating.*from {low:g} to {high:g}.*--value-range"
    ):
        read_image(write_tiff(tmp_path / "real.tif", real))
    with pytest.raises(ValueError, match=rf"one\.tif: .* to {real[..., 0].max():g}.*--value-range"):
        read_image(one)
    with pytest.raises(
        ValueError, match=rf"whole\.tif: whole numbers of type int32.* {whole.max():g}"
    ):
        read_image(write_tiff(tmp_path / "whole.tif", whole))


def test_eight_bits_are_refused_where_the_range_is_deeper(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(values(3, "uint8", 256)).save(path)

    with pytest.raises(ValueError, match=r"a\.png: the image has 8 bits.*up to 4095"):
        read_image(path, ImageReading(value_range=(0, 4095)))


def test_images_of_twelve_bits_are_dark_unless_a_range_is_given(tmp_path):
    deep = values(3, "uint16", 4096)
    deep[0, 0] = 65535  # a hot pixel, which makes no other one bright
    paths = [write_tiff(tmp_path / "rgb.tif", deep, photometric="rgb")]
    bright = tmp_path / "bright.png"
    Image.fromarray(values(1, "uint16", 65536)[..., 0]).save(bright)

    assert "rgb.tif: images of 16 bits" in depth_problem(paths)
    assert "from 0 to 65535" in depth_problem(paths)
    assert depth_problem(paths, ImageReading(value_range=(0, 4095))) == ""
    assert depth_problem([bright]) == ""
    color = tmp_path / "color.png"
    color.write_bytes(tf.io.encode_png(deep).numpy())
    assert "color.png" in depth_problem([color])


def test_palettes_and_other_colors_are_no_bands(tmp_path):
    array = values(3, "uint8", 256)
    Image.fromarray(array).quantize(20).save(tmp_path / "palette.tif")
    Image.fromarray(array).convert("CMYK").save(tmp_path / "cmyk.tif")
    lab = write_tiff(tmp_path / "lab.tif", values(3), photometric="cielab")

    for name in ("palette", "cmyk"):  # Pillow converts them
        with Image.open(tmp_path / f"{name}.tif") as opened:
            expected = np.asarray(opened.convert("RGB"))
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.tif"), expected)
    with pytest.raises(ValueError, match=r"palette\.tif: a TIFF of the kind PALETTE"):
        read_image(tmp_path / "palette.tif", ImageReading(1))
    with pytest.raises(ValueError, match=r"lab\.tif: a TIFF of the kind CIELAB"):
        read_image(lab)


def test_four_components_of_jpeg_2000_are_alpha_only_if_it_says_so(tmp_path):
    array = values(4, "uint8", 256)
    path = tmp_path / "a.jp2"
    Image.fromarray(array, "RGBA").save(path, irreversible=False)
    without = tmp_path / "b.jp2"
    without.write_bytes(path.read_bytes().replace(b"cdef", b"free"))

    np.testing.assert_array_equal(read_image(path), array[..., :3])
    with pytest.raises(ValueError, match=r"b\.jp2: the image has 4 bands"):
        read_image(without)
    np.testing.assert_array_equal(read_image(without, ImageReading(4)), array)


def test_nodata_of_eight_bits_and_white_that_is_zero(tmp_path):
    array = values(1, "uint8", 256)
    tag = (42113, "s", 0, "7", True)
    path = write_tiff(tmp_path / "a.tif", array[..., 0], photometric="miniswhite", extratags=[tag])

    image = read_image(path, ImageReading(1))

    np.testing.assert_array_equal(image, np.where(array == 7, np.nan, array))
    np.testing.assert_array_equal(read_image(path)[..., :1], 255 - array)


# Pages


def test_pages_are_bands_where_there_are_as_many(tmp_path):
    array = values(4)
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for band in range(4):
            writer.write(array[..., band], compression="zlib", contiguous=False, metadata=None)

    np.testing.assert_array_equal(read_image(path, ImageReading(4)), array)
    with pytest.raises(ValueError, match=r"stack\.tif: the file has 4 pages.*--page N, 1 to 4"):
        read_image(path, ImageReading(1))
    np.testing.assert_array_equal(read_image(path, ImageReading(1, page=3)), array[..., 2:3])
    with pytest.raises(ValueError, match="--page 5 is not there.* is 4"):
        read_image(path, ImageReading(1, page=5))


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path):
    array = values(3, "uint8", 256)
    many = values(6)
    for name, stored, photometric in (("rgb", array, "rgb"), ("many", many, "minisblack")):
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as writer:
            for step, kind in ((1, 0), (2, 1), (4, 1)):  # 1: a smaller copy of another page
                writer.write(
                    stored[::step, ::step],
                    subfiletype=kind,
                    photometric=photometric,
                    planarconfig="contig",
                    metadata=None,
                )

    np.testing.assert_array_equal(read_image(tmp_path / "rgb.tif"), array)
    np.testing.assert_array_equal(read_image(tmp_path / "many.tif", ImageReading(6)), many)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_animations_are_refused_and_a_frame_can_be_chosen(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 6), color) for color in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    path = tmp_path / f"a{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)

    with pytest.raises(ValueError, match=r"the file has 3 pages or frames.*--page N, 1 to 3"):
        read_image(path)
    assert read_image(path, ImageReading(page=2))[0, 0].tolist() == [0, 250, 0]


def test_the_photo_of_a_phone_with_a_second_picture_inside_is_read(tmp_path):
    photo = Image.fromarray(values(3, "uint8", 256))
    path = tmp_path / "a.jpg"
    photo.save(path, "MPO", save_all=True, append_images=[photo.resize((20, 20))])
    with Image.open(path) as opened:
        assert opened.format == "MPO"
        expected = np.asarray(opened)

    np.testing.assert_array_equal(read_image(path), expected)


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_orientations_are_those_of_pillow(tmp_path, orientation, suffix):
    array = values(3, "uint8", 256)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    Image.fromarray(array).save(path, exif=exif)
    with Image.open(path) as opened:
        shown = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    # Pixels as stored, which Pillow returns without the tag.
    Image.fromarray(array).save(tmp_path / f"plain{suffix}")

    assert find_orientation(path) == orientation
    np.testing.assert_array_equal(read_image(path), shown)
    np.testing.assert_array_equal(
        read_image(path, is_turned=False), read_image(tmp_path / f"plain{suffix}")
    )


def test_bands_are_turned_by_the_orientation_of_the_file(tmp_path):
    array = values(5)
    path = write_tiff(tmp_path / "a.tif", array, extratags=[(274, "H", 1, 6, True)])

    np.testing.assert_array_equal(read_image(path, ImageReading(5)), np.rot90(array, k=-1))
    np.testing.assert_array_equal(read_image(path, ImageReading(5), is_turned=False), array)


def test_turned_by_hand():
    corner = np.array([[1, 2], [3, 4]])

    assert turned(corner, 3).tolist() == [[4, 3], [2, 1]]  # upside down
    assert turned(corner, 8).tolist() == [[2, 4], [1, 3]]  # to the left


# Arrays


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float32"])
def test_arrays_with_bands_last_or_first(tmp_path, dtype):
    array = values(6).astype(dtype)
    np.save(tmp_path / "last.npy", array)
    np.save(tmp_path / "first.npy", np.moveaxis(array, -1, 0))
    np.save(tmp_path / "flat.npy", array[..., 0])

    for name in ("last", "first"):
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.npy", ImageReading(6)), array)
    flat = read_image(tmp_path / "flat.npy", ImageReading(1))
    np.testing.assert_array_equal(flat, array[..., :1])


def test_arrays_that_may_be_either_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 40, 5)))
    np.save(tmp_path / "b.npy", np.zeros((7, 40, 30)))
    np.save(tmp_path / "c.npy", np.array([{"no": "array"}], dtype=object), allow_pickle=True)
    (tmp_path / "d.npy").write_bytes(b"no array")

    with pytest.raises(ValueError, match=r"a\.npy: the first and the last axis.*5 entries"):
        read_image(tmp_path / "a.npy", ImageReading(5))
    with pytest.raises(ValueError, match=r"b\.npy: .*of 5 bands.*Received: shape \(7, 40, 30\)"):
        read_image(tmp_path / "b.npy", ImageReading(5))
    with pytest.raises(ValueError, match=r"b\.npy: .*Say how many there are by --channels N"):
        read_image(tmp_path / "b.npy")
    for name in ("c", "d"):
        with pytest.raises(ValueError, match=rf"{name}\.npy: not a NumPy array"):
            read_image(tmp_path / f"{name}.npy", ImageReading(5))
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.npy", ImageReading(5))


def test_three_bands_of_an_array_are_rgb(tmp_path):
    array = values(3, "uint8", 256)
    np.save(tmp_path / "a.npy", np.moveaxis(array, -1, 0))

    np.testing.assert_array_equal(read_image(tmp_path / "a.npy", ImageReading(3)), array)


# Other files, and what is missing


def test_bands_of_files_that_pillow_reads(tmp_path):
    rgba = values(4, "uint8", 256)
    Image.fromarray(rgba, "RGBA").save(tmp_path / "rgba.png")
    deep = values(1, "uint16", 60000)[..., 0]
    Image.fromarray(deep).save(tmp_path / "gray.png")
    color = values(4, "uint16", 60000)
    (tmp_path / "deep.png").write_bytes(tf.io.encode_png(color).numpy())
    Image.fromarray(values(1, "uint8", 9)[..., 0]).convert("P").save(tmp_path / "palette.png")

    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png", ImageReading(4)), rgba)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", ImageReading(4)), color)
    gray = read_image(tmp_path / "gray.png", ImageReading(1))
    np.testing.assert_array_equal(gray[..., 0], deep)
    with pytest.raises(ValueError, match=r"palette\.png: .*a palette"):
        read_image(tmp_path / "palette.png", ImageReading(1))


def test_without_tifffile_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(bands, "has_tifffile", lambda: False)
    monkeypatch.setattr(image_io, "has_tifffile", lambda: False)
    rgb = values(3, "uint8", 256)
    plain = write_tiff(tmp_path / "rgb.tif", rgb, photometric="rgb")
    gray = tmp_path / "gray.tif"
    Image.fromarray(values(1)[..., 0]).save(gray)

    np.testing.assert_array_equal(read_image(plain), rgb)
    np.testing.assert_array_equal(read_image(gray, ImageReading(1)), values(1))
    for name, array, reading in (
        ("five", values(5), ImageReading(5)),
        ("deep", values(3), ImageReading()),
    ):
        path = write_tiff(tmp_path / f"{name}.tif", array)
        with pytest.raises(ValueError, match=rf'{name}\.tif: .*pip install "keras_fcn\[bands\]"'):
            read_image(path, reading)


def test_damaged_files_are_named(tmp_path):
    path = write_tiff(tmp_path / "cut.tif", values(5), compression="zlib")
    path.write_bytes(path.read_bytes()[:3000])
    (tmp_path / "deep.png").write_bytes(tf.io.encode_png(values(3)).numpy()[:5000])

    with pytest.raises(ValueError, match=r"cut\.tif"):
        read_image(path, ImageReading(5))
    with pytest.raises(ValueError, match=r"deep\.png: the image cannot be read"):
        read_image(tmp_path / "deep.png")


def test_a_picture_of_bands_is_stretched(tmp_path):
    ramp = np.linspace(1000, 2000, 101, dtype="float32").reshape(1, 101, 1)
    image = np.concatenate([ramp, -ramp, ramp, ramp], axis=-1)
    image[0, 0] = np.nan

    picture = picture_of(image)

    # The 2nd percentile of 1010, 1020, ..., 2000 is 1029.8, the 98th 1980.2; green falls.
    assert picture.shape == (1, 101, 3)
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[0, 50, 0] == round(255 * (1500 - 1029.8) / (1980.2 - 1029.8))
    assert picture[0, 100].tolist() == [255, 0, 255]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"channels": 0}, "`channels` must be at least 1"),
        ({"page": 0}, "`page` must be at least 1"),
        ({"value_range": (5, 5)}, "`value_range` must be the values"),
        ({"channels": 4, "value_range": (0, 5)}, "is for images that are read as RGB"),
    ],
)
def test_wrong_readings_are_refused(settings, expected):
    with pytest.raises(ValueError, match=expected):
        ImageReading(**settings)
