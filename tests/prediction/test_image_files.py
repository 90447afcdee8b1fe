"""The network of these tests scores each pixel by its three channels: the brightest one wins."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_fcn.data.masks import read_mask
from keras_fcn.files import RECORD
from keras_fcn.prediction import KerasPredictor
from keras_fcn.prediction.image_files import find_images, predict_files

from ..helpers import channel_model, two_headed_model


@pytest.fixture(scope="module")
def predictor() -> KerasPredictor:
    return KerasPredictor(channel_model())


def write_image(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def random_pixels(height: int = 6, width: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype("uint8")


def test_a_palette_image_and_an_overlay_of_the_images_size_are_written(tmp_path, predictor):
    pixels = random_pixels()
    image = write_image(tmp_path / "photo.png", pixels)

    (result,) = predict_files(predictor, [image], tmp_path / "new" / "out")

    out = tmp_path / "new" / "out"
    assert result.written == (out / "photo.png", out / "photo_overlay.jpg")
    assert (result.error, result.replaced) == (None, 0)
    with Image.open(out / "photo.png") as labels, Image.open(out / "photo_overlay.jpg") as overlay:
        assert (labels.mode, labels.size, overlay.size) == ("P", (9, 6), (9, 6))
    np.testing.assert_array_equal(read_mask(out / "photo.png"), pixels.argmax(-1))


def test_the_exif_orientation_is_applied(tmp_path, predictor):
    pixels = random_pixels(4, 7)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    image = write_image(tmp_path / "photo.png", pixels, exif=turned)

    predict_files(predictor, [image], tmp_path / "out")

    expected = np.rot90(pixels, k=-1).argmax(-1)
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "photo.png"), expected)


def test_unreadable_files_are_named_and_skipped(tmp_path, predictor):
    good = write_image(tmp_path / "good.png", random_pixels())
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:60])
    seen = []

    results = predict_files(
        predictor, [text, good, cut, tmp_path / "absent.jpg"], tmp_path / "out", on_file=seen.append
    )

    assert seen == results
    assert [bool(result.error) for result in results] == [True, False, True, True]
    for result, name in zip(results, ["notes.txt", "good", "cut.png", "absent.jpg"], strict=True):
        assert not result.error or name in result.error
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [RECORD, "good.png", "good_overlay.jpg"]


def test_equal_names_in_two_folders_keep_their_folders(tmp_path, predictor):
    images = [
        write_image(tmp_path / folder / "1.png", random_pixels(seed=i))
        for i, folder in enumerate(["a", "b/c"])
    ]

    predict_files(predictor, images, tmp_path / "out", with_overlay=False)

    for i, folder in enumerate(["a", "b/c"]):
        labels = read_mask(tmp_path / "out" / folder / "1.png")
        np.testing.assert_array_equal(labels, random_pixels(seed=i).argmax(-1))


def test_names_that_differ_in_the_suffix_keep_it(tmp_path, predictor):
    images = [
        write_image(tmp_path / name, random_pixels()) for name in ("1.png", "1.bmp", "1.png.bmp")
    ]

    results = predict_files(predictor, images, tmp_path / "out", with_overlay=False)

    written = [path.name for result in results for path in result.written]
    assert written == ["1.png.png", "1.bmp.png", "1.png.bmp.png"]


def test_files_of_an_earlier_run_are_replaced_and_counted(tmp_path, predictor):
    image = write_image(tmp_path / "photo.png", random_pixels())

    predict_files(predictor, [image], tmp_path / "out", with_overlay=False)
    (result,) = predict_files(predictor, [image], tmp_path / "out")

    assert result.replaced == 1


def test_an_image_is_never_overwritten(tmp_path, predictor):
    pixels = random_pixels()
    image = write_image(tmp_path / "photo.png", pixels)

    with pytest.raises(ValueError, match=r"would overwrite the image .*photo\.png"):
        predict_files(predictor, [image], tmp_path)

    with Image.open(image) as unchanged:
        np.testing.assert_array_equal(np.asarray(unchanged), pixels)


def test_several_heads_write_a_file_each(tmp_path):
    pixels = random_pixels()
    image = write_image(tmp_path / "photo.png", pixels)

    (result,) = predict_files(KerasPredictor(two_headed_model()), [image], tmp_path / "out")

    assert len(result.written) == 4
    labels = read_mask(tmp_path / "out" / "photo_darkest.png")
    np.testing.assert_array_equal(labels, pixels.argmin(-1))


def test_images_are_found_in_folders_and_by_patterns(tmp_path, monkeypatch):
    for name in ("b.jpg", "a.PNG", "notes.txt", "below/c.png"):
        write_file = tmp_path / name
        write_file.parent.mkdir(exist_ok=True)
        write_file.write_text("")
    monkeypatch.chdir(tmp_path)

    found = find_images([tmp_path, "**/*.png", "b.jpg", "absent.png", tmp_path / "notes.txt"])

    # `b.jpg` was found in the folder already; files are taken as they are.
    assert found == [
        tmp_path / "a.PNG",
        tmp_path / "b.jpg",
        Path("below/c.png"),
        Path("absent.png"),
        tmp_path / "notes.txt",
    ]


def test_an_image_whose_name_looks_like_a_pattern_is_found(tmp_path):
    (tmp_path / "photo[1].png").write_text("")

    assert find_images([str(tmp_path / "photo[1].png")]) == [tmp_path / "photo[1].png"]


def test_a_folder_or_pattern_without_images_is_an_error(tmp_path):
    (tmp_path / "below").mkdir()

    with pytest.raises(ValueError, match=r"no image in the folder .*/\*\*/\*\.jpg"):
        find_images([tmp_path])
    with pytest.raises(ValueError, match=r"No file matches the pattern .*\*\.jpg"):
        find_images([str(tmp_path / "*.jpg")])


@pytest.fixture(scope="module")
def rgbd_predictor() -> KerasPredictor:
    """The largest of red, green, blue and the distance wins."""
    predictor = channels_predictor(4)
    predictor.modalities = ("rgb", "depth")  # as from an `FCN`'s file
    return predictor


def channels_predictor(channels: int) -> KerasPredictor:
    """The network of a file that does not name its channels: the largest of them wins."""
    inputs = keras.Input((None, None, channels))
    values = keras.layers.Rescaling(1.0)(inputs)
    if channels == 1:  # bright or dark
        values = keras.layers.Concatenate()([values, keras.layers.Rescaling(-1.0, 1000.0)(values)])
    return KerasPredictor(keras.Model(inputs, values))


def test_depth_is_read_from_the_file_of_the_same_name(tmp_path, rgbd_predictor):
    pixels = random_pixels()
    depth = np.random.default_rng(1).integers(0, 400, pixels.shape[:2]).astype("uint16")
    image = write_image(tmp_path / "rgb" / "room.png", pixels)
    write_image(tmp_path / "depth" / "room.png", depth)

    (result,) = predict_files(
        rgbd_predictor, [image], tmp_path / "out", folders={"depth": tmp_path / "depth"}
    )

    assert result.error is None
    expected = np.concatenate([pixels, depth[..., None]], axis=-1).argmax(-1)
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "room.png"), expected)


def test_scenes_that_lack_an_image_are_left_out(tmp_path, rgbd_predictor):
    image = write_image(tmp_path / "rgb" / "room.png", random_pixels())
    other = write_image(tmp_path / "rgb" / "hall.png", random_pixels())
    write_image(tmp_path / "depth" / "hall.png", np.ones((2, 3), "uint16"))

    missing, small = predict_files(
        rgbd_predictor, [image, other], tmp_path / "out", folders={"depth": tmp_path / "depth"}
    )

    assert "must contain one file room.*" in missing.error
    assert "hall.png must have the size of" in small.error
    assert not missing.written


def test_gray_and_four_channels_without_names_are_read_as_they_are(tmp_path):
    gray = np.random.default_rng(1).integers(0, 1000, (6, 9)).astype("uint16")
    rgba = np.random.default_rng(2).integers(0, 256, (6, 9, 4)).astype("uint8")
    images = [write_image(tmp_path / "gray.png", gray), write_image(tmp_path / "rgba.png", rgba)]

    results = [
        *predict_files(channels_predictor(1), images, tmp_path / "out1"),
        *predict_files(channels_predictor(4), images, tmp_path / "out4"),
    ]

    assert channels_predictor(1).modalities == channels_predictor(4).modalities == ()
    # The first logit of a gray value is the value, the second what it lacks to 1000.
    np.testing.assert_array_equal(read_mask(tmp_path / "out1" / "gray.png"), gray < 500)
    np.testing.assert_array_equal(read_mask(tmp_path / "out4" / "rgba.png"), rgba.argmax(-1))
    with Image.open(tmp_path / "out4" / "rgba_overlay.jpg") as overlay:
        assert overlay.size == (9, 6)
    assert [bool(result.error) for result in results] == [False, True, True, False]
    assert "takes images of 1 channels. Received: an image of mode 'RGBA'" in results[1].error
    assert "gray.png: the network takes images of 4 channels" in results[2].error


def test_modalities_can_be_named_for_a_file_that_does_not(tmp_path):
    pixels = random_pixels()
    depth = np.random.default_rng(1).integers(0, 400, pixels.shape[:2]).astype("uint16")
    image = write_image(tmp_path / "rgb" / "room.png", pixels)
    folders = {"depth": write_image(tmp_path / "depth" / "room.png", depth).parent}
    names = ("depth", "rgb")

    with pytest.raises(ValueError, match="does not name its modalities. Set `modalities`.*depth"):
        predict_files(channels_predictor(4), [image], tmp_path / "out", folders=folders)
    with pytest.raises(ValueError, match="of 5 channels, which image files do not have.*hha"):
        predict_files(channels_predictor(5), [image], tmp_path / "out")
    with pytest.raises(ValueError, match="of 5 channels; depth, rgb have 4"):
        predict_files(channels_predictor(5), [image], tmp_path / "out", modalities=names)
    (result,) = predict_files(
        channels_predictor(4),
        [tmp_path / "depth" / "room.png"],
        tmp_path / "out",
        folders={"rgb": image.parent},
        modalities=names,
    )

    assert result.error is None
    expected = np.concatenate([depth[..., None], pixels], axis=-1).argmax(-1)
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "room.png"), expected)


def test_folders_must_be_those_of_the_networks_modalities(tmp_path, predictor, rgbd_predictor):
    with pytest.raises(ValueError, match="Expected: the rgb images, and a folder of depth"):
        predict_files(rgbd_predictor, [tmp_path / "a.png"], tmp_path / "out")
    with pytest.raises(ValueError, match="takes rgb. Expected: the rgb images. Received: fo"):
        predict_files(predictor, [], tmp_path / "out", folders={"hha": tmp_path})
    with pytest.raises(ValueError, match="must be in a folder. There is none at nowhere"):
        predict_files(rgbd_predictor, [], tmp_path / "out", folders={"depth": "nowhere"})


def test_images_of_other_modalities_are_never_overwritten(tmp_path, rgbd_predictor):
    image = write_image(tmp_path / "rgb" / "room.png", random_pixels())
    depth = write_image(tmp_path / "depth" / "room.png", np.ones((6, 9), "uint16"))

    with pytest.raises(ValueError, match=r"would overwrite the image .*depth/room\.png"):
        predict_files(rgbd_predictor, [image], depth.parent, folders={"depth": depth.parent})


@pytest.mark.parametrize("pattern", ["{root}/**/*.png", "{root}/**", "{root}/a/../**/?.png"])
def test_links_to_folders_above_do_not_repeat_images(tmp_path, pattern):
    for name in ("1.png", "a/2.png", "a/b/3.png", ".hidden/4.png"):
        write_image(tmp_path / name, random_pixels())
    elsewhere = write_image(
        tmp_path.with_name(f"{tmp_path.name}-linked") / "5.png", random_pixels()
    )
    for link, target in {"a/up": "..", "a/b/up": "../..", "a/again": "b"}.items():
        (tmp_path / link).symlink_to(target)
    (tmp_path / "linked").symlink_to(elsewhere.parent)

    found = find_images([pattern.format(root=tmp_path)])

    assert sorted(path.name for path in found) == ["1.png", "2.png", "3.png", "5.png"]


def test_folders_whose_names_are_patterns_are_searched(tmp_path):
    write_image(tmp_path / "a[1]" / "b" / "1.png", random_pixels())

    assert find_images([f"{tmp_path}/**/*.png"]) == [tmp_path / "a[1]" / "b" / "1.png"]
