"""How masks are read follows from the values of all of them, here given without files."""

from pathlib import Path

import numpy as np
import pytest

from keras_fcn.datasets.class_table import ClassTable
from keras_fcn.datasets.mask_reading import Reading, choose_reading
from keras_fcn.datasets.mask_values import MaskSummary, palettes_by_level
from keras_fcn.labels import LabelSpec

BLACK, WHITE, RED, BLUE = (0, 0, 0), (255, 255, 255), (200, 40, 40), (0, 0, 255)


def mask(name: str, values: list[int], kind: str = "gray", colors: list = (), **settings):
    """The values of a mask; of a gray one each value is its color."""
    colors = colors or [(value, value, value) for value in values]
    return MaskSummary(
        Path(name),
        kind,
        np.array(values),
        np.full(len(values), 10),
        np.array([red * 65536 + green * 256 + blue for red, green, blue in colors]),
        **settings,
    )


def table_of(colors: list | None, names: str = "a b c") -> ClassTable:
    labels = LabelSpec(tuple(names.split()))
    table = dict(zip(colors, range(len(colors)), strict=True)) if colors else None
    numbers = {number: number for number in range(labels.num_classes)}
    return ClassTable(Path("classes.txt"), labels, table, numbers)


def read(*masks: MaskSummary, table: ClassTable | None = None, **settings) -> Reading:
    return choose_reading(masks, table, place="folder", **settings)


def test_palettes_are_read_by_color_only_if_all_of_them_fit():
    # Black and white are in nearly every palette. The second mask's red is of no class, and all
    # indices are numbers of the table.
    first = mask("1.png", [0, 1], "palette", [BLACK, WHITE])
    second = mask("2.png", [0, 2], "palette", [BLACK, RED])

    alone = read(first, table=table_of([BLACK, WHITE, BLUE]))
    both = read(first, second, table=table_of([BLACK, WHITE, BLUE]))

    assert alone.reading.by_color == {"palette"}
    assert not both.reading.by_color and not both.wrong
    assert both.counts[Path("2.png")][[0, 1, 2]].tolist() == [10, 0, 10]
    assert "the colors in classes.txt are for pictures only" in both.notes[0]


def test_one_color_of_the_table_in_a_palette_says_that_its_colors_count():
    # Red is of the table and the gray is not: the mask is wrong, not one of the numbers 0 to 2.
    reading = read(
        mask("p.png", [0, 1, 2], "palette", [BLACK, RED, (7, 7, 7)]),
        table=table_of([BLACK, RED, BLUE]),
    )

    assert reading.reading.by_color == {"palette"}
    assert reading.wrong == [Path("p.png")]


def test_gray_masks_are_read_by_gray_colors_if_the_numbers_of_one_do_not_fit():
    grays = table_of([BLACK, (5, 5, 5), (9, 9, 9)])
    # 9 is a color and no number from 0 to 2; 1 is a number and no color.
    reading = read(mask("1.png", [0, 1]), mask("2.png", [0, 9]), table=grays)
    # 3 is neither, and no brightness of a color.
    neither = read(mask("3.png", [0, 3]), table=grays)
    colored = read(mask("3.png", [0, 3]), table=table_of([BLACK, RED, (9, 9, 9)]))

    assert reading.reading.by_color == neither.reading.by_color == {"gray"}
    assert reading.wrong == [Path("1.png")]
    assert not colored.reading.by_color


@pytest.mark.parametrize(
    ("value", "is_brightness"), [(85, False), (86, True), (87, True), (88, True), (89, False)]
)
def test_brightnesses_are_rounded_by_one_at_most(value, is_brightness):
    # 0.299 * 200 + 0.587 * 40 + 0.114 * 40 = 87.84
    reading = read(mask("1.png", [0, value]), table=table_of([BLACK, RED, BLUE]))

    # Either way the mask is wrong; reading it by color says why.
    assert reading.wrong == [Path("1.png")]
    assert (reading.reading.by_color == {"gray"}) == is_brightness


@pytest.mark.parametrize("number", [0, 2])
def test_one_number_and_void_leave_nothing_to_learn_whatever_the_number_of_classes(number):
    nothing = read(mask("1.png", [number, 255]), num_classes=3)
    something = read(mask("1.png", [number, 1, 255]), num_classes=3)
    one = read(mask("1.png", [number]), num_classes=3)

    assert nothing.reading is None
    assert nothing.problems[0].startswith(
        f"folder: the masks contain only {number} and 255 (ignored). There is nothing to learn"
    )
    assert not something.problems and something.reading.labels.num_classes == 3
    assert not one.problems and one.reading.labels.num_classes == 3


def test_classes_that_never_occur_are_noted():
    reading = read(mask("1.png", [0, 3]), num_classes=16)
    few = read(mask("1.png", [0, 3]), num_classes=5)

    # 1, 2, and 4 to 15: 14, of which 12 are shown.
    assert reading.notes == [
        "14 of 16 classes never occur: 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 and 2 more."
    ]
    assert few.notes == ["3 of 5 classes never occur: 1, 2, 4."]


@pytest.mark.parametrize(("num_classes", "fits"), [(3, False), (4, True)])
def test_the_number_of_classes_must_contain_the_highest_number(num_classes, fits):
    reading = read(mask("1.png", [0, 3]), num_classes=num_classes)

    assert (reading.reading is not None) == fits
    if not fits:
        assert (
            "contain the number 3; with --num-classes 3 the numbers are 0 to 2."
            in (reading.problems[0])
        )


@pytest.mark.parametrize(
    ("names", "present", "note", "rest"),
    [
        ("wall cat dog", ("cat", "dog"), "pixels in no mask are 'wall', which has none.", 0),
        ("cat dog wall", ("cat", "dog"), "pixels in no mask are 'wall', which has none.", 2),
        ("background cat dog", ("dog",), "pixels in no mask are 'background'.", 0),
        ("wall cat dog", ("dog",), "pixels in no mask are ignored.", 255),
        ("cat dog", ("cat", "dog"), "pixels in no mask are ignored.", 255),
        ("cat background dog", ("dog",), "pixels in no mask are ignored.", 255),
    ],
)
def test_pixels_in_no_mask_of_a_class(names, present, note, rest):
    masks = {Path(f"{name}.png"): name for name in present}

    reading = read(
        *(mask(str(path), [0, 255]) for path in masks),
        table=table_of(None, names),
        class_masks=masks,
    )

    assert reading.notes == [f"One mask per class; {note}"]
    assert reading.reading.rest == rest
    assert reading.reading.class_labels == {
        path: names.split().index(name) for path, name in masks.items()
    }


@pytest.mark.parametrize(("values", "fits"), [([0, 7], True), ([7], True), ([0, 7, 8], False)])
def test_a_mask_of_one_class_has_one_value_beside_0(values, fits):
    reading = read(
        mask("a.png", values), table=table_of(None, "a b"), class_masks={Path("a.png"): "a"}
    )

    assert bool(reading.problems) != fits
    if not fits:
        assert "must have two values, 0 and another. Received: 0, 7, 8." in reading.problems[0]


@pytest.mark.parametrize(("num_thin", "num_masks", "refused"), [(1, 2, False), (2, 3, True)])
def test_lines_are_a_sign_of_loss_in_more_than_half_of_the_masks(num_thin, num_masks, refused):
    masks = [mask(f"{k}.png", [0, 1, 2], thin=k < num_thin) for k in range(num_masks)]

    assert bool(read(*masks).problems) == refused
    # What the table or the number of classes says is right.
    assert not read(*masks, table=table_of(None)).problems
    assert not read(*masks, num_classes=3).problems


def test_white_of_gray_masks_is_ignored_where_no_class_has_it():
    grays = table_of([BLACK, (9, 9, 9), RED])

    reading = read(mask("1.png", [0, 9, 255]), table=grays)

    assert reading.reading.by_color == {"gray"} and not reading.wrong
    assert np.flatnonzero(reading.counts[Path("1.png")]).tolist() == [0, 1, 255]


def test_what_ignored_numbers_change_is_noted():
    reading = read(mask("1.png", [0, 1, 2, 4]), ignore=(0, 3))

    # 1, 2 and 4 are left, of which 1 is the first.
    assert reading.notes == ["Ignored: 0, 3. The number 1 becomes label 0, 4 label 2."]
    assert reading.reading.labels.class_names == ("class 1", "class 2", "class 4")
    assert reading.reading.numbers == {1: 0, 2: 1, 4: 2, 0: 255, 3: 255}


def test_a_gray_value_with_two_meanings_is_refused_among_masks_in_color():
    color = mask("rgb.png", [200 * 65536 + 40 * 256 + 40], "rgb", [RED])
    # (1, 1, 1) is the color of class 2, and 1 the number of class 1; 7 is no color.
    colors = [RED, BLUE, (1, 1, 1)]
    ids = {0: 0, 1: 1, 2: 2, 7: 0}
    table = ClassTable(
        Path("classes.csv"),
        LabelSpec(("a", "b", "c")),
        dict(zip(colors, range(3), strict=True)),
        ids,
        True,
    )

    assert (
        "Its value 1 is the number of one class"
        in read(color, mask("gray.png", [1, 7]), table=table).problems[0]
    )
    assert not read(color, mask("gray.png", [2, 7]), table=table).problems


@pytest.mark.parametrize(
    ("levels", "by_level"),
    [([0, 9], True), ([0, 255], True), ([0, 8], False), ([0, 9, 255], True), ([0, 9, 8], False)],
)
def test_gray_palettes_are_read_by_level_if_those_are_numbers_of_other_masks(levels, by_level):
    # Indices 0, 1, ... in a palette, beside a gray mask of the numbers 0 and 9.
    indices = list(range(len(levels)))
    palette = mask("p.png", indices, "palette", [(level,) * 3 for level in levels])

    assert palettes_by_level([palette, mask("gray.png", [0, 9])], None, []) == by_level
    # Without other masks there is nothing but the indices.
    assert not palettes_by_level([palette], None, [])
    assert not palettes_by_level([mask("white.png", [0], "palette", [WHITE])], None, [])


def test_a_mask_that_cannot_be_read_has_no_values(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for name, cause in (("none.png", "the file is missing"), ("text.png", "not an image")):
        summary = MaskSummary.of(tmp_path / name)

        assert f"{name}: {cause}" in summary.error
        assert summary.values.size == summary.counts.size == summary.codes.size == 0
