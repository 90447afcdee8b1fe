"""Training on images of other bands than RGB, and what becomes of the network then."""

import json

import numpy as np
import pytest
import tifffile
from keras_fcn_export import export_onnx, export_savedmodel, export_tflite, verify
from keras_fcn_train import fit
from keras_fcn_train.data import measure_bands
from PIL import Image

from keras_fcn import LabelSpec
from keras_fcn.data.masks import read_mask
from keras_fcn.data.pipeline import evaluation_batches, training_batches
from keras_fcn.datasets import from_arrays, open_dataset
from keras_fcn.evaluation import evaluate
from keras_fcn.prediction import load_model, open_predictor
from keras_fcn.prediction.image_files import predict_files

from ..helpers import tiny_model
from .tiny_training import tiny_config

pytestmark = pytest.mark.usefixtures("tiny_backbones")

SPEC = LabelSpec(("ground", "water"))


def bands_of(height: int, seed: int, dtype: str = "uint16") -> np.ndarray:
    draws = np.random.default_rng(seed).normal(0, 1, (height, 48, 5))
    return (draws * (50, 30, 20, 400, 5) + (300, 500, 200, 3000, 60)).clip(0).astype(dtype)


def in_memory(dtype: str = "uint16"):
    def example(k: int) -> dict:
        label = np.zeros((40 - 4 * (k % 2), 48), "uint8")
        label[:16] = 1
        return {"image": bands_of(len(label), k, dtype), "label": label}

    splits = {"train": [example(k) for k in range(4)], "val": [example(k) for k in range(4, 6)]}
    return from_arrays("mine", SPEC, splits)


def test_mean_and_deviation_are_those_of_all_pixels_with_data():
    dataset = in_memory("float32")
    images = [e["image"].reshape(-1, 5) for e in dataset.examples("train").as_numpy_iterator()]
    pixels = np.concatenate(images).astype(np.float64)

    mean, deviation = measure_bands(dataset, "train")

    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(deviation, pixels.std(axis=0), rtol=1e-9)
    first, _ = measure_bands(dataset, "train", limit=1)
    np.testing.assert_allclose(first, images[0].mean(axis=0, dtype=np.float64), rtol=1e-9)


def test_missing_pixels_and_constant_bands_are_measured_right():
    image = np.stack([np.arange(12.0).reshape(3, 4), np.full((3, 4), 7.0)], axis=-1)
    image[0, 0, 0] = np.nan
    one = {"image": image.astype("float32"), "label": np.zeros((3, 4), "uint8")}
    none = {**one, "image": np.full((3, 4, 2), np.nan, "float32")}

    mean, deviation = measure_bands(from_arrays("a", SPEC, {"train": [one, none]}), "train")

    # 1 to 11: mean 6, variance (11 ** 2 - 1) / 12 = 10; a constant band is divided by 1.
    assert mean == (6.0, 7.0)
    assert deviation == pytest.approx((10**0.5, 1.0))
    with pytest.raises(ValueError, match="band 1 has no data in any image"):
        measure_bands(from_arrays("a", SPEC, {"train": [none]}), "train")


def test_batches_of_bands_are_float32_and_padded_without_data():
    dataset = in_memory()

    images, labels = next(iter(training_batches(dataset, batch_size=4, shuffle=False)))
    evaluated = [batch.numpy() for batch, _ in evaluation_batches(dataset, "val", 2)]

    assert images.dtype == "float32" and images.shape == (4, 40, 48, 5)
    np.testing.assert_array_equal(images[0], bands_of(40, 0))
    np.testing.assert_array_equal(images[1, :36], bands_of(36, 1))
    assert np.isnan(images[1, 36:]).all() and (labels[1, 36:].numpy() == 255).all()
    by_height = {image.shape[1]: image[0] for image in evaluated}
    np.testing.assert_array_equal(by_height[40], bands_of(40, 4))
    np.testing.assert_array_equal(by_height[36], bands_of(36, 5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """GeoTIFFs of five bands, of which the fourth says which class a pixel has."""
    root = tmp_path_factory.mktemp("bands")
    georeference = [
        (33550, "d", 3, (10.0, 10.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 4600000.0, 0.0), True),
        (34735, "H", 8, (1, 1, 0, 1, 3072, 0, 1, 32633), True),
    ]
    for split, count in (("train", 6), ("val", 2)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for k in range(count):
            label = np.zeros((64, 96), "uint8")
            label[: 16 + 8 * (k % 4), 8 * k :] = 1
            draws = np.random.default_rng(k).normal(0, 1, (64, 96, 5))
            image = draws * (50, 30, 20, 100, 5) + (300, 500, 200, 3000, 60)
            image[..., 3] += 4000 * label.astype("float64")
            tifffile.imwrite(
                root / "images" / split / f"s{k}.tif",
                image.clip(0).astype("uint16"),
                photometric="minisblack",
                planarconfig="contig",
                compression="zlib",
                extratags=georeference,
                metadata=None,
            )
            Image.fromarray(label).save(root / "masks" / split / f"s{k}.png")
    return root


@pytest.fixture(scope="module")
def trained(folder, tiny_backbones, tmp_path_factory):
    config = tiny_config(
        dataset=f"folder:{folder}",
        channels=5,
        workdir=str(tmp_path_factory.mktemp("run")),
        epochs=30,
        batch_size=3,
        crop_size=(64, 64),
        scale=(1.0, 1.0),
        dropout=0.0,
        ema_decay=None,
        validate_every=30,
        learning_rate=0.03,
    )
    return fit(config)


def test_the_network_keeps_mean_and_deviation(folder, trained):
    dataset = open_dataset(f"folder:{folder}", channels=5)
    files = sorted((folder / "images" / "train").iterdir())
    pixels = np.concatenate([tifffile.imread(file).reshape(-1, 5) for file in files])

    layer = load_model(trained.best).get_layer("normalization")

    np.testing.assert_allclose(layer.mean, pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(layer.deviation, pixels.std(axis=0), rtol=1e-6)
    result = evaluate(open_predictor(trained.best), dataset)
    assert result.metrics.mean_iou == pytest.approx(trained.metrics["mean_iou"])
    # The fourth band alone decides, so that it must learn from it.
    assert result.metrics.mean_iou > 0.7


@pytest.mark.parametrize("kind", ["savedmodel", "tflite", "onnx"])
def test_exported_models_take_the_same_bands(folder, trained, tmp_path, kind):
    network = load_model(trained.best)
    dataset = open_dataset(f"folder:{folder}", channels=5)
    images = [e["image"].copy() for e in dataset.examples("val").as_numpy_iterator()]
    images[0][3:9, 5:50] = np.nan  # no data

    exported = {
        "savedmodel": lambda: export_savedmodel(network, tmp_path / "m"),
        "tflite": lambda: export_tflite(network, tmp_path / "m.tflite"),
        "onnx": lambda: export_onnx(network, tmp_path / "m.onnx"),
    }[kind]()

    report = verify(exported, network, images)
    assert report.passed
    predictor = open_predictor(exported)
    assert predictor.image_reading.num_channels == 5
    expected = network.predict(images[0][None], verbose=0).argmax(-1)
    np.testing.assert_array_equal(predictor.predict(images[0][None]), expected)


def test_predictions_keep_the_georeference(folder, trained, tmp_path):
    files = sorted((folder / "images" / "val").iterdir())
    predictor = open_predictor(trained.best)

    results = predict_files(predictor, files, tmp_path)

    assert [result.error for result in results] == [None, None]
    for file in files:
        expected = predictor.predict(tifffile.imread(file)[None].astype("float32"))[0]
        np.testing.assert_array_equal(read_mask(tmp_path / file.name), expected)
        with tifffile.TiffFile(file) as image, tifffile.TiffFile(tmp_path / file.name) as mask:
            for code in (33550, 33922, 34735):
                assert mask.pages[0].tags[code].value == image.pages[0].tags[code].value
        with Image.open(tmp_path / f"{file.stem}_overlay.jpg") as overlay:
            assert overlay.size == (96, 64)


def test_settings_that_are_for_colors_are_refused(folder, tmp_path):
    dataset = f"folder:{folder}"

    for settings in ({"mean": (1.0, 2.0, 3.0)}, {"modalities": ("rgb",)}):
        with pytest.raises(ValueError, match="bands"):
            fit(tiny_config(dataset=dataset, channels=5, workdir=str(tmp_path), **settings))
    with pytest.raises(ValueError, match="`value_range` is for images that are read as RGB"):
        tiny_config(dataset=dataset, channels=5, value_range=(0, 5))


@pytest.mark.parametrize("kind", ["savedmodel", "tflite", "onnx"])
def test_the_range_of_values_is_kept_in_every_format(tmp_path, kind):
    network = tiny_model()
    network.origin = {"config": {"data": {"value_range": [0, 4095], "page": None}}}
    deep = np.random.default_rng(0).integers(0, 4096, (40, 48)).astype("uint16")
    Image.fromarray(deep).save(tmp_path / "deep.png")
    network.save(tmp_path / "m.keras")
    exported = {
        "savedmodel": lambda: export_savedmodel(network, tmp_path / "m"),
        "tflite": lambda: export_tflite(network, tmp_path / "m.tflite"),
        "onnx": lambda: export_onnx(network, tmp_path / "m.onnx"),
    }[kind]()
    rgb = np.rint(deep / 4095 * 255).astype("uint8")[..., None].repeat(3, axis=-1)

    for path in (tmp_path / "m.keras", exported):
        predictor = open_predictor(path)
        predict_files(predictor, [tmp_path / "deep.png"], tmp_path / "out")

        assert predictor.image_reading.value_range == (0, 4095)
        expected = predictor.predict(rgb[None])[0]
        np.testing.assert_array_equal(read_mask(tmp_path / "out" / "deep.png"), expected)
    if kind == "savedmodel":
        stored = json.loads((exported / "assets" / "images.json").read_text())
        assert stored == {"value_range": [0.0, 4095.0]}
