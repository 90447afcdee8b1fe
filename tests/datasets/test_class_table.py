"""The table of classes beside a folder of masks."""

import re

import pytest

from keras_fcn.datasets.class_table import find_class_table, read_class_table


def table(tmp_path, text: str, name: str = "classes.txt"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_class_table(tmp_path / name)


def test_names_alone(tmp_path):
    read = table(tmp_path, "# my classes\nsky\n\ntraffic sign  # many\ncar\n")

    assert read.labels.class_names == ("sky", "traffic sign", "car")
    assert read.colors is None
    assert read.numbers == {0: 0, 1: 1, 2: 2}


@pytest.mark.parametrize(
    "text",
    [
        "sky 0 0 255\ntraffic sign 1 2 3\nvoid 9 9 9\n",
        "sky,0,0,255\ntraffic sign, 1, 2, 3\nvoid,9,9,9\n",
        "name,r,g,b\nsky,0,0,255\ntraffic sign,1,2,3\nignore,9,9,9\n",
        "\ufeffname,R,G,B\nsky,0,0,255\ntraffic sign,1,2,3\nIgnored,9,9,9\n",
    ],
    ids=["spaces", "commas", "heading", "byte order mark"],
)
def test_names_with_colors(tmp_path, text):
    read = table(tmp_path, text)

    assert read.labels.class_names == ("sky", "traffic sign")
    assert read.labels.palette == ((0, 0, 255), (1, 2, 3))
    assert read.colors == {(0, 0, 255): 0, (1, 2, 3): 1, (9, 9, 9): 255}
    assert read.numbers == {0: 0, 1: 1, 2: 255}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sky 1 2\ncar 1 2 3\n", "line 1: expected `name` or `name red green blue`"),
        ("sky 1 2 3\ncar 1 2 300\n", "line 2: expected `name` or `name red green blue`"),
        ("sky 1 2 3\ncar\n", "line 2: either all lines have a color or none"),
        ("sky\ncar 1 2 3\n", "line 2: either all lines have a color or none"),
        ("sky 1 2 3\n#\ncar 1 2 3\n", "line 3: the color (1, 2, 3) repeats"),
        ("sky\nsky\n", "line 2: the name 'sky' repeats (first in line 1)"),
        ("sky\n", "classes.txt: `num_classes` must lie in [2, 255]"),
        ("", "classes.txt: `num_classes` must lie in [2, 255]"),
    ],
)
def test_errors_name_the_line(tmp_path, text, expected):
    with pytest.raises(ValueError, match=re.escape(expected)):
        table(tmp_path, text)


def test_table_is_found_in_a_folder(tmp_path):
    assert find_class_table(tmp_path) is None
    table(tmp_path, "a\nb\n", "classes.csv")
    found = find_class_table(tmp_path)
    assert found is not None
    assert found.labels.class_names == ("a", "b")
