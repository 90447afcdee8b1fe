"""The network of these tests scores each pixel by its three channels: the brightest one wins."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from keras_fcn.data.image_io import read_image
from keras_fcn.data.masks import read_mask
from keras_fcn.datasets.importers import import_annotations
from keras_fcn.files import RECORD
from keras_fcn.modalities import ImageReading
from keras_fcn.prediction import KerasPredictor, TiledPredictor, image_files, open_predictor
from keras_fcn.prediction.image_files import predict_files
from keras_fcn.prediction.image_paths import find_images

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
    assert (
        "takes images of 1 band (`--channels 1`). Received: 4 bands, the last of"
        in results[1].error
    )
    assert "gray.png: the network takes images of 4 bands" in results[2].error


def test_modalities_can_be_named_for_a_file_that_does_not(tmp_path):
    pixels = random_pixels()
    depth = np.random.default_rng(1).integers(0, 400, pixels.shape[:2]).astype("uint16")
    image = write_image(tmp_path / "rgb" / "room.png", pixels)
    folders = {"depth": write_image(tmp_path / "depth" / "room.png", depth).parent}
    names = ("depth", "rgb")

    with pytest.raises(ValueError, match="does not name its modalities. Set `modalities`.*depth"):
        predict_files(channels_predictor(4), [image], tmp_path / "out", folders=folders)
    (refused,) = predict_files(channels_predictor(5), [image], tmp_path / "out")
    assert "takes images of 5 bands (`--channels 5`). Received: 3 bands." in refused.error
    assert "set `modalities` (`--modalities`), in its order, of rgb, hha, depth" in refused.error
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


# Bands, georeferences and windows

GEOREFERENCE = [
    (33550, "d", 3, (0.5, 0.5, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 30.0, 50.0, 0.0), True),
    (34735, "H", 8, (1, 1, 0, 1, 2048, 0, 1, 4326), True),
]


def write_bands(path: Path, array: np.ndarray, **options: object) -> Path:
    options = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None, **options}
    tifffile.imwrite(path, array, **options)
    return path


def georeference_of(path: Path) -> list:
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        return [tags[code].value for code, *_ in GEOREFERENCE if code in tags]


def test_a_geotiff_becomes_a_tiff_with_its_georeference(tmp_path, predictor):
    pixels = random_pixels()
    geo = write_bands(
        tmp_path / "geo.tif", pixels, photometric="rgb", extratags=GEOREFERENCE, compression="lzw"
    )
    plain = write_bands(tmp_path / "plain.tif", pixels, photometric="rgb")

    results = predict_files(predictor, [geo, plain], tmp_path / "out")
    again = predict_files(predictor, [geo], tmp_path / "out")

    names = [[file.name for file in result.written] for result in results]
    assert names == [["geo.tif", "geo_overlay.jpg"], ["plain.png", "plain_overlay.jpg"]]
    for name in ("geo.tif", "plain.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / "out" / name), pixels.argmax(-1))
    assert georeference_of(tmp_path / "out" / "geo.tif") == [
        value for _, _, _, value, _ in GEOREFERENCE
    ]
    # Any program shows the classes in their colors.
    with Image.open(tmp_path / "out" / "geo.tif") as mask, Image.open(results[1].written[0]) as png:
        assert mask.mode == "P"
        np.testing.assert_array_equal(mask.convert("RGB"), png.convert("RGB"))
    assert again[0].replaced == 2
    with pytest.raises(ValueError, match=r"would overwrite the image .*geo\.tif"):
        predict_files(predictor, [geo], tmp_path)


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib", "tile": (48, 48)}, {"compression": "lzw", "rowsperstrip": 7}],
    ids=["plain", "tiles", "strips"],
)
def test_large_files_are_read_by_windows(tmp_path, monkeypatch, options):
    monkeypatch.setattr(image_files, "WINDOW_PIXELS", 1000)
    bands = np.random.default_rng(0).integers(0, 5000, (270, 333, 5)).astype("uint16")
    missing = bands.copy()
    missing[40:80, 90:200] = 65535
    files = [
        write_bands(tmp_path / "a.tif", bands, extratags=GEOREFERENCE, **options),
        # The tag in which GDAL notes the value of pixels without data.
        write_bands(
            tmp_path / "b.tif", missing, extratags=[(42113, "s", 0, "65535", True)], **options
        ),
    ]
    np.save(tmp_path / "c.npy", np.moveaxis(bands, -1, 0))
    tiled = TiledPredictor(channels_predictor(5), tile_size=(64, 96), overlap=32)

    results = predict_files(tiled, [*files, tmp_path / "c.npy"], tmp_path / "out")

    assert [result.error for result in results] == [None] * 3
    assert [[file.name for file in r.written] for r in results] == [["a.tif"], ["b.tif"], ["c.tif"]]
    expected = bands.argmax(-1)
    for name in ("a", "c"):
        np.testing.assert_array_equal(read_mask(tmp_path / "out" / f"{name}.tif"), expected)
    expected[40:80, 90:200] = 255
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "b.tif"), expected)
    assert len(georeference_of(tmp_path / "out" / "a.tif")) == 3
    assert georeference_of(tmp_path / "out" / "c.tif") == []


def test_large_rgb_files_too_and_with_several_heads(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "WINDOW_PIXELS", 1000)
    pixels = np.random.default_rng(0).integers(0, 256, (130, 170, 3)).astype("uint8")
    path = write_bands(tmp_path / "a.tif", pixels, photometric="rgb", tile=(64, 64))

    two_heads = KerasPredictor(two_headed_model())
    (result,) = predict_files(TiledPredictor(two_heads, tile_size=(64, 64)), [path], tmp_path / "o")

    expected = two_heads.predictions_by_head(pixels[None])
    assert result.error is None and len(result.written) == 2
    for head, labels in expected.items():
        np.testing.assert_array_equal(read_mask(tmp_path / "o" / f"a_{head}.tif"), labels[0])


def test_pages_and_ranges_other_than_in_the_training(tmp_path, predictor):
    deep = np.random.default_rng(0).integers(0, 4096, (6, 9, 3)).astype("uint16")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in (deep[::-1], deep):
            writer.write(page, photometric="rgb", contiguous=False, metadata=None)

    (refused,) = predict_files(predictor, [path], tmp_path / "out")
    with pytest.raises(ValueError, match=r"a\.tif: images of 16 bits .*--value-range 0,4095"):
        predict_files(predictor, [path], tmp_path / "out", image_reading=ImageReading(page=2))
    reading = ImageReading(value_range=(0, 4095), page=2)
    predict_files(predictor, [path], tmp_path / "out", image_reading=reading)

    assert "the file has 2 pages" in refused.error
    rgb = np.rint(deep / 4095 * 255).argmax(-1)
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "a.png"), rgb)


def test_arrays_in_a_folder_are_images_of_networks_for_bands(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 5)))
    write_image(tmp_path / "b.png", random_pixels())

    assert [p.name for p in find_images([tmp_path])] == ["b.png"]
    assert [p.name for p in find_images([tmp_path], with_arrays=True)] == ["a.npy", "b.png"]


def test_depth_in_millimeters_is_no_dark_picture(tmp_path):
    depth = np.random.default_rng(1).integers(0, 1000, (6, 9)).astype("uint16")
    image = write_image(tmp_path / "room.png", depth)

    (result,) = predict_files(
        channels_predictor(1), [image], tmp_path / "out", modalities=("depth",)
    )

    assert result.error is None
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "room.png"), depth < 500)


def test_the_files_of_an_image_are_all_written_or_none(tmp_path, monkeypatch):
    bands = np.random.default_rng(0).integers(0, 5000, (70, 90, 5)).astype("uint16")
    files = [write_bands(tmp_path / f"{name}.tif", bands, extratags=GEOREFERENCE) for name in "ab"]
    (tmp_path / "out" / "a.tif").mkdir(parents=True)

    for window_pixels in (1000, 10_000):
        monkeypatch.setattr(image_files, "WINDOW_PIXELS", window_pixels)
        failed, result = predict_files(channels_predictor(5), files, tmp_path / "out")

        assert f"a.tif: {tmp_path / 'out' / 'a.tif'} cannot be written (there is a" in failed.error
        assert failed.written == () and result.error is None
        written = {path.name for path in (tmp_path / "out").iterdir()}
        assert written == {RECORD, "a.tif", *(path.name for path in result.written)}


# The pipeline


def test_few_images_are_read_ahead_and_results_are_in_order(tmp_path, predictor):
    num_images = 60
    paths = [
        write_image(tmp_path / f"{i:02}.png", random_pixels(seed=i)) for i in range(num_images)
    ]
    seen = []

    def remove_what_follows(result) -> None:
        seen.append(result.path)
        if len(seen) == 1:
            for path in paths[num_images // 2 :]:
                path.unlink()

    results = predict_files(
        predictor, paths, tmp_path / "out", with_overlay=False, on_file=remove_what_follows
    )

    # Of the second half none was read when the first image was done.
    assert seen == paths
    assert [bool(result.error) for result in results] == [False] * 30 + [True] * 30
    for i, result in enumerate(results[:30]):
        np.testing.assert_array_equal(read_mask(*result.written), random_pixels(seed=i).argmax(-1))


class _FailingPredictor(KerasPredictor):
    """Raises an error for images of a height."""

    def __init__(self, height: int, error: BaseException) -> None:
        super().__init__(channel_model())
        self.height, self.error = height, error

    def _predictions(self, images):
        if images.shape[1] == self.height:
            raise self.error
        return super()._predictions(images)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a defect")])
def test_an_error_of_the_network_ends_the_run_with_whole_files_only(tmp_path, error):
    paths = [write_image(tmp_path / f"{i}.png", random_pixels(height=9 + i)) for i in range(9)]

    with pytest.raises(type(error)):
        predict_files(_FailingPredictor(9 + 4, error), paths, tmp_path / "out")

    written = {path.name for path in (tmp_path / "out").iterdir()} - {RECORD}
    done = {name.removesuffix(".png") for name in written if name.endswith(".png")}
    # What was predicted before may have been written, each image whole; nothing temporary stays.
    assert done <= set("0123")
    assert written == {f"{i}{ending}" for i in done for ending in (".png", "_overlay.jpg")}


@pytest.mark.parametrize("error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "")])
def test_an_image_too_large_for_the_memory_is_left_out(tmp_path, error):
    paths = [write_image(tmp_path / f"{i}.png", random_pixels(height=9 + i)) for i in range(3)]

    results = predict_files(_FailingPredictor(10, error), paths, tmp_path / "out")

    assert [bool(result.error) for result in results] == [False, True, False]
    assert "1.png: there is not enough memory for 10x9 pixels of the image" in results[1].error
    assert "`--tile`" in results[1].error


def test_predictions_that_are_there_are_skipped(tmp_path, predictor):
    paths = [write_image(tmp_path / f"{i}.png", random_pixels(seed=i)) for i in range(4)]
    predict_files(predictor, paths[:2], tmp_path / "out")
    write_image(tmp_path / "out" / "0.png", np.zeros((6, 9), "uint8"))  # corrected
    (tmp_path / "out" / "1.png").unlink()  # as after a crash: the predictions are written last
    seen = []

    results = predict_files(
        predictor, paths, tmp_path / "out", skip_existing=True, on_file=seen.append
    )

    assert [result.skipped for result in results] == [True, False, False, False]
    assert [len(result.written) for result in results] == [0, 2, 2, 2]
    assert results[1].replaced == 1
    assert seen == results
    assert not read_mask(tmp_path / "out" / "0.png").any()
    with pytest.raises(ValueError, match="`--skip-existing`.*the format coco, which has one file"):
        predict_files(predictor, paths, tmp_path / "out", skip_existing=True, output_format="coco")


@pytest.mark.parametrize("tool", ["labelme", "npz", "tiff"])
def test_each_format_with_files_per_image_is_skipped(tmp_path, predictor, tool):
    paths = [write_image(tmp_path / f"{i}.png", random_pixels(seed=i)) for i in range(2)]
    options = {"output_format": tool, "with_overlay": False, "skip_existing": True}
    predict_files(predictor, paths[:1], tmp_path / "out", **options)

    results = predict_files(predictor, paths, tmp_path / "out", **options)

    assert [result.skipped for result in results] == [True, False]


# Logits and probabilities


@pytest.mark.parametrize("with_overlay", [False, True])
def test_logits_are_written_with_the_names_of_the_classes(tmp_path, predictor, with_overlay):
    pixels = random_pixels()
    image = write_image(tmp_path / "photo.png", pixels)

    (result,) = predict_files(
        predictor, [image], tmp_path / "out", output_format="npz", with_overlay=with_overlay
    )

    names = ["photo.npz", "photo_overlay.jpg"]
    assert [file.name for file in result.written] == names[: 1 + with_overlay]
    with np.load(result.written[0]) as arrays:  # without pickle
        assert arrays["logits"].dtype == np.float32
        np.testing.assert_array_equal(arrays["logits"], pixels)
        assert tuple(arrays["class_names"]) == predictor.labels.class_names


def softmax_of_highest(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype("float64"))
    return exponentials.max(-1) / exponentials.sum(-1)


@pytest.mark.parametrize("window_pixels", [1000, 10**6])
def test_probabilities_are_written_as_tiff_with_the_georeference(
    tmp_path, monkeypatch, window_pixels
):
    monkeypatch.setattr(image_files, "WINDOW_PIXELS", window_pixels)
    bands = np.random.default_rng(0).normal(size=(130, 170, 4)).astype("float32")
    bands[20:40, 30:90] = np.nan
    path = write_bands(tmp_path / "a.tif", bands, extratags=GEOREFERENCE)
    tiled = TiledPredictor(channels_predictor(4), tile_size=(64, 96), overlap=32)

    (result,) = predict_files(
        tiled, [path], tmp_path / "out", output_format="tiff", with_overlay=False
    )

    assert [file.name for file in result.written] == ["a.tif", "a_confidence.tif"]
    expected = np.where(np.isnan(bands[..., 0]), 255, bands.argmax(-1))
    np.testing.assert_array_equal(read_mask(result.written[0]), expected)
    confidences = tifffile.imread(result.written[1])
    assert confidences.dtype == np.float32
    np.testing.assert_allclose(confidences, softmax_of_highest(bands), rtol=1e-5)
    for file in result.written:
        assert georeference_of(file) == [value for _, _, _, value, _ in GEOREFERENCE]


def test_logits_of_a_large_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "WINDOW_PIXELS", 1000)
    path = write_bands(tmp_path / "a.tif", np.zeros((130, 170, 4), "float32"))

    (result,) = predict_files(channels_predictor(4), [path], tmp_path / "out", output_format="npz")

    assert "a.tif: the logits of 130x170 pixels take 0.0 GiB. `--format tiff`" in result.error
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("kind", ["npz", "tiff"])
def test_a_file_without_logits_is_refused(tmp_path, exported, kind):
    with pytest.raises(ValueError, match="returns predictions only. For logits export it again"):
        predict_files(open_predictor(exported("tflite")), [], tmp_path / "out", output_format=kind)


@pytest.mark.parametrize("tool", ["labelme", "coco"])
@pytest.mark.parametrize("window_pixels", [100, 10**6])
def test_images_of_bands_become_polygons(tmp_path, monkeypatch, tool, window_pixels):
    monkeypatch.setattr(image_files, "WINDOW_PIXELS", window_pixels)
    blocks = np.random.default_rng(0).integers(0, 5000, (5, 6, 3)).repeat(8, 0).repeat(8, 1)
    pixels = np.concatenate([blocks, blocks[..., :1] * 0], axis=-1).astype("float32")
    pixels[8:16, 16:30] = np.nan
    (tmp_path / "scenes").mkdir()
    path = write_bands(tmp_path / "scenes" / "a.tif", pixels, extratags=GEOREFERENCE)

    (result,) = predict_files(
        channels_predictor(4), [path], tmp_path / "out", output_format=tool, with_overlay=False
    )

    assert [file.suffix for file in result.written] == [".json"]
    import_annotations(
        tool,
        tmp_path / "out",
        tmp_path / "imported",
        images=tmp_path / "scenes" if tool == "coco" else None,
        background=False,
    )
    expected = pixels.argmax(-1).astype("uint8")
    expected[8:16, 16:30] = 255
    (mask,) = (tmp_path / "imported").glob("masks/**/*.png")
    np.testing.assert_array_equal(read_mask(mask), expected)
    copied = tmp_path / "imported" / "images" / "a.tif"
    np.testing.assert_array_equal(read_image(copied, ImageReading(4)), pixels)
