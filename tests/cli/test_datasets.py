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
