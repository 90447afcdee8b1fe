"""The table of classes beside a folder of masks."""

import re

import pytest

from keras_fcn.datasets.class_table import by_preference, read_class_table


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
    ("file", "expected"), [("classes.txt", ("name", "sky", "car")), ("classes.csv", ("sky", "car"))]
)
def test_a_class_called_name_is_no_heading(tmp_path, file, expected):
    assert table(tmp_path, "name\nsky\ncar\n", file).labels.class_names == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sky 1 2\ncar 1 2 3\n", "line 1: expected `name` or `name red green blue`"),
        ("sky 1 2 3\ncar 1 2 300\n", "line 2: expected `name` or `name red green blue`"),
        ("sky 1 2 3\ncar\n", "line 2: either all lines have a color or none"),
        ("sky\ncar 1 2 3\n", "line 2: either all lines have a color or none"),
        ("sky 1 2 3\n#\ncar 1 2 3\n", "line 3: the color (1, 2, 3) repeats"),
        ("sky\nsky\n", "line 2: the name 'sky' repeats (first in line 1)"),
        ("sky\n", "classes.txt: `num_classes` must be in [2, 255]"),
        ("", "classes.txt: the file names no classes"),
    ],
)
def test_errors_name_the_line(tmp_path, text, expected):
    with pytest.raises(ValueError, match=re.escape(expected)):
        table(tmp_path, text)


def test_table_is_found_in_a_folder(tmp_path):
    (tmp_path / "readme.txt").write_text("a\nb\n")
    assert by_preference(tmp_path.iterdir()) == []
    table(tmp_path, "a\nb\n", "classes.csv")

    (found,) = by_preference(tmp_path.iterdir())

    assert read_class_table(found).labels.class_names == ("a", "b")


# Tables as tools and people write them

NAMES = [
    ("classes.txt", "healthy\nGrade 2\nGrade 3\n", "healthy|Grade 2|Grade 3"),
    ("classes.txt", "Grade 1\nGrade 2\nGrade 3\n", "Grade 1|Grade 2|Grade 3"),
    ("classes.txt", "Boeing 747\nsky\n", "Boeing 747|sky"),
    ("classes.txt", '"Boeing 747"\n"Airbus 380"\n', "Boeing 747|Airbus 380"),
    ("classes.txt", "3 wheeler\ncar\n", "3 wheeler|car"),
    ("classes.txt", "C#  # notes\nF#\n", "C#|F#"),
    ("classes.txt", "sky\r\nroad\r\n\r\n", "sky|road"),
    ("classes.txt", "sky,road,car\n", "sky|road|car"),
    ("class_names.txt", "_background_\ncat\n", "_background_|cat"),
    ("labels.txt", "__ignore__\n_background_\ncat\n", "_background_|cat"),
    ("classes.csv", "name\nsky\nroad\n", "sky|road"),
    ("classes.csv", '"trees, bushes"\n"road"\n', "trees, bushes|road"),
    ("classes.json", '["sky", "road"]', "sky|road"),
    ("classes.json", '{"classes": ["sky", "road"]}', "sky|road"),
    ("classes.yaml", "- sky\n- Grade 2\n", "sky|Grade 2"),
    ("data.yaml", "train: x\nval: y\nnc: 2\nnames: ['sky', 'road']\n", "sky|road"),
    ("obj.names", "sky\nroad\n", "sky|road"),
]

# The numbers 0, 7 and 11 are sky, road and "Grade 2".
NUMBERS = [
    ("classes.csv", "Pixel Value, Class\n7, road\n0, sky\n11, Grade 2\n"),
    ("classes.csv", "id;name\n0;sky\n7;road\n11;Grade 2\n"),
    ("classes.csv", "name\tindex\nsky\t0\nGrade 2\t11\nroad\t7\n"),
    ("classes.csv", "class,id,supercategory\nGrade 2,11,ill\nsky,0,far\nroad,7,near\n"),
    ("classes.csv", '"0","sky"\n"7","road"\n"11","Grade 2"\n'),
    ("classes.csv", "sky,0\nroad,7\nGrade 2,11\n"),
    ("classes.tsv", "0\tsky\n7\troad\n11\tGrade 2\n"),
    ("classes.txt", "0 sky\n7 road\n11 Grade 2\n"),
    ("classes.txt", "0: sky\n7: road\n11: Grade 2\n"),
    ("classes.json", '{"sky": 0, "road": 7, "Grade 2": 11}'),
    ("classes.json", '{"0": "sky", "7": "road", "11": "Grade 2"}'),
    ("classes.json", '[{"id": 7, "name": "road"}, {"id": 0, "name": "sky"}, '
     '{"id": 11, "name": "Grade 2"}]'),
    ("categories.json", '{"categories": [{"supercategory": "x", "id": 0, "name": "sky"}, '
     '{"id": 11, "name": "Grade 2"}, {"id": 7, "name": "road"}]}'),
    ("data.yaml", "names:\n  0: sky\n  7: road\n  11: Grade 2\n"),
]  # fmt: skip

# sky is (0, 128, 255), "Grade 2" (255, 0, 0).
COLORS = [
    ("classes.txt", "sky 0 128 255\nGrade 2 255 0 0\n"),
    ("classes.txt", "0 128 255 sky\n255 0 0 Grade 2\n"),
    ("classes.txt", "sky #0080ff\nGrade 2 #FF0000\n"),
    ("classes.txt", "#0080ff sky  # far\n#ff0000 Grade 2\n"),
    ("classes.txt", "sky 0.0 0.5 1.0\nGrade 2 1.0 0.0 0.0\n"),
    ("classes.txt", "sky 0 .5 1\nGrade 2 1 0 0\n"),
    ("classes.txt", "sky\t0\t128\t255\nGrade 2\t255\t0\t0\n"),
    ("label_colors.txt", "0 128 255\t\tsky\n255 0 0\t\tGrade 2\n"),
    ("classes.txt", "sky;0 128 255\nGrade 2;255 0 0\n"),
    ("class_dict.csv", "name,r,g,b\nsky,0,128,255\nGrade 2,255,0,0\n"),
    ("class_dict.csv", "Name;Red;Green;Blue\nsky;0;128;255\nGrade 2;255;0;0\n"),
    ("class_dict.csv", "name;r;g;b\nsky;0;0,5;1,0\nGrade 2;1,0;0;0\n"),
    ("class_dict.csv", "r,g,b,class\n0,128,255,sky\n255,0,0,Grade 2\n"),
    ("class_dict.csv", 'name,color\nsky,"0,128,255"\nGrade 2,"rgb(255, 0, 0)"\n'),
    ("class_dict.csv", "name,hex\nsky,#0080ff\nGrade 2,ff0000\n"),
    ("classes.csv", "id,name,r,g,b\n1,Grade 2,255,0,0\n0,sky,0,128,255\n"),
    ("classes.csv", "0,sky,0,128,255\n1,Grade 2,255,0,0\n"),
    ("labelmap.txt", "# label:color_rgb:parts:actions\nsky:0,128,255::\nGrade 2:255,0,0::\n"),
    ("classes.json", '{"sky": [0, 128, 255], "Grade 2": [255, 0, 0]}'),
    ("classes.json", '{"sky": "#0080ff", "Grade 2": "#ff0000"}'),
    ("classes.json", '[{"name": "sky", "r": 0, "g": 128, "b": 255}, '
     '{"name": "Grade 2", "color": [255, 0, 0, 255]}]'),
    ("classes.yaml", "sky: [0, 128, 255]\nGrade 2: [255, 0, 0]\n"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "expected"), NAMES)
def test_names(tmp_path, name, text, expected):
    read = table(tmp_path, text, name)

    assert "|".join(read.labels.class_names) == expected
    assert read.numbers == {line: line for line in range(len(read.labels.class_names))}
    assert read.colors is None


@pytest.mark.parametrize(("name", "text"), NUMBERS)
def test_numbers_in_any_order(tmp_path, name, text):
    read = table(tmp_path, text, name)

    assert read.labels.class_names == ("sky", "road", "Grade 2")
    assert read.numbers == {0: 0, 7: 1, 11: 2}


@pytest.mark.parametrize(("name", "text"), COLORS)
def test_colors(tmp_path, name, text):
    read = table(tmp_path, text, name)

    assert read.labels.class_names == ("sky", "Grade 2")
    assert read.colors == {(0, 128, 255): 0, (255, 0, 0): 1}


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings(tmp_path, encoding, newline):
    (tmp_path / "classes.txt").write_bytes(newline.join(["Straße 2", "Bäume"]).encode(encoding))

    assert read_class_table(tmp_path / "classes.txt").labels.class_names == ("Straße 2", "Bäume")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("classes.txt", "cat 3\ndog 7\n", "line 1: it is not clear whether 'cat 3' is a name"),
        ("classes.txt", "cat 1 9 9 9\ndog 2 8 8 8\n", "line 1: expected `name red green blue`"),
        ("classes.csv", "1,2\n3,4\n", "line 1: expected `name`"),
        ("classes.csv", "cat,animal\ndog,animal\n", "line 1: expected `name`"),
        ("classes.csv", "name,r,g,b\ncat,1,2\n", "line 2: expected"),
        ("classes.csv", "id,name\n0,cat\nx,dog\n", "line 3: 'x' is no whole number"),
        ("classes.csv", "id,name\n0,cat\n0,dog\n", "line 3: the number 0 repeats"),
        ("classes.csv", "id,name\n0,cat\n,dog\n", "line 3: either all lines have a number"),
        ("classes.csv", 'id,name\n0,"cat\n1,dog\n', "line 2: the quotes are not closed"),
        ("labelmap.txt", "cat:1,2,3::\ndog:4,5,6::\nbird 7 8 9\n", "line 3: expected `name:red"),
        ("classes.json", "[1, \n 2", "line 2: no JSON"),
        ("classes.json", '{"cat": null}', "entry 1: expected a number"),
        ("classes.json", '{"cat": 0, "cat": 1}', "the name 'cat' repeats"),
        ("classes.json", "3", "expected a list of names"),
        ("data.yaml", "nc: 3\nnames: [cat, dog]\n", "`nc` is 3, but there are 2 names"),
        ("data.yaml", "names: [cat\n", "no YAML"),
        ("classes.txt", "cat\n", "The background is a class too"),
    ],
)
def test_what_is_not_understood_is_named(tmp_path, name, text, expected):
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        table(tmp_path, text, name)
    assert str(tmp_path / name) in str(caught.value)


def test_void_with_a_number_and_labelmes_ignore(tmp_path):
    read = table(tmp_path, "id,name\n255,void\n0,sky\n1,car\n", "classes.csv")
    assert read.numbers == {0: 0, 1: 1, 255: 255}
    # __ignore__ is -1 in labelme, and no number of its own.
    read = table(tmp_path, "__ignore__\n_background_\ncat\n", "labels.txt")
    assert read.numbers == {0: 0, 1: 1}


def test_the_plainest_name_is_preferred(tmp_path):
    table(tmp_path, "a\nb\n", "labels.txt")
    table(tmp_path, "c\nd\n", "Classes.TXT")

    first, _ = by_preference(tmp_path.iterdir())

    assert read_class_table(first).labels.class_names == ("c", "d")
