from PIL import Image


def test_label_downsampling_prints_the_papers_row_too(run, photos, tmp_path):
    result = run(
        "study", "label-downsampling", "--dataset", f"folder:{photos}", "--images", "2",
        "--output", tmp_path / "bounds.png",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    assert "50.9  73.3  86.1  92.8  96.4  98.5" in result.stdout
    assert "majority of each cell, repeated" in result.stdout
    assert "val: 2 images." in result.stdout
    with Image.open(tmp_path / "bounds.png") as picture:
        assert picture.format == "PNG"


def test_shift_and_stitch_shows_the_difference(run, photos, tmp_path):
    result = run(
        "study", "shift-and-stitch", "--image", photos / "images" / "5.png", "--blocks", "2",
        "--output", tmp_path / "maps.png",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    assert "Largest difference: " in result.stdout
    # 25x30 pixels less a receptive field of 16, plus 1.
    assert result.stdout.count("10x15") == 2
    with Image.open(tmp_path / "maps.png") as picture:
        assert picture.format == "PNG"
