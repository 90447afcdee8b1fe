"""Images and masks are read exactly, or refused with a message that names the file."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.io import savemat

from keras_fcn import LabelSpec
from keras_fcn.data.image_io import (
    check_size,
    decode_image,
    decode_label,
    labels_from_one,
    read_depth,
    read_image,
    read_mat_labels,
)
from keras_fcn.data.masks import check_labels, read_mask
from keras_fcn.labels import voc_palette
from keras_fcn.modalities import ImageReading


@pytest.fixture
def photo() -> np.ndarray:
    """A smooth picture with some noise, 37x53, like which JPEG was made for."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:37, :53]
    waves = np.stack([np.sin(x / 9 + y / 7), np.cos(y / 5), np.sin((x - y) / 11)], axis=-1)
    return np.clip(127 + 90 * waves + rng.normal(0, 9, (37, 53, 3)), 0, 255).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_decodes_alike_with_pillow_and_tensorflow(tmp_path, photo, quality, subsampling):
    path = tmp_path / "photo.jpg"
    Image.fromarray(photo).save(path, quality=quality, subsampling=subsampling)

    np.testing.assert_array_equal(decode_image(path.read_bytes()), read_image(path))


def test_default_dct_of_tensorflow_would_differ(photo):
    contents = encoded(Image.fromarray(photo), "JPEG")

    # The reason for `decode_image`: without the accurate DCT the pixels are others.
    assert (tf.io.decode_jpeg(contents).numpy() != decode_image(contents).numpy()).any()


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: image,
        lambda image: image.convert("L"),
        lambda image: image.convert("RGBA"),
        lambda image: image.convert("LA"),
        lambda image: image.quantize(40),
    ],
    ids=["RGB", "L", "RGBA", "LA", "P"],
)
def test_every_kind_of_png_becomes_rgb_alike(tmp_path, photo, convert):
    image = convert(Image.fromarray(photo))
    path = tmp_path / "image.png"
    image.save(path)

    assert read_image(path).shape == (37, 53, 3)
    np.testing.assert_array_equal(read_image(path), np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(decode_image(path.read_bytes()), read_image(path))


@pytest.mark.parametrize("channels", [1, 3])
def test_of_16_bits_the_upper_8_are_kept(tmp_path, channels):
    values = np.array([[0, 255, 256], [511, 40000, 65535]], np.uint16)
    path = tmp_path / "deep.png"
    path.write_bytes(tf.io.encode_png(np.repeat(values[..., None], channels, axis=-1)).numpy())

    expected = [[0, 0, 1], [1, 156, 255]]  # floor(value / 256)
    for channel in range(3):
        np.testing.assert_array_equal(read_image(path)[..., channel], expected)
    np.testing.assert_array_equal(decode_image(path.read_bytes()), read_image(path))


def test_exif_orientation_is_applied(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    path = tmp_path / "turned.png"
    Image.fromarray(photo).save(path, exif=exif)

    np.testing.assert_array_equal(read_image(path), np.rot90(photo, k=-1))


def test_palette_with_transparency_is_read_by_its_colors(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60])
    path = tmp_path / "clear.png"
    image.save(path, transparency=b"\x00\x80")

    np.testing.assert_array_equal(read_image(path), [[[10, 20, 30], [40, 50, 60]]])


@pytest.mark.parametrize("reader", [read_image, read_mask])
def test_unreadable_files_are_named(tmp_path, photo, reader):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    cut = tmp_path / "cut.png"
    cut.write_bytes(encoded(Image.fromarray(photo), "PNG")[:1500])

    with pytest.raises(ValueError, match=r"text\.png: not an image"):
        reader(text)
    with pytest.raises(ValueError, match=r"cut\.png: the image cannot be read"):
        reader(cut)
    with pytest.raises(ValueError, match="received a folder"):
        reader(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        reader(tmp_path / "none.png")


def test_channels_are_read_in_the_range_of_the_file(tmp_path):
    values = np.array([[0, 1], [255, 9]], np.uint8)
    gray = saved(tmp_path / "gray.png", Image.fromarray(values))
    deep = saved(tmp_path / "deep.png", Image.fromarray(257 * values.astype(np.uint16)))
    four = saved(tmp_path / "four.png", Image.fromarray(np.dstack([values] * 4), "RGBA"))

    np.testing.assert_array_equal(read_image(gray, ImageReading(channels=1)), values[..., None])
    np.testing.assert_array_equal(
        read_image(deep, ImageReading(channels=1)), 257.0 * values[..., None]
    )
    np.testing.assert_array_equal(
        read_image(four, ImageReading(channels=4)), np.dstack([values] * 4)
    )
    assert read_image(gray, ImageReading(channels=1)).dtype == np.float32
    for path, num_channels in ((gray, 4), (four, 1)):
        with pytest.raises(
            ValueError, match=f"{path.name}: the network takes images of {num_channels}"
        ):
            read_image(path, ImageReading(channels=num_channels))
    palette = saved(tmp_path / "p.png", palette_image(values, [(1, 2, 3)] * 256))
    with pytest.raises(ValueError, match=r"p\.png: .* an image with a palette"):
        read_image(palette, ImageReading(channels=1))


def test_depth_has_16_bits(tmp_path):
    millimeters = np.array([[0, 1, 65535]], np.uint16)
    depth = saved(tmp_path / "depth.png", Image.fromarray(millimeters))

    np.testing.assert_array_equal(read_depth(depth), millimeters)
    assert read_depth(depth).dtype == np.uint16
    for name, values in (("8.png", np.uint8([[1]])), ("32.tif", np.int32([[65536]])),
                         ("neg.tif", np.int32([[-1]]))):  # fmt: skip
        path = saved(tmp_path / name, Image.fromarray(values))
        with pytest.raises(ValueError, match=rf"{name}: depth must be a gray image of 16 bits"):
            read_depth(path)


def test_numbers_from_1_become_labels_from_0():
    path = Path("a.mat")
    # 0 and -1 are void.
    assert labels_from_one(np.array([[-1, 0, 1, 2, 255]]), path).tolist() == [[255, 255, 0, 1, 254]]
    for number in (-2, 256):
        with pytest.raises(ValueError, match=rf"a\.mat: .*\[-1, 255\]. Received: .*{number}"):
            labels_from_one(np.array([[1, number]]), path)


def test_label_maps_of_matlab_are_matrices_of_numbers(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"S": np.array([[1, 460]], np.uint16), "deep": np.ones((1, 2, 2)), "t": "text"})

    assert read_mat_labels(path, "S").tolist() == [[1, 460]]
    for name in ("deep", "t"):
        with pytest.raises(ValueError, match=rf"a\.mat: '{name}' must be a label map"):
            read_mat_labels(path, name)
    with pytest.raises(ValueError, match=r"a\.mat: not a MATLAB file with the label map 'none'"):
        read_mat_labels(path, "none")


def test_sizes_that_differ_are_named_and_a_turned_image_is_the_likely_cause():
    check_size("a.jpg", (3, 4), "a.png", [3, 4])
    with pytest.raises(ValueError, match=r"a\.png: the mask is 3x4, .* a\.jpg is 4x3.*EXIF"):
        check_size("a.jpg", (3, 4), "a.png", (4, 3))
    with pytest.raises(ValueError, match=r"a\.png: the mask is 5x3.*must be equal\.$"):
        check_size("a.jpg", (3, 4), "a.png", (3, 5))


# Masks


LABELS = np.array([[0, 1, 2], [2, 20, 255]], np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def palette_image(indices: np.ndarray, palette: list[tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette([channel for color in palette for channel in color])
    return image


def test_palette_mask_gives_indices(tmp_path):
    path = saved(tmp_path / "voc.png", palette_image(LABELS, list(voc_palette(256))))

    np.testing.assert_array_equal(read_mask(path), LABELS)


def test_palette_mask_of_few_bits_gives_indices(tmp_path):
    indices = np.array([[0, 1], [2, 3]], np.uint8)
    path = saved(tmp_path / "small.png", palette_image(indices, list(voc_palette(4))), bits=2)

    np.testing.assert_array_equal(read_mask(path), indices)


def test_grey_masks_of_1_8_and_16_bits_give_their_values(tmp_path):
    gray = saved(tmp_path / "8.png", Image.fromarray(LABELS))
    deep = saved(tmp_path / "16.png", Image.fromarray(LABELS.astype(np.uint16)))
    bits = saved(tmp_path / "1.png", Image.fromarray(np.array([[False, True]])))

    np.testing.assert_array_equal(read_mask(gray), LABELS)
    np.testing.assert_array_equal(read_mask(deep), LABELS)
    np.testing.assert_array_equal(read_mask(bits), [[0, 1]])
    assert {read_mask(path).dtype for path in (gray, deep, bits)} == {np.dtype(np.uint8)}


def test_opaque_alpha_does_not_matter_but_transparency_is_refused(tmp_path):
    alpha = np.full_like(LABELS, 255)
    opaque = saved(tmp_path / "opaque.png", Image.fromarray(np.dstack([LABELS, alpha]), "LA"))
    alpha = alpha - LABELS
    clear = saved(tmp_path / "clear.png", Image.fromarray(np.dstack([LABELS, alpha]), "LA"))

    np.testing.assert_array_equal(read_mask(opaque), LABELS)
    with pytest.raises(ValueError, match=r"clear\.png: the mask has transparent pixels"):
        read_mask(clear)


COLORS = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 0, 255): 2, (250, 250, 250): 255}


def test_rgb_mask_goes_through_the_table(tmp_path):
    rgb = np.array([[[0, 0, 255], [255, 0, 0]], [[250, 250, 250], [0, 0, 0]]], np.uint8)
    path = saved(tmp_path / "rgb.png", Image.fromarray(rgb))

    np.testing.assert_array_equal(read_mask(path, COLORS), [[2, 1], [255, 0]])


def test_rgb_mask_without_table_is_refused(tmp_path):
    colored = saved(tmp_path / "rgb.png", Image.new("RGB", (2, 2), (255, 0, 0)))

    with pytest.raises(ValueError, match=r"rgb\.png: the mask is an RGB image\. Give a table"):
        read_mask(colored)


def test_rgb_mask_in_which_all_is_gray_gives_its_gray_values(tmp_path):
    gray = saved(tmp_path / "gray.png", Image.new("RGB", (2, 2), (3, 3, 3)))

    np.testing.assert_array_equal(read_mask(gray), np.full((2, 2), 3))


def test_anti_aliased_mask_names_file_pixel_color_and_count(tmp_path):
    big = Image.new("RGB", (40, 40))
    big.paste((255, 0, 0), (5, 5, 33, 31))
    smooth = big.resize((13, 13), Image.Resampling.BILINEAR)
    path = saved(tmp_path / "smooth.png", smooth)

    with pytest.raises(ValueError, match="anti-aliased") as caught:
        read_mask(path, COLORS)

    pixels = np.asarray(smooth).reshape(-1, 3).tolist()
    unknown = [i for i, color in enumerate(pixels) if tuple(color) not in COLORS]
    color = tuple(pixels[unknown[0]])
    text = str(caught.value)
    assert f"{path}: the color {color} at x={unknown[0] % 13}, y={unknown[0] // 13}" in text
    assert f"{len(unknown)} pixels" in text


def test_missing_color_is_told_from_anti_aliasing(tmp_path):
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[1, 2] = (0, 9, 0)
    path = saved(tmp_path / "more.png", Image.fromarray(rgb))

    expected = re.escape("(0, 9, 0) at x=2, y=1 is not in the table of colors; 1 pixels in 1")
    with pytest.raises(ValueError, match=expected + r".*a class is missing"):
        read_mask(path, COLORS)


def test_renumbered_palette_is_read_by_its_colors(tmp_path):
    # Red, which is class 1, has index 0 here; index 255 is ignored whatever its color.
    indices = np.array([[0, 1, 255]], np.uint8)
    rest = [(0, 0, 0)] * 254
    path = saved(tmp_path / "p.png", palette_image(indices, [(255, 0, 0), (0, 0, 255), *rest]))
    stray = saved(tmp_path / "s.png", palette_image(indices, [(255, 0, 0), (1, 2, 3), *rest]))

    np.testing.assert_array_equal(read_mask(path, COLORS), [[1, 2, 255]])
    with pytest.raises(ValueError, match=r"s\.png: .*index 1 \(1 pixels\).*\(1, 2, 3\)"):
        read_mask(stray, COLORS)


def test_black_and_white_masks_need_a_grey_table(tmp_path):
    two = saved(tmp_path / "two.png", Image.fromarray(np.array([[0, 255]], np.uint8)))
    bits = saved(tmp_path / "bits.png", Image.fromarray(np.array([[False, True]])))
    table = {(0, 0, 0): 0, (255, 255, 255): 1}

    for path in (two, bits):
        np.testing.assert_array_equal(read_mask(path, table), [[0, 1]])
    # A colored table says how classes look; gray masks still hold the labels themselves.
    np.testing.assert_array_equal(read_mask(two, COLORS), [[0, 255]])


def test_unfit_masks_are_refused(tmp_path):
    jpeg = saved(tmp_path / "mask.jpg", Image.fromarray(LABELS))
    deep = saved(tmp_path / "deep.png", Image.fromarray(np.array([[0, 4000]], np.uint16)))
    floats = saved(tmp_path / "float.tif", Image.fromarray(np.zeros((2, 2), np.float32)))

    with pytest.raises(ValueError, match=r"mask\.jpg: a mask must not be a JPEG"):
        read_mask(jpeg)
    with pytest.raises(ValueError, match=r"deep\.png: .*0 to 4000.*instance numbers"):
        read_mask(deep)
    with pytest.raises(ValueError, match=r"float\.tif: a mask of mode 'F'"):
        read_mask(floats)


def test_decode_label_returns_what_was_stored():
    contents = encoded(Image.fromarray(LABELS), "PNG")

    np.testing.assert_array_equal(decode_label(contents), LABELS)


def test_labels_within_the_classes_pass():
    check_labels(np.array([[0, 2, 255]], np.uint8), LabelSpec.numbered(3), "a.png")
    check_labels(np.array([[0, 2, 3]], np.uint8), LabelSpec.numbered(3, ignore_class=3), "a.png")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[0, 3, 255]], r"a\.png: .*\[0, 3\) or be 255.*Received: 3 in 1 of 3 pixels.*one class"),
        ([[1, 2, 3]], "numbered from 1"),
        ([[0, 128, 0]], "two gray levels"),
        ([[0, 128, 255]], "two gray levels"),
        ([list(range(0, 250, 5))], r"Received: 5, 10, 15, 20, 25, 30, \.\.\. .*gray levels"),
        ([[0, 7, 9]], "more than 3 classes"),
    ],
)
def test_labels_outside_the_classes_are_refused_with_the_cause(labels, expected):
    with pytest.raises(ValueError, match=expected):
        check_labels(np.array(labels, np.uint8), LabelSpec.numbered(3), "a.png")
