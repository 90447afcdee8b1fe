"""Masks as their files store them, and what their numbers and colors mean."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_fcn.data.masks import (
    StoredMask,
    code_of,
    color_of,
    describe_numbers,
    is_lossy,
    is_thin,
    read_mask,
    value_counts,
)
from keras_fcn.labels import voc_palette

BLACK, RED, BLUE, WHITE = (0, 0, 0), (255, 0, 0), (0, 0, 255), (255, 255, 255)
COLORS = {BLACK: 0, RED: 1, BLUE: 2}


def gray(path: Path, values: list | np.ndarray, kind: type = np.uint8) -> Path:
    Image.fromarray(np.atleast_2d(values).astype(kind)).save(path)
    return path


def indexed(path: Path, indices: list, palette: dict[int, tuple[int, int, int]]) -> Path:
    image = Image.fromarray(np.array([indices], np.uint8))
    colors = [palette.get(index, (9, 9, 9)) for index in range(256)]
    image.putpalette([channel for color in colors for channel in color])
    image.save(path)
    return path


# Palettes


def test_only_index_255_of_a_palette_is_ignored_whatever_its_color(tmp_path):
    # Red is class 1 also where it is the color of index 254 and of others.
    twice = indexed(tmp_path / "twice.png", [0, 254, 255], {0: BLACK, 1: RED, 254: RED})
    stray = indexed(tmp_path / "stray.png", [0, 254, 254], {0: BLACK, 1: RED, 254: (1, 2, 3)})

    np.testing.assert_array_equal(read_mask(twice, COLORS), [[0, 1, 255]])
    with pytest.raises(ValueError, match=r"index 254 \(2 pixels\) the color \(1, 2, 3\)"):
        read_mask(stray, COLORS)


def test_index_255_with_a_color_of_its_own_is_that_class(tmp_path):
    own = indexed(tmp_path / "own.png", [0, 1, 255], {0: BLACK, 1: RED, 255: BLUE})
    shared = indexed(tmp_path / "shared.png", [0, 1, 255], {0: BLACK, 1: RED, 255: RED})

    np.testing.assert_array_equal(read_mask(own, COLORS), [[0, 1, 2]])
    np.testing.assert_array_equal(read_mask(shared, COLORS), [[0, 1, 255]])


def test_colors_of_indices_that_do_not_occur_do_not_matter(tmp_path):
    path = indexed(tmp_path / "p.png", [1, 0, 1], {0: BLACK, 1: RED, 2: (1, 2, 3)})

    np.testing.assert_array_equal(read_mask(path, COLORS), [[1, 0, 1]])


# Numbers and a table of them


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("number", [2, 7, 254])
def test_numbers_beyond_the_table_are_refused_not_ignored(tmp_path, kind, number):
    path = gray(tmp_path / "a.png", [0, 1, number, number, 255], kind)

    with pytest.raises(
        ValueError,
        match=rf"a\.png: labels must be in the table.* 0, 1\. Received: {number} in 2 of 5",
    ):
        read_mask(path, numbers={0: 0, 1: 1})
    np.testing.assert_array_equal(
        read_mask(path, numbers={0: 4, 1: 3, number: 2}), [[4, 3, 2, 2, 255]]
    )


@pytest.mark.parametrize("number", [256, 300, 65535])
def test_numbers_of_16_bits_are_read_through_the_table(tmp_path, number):
    path = gray(tmp_path / "a.png", [0, number, 255], np.uint16)

    np.testing.assert_array_equal(read_mask(path, numbers={0: 0, number: 1}), [[0, 1, 255]])
    with pytest.raises(ValueError, match=rf"Received: {number} in 1 of 3"):
        read_mask(path, numbers={0: 0, 1: 1})


def test_255_is_a_class_if_the_table_says_so(tmp_path):
    path = gray(tmp_path / "a.png", [0, 255])

    np.testing.assert_array_equal(read_mask(path, numbers={0: 0, 255: 1}), [[0, 1]])
    np.testing.assert_array_equal(read_mask(path, numbers={0: 0, 1: 1}), [[0, 255]])


@pytest.mark.parametrize("number", [255, 256])
def test_without_a_table_numbers_up_to_255_are_labels(tmp_path, number):
    path = gray(tmp_path / "a.png", [0, number], np.uint16)

    if number == 255:
        np.testing.assert_array_equal(read_mask(path), [[0, 255]])
    else:
        with pytest.raises(ValueError, match=r"must be in \[0, 255\]. Received: 0 to 256"):
            read_mask(path)


@pytest.mark.parametrize(
    ("values", "classes", "cause"),
    [
        ([0, 1, 2, 3], 3, r"one class more than the 3.*--ignore 3"),
        ([1, 2, 3], 3, "numbered from 1, not from 0"),
        ([0, 128, 255], 3, "two gray levels"),
        ([0, 128], 3, "two gray levels"),
        ([0, 4, 5], 3, "a class is missing in the table.*--ignore 4 ignores"),
        ([0, 2, 4], 3, "a class is missing in the table.*--ignore 4 ignores"),
        (range(0, 21), 1, "a class is missing in the table.*--ignore 1 ignores"),
        (range(0, 22), 1, "gray levels, not class numbers"),
    ],
)
def test_the_cause_of_numbers_beyond_the_table(tmp_path, values, classes, cause):
    path = gray(tmp_path / "a.png", list(values))

    with pytest.raises(ValueError, match=cause):
        read_mask(path, numbers={number: number for number in range(classes)})


def test_at_most_six_wrong_numbers_are_shown(tmp_path):
    six = gray(tmp_path / "six.png", range(7))
    seven = gray(tmp_path / "seven.png", range(8))

    with pytest.raises(ValueError, match=r"Received: 1, 2, 3, 4, 5, 6 in 6 of 7 pixels"):
        read_mask(six, numbers={0: 0})
    with pytest.raises(ValueError, match=r"Received: 1, 2, 3, 4, 5, 6, \.\.\. in 7 of 8 pixels"):
        read_mask(seven, numbers={0: 0})


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (range(21), "0 to 20"),
        (range(3, 6), "3 to 5"),
        ((0, 1), "0, 1"),
        ((0, 7, 8, 11), "0, 7, 8, 11"),
        ((5, 4, 3), "3 to 5"),
        (range(0, 24, 2), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22"),
        (range(0, 26, 2), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, ..."),
    ],
)
def test_numbers_are_described_in_short(numbers, text):
    assert describe_numbers(dict.fromkeys(numbers, 0)) == text


# What files store


@pytest.mark.parametrize("maximum", [1, 3, 100, 254, 1000, 65534])
def test_pgm_of_another_white_gives_its_stored_values(tmp_path, maximum):
    # Pillow stretches 0..maximum to 0..255, or to 0..65535.
    stored = np.array([[0, 1, maximum // 2, maximum]])
    body = stored.astype(">u2" if maximum > 255 else "u1").tobytes()
    path = tmp_path / "a.pgm"
    path.write_bytes(f"P5 4 1 {maximum}\n".encode() + body)

    mask = StoredMask.read(path)

    np.testing.assert_array_equal(mask.values, stored)
    assert (mask.kind, mask.white) == ("gray", maximum)


def test_levels_and_codes_of_gray_masks(tmp_path):
    bits = tmp_path / "1.png"
    Image.fromarray(np.array([[False, True]])).save(bits)
    eight = gray(tmp_path / "8.png", [0, 1, 254, 255])
    small = gray(tmp_path / "16.png", [0, 1, 255], np.uint16)
    # Colors that were stretched to 16 bits: times 257. 300 is no such color.
    stretched = gray(tmp_path / "stretched.png", [0, 257, 65535], np.uint16)
    neither = gray(tmp_path / "neither.png", [0, 300, 514], np.uint16)

    assert StoredMask.read(bits).codes.tolist() == [[0, 0xFFFFFF]]
    assert StoredMask.read(eight).codes.tolist() == [[0, 0x010101, 0xFEFEFE, 0xFFFFFF]]
    assert StoredMask.read(small).codes.tolist() == [[0, 0x010101, 0xFFFFFF]]
    assert StoredMask.read(stretched).codes.tolist() == [[0, 0x010101, 0xFFFFFF]]
    assert StoredMask.read(neither).codes.tolist() == [[0, -1, 0x020202]]
    assert StoredMask.read(stretched).gray_levels.tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("maximum", [256, 1000])
def test_labels_up_to_255_are_levels_where_white_is_more(tmp_path, maximum):
    stored = np.array([[0, 100, 255]])
    path = tmp_path / "a.pgm"
    path.write_bytes(f"P5 3 1 {maximum}\n".encode() + stored.astype(">u2").tobytes())

    assert StoredMask.read(path).gray_levels.tolist() == [[0, 100, 255]]


def test_gray_levels_are_those_of_gray_pixels_only(tmp_path):
    path = tmp_path / "rgb.png"
    Image.fromarray(np.array([[[3, 3, 3], [250, 250, 250]]], np.uint8)).save(path)
    colored = tmp_path / "colored.png"
    Image.fromarray(np.array([[[3, 3, 3], [250, 249, 250]]], np.uint8)).save(colored)
    palette = indexed(tmp_path / "p.png", [1, 0], {0: (7, 7, 7), 1: (8, 8, 8)})

    assert StoredMask.read(path).gray_levels.tolist() == [[3, 250]]
    assert StoredMask.read(colored).gray_levels is None
    assert StoredMask.read(palette).gray_levels.tolist() == [[8, 7]]
    # Its indices are 1 and 0, its brightnesses 8 and 7.
    assert StoredMask.read(palette).by_number().tolist() == [[1, 0]]
    assert StoredMask.read(palette).by_gray_level({7: 1, 8: 0}).tolist() == [[0, 1]]


def test_what_is_set_in_a_mask_of_one_class(tmp_path):
    values = gray(tmp_path / "gray.png", [0, 1, 255])
    # Black and white by the palette, whatever the indices.
    colored = indexed(tmp_path / "colored.png", [0, 1, 2], {0: WHITE, 1: BLACK, 2: RED})
    # An RGB image has no palette.
    rgb = tmp_path / "rgb.png"
    Image.fromarray(np.array([[BLACK, RED]], np.uint8)).save(rgb)
    # A palette that is all black says nothing: the indices count.
    black = indexed(tmp_path / "black.png", [0, 1, 2], dict.fromkeys(range(256), BLACK))

    assert StoredMask.read(values).is_set.tolist() == [[False, True, True]]
    assert StoredMask.read(rgb).is_set.tolist() == [[False, True]]
    assert StoredMask.read(colored).is_set.tolist() == [[True, False, True]]
    assert StoredMask.read(black).is_set.tolist() == [[False, True, True]]


def test_colors_and_their_codes():
    colors = np.array([[255, 128, 7], [0, 1, 2]])

    assert code_of(colors).tolist() == [255 * 65536 + 128 * 256 + 7, 256 + 2]
    assert [color_of(int(code)) for code in code_of(colors)] == [(255, 128, 7), (0, 1, 2)]


# Drawing programs' alpha


def rgba(path: Path, pixels: list) -> Path:
    Image.fromarray(np.array([pixels], np.uint8), "RGBA").save(path)
    return path


def test_areas_of_one_opacity_on_clear_black_are_their_colors(tmp_path):
    path = rgba(tmp_path / "a.png", [(*RED, 200), (*BLUE, 200), (0, 0, 0, 0)])

    np.testing.assert_array_equal(read_mask(path, COLORS), [[1, 2, 0]])


@pytest.mark.parametrize(
    "pixels",
    [
        [(*RED, 200), (*BLUE, 100), (0, 0, 0, 0)],  # two opacities beside clear: edges
        [(*RED, 200), (*BLUE, 0), (0, 0, 0, 0)],  # an erased area remembers its color
        [(*RED, 255), (0, 0, 1, 0)],
    ],
)
def test_ambiguous_transparency_is_refused(tmp_path, pixels):
    with pytest.raises(ValueError, match="transparent pixels, which have no label"):
        read_mask(rgba(tmp_path / "a.png", pixels), COLORS)


# Colors


def test_white_of_a_gray_mask_is_ignored_unless_the_table_gives_it_a_class(tmp_path):
    path = gray(tmp_path / "a.png", [0, 255])

    np.testing.assert_array_equal(read_mask(path, {BLACK: 1, (9, 9, 9): 0}), [[1, 255]])
    np.testing.assert_array_equal(read_mask(path, {BLACK: 0, WHITE: 1}), [[0, 1]])


def test_white_of_an_rgb_mask_is_a_color_like_others(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[BLACK, WHITE]], np.uint8)).save(path)

    with pytest.raises(ValueError, match=re.escape("color (255, 255, 255) at x=1, y=0")):
        read_mask(path, COLORS)


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (4, 4, 4), (128, 0, 0)])
def test_first_and_last_colors_of_the_table_are_found(tmp_path, color):
    others = {(4, 4, 4): 3, (128, 0, 0): 2, BLACK: 0, WHITE: 1}
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[color, (128, 0, 0)]], np.uint8)).save(path)

    np.testing.assert_array_equal(read_mask(path, others), [[others[color], 2]])


@pytest.mark.parametrize(("level", "is_named"), [(75, False), (76, True), (77, True), (78, False)])
def test_a_color_mask_that_was_saved_as_gray_is_named(tmp_path, level, is_named):
    # The brightness of red is 0.299 * 255 = 76.2, which programs round up or down.
    stored = StoredMask.read(gray(tmp_path / "a.png", [0, level, level]))

    with pytest.raises(ValueError, match=rf"\({level}, {level}, {level}\) at x=1") as caught:
        stored.by_color(COLORS)

    named = f"{level} is the brightness of the color (255, 0, 0)" in str(caught.value)
    assert named == is_named


def test_the_brightness_of_each_channel(tmp_path):
    # 0.299 * 100 + 0.587 * 200 + 0.114 * 50 = 153.0
    stored = StoredMask.read(gray(tmp_path / "a.png", [0, 153]))

    with pytest.raises(ValueError, match=re.escape("brightness of the color (100, 200, 50)")):
        stored.by_color({BLACK: 0, (100, 200, 50): 1})


@pytest.mark.parametrize(
    ("count", "shown"),
    [(6, r"\(1, 2, 5\)\.$"), (7, r"\(1, 2, 5\) and 1 more\.$"), (9, "and 3 more")],
)
def test_six_colors_of_a_mask_without_a_table_are_shown(tmp_path, count, shown):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[(1, 2, i) for i in range(count)]], np.uint8)).save(path)

    with pytest.raises(ValueError, match=rf"Its colors: \(1, 2, 0\), .*{shown}"):
        read_mask(path)


@pytest.mark.parametrize(("count", "cause"), [(8, "a class is missing"), (9, "anti-aliased")])
def test_more_than_eight_unknown_colors_are_smoothing(tmp_path, count, cause):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[(1, 2, i) for i in range(count)]], np.uint8)).save(path)

    with pytest.raises(ValueError, match=f"{count} pixels in {count} colors are not.*{cause}"):
        read_mask(path, COLORS)


# Signs of a compression


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_values_are_counted(kind):
    values = np.random.default_rng(0).integers(0, 7, (9, 11)).astype(kind) * 30
    found, counts = value_counts(values)

    expected = np.unique(values, return_counts=True)
    np.testing.assert_array_equal(found, expected[0])
    np.testing.assert_array_equal(counts, expected[1])


def bands(num_values: int, height: int = 40, width: int = 40) -> np.ndarray:
    """Areas: each value fills whole rows."""
    return np.repeat(np.arange(num_values), height).reshape(-1, 1).repeat(width, 1)


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_scattered_values_are_a_sign_of_loss(kind):
    # Two areas, and along their edge single pixels of other values, each alone.
    def with_scattered(count: int) -> np.ndarray:
        labels = np.repeat([[0], [200]], 20, 0).repeat(60, 1).astype(kind)
        labels[19, 0 : 2 * count : 2] = np.arange(1, count + 1)
        return labels

    # Of 12 values 10 are scattered; of 11, too few values to tell.
    assert is_lossy(with_scattered(10))
    assert not is_lossy(with_scattered(9))
    assert not is_lossy(bands(30).astype(kind))


def test_a_third_of_the_values_must_be_scattered():
    def with_scattered(areas: int, scattered: int) -> np.ndarray:
        labels = bands(areas, 8, 60)
        labels[7, 0 : 2 * scattered : 2] = np.arange(areas, areas + scattered)
        return labels

    assert is_lossy(with_scattered(20, 10))  # 10 of 30
    assert not is_lossy(with_scattered(21, 9))  # 9 of 30
    assert is_lossy(with_scattered(6, 8))  # 8 of 14
    assert not is_lossy(with_scattered(6, 7))  # 7 of 13, fewer than 8


def test_noise_of_few_values_is_not_lossy_and_a_picture_is():
    random = np.random.default_rng(0)

    assert not is_lossy(random.integers(0, 63, (64, 64)))
    assert is_lossy(random.integers(0, 256, (64, 64)))


def with_lines(areas: int, lines: int) -> np.ndarray:
    """Areas of 20 columns, then lines of one pixel."""
    row = np.concatenate([np.repeat(np.arange(areas), 20), np.arange(areas, areas + lines)])
    return np.tile(row, (40, 1))


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
@pytest.mark.parametrize(
    ("areas", "lines", "expected"),
    [
        (5, 5, True),  # half of ten
        (6, 5, False),  # fewer than half
        (2, 5, True),  # five of seven
        (3, 4, False),  # four, fewer than five
        (1, 5, False),  # six values: too few
        (1, 19, True),  # lines cover 19 of 39 columns
        (1, 20, False),  # lines cover half of the pixels
    ],
)
def test_values_that_form_lines_only_are_a_sign_of_loss(kind, areas, lines, expected):
    assert is_thin(with_lines(areas, lines).astype(kind)) == expected


def test_in_few_pixels_lines_are_no_sign():
    labels = with_lines(2, 5)[:23]  # 45 columns: 1035 pixels

    assert is_thin(labels)
    assert not is_thin(labels[:22])  # 990 pixels


def test_the_palette_of_masks_is_read_whole(tmp_path):
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image.putpalette([channel for color in voc_palette(256) for channel in color])
    image.save(tmp_path / "voc.png")

    mask = StoredMask.read(tmp_path / "voc.png")

    assert [color_of(int(code)) for code in mask.codes.reshape(-1)] == list(voc_palette(256))
