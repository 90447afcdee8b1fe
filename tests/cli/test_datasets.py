from PIL import Image


def test_the_list_names_every_data_set(run):
    result = run("datasets", "list")

    assert result.exit_code == 0
    for name in ("sample", "folder:PATH", "camvid", "voc2012_aug"):
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
