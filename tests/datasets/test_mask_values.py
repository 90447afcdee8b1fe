"""What the values of masks mean, by the table, by all masks together, or by nothing but them."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_fcn.datasets import open_dataset
from keras_fcn.datasets.folder import FolderOptions, find_folder_files

BLOCKS = np.repeat(np.arange(4), 16).reshape(8, 8)  # two rows of each number
LABELS = BLOCKS % 3


def write(root: Path, masks: dict[str, Image.Image], suffix: str = ".png", **options) -> None:
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for number, (name, mask) in enumerate(masks.items()):
        image = np.full((mask.height, mask.width, 3), 20 * number + 5, np.uint8)
        Image.fromarray(image).save(root / "images" / f"{name}.png")
        mask.save(root / "masks" / f"{name}{suffix}", **options)


def read(root: Path, **options) -> dict[str, np.ndarray]:
    dataset = open_dataset(f"folder:{root}", **options)
    return {
        example["id"].decode(): example["label"]
        for split in dataset.splits
        for example in dataset.examples(split).as_numpy_iterator()
    }


def names(root: Path, **options) -> tuple[str, ...]:
    return open_dataset(f"folder:{root}", **options).labels.class_names


def refused(root: Path, expected: str, **options) -> None:
    with pytest.raises(ValueError, match=expected):
        open_dataset(f"folder:{root}", **options)


def notes(root: Path, **options) -> str:
    return "\n".join(find_folder_files(root, options=FolderOptions(**options)).notes)


def gray(array: np.ndarray) -> Image.Image:
    return Image.fromarray(np.asarray(array).astype(np.uint8))


def indexed(array: np.ndarray, palette: list[tuple[int, int, int]]) -> Image.Image:
    image = gray(array)
    image.putpalette([channel for color in palette for channel in color])
    return image


def rgb(array: np.ndarray, palette: list[tuple[int, int, int]]) -> Image.Image:
    return Image.fromarray(np.array(palette, np.uint8)[array])


def png_of_bits(path: Path, values: np.ndarray, bits: int) -> None:
    """Writes a gray PNG that stores 1, 2 or 4 bits, which Pillow does not."""
    height, width = values.shape
    rows = values.reshape(height, -1, 8 // bits)
    weights = 1 << np.arange(8 - bits, -1, -bits)
    packed = (rows * weights).sum(-1).astype(np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in packed)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


COLORS = [(0, 0, 0), (200, 40, 40), (40, 200, 40)]
WHITE = (255, 255, 255)


# A mask means what its table or its stored values say, whatever the mode of its file


@pytest.mark.parametrize("bits", [2, 4])
def test_stored_values_of_few_bits(tmp_path, bits):
    write(tmp_path, {"a": gray(BLOCKS), "b": gray(BLOCKS)})
    for name in "ab":
        png_of_bits(tmp_path / "masks" / f"{name}.png", BLOCKS, bits)

    # Read as brightness they would be 0, 85, 170, 255 and 0, 17, 34, 51.
    np.testing.assert_array_equal(read(tmp_path)["a"], BLOCKS)


def test_stored_values_of_few_bits_by_gray_colors(tmp_path):
    write(tmp_path, {"a": gray(BLOCKS), "b": gray(BLOCKS)})
    for name in "ab":
        png_of_bits(tmp_path / "masks" / f"{name}.png", BLOCKS, 2)
    (tmp_path / "classes.txt").write_text("d 255 255 255\nc 170 170 170\nb 85 85 85\na 0 0 0\n")

    # 0..3 are numbers of the table as well; its grays say which is meant.
    np.testing.assert_array_equal(read(tmp_path)["a"], 3 - BLOCKS)


def test_tiff_of_4_bits_and_inverted_tiff(tmp_path):
    write(tmp_path, {"a": gray(LABELS), "b": gray(LABELS)})
    (tmp_path / "masks" / "a.png").unlink()
    # A bare TIFF, 8 bits, in which 0 is white (tag 262 is 0).
    tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 0), (273, 8 + 2 + 12 * 9 + 4), (277, 1)]
    tags += [(278, 8), (279, 64)]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + struct.pack("<I", 0)
    (tmp_path / "masks" / "a.tif").write_bytes(head + LABELS.astype(np.uint8).tobytes())

    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS)


@pytest.mark.parametrize("maximum", [2, 15, 255, 300])
def test_values_of_pgm(tmp_path, maximum):
    write(tmp_path, {"a": gray(LABELS), "b": gray(LABELS)})
    for name in "ab":
        (tmp_path / "masks" / f"{name}.png").unlink()
        values = LABELS.astype(">u2" if maximum > 255 else np.uint8).tobytes()
        header = f"P5\n8 8\n{maximum}\n".encode()
        (tmp_path / "masks" / f"{name}.pgm").write_bytes(header + values)

    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS)


def test_16_bits_and_32_bits(tmp_path):
    write(
        tmp_path,
        {
            "a": Image.fromarray(LABELS.astype(np.uint16)),
            "b": Image.fromarray(LABELS.astype("<i4")),
        },
        ".tif",
    )

    for label in read(tmp_path).values():
        np.testing.assert_array_equal(label, LABELS)


@pytest.mark.parametrize("form", ["L", "P", "1", "RGB", "RGBA", "16"])
def test_white_that_the_table_gives_to_a_class(tmp_path, form):
    binary = LABELS == 1
    image = gray(np.where(binary, 255, 0))
    if form == "16":
        image = Image.fromarray(np.where(binary, 65535, 0).astype(np.uint16))
    else:
        image = image.convert(form)
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.txt").write_text("background 0 0 0\nobject 255 255 255\n")

    np.testing.assert_array_equal(read(tmp_path)["a"], binary)


def test_number_255_that_the_table_gives_to_a_class(tmp_path):
    image = gray(np.where(LABELS == 1, 255, 0))
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.csv").write_text("id,name\n0,background\n255,object\n")

    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS == 1)


def test_index_255_with_a_color_of_the_table(tmp_path):
    palette = [(9, 9, 9)] * 256
    palette[0], palette[1], palette[255] = COLORS
    image = indexed(np.array([0, 1, 255])[LABELS], palette)
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.txt").write_text("sky 0 0 0\ncat 200 40 40\ndog 40 200 40\n")

    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS)


def test_index_255_without_a_color_of_the_table_is_ignored(tmp_path):
    palette = [*COLORS[:2], *[(9, 9, 9)] * 253, (224, 224, 192)]
    image = indexed(np.array([0, 1, 255])[LABELS], palette)
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.txt").write_text("cat 200 40 40\nsky 0 0 0\n")

    np.testing.assert_array_equal(read(tmp_path)["a"], np.array([1, 0, 255])[LABELS])


@pytest.mark.parametrize("form", ["L", "1", "P"])
def test_masks_with_one_color_stored_as_gray(tmp_path, form):
    color = rgb(LABELS, COLORS)
    black = Image.new("RGB", (8, 8)).convert(form)
    write(tmp_path, {"a": color, "b": black, "c": color})
    # Black is label 2, and 0 the number of the cat.
    (tmp_path / "classes.txt").write_text("cat 200 40 40\ndog 40 200 40\nbackground 0 0 0\n")

    found = read(tmp_path)

    np.testing.assert_array_equal(found["b"], np.full((8, 8), 2))
    np.testing.assert_array_equal(found["a"], np.array([2, 0, 1])[LABELS])


def test_a_black_mask_among_colors_without_black_is_refused(tmp_path):
    color = rgb(LABELS, [(9, 9, 9), *COLORS[1:]])
    write(tmp_path, {"a": color, "b": Image.new("L", (8, 8)), "c": color})
    # 0 would be the number of the cat.
    (tmp_path / "classes.txt").write_text("cat 200 40 40\ndog 40 200 40\nbackground 9 9 9\n")

    refused(tmp_path, r"b\.png: the mask is black, others are in color")


def test_numbers_among_palettes_are_read(tmp_path):
    # As VOC's masks and those of SBD.
    write(tmp_path, {"a": indexed(LABELS, COLORS), "b": gray(LABELS)})
    (tmp_path / "classes.txt").write_text("sky 0 0 0\ncat 200 40 40\ndog 40 200 40\n")

    for label in read(tmp_path).values():
        np.testing.assert_array_equal(label, LABELS)


@pytest.mark.parametrize("form", ["L", "P"])
def test_white_with_a_table_of_names_is_refused(tmp_path, form):
    image = gray(np.where(LABELS == 1, 255, 0)).convert(form)
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.txt").write_text("background\nobject\n")

    refused(tmp_path, r"classes\.txt: the masks contain only the labels 0 and 255.*`255,object`")


def test_white_as_the_first_line_of_the_table(tmp_path):
    image = gray(np.where(LABELS == 1, 255, 0))
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.txt").write_text("object 255 255 255\nbackground 0 0 0\n")

    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS != 1)


def test_the_brightness_of_a_color_is_named(tmp_path):
    color = rgb(LABELS, COLORS)
    cat = Image.new("RGB", (8, 8), COLORS[1]).convert("L")  # 88
    write(tmp_path, {"a": color, "b": cat, "c": color})
    (tmp_path / "classes.txt").write_text("cat 200 40 40\ndog 40 200 40\nbackground 0 0 0\n")

    refused(tmp_path, r"b\.png: .*88 is the brightness of the color \(200, 40, 40\)")


def test_the_brightness_of_colors_is_named_if_all_masks_are_gray(tmp_path):
    image = rgb(LABELS, COLORS).convert("L")
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.txt").write_text("cat 200 40 40\ndog 40 200 40\nbackground 0 0 0\n")

    refused(tmp_path, r"a\.png: .* is the brightness of the color \(")


def test_numbers_with_a_table_whose_colors_are_for_pictures(tmp_path):
    write(tmp_path, {"a": gray(LABELS), "b": gray(LABELS)})
    (tmp_path / "classes.txt").write_text("cat 200 40 40\ndog 40 200 40\nbackground 0 0 0\n")

    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS)
    assert "the colors in classes.txt are for pictures only" in notes(tmp_path)


def test_black_and_white_of_16_bits_says_the_way_out(tmp_path):
    half = BLOCKS % 2
    masks = {name: Image.fromarray((65535 * half).astype(np.uint16)) for name in "ab"}
    write(tmp_path, masks)

    refused(tmp_path, r"a\.png: the mask contains only 0 and 65535.*`65535,object`")

    (tmp_path / "classes.csv").write_text("0,background\n65535,object\n")
    np.testing.assert_array_equal(read(tmp_path)["a"], half)


def test_numbers_beside_black_and_white_of_the_table_are_refused(tmp_path):
    half = BLOCKS % 2
    write(tmp_path, {"a": gray(half), "b": gray(255 * half), "c": gray(half)})
    (tmp_path / "classes.txt").write_text("background 0 0 0\nobject 255 255 255\n")

    refused(tmp_path, r"b\.png: the mask contains 0 and 255, which are colors of classes\.txt; oth")

    (tmp_path / "classes.txt").unlink()
    (tmp_path / "classes.csv").write_text("0,background\n1,object\n")
    assert set(np.unique(read(tmp_path)["b"])) == {0, 255}


def test_indices_with_a_palette_of_other_colors(tmp_path):
    image = indexed(LABELS, [(0, 0, 0), (1, 2, 3), (4, 5, 6)])
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.txt").write_text("cat 200 40 40\ndog 40 200 40\nbackground 7 7 7\n")

    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS)


def test_rgba_with_opaque_areas_on_a_clear_background(tmp_path):
    color = np.dstack([np.array(COLORS, np.uint8)[LABELS], np.where(LABELS > 0, 255, 0)])
    image = Image.fromarray(color.astype(np.uint8), "RGBA")
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.txt").write_text("sky 0 0 0\ncat 200 40 40\ndog 40 200 40\n")

    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS)


def test_rgba_with_a_forgotten_color_is_refused(tmp_path):
    color = np.dstack([np.array(COLORS, np.uint8)[LABELS], np.where(LABELS == 1, 0, 255)])
    write(tmp_path, {"a": Image.fromarray(color.astype(np.uint8), "RGBA")} | {"b": gray(LABELS)})
    (tmp_path / "classes.txt").write_text("sky 0 0 0\ncat 200 40 40\ndog 40 200 40\n")

    refused(tmp_path, r"a\.png: the mask has transparent pixels")


def test_rgb_in_which_all_is_gray_contains_numbers(tmp_path):
    image = Image.fromarray(np.repeat(LABELS[..., None], 3, -1).astype(np.uint8))
    write(tmp_path, {"a": image, "b": image})
    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS)

    (tmp_path / "classes.txt").write_text("sky\ncat\ndog\n")
    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS)


def test_rgb_with_16_bits_is_refused(tmp_path):
    import tensorflow as tf

    write(tmp_path, {"a": gray(LABELS), "b": gray(LABELS)})
    deep = np.repeat(LABELS[..., None], 3, -1).astype(np.uint16)
    (tmp_path / "masks" / "a.png").write_bytes(tf.io.encode_png(deep).numpy())

    refused(tmp_path, r"a\.png: a mask with 16 bits a channel")


def test_palettes_with_gaps_are_read_by_the_ids_of_the_table(tmp_path):
    image = indexed(np.array([0, 7, 200])[LABELS], [(i, 0, 0) for i in range(256)])
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.csv").write_text("id,name\n200,dog\n0,sky\n7,cat\n")

    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS)
    assert names(tmp_path) == ("sky", "cat", "dog")


def test_gif_with_a_reordered_palette_is_read_by_its_colors(tmp_path):
    forward = indexed(LABELS, COLORS)
    backward = indexed(2 - LABELS, COLORS[::-1])
    write(tmp_path, {"a": forward, "b": backward}, ".gif")
    (tmp_path / "classes.txt").write_text("sky 0 0 0\ncat 200 40 40\ndog 40 200 40\n")

    for label in read(tmp_path).values():
        np.testing.assert_array_equal(label, LABELS)


@pytest.mark.parametrize("table", [None, "sky\ncat\ndog\n"])
def test_reordered_palettes_without_a_table_of_colors_are_refused(tmp_path, table):
    write(tmp_path, {"a": indexed(LABELS, COLORS), "b": indexed(2 - LABELS, COLORS[::-1])}, ".gif")
    if table:
        (tmp_path / "classes.txt").write_text(table)

    refused(tmp_path, r"\.gif: the palette gives index 0 the color .*table of colors")


def test_gif_that_pillow_compacted_keeps_its_gray_levels(tmp_path):
    image = gray(np.array([0, 9, 15])[LABELS])
    write(tmp_path, {"a": image, "b": image}, ".gif")
    with Image.open(tmp_path / "masks" / "a.gif") as stored:
        assert np.asarray(stored).max() == 2 or stored.mode == "L"

    np.testing.assert_array_equal(read(tmp_path)["a"], np.array([0, 9, 15])[LABELS])


def test_gif_in_black_and_white_has_two_classes(tmp_path):
    image = indexed(LABELS == 1, [(0, 0, 0), WHITE])
    write(tmp_path, {"a": image, "b": image}, ".gif")

    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS == 1)


def test_gray_palettes_that_differ_are_read_by_their_levels(tmp_path):
    # As an optimizer of PNG files writes gray masks: only the levels that occur.
    one = indexed(np.minimum(LABELS, 1), [(0, 0, 0), (2, 2, 2)])
    other = indexed(LABELS, [(0, 0, 0), (1, 1, 1), (3, 3, 3)])
    write(tmp_path, {"a": one, "b": other})

    found = read(tmp_path)

    np.testing.assert_array_equal(found["a"], np.array([0, 2, 2])[LABELS])
    np.testing.assert_array_equal(found["b"], np.array([0, 1, 3])[LABELS])


# Gaps


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 100, 200], "0, 100, 200"),
        ([0, 127, 254], "0, 127, 254"),
        ([1, 21], "1, 21"),
        ([0, 50, 255], "0, 50, 255"),
        ([0, 85, 170], "0, 85, 170"),
    ],
)
def test_values_that_are_no_class_numbers_are_refused_with_both_ways_out(tmp_path, values, shown):
    image = gray(np.array(values)[LABELS % len(values)])
    write(tmp_path, {"a": image, "b": image})

    refused(tmp_path, f"{shown}.*--write-classes.*--num-classes")


@pytest.mark.parametrize("values", [[0, 9, 15], [0, 1, 20], [3, 5, 7], [0, 1, 255], [0, 20, 255]])
def test_few_of_a_larger_set_are_class_numbers(tmp_path, values):
    image = gray(np.array(values)[LABELS])
    write(tmp_path, {"a": image, "b": image})

    np.testing.assert_array_equal(read(tmp_path)["a"], np.array(values)[LABELS])
    assert len(names(tmp_path)) == max(value for value in values if value != 255) + 1


def test_more_than_half_of_a_large_set_are_class_numbers(tmp_path):
    values = np.resize(np.arange(0, 42, 2), (8, 8)).repeat(2, 0).repeat(2, 1)  # 21 of 0..40
    image = gray(values)
    write(tmp_path, {"a": image, "b": image})

    assert len(names(tmp_path)) == 41


@pytest.mark.parametrize("values", [[0, 255], [255, 255], [1, 255], [0, 0], [3, 3]])
def test_a_single_class_is_refused(tmp_path, values):
    image = gray(np.array(values)[LABELS % 2])
    write(tmp_path, {"a": image, "b": image})

    refused(tmp_path, "nothing to learn")
    if 255 in values:
        refused(tmp_path, "255 means ignored.*classes.txt.*--write-classes")


def test_num_classes_takes_the_numbers_as_they_are(tmp_path):
    image = gray(np.array([0, 100, 200])[LABELS])
    write(tmp_path, {"a": image, "b": image})

    np.testing.assert_array_equal(
        read(tmp_path, num_classes=201)["a"], np.array([0, 100, 200])[LABELS]
    )
    assert "198 of 201 classes never occur: 1, 2, 3" in notes(tmp_path, num_classes=201)
    refused(tmp_path, "contain the number 200; with --num-classes 150", num_classes=150)


def test_num_classes_must_be_those_of_the_table(tmp_path):
    write(tmp_path, {"a": gray(LABELS), "b": gray(LABELS)})
    (tmp_path / "classes.txt").write_text("sky\ncat\ndog\n")

    refused(tmp_path, "the table has 3 classes, --num-classes is 4", num_classes=4)


def test_write_classes_compacts_and_says_what_becomes_what(tmp_path):
    image = gray(np.array([0, 100, 200])[LABELS])
    write(tmp_path, {"a": image, "b": image})

    text = notes(tmp_path, write_classes=True)

    assert (tmp_path / "classes.csv").read_text() == (
        "value,name\n0,class 0\n100,class 1\n200,class 2\n"
    )
    assert "0 is 'class 0', 100 is 'class 1', 200 is 'class 2'" in text
    np.testing.assert_array_equal(read(tmp_path)["a"], LABELS)
    assert "nothing to do: there is classes.csv" in notes(tmp_path, write_classes=True)


def test_write_classes_gives_white_a_class(tmp_path):
    image = gray(np.array([0, 255])[LABELS % 2])
    write(tmp_path, {"a": image, "b": image})

    np.testing.assert_array_equal(read(tmp_path, write_classes=True)["a"], LABELS % 2)
    assert names(tmp_path) == ("background", "object")


@pytest.mark.parametrize("form", ["RGB", "P"])
def test_write_classes_writes_colors(tmp_path, form):
    image = rgb(LABELS, COLORS)
    write(tmp_path, {"a": image, "b": image})
    if form == "P":
        write(tmp_path, {"a": indexed(LABELS, COLORS), "b": indexed(2 - LABELS, COLORS[::-1])})
    refused(tmp_path, "--write-classes")

    # In the order of red, then green: black, green, red.
    for label in read(tmp_path, write_classes=True).values():
        np.testing.assert_array_equal(label, np.array([0, 2, 1])[LABELS])


def test_values_outside_the_table_are_named(tmp_path):
    write(tmp_path, {"a": gray(BLOCKS), "b": gray(LABELS)})
    (tmp_path / "classes.txt").write_text("sky\ncat\ndog\n")

    refused(tmp_path, r"a\.png: labels must be in the table.*Received: 3 in 16 of 64.*--ignore 0")


# Ignored numbers


def test_ignored_zero_shifts_the_classes(tmp_path):
    image = gray(BLOCKS)
    write(tmp_path, {"a": image, "b": image})

    np.testing.assert_array_equal(
        read(tmp_path, ignore=(0,))["a"], np.array([255, 0, 1, 2])[BLOCKS]
    )
    assert names(tmp_path, ignore=(0,)) == ("class 1", "class 2", "class 3")


def test_an_ignored_highest_number_shifts_nothing(tmp_path):
    image = gray(BLOCKS)
    write(tmp_path, {"a": image, "b": image})

    np.testing.assert_array_equal(
        read(tmp_path, ignore=(3,))["a"], np.array([0, 1, 2, 255])[BLOCKS]
    )


def test_ignored_zero_with_a_table_of_the_others(tmp_path):
    image = gray(BLOCKS)
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.txt").write_text("wall\nfloor\ntree\n")

    np.testing.assert_array_equal(
        read(tmp_path, ignore=(0,))["a"], np.array([255, 0, 1, 2])[BLOCKS]
    )
    assert names(tmp_path, ignore=(0,)) == ("wall", "floor", "tree")
    assert "The first line of classes.txt is the number 1, the last 3" in notes(
        tmp_path, ignore=(0,)
    )


def test_ignored_zero_with_a_table_that_contains_it(tmp_path):
    image = gray(BLOCKS)
    write(tmp_path, {"a": image, "b": image})
    (tmp_path / "classes.txt").write_text("background\nfloor\ntree\nwall\n")

    np.testing.assert_array_equal(
        read(tmp_path, ignore=(0,))["a"], np.array([255, 0, 1, 2])[BLOCKS]
    )
    assert names(tmp_path, ignore=(0,)) == ("floor", "tree", "wall")


def test_ignored_zero_with_an_unclear_table_is_refused(tmp_path):
    write(tmp_path, {"a": gray(LABELS), "b": gray(LABELS)})
    (tmp_path / "classes.txt").write_text("floor\ntree\nwall\n")

    refused(tmp_path, "not clear whether the first line, 'floor', is number 0 or 1", ignore=(0,))


# Masks that lost their values


_LOSSY = {
    ".jpg": {"quality": 95},
    ".webp": {"quality": 80},
    ".avif": {"quality": 75},
    ".jp2": {"irreversible": True, "quality_mode": "rates", "quality_layers": [40]},
    ".tif": {"compression": "jpeg", "quality": 80},
}


@pytest.mark.parametrize("suffix", _LOSSY)
@pytest.mark.parametrize("converted", [False, True])
@pytest.mark.parametrize("table", [False, True])
def test_lossy_masks_are_refused(tmp_path, suffix, converted, table):
    y, x = np.mgrid[:600, :800]
    disc = (y - 250) ** 2 + (x - 330) ** 2 < 200**2
    image = gray(np.where(disc, 200, np.where(x + 2 * y > 1300, 100, 0)))
    write(tmp_path, {"a": image, "b": image}, suffix, **_LOSSY[suffix])
    if table:
        (tmp_path / "classes.csv").write_text("id,name\n0,sky\n100,cat\n200,dog\n")
    if converted:  # saved as PNG afterwards: the name of the format is no sign
        for path in list((tmp_path / "masks").iterdir()):
            with Image.open(path) as stored:
                pixels = stored.convert("L")
            path.unlink()
            pixels.save(path.with_suffix(".png"))
        assert len(np.unique(np.asarray(pixels))) > 3

    refused(tmp_path, "compression|gray levels|labels must be|values")


@pytest.mark.parametrize(
    ("suffix", "options"), [(".webp", {"lossless": True}), (".jp2", {}), (".tif", {}), (".bmp", {})]
)
def test_lossless_masks_are_read_whatever_their_format(tmp_path, suffix, options):
    image = gray(LABELS.repeat(8, 0).repeat(8, 1))
    write(tmp_path, {"a": image, "b": image}, suffix, **options)

    np.testing.assert_array_equal(read(tmp_path)["a"], np.asarray(image))


def test_smoothed_edges_are_found_by_their_values(tmp_path):
    y, x = np.mgrid[:60, :80]
    big = gray(np.where((y - 30) ** 2 + (x - 40) ** 2 < 400, 20, 0))
    smooth = big.resize((161, 117), Image.Resampling.BICUBIC)
    write(tmp_path, {"a": smooth, "b": smooth})

    refused(tmp_path, r"a\.png: the values of the mask were changed")


def test_labels_of_nearly_equal_numbers_after_jpeg_are_refused(tmp_path):
    # 14 values instead of 0, 5 and 10, all of them class numbers.
    y, x = np.mgrid[:240, :320]
    disc = (y - 120) ** 2 + (x - 150) ** 2 < 80**2
    jpeg = BytesIO()
    gray(np.where(disc, 10, np.where(x + 2 * y > 500, 5, 0))).save(jpeg, "JPEG", quality=75)
    image = Image.open(jpeg)
    assert 7 <= len(np.unique(np.asarray(image))) < 20
    write(tmp_path, {"a": image, "b": image})

    refused(tmp_path, r"a\.png: half of the \d+ values of the mask form no areas")

    # One such mask among others is no sign, and a table decides.
    write(tmp_path, {"b": gray(disc * 5 + 5), "c": gray(disc * 10)})
    assert open_dataset(f"folder:{tmp_path}").labels.num_classes >= 11


def test_labels_at_random_are_no_sign_of_a_lossy_compression(tmp_path):
    noise = gray(np.random.default_rng(0).integers(0, 20, (64, 64)))
    write(tmp_path, {"a": noise, "b": noise})

    np.testing.assert_array_equal(read(tmp_path)["a"], np.asarray(noise))


def test_masks_of_several_pages_are_refused(tmp_path):
    write(tmp_path, {"a": gray(LABELS)}, ".tif", save_all=True, append_images=[gray(LABELS)])
    write(tmp_path, {"b": gray(LABELS)})

    refused(tmp_path, r"a\.tif: the mask has 2 pages")


def test_white_among_masks_of_0_and_1_is_not_ignored_silently(tmp_path):
    half = np.arange(64).reshape(8, 8) // 32
    write(tmp_path, {"a": gray(half), "b": gray(half * 255)})

    refused(tmp_path, r"b\.png: the mask contains 255 where .*a\.png contains 1, .*1 of 2 masks")

    (tmp_path / "classes.txt").write_text("background\nobject\n")
    refused(tmp_path, r"b\.png: the mask contains 255 where .*a\.png contains 1")

    # Numbers in the table say that 255 is not a class; and a border beside 1 shows it.
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "classes.csv").write_text("0,background\n1,object\n")
    np.testing.assert_array_equal(read(tmp_path)["b"], half * 255)
    (tmp_path / "classes.csv").unlink()
    bordered = np.where(np.arange(8) == 0, 255, half)
    write(tmp_path, {"a": gray(bordered)})
    np.testing.assert_array_equal(read(tmp_path)["a"], bordered)


# What training prints


def test_pixels_of_each_class_are_counted(tmp_path):
    write(tmp_path, {"a": gray(BLOCKS), "b": gray(np.array([0, 1, 2, 255])[BLOCKS])})
    (tmp_path / "train.txt").write_text("a\n")
    (tmp_path / "val.txt").write_text("b\n")

    dataset = open_dataset(f"folder:{tmp_path}")

    # 16 pixels of each number; the last column is ignored.
    assert dict(dataset.pixels) == {"train": (16, 16, 16, 16, 0), "val": (16, 16, 16, 0, 16)}
