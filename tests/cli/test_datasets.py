import json
import os
import shutil

import numpy as np
from PIL import Image
from scipy.io import savemat


def test_the_list_names_every_data_set(run):
    result = run("datasets", "list")

    assert result.exit_code == 0
    for name in ("sample", "folder:PATH", "camvid", "voc2012_aug", "nyudv2", "siftflow"):
        assert name in result.stdout


def test_preparing_the_sample_says_that_it_is_ready(run):
    assert run("datasets", "prepare", "--dataset", "sample").stdout == (
        "sample is ready: 1,000 train, 100 val.\n"
    )


def test_a_good_folder_has_no_problems(run, photos):
    result = run("datasets", "check", "--dataset", f"folder:{photos}")

    assert result.exit_code == 0, result.stderr
    assert "val: 3 examples, 23x30 (1), 24x30 (1), 25x30 (1)" in result.stdout
    assert "No problems." in result.stdout


def test_problems_are_named_a_line_each_and_make_the_status_1(run, photos, tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for path in (photos / kind).iterdir():
            (tmp_path / kind / path.name).write_bytes(path.read_bytes())
    (tmp_path / "images" / "2.png").write_text("no image")
    Image.new("L", (5, 5)).save(tmp_path / "masks" / "4.png")

    result = run("datasets", "check", "--dataset", f"folder:{tmp_path}")

    assert result.exit_code == 1
    lines = [line for line in result.stdout.splitlines() if line.startswith("Problem: ")]
    assert any(f"{tmp_path}/images/2.png" in line for line in lines)
    assert any(f"{tmp_path}/masks/4.png" in line for line in lines)
    assert f"Error: {len(lines)} problems in folder:{tmp_path}" in result.stderr


def test_a_gallery_is_written(run, photos, tmp_path):
    result = run("datasets", "show", "--dataset", f"folder:{photos}", "--examples", "2")

    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "photos_train.png") as picture:
        assert picture.format == "PNG"


def test_every_label_map_has_its_table(run, tmp_path):
    for folder, labels in {"SemanticLabels": [[1, 33]], "GeoLabels": [[-1, 3]]}.items():
        path = tmp_path / folder / "spatial_envelope_256x256_static_8outdoorcategories"
        path.mkdir(parents=True)
        savemat(path / "coast_bea1.mat", {"S": np.array(labels)})
    images = tmp_path / "Images" / path.name
    images.mkdir(parents=True)
    Image.new("RGB", (2, 1), (9, 9, 9)).save(images / "coast_bea1.jpg")

    result = run("datasets", "check", "--dataset", "siftflow", "--source", tmp_path)

    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["awning", "50.00%", "1"] in rows
    assert ["vertical", "50.00%", "1"] in rows
    assert ["ignored", "50.00%", "1"] in rows
    titles = [row[:2] for row in rows if row[:1] == ["class"]]
    assert titles == [["class", "(semantic)"], ["class", "(geometric)"]]


def test_a_gallery_shows_depth_and_hha(run, tmp_path):
    result = run(
        *("datasets", "show", "--dataset", "sample_rgbd", "--split", "val"),
        *("--examples", "1"),
    )

    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "sample_rgbd_val.png") as picture:
        assert picture.width > 4 * 320


def write_folder(root, images, masks, values=(0, 1, 2)):
    """Writes four pairs whose masks have two rows of each value."""
    for folder in (root / images, root / masks):
        folder.mkdir(parents=True)
    mask = np.repeat(np.array(values, np.uint8), 16).reshape(-1, 8)
    for number in range(4):
        image = np.full((*mask.shape, 3), 40 * number, np.uint8)
        Image.fromarray(image).save(root / images / f"{number}.png")
        Image.fromarray(mask).save(root / masks / f"{number}.png")
    return f"folder:{root}"


def test_check_prints_how_a_folder_is_read(run, tmp_path):
    name = write_folder(tmp_path / "set", "Imgs", "Labels")

    result = run("datasets", "check", "--dataset", name)

    assert "Images in Imgs/, masks in Labels/, splits: train 3, val 1 (train and val at" in (
        result.stdout
    )


def test_options_choose_the_files_of_a_folder(run, tmp_path):
    name = write_folder(tmp_path / "set", "left", "drawn")

    refused = run("datasets", "check", "--dataset", name)
    result = run(
        *("datasets", "check", "--dataset", name),
        *("--images", "left/*.png", "--masks", "drawn/*.png", "--ignore", "0"),
    )

    assert refused.exit_code == 1
    assert '--images "GLOB" --masks "GLOB"' in refused.stderr
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    # Two of six rows of pixels are ignored, in three masks and in one.
    assert ["ignored", "33.33%", "3", "33.33%", "1"] in rows
    assert ["class", "1", "33.33%", "3", "33.33%", "1"] in rows


def test_both_ways_out_of_gaps(run, tmp_path):
    name = write_folder(tmp_path / "set", "images", "masks", (0, 100, 200))

    refused = run("datasets", "check", "--dataset", name)
    numbers = run("datasets", "check", "--dataset", name, "--num-classes", "201")
    written = run("datasets", "check", "--dataset", name, "--write-classes")
    again = run("datasets", "check", "--dataset", name)

    assert refused.exit_code == 1
    problems = [line for line in refused.stdout.splitlines() if line.startswith("Problem: ")]
    assert len(problems) == 1
    assert "0, 100, 200" in problems[0]
    assert numbers.exit_code == written.exit_code == again.exit_code == 0
    assert "198 of 201 classes never occur" in numbers.stdout
    assert "Written: classes.csv" in written.stdout
    assert (tmp_path / "set" / "classes.csv").is_file()


def test_options_of_folders_are_for_folders(run):
    result = run("datasets", "check", "--dataset", "sample", "--ignore", "0")

    assert result.exit_code == 1
    assert "`ignore` is for folder:PATH and has no meaning for 'sample'" in result.stderr


def test_ignored_numbers_are_numbers(run):
    result = run("datasets", "check", "--dataset", "sample", "--ignore", "void")

    assert result.exit_code == 2
    assert "'void' are no whole numbers" in result.stderr


def test_names_that_are_no_text_are_named(run, photos, tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        shutil.copy(photos / kind / "1.png", tmp_path / kind)
        source = os.fsencode(photos / kind / "0.png")
        shutil.copy(source, os.fsencode(tmp_path / kind) + b"/caf\xe9.png")
    (tmp_path / "classes.txt").write_text("red\ngreen\nblue\n")

    result = run("datasets", "check", "--dataset", f"folder:{tmp_path}")

    assert result.exit_code == 1
    assert "caf\\udce9" in result.stderr and "no UTF-8 text. Rename it." in result.stderr


def write_yolo(folder):
    """An export of YOLO: two images, of which one has a polygon and one a box."""
    for name, line in (("a", "0 0.1 0.1 0.9 0.1 0.9 0.9"), ("b", "0 0.5 0.5 0.5 0.5")):
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20), "red" if name == "a" else "blue").save(
            folder / "images" / f"{name}.png"
        )
        (folder / "labels" / f"{name}.txt").write_text(line)
    (folder / "data.yaml").write_text("train: images\nnames: [cat, dog]\n")


def test_an_import_prints_what_it_wrote_and_can_be_read(run, tmp_path):
    write_yolo(tmp_path / "yolo")
    arguments = ("datasets", "import", "--from", "yolo", tmp_path / "yolo", "--output", "photos")

    refused = run(*arguments)
    result = run(*arguments, "--boxes")
    checked = run("datasets", "check", "--dataset", "folder:photos")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: ") and "b.txt, line 1: the line is a box" in (
        refused.stderr
    )
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "photos: images 2."
    # Of 2x800 pixels a triangle (half of 32x16) and a box of 20x10.
    (cat,) = (line.split() for line in lines if line.startswith("cat"))
    assert cat == ["cat", "28.50%", "2"]
    assert "Note: Classes that never occur: dog." in lines
    assert lines[-1] == "Next: keras-fcn datasets check --dataset folder:photos"
    assert checked.exit_code == 0, checked.stderr


def test_an_import_says_what_it_left_out(run, tmp_path):
    write_yolo(tmp_path / "labelme")
    polygon = {"label": "cat", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
    content = {"shapes": [polygon], "imagePath": "a.png", "imageData": None}
    (tmp_path / "labelme/images/a.json").write_text(json.dumps(content))

    result = run(
        "datasets", "import", "--from", "labelme", tmp_path / "labelme/images", "--output", "out"
    )

    assert result.exit_code == 0, result.stderr
    assert "Left out: 1 times, images without a JSON file (b.png).\n" in result.stdout
