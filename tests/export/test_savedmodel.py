import io

import numpy as np
import pytest
import tensorflow as tf
from keras_fcn_export import export_savedmodel
from PIL import Image

from keras_fcn.data.image_io import read_image
from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.prediction import AveragedPredictor, TiledPredictor, open_predictor
from keras_fcn.prediction.image_files import predict_files

from ..helpers import (
    LABELS,
    Tiny,
    TinyWithBatchNorm,
    file_bytes,
    picture,
    predictions_of,
    tiny_model,
)


@pytest.fixture(scope="module")
def signatures(savedmodel):
    loaded = tf.saved_model.load(str(savedmodel / "1"))
    # The signatures do not keep the loaded object alive themselves.
    return {**loaded.signatures, "_loaded": loaded}


@pytest.mark.parametrize("size", [(1, 1), (33, 50), (64, 96), (100, 47)])
def test_labels_and_scores_are_those_of_the_model(model, signatures, size):
    images = np.stack([picture(*size, seed=1), picture(*size, seed=2)])
    expected = model.predict(images, verbose=0)

    labels = signatures["serving_default"](images=tf.constant(images))["predictions"]
    scores = signatures["logits"](images=tf.constant(images))["logits"]

    assert labels.dtype == tf.uint8
    np.testing.assert_array_equal(labels, expected.argmax(-1))
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_files_of_different_sizes_get_masks_of_their_sizes(model, signatures):
    images = [picture(40, 70, seed=1), picture(33, 20, seed=2)]
    files = [file_bytes(images[0]), file_bytes(images[1], "JPEG", quality=90)]
    images[1] = np.asarray(Image.open(io.BytesIO(files[1])))

    masks = signatures["encoded"](image_bytes=tf.constant(files))["mask_png_bytes"].numpy()

    for image, mask in zip(images, masks, strict=True):
        np.testing.assert_array_equal(
            np.asarray(Image.open(io.BytesIO(mask))), predictions_of(model, image)
        )


def test_masks_have_the_palette_of_the_classes(tmp_path):
    colors = ((70, 130, 180), (128, 64, 128), (107, 142, 35), (0, 0, 142))
    model = tiny_model(labels=LabelSpec(LABELS.class_names, colors))
    signatures = tf.saved_model.load(str(export_savedmodel(model, tmp_path))).signatures

    masks = signatures["encoded"](image_bytes=tf.constant([GOOD]))["mask_png_bytes"]

    palette = Image.open(io.BytesIO(masks[0].numpy())).getpalette()
    assert np.reshape(palette, (-1, 3))[:4].tolist() == [list(color) for color in colors]


def size_of(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_few_weights_are_in_the_file_once_for_all_signatures(tmp_path):
    model = tiny_model(backbone=TinyWithBatchNorm(fc_filters=20_000))
    num_bytes = 4 * model.count_params()

    folder = export_savedmodel(model, tmp_path)

    # The graphs themselves take a megabyte and a half.
    assert 0.9 * num_bytes < size_of(folder) < 1.5 * num_bytes


def test_a_grey_image_counts_as_three_equal_channels(model, signatures):
    gray = picture(40, 40)[..., 0]

    mask = signatures["encoded"](image_bytes=tf.constant([file_bytes(gray)]))["mask_png_bytes"]

    expected = predictions_of(model, np.stack([gray] * 3, axis=-1))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(mask[0].numpy()))), expected)


GOOD = file_bytes(picture(40, 40))
JPEG = file_bytes(picture(100, 100), "JPEG", quality=95)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"", r"neither at position\] \[1\].*bytes is\] \[0\]"),
        (b"GIF89a", r"neither at position\] \[1\]"),
        (GOOD[:20], r"ends within its header"),
        (GOOD[:100], "Invalid PNG data"),
        (JPEG[:100], "Invalid JPEG data"),
        (JPEG[: len(JPEG) // 2], "Invalid JPEG data"),
        (file_bytes(picture(201, 200)), r"position\] \[1\].*\[40000\] \[pixels.*\[201\] \[200\]"),
        (file_bytes(picture(201, 200), "JPEG"), r"\[201\] \[200\].*--max-pixels"),
    ],
    ids=[
        "empty", "gif", "png header", "png", "jpeg header", "truncated jpeg",
        "large png", "large jpeg",
    ],
)  # fmt: skip
def test_one_bad_file_fails_the_request_and_is_described(signatures, bad, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signatures["encoded"](image_bytes=tf.constant([GOOD, bad]))


def test_a_forged_size_is_refused_before_decoding(signatures):
    # A few bytes that claim 2^31-1 x 2^31-1 pixels.
    forged = GOOD[:16] + b"\x7f\xff\xff\xff" * 2 + GOOD[24:]

    with pytest.raises(tf.errors.InvalidArgumentError, match="--max-pixels"):
        signatures["encoded"](image_bytes=tf.constant([forged]))


def test_images_over_the_limit_are_refused(signatures):
    images = tf.zeros((1, 400, 101, 3), tf.uint8)

    for name in ("serving_default", "logits"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"1 to\] \[40000\]"):
            signatures[name](images=images)


def test_an_empty_request_gets_an_empty_answer(signatures):
    answer = signatures["encoded"](image_bytes=tf.constant([], tf.string))

    assert answer["mask_png_bytes"].shape == (0,)


def test_classes_travel_along(savedmodel):
    text = (savedmodel / "1" / "assets" / "labels.json").read_text()

    assert Heads.from_json(text).labels == LABELS


def test_baked_in_options(tmp_path):
    model = tiny_model()
    folder = export_savedmodel(
        model, tmp_path, size=(64, 32), flip=True, confidence=True, probabilities=True
    )
    image = picture(90, 50)

    signatures = tf.saved_model.load(str(folder)).signatures
    answer = signatures["serving_default"](images=tf.constant(image[None]))
    scores = signatures["logits"](images=tf.constant(image[None]))["logits"].numpy()
    files = signatures["encoded"](image_bytes=tf.constant([file_bytes(image)]))

    small = tf.image.resize(image[None].astype("float32"), (64, 32), antialias=True).numpy()
    logits = (model(small).numpy() + model(small[:, :, ::-1]).numpy()[:, :, ::-1]) / 2
    # Nearest neighbor: pixel i of n takes the source pixel under its center.
    rows = ((np.arange(90) + 0.5) * 64 / 90).astype(int)
    columns = ((np.arange(50) + 0.5) * 32 / 50).astype(int)
    logits = logits[:, rows][:, :, columns]
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_array_equal(answer["predictions"], logits.argmax(-1))
    np.testing.assert_allclose(answer["confidence"], expected.max(-1), atol=1e-5)
    mask = Image.open(io.BytesIO(files["mask_png_bytes"][0].numpy()))
    confidence = Image.open(io.BytesIO(files["confidence_png_bytes"][0].numpy()))
    np.testing.assert_array_equal(np.asarray(mask), logits[0].argmax(-1))
    np.testing.assert_allclose(np.asarray(confidence), 255 * expected[0].max(-1), atol=0.51)
    predictor = open_predictor(folder)
    assert (predictor.fixed_size, predictor.network_size) == (None, (64, 32))
    with pytest.raises(ValueError, match="images of 64x32 only"):
        AveragedPredictor(predictor, scales=(1, 2))


def test_versions_count_up_and_leave_nothing_else(model, tmp_path):
    first = export_savedmodel(model, tmp_path)
    fifth = export_savedmodel(model, tmp_path, version=5)
    sixth = export_savedmodel(model, tmp_path)

    assert [first.name, fifth.name, sixth.name] == ["1", "5", "6"]
    assert sorted(child.name for child in tmp_path.iterdir()) == ["1", "5", "6"]


def test_a_failed_export_leaves_nothing(model, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("disk full")

    monkeypatch.setattr("keras_fcn_export.savedmodel.write_warmup_requests", fail)

    with pytest.raises(RuntimeError, match="disk full"):
        export_savedmodel(model, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_explained(model, savedmodel):
    with pytest.raises(FileExistsError, match="Version 1 exists already"):
        export_savedmodel(model, savedmodel, version=1)
    with pytest.raises(ValueError, match="is a SavedModel itself"):
        export_savedmodel(model, savedmodel / "1")
    with pytest.raises(ValueError, match="`version` must be at least 1"):
        export_savedmodel(model, savedmodel, version=0)
    with pytest.raises(ValueError, match="`max_pixels` must be at least 1"):
        export_savedmodel(model, savedmodel, max_pixels=0)
    with pytest.raises(ValueError, match=r"`size` must be \(height, width\)"):
        export_savedmodel(model, savedmodel, size=(0, 3))


def test_bfloat16_halves_the_weights_and_keeps_float32_scores(model, tmp_path):
    image = picture(64, 96)[None]

    folder = export_savedmodel(model, tmp_path, precision="bfloat16")

    loaded = tf.saved_model.load(str(folder))
    scores = loaded.signatures["logits"](images=tf.constant(image))["logits"]
    assert scores.dtype == tf.float32
    expected = model.predict(image, verbose=0)
    np.testing.assert_allclose(scores, expected, atol=0.05 * np.abs(expected).max())
    large = tiny_model(backbone=Tiny(fc_filters=40_000))
    sizes = [
        size_of(export_savedmodel(large, tmp_path / precision, precision=precision))
        for precision in ("bfloat16", "float32")
    ]
    assert sizes[0] < 0.7 * sizes[1]


def test_images_over_the_limit_are_left_out_by_name_but_can_be_tiled(savedmodel, tmp_path):
    for name, width in (("small", 60), ("large", 500)):
        Image.fromarray(picture(100, width)).save(tmp_path / f"{name}.png")
    predictor = open_predictor(savedmodel)
    paths = [tmp_path / "large.png", tmp_path / "small.png"]

    large, small = predict_files(predictor, paths, tmp_path / "out", with_overlay=False)

    assert "large.png: " in large.error and "up to 40000 pixels" in large.error
    assert "Received: 100x500" in large.error and "--tile" in large.error
    assert small.error is None and small.written == (tmp_path / "out" / "small.png",)
    tiled = TiledPredictor(predictor, tile_size=(128, 256), overlap=64)
    assert tiled.predict(picture(100, 500)[None]).shape == (1, 100, 500)


def file_in_16_bits() -> bytes:
    return file_bytes(Image.fromarray(picture(40, 40)[..., 0].astype("uint16") * 257))


@pytest.mark.parametrize(
    "content",
    [
        file_in_16_bits(),
        file_bytes(Image.fromarray(picture(40, 30)).convert("RGBA")),
        file_bytes(Image.fromarray(picture(40, 30)).quantize(20)),
        file_bytes(Image.fromarray(picture(40, 30)).convert("CMYK"), "JPEG"),
        file_bytes(picture(40, 30), "JPEG", progressive=True),
        file_bytes(picture(1, 1)),
        file_bytes(picture(1, 1), "JPEG"),
    ],
    ids=["16 bits", "alpha", "palette", "cmyk", "progressive", "1x1 png", "1x1 jpeg"],
)
def test_unusual_files_get_the_mask_that_prediction_gives(model, signatures, content, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(content)

    mask = signatures["encoded"](image_bytes=tf.constant([content]))["mask_png_bytes"][0].numpy()

    expected = predictions_of(model, read_image(path))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(mask))), expected)
