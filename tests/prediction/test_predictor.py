"""What all formats have in common."""

import keras
import numpy as np
import pytest
from scipy.special import softmax

from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.prediction import (
    AveragedPredictor,
    KerasPredictor,
    TiledPredictor,
    open_predictor,
)
from keras_fcn.prediction.predictor import ServingOptions

from ..helpers import channel_model, images_of, tiny_model
from .networks import FORMATS, SPEC, write


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_predicts_the_brightest_channel_at_any_size(exported, kind):
    predictor = open_predictor(exported(kind))

    assert (predictor.format, predictor.fixed_size, predictor.notes) == (kind, None, ())
    assert (predictor.num_channels, predictor.modalities) == (3, ())
    for shape in [(1, 1, 1), (2, 5, 7), (1, 40, 33), (3, 5, 7)]:
        images = images_of(*shape)
        predictions = predictor.predict(images)
        assert predictions.dtype == np.uint8
        np.testing.assert_array_equal(predictions, images.argmax(-1))


@pytest.mark.parametrize("kind", FORMATS)
def test_logits_are_float32(exported, kind):
    images = images_of(2, 4, 6)

    logits = open_predictor(exported(kind), keep_tensors=True).logits(images)

    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, images.astype("float32"))


def test_classes_come_from_the_file(exported):
    for kind in ("savedmodel", "tflite", "onnx"):
        predictor = open_predictor(exported(kind))
        assert (predictor.labels, predictor.heads) == (SPEC, Heads(SPEC))
    # A plain Keras model does not name them.
    assert open_predictor(exported("keras")).labels == LabelSpec.numbered(3)


def test_runtimes_have_names(exported):
    names = [open_predictor(exported(kind)).runtime for kind in FORMATS]
    plain = open_predictor(exported("tflite"), use_delegate=False)

    assert names == ["Keras", "TensorFlow", "TFLite, XNNPACK", "ONNX Runtime"]
    assert plain.runtime == "TFLite, no delegate"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_fixed_size_is_reached_by_resizing(tmp_path, kind):
    path = write(kind, tmp_path, (4, 6))
    # Each half has one color; halves stay halves, whatever the size.
    images = np.zeros((2, 8, 24, 3), "uint8")
    images[:, :, :12, 1] = 200
    images[:, :, 12:, 2] = 200

    predictor = open_predictor(path, keep_tensors=True)
    predictions = predictor.predict(images)

    assert predictor.fixed_size == predictor.network_size == (4, 6)
    assert "Fixed input of 4x6" in predictor.notes[0]
    np.testing.assert_array_equal(predictions, images.argmax(-1))
    assert predictor.predict(images_of(1, 4, 6)).shape == (1, 4, 6)
    assert predictor.logits(images).shape == (2, 8, 24, 3)


@pytest.mark.parametrize(
    "images",
    [np.zeros((4, 4, 3), "uint8"), np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 4), "uint8")],
)
def test_images_must_be_batches_of_uint8_rgb(exported, images):
    with pytest.raises(ValueError, match="`images` must be uint8 RGB"):
        open_predictor(exported("keras")).predict(images)


@pytest.mark.parametrize("size", [(None, None), (4, 4)])
def test_more_channels_than_rgb_are_taken_as_float32(tmp_path, size):
    channel_model(size, channels=5).save(tmp_path / "m.keras")
    images = np.zeros((1, 8, 8, 5), "float32")
    images[..., 4] = 0.5
    images[:, :4, :, 1] = -2.5e6

    predictor = open_predictor(tmp_path / "m.keras")

    assert predictor.num_channels == 5
    np.testing.assert_array_equal(predictor.predict(images), np.full((1, 8, 8), 4))
    with pytest.raises(ValueError, match=r"must be float32 of shape .* 5\)"):
        predictor.predict(images_of(1, 8, 8))


@pytest.mark.parametrize("channels", [1, 4, 6, 7])
def test_channels_that_a_file_does_not_name_stay_unnamed(channels):
    inputs = keras.Input((None, None, channels))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))

    assert KerasPredictor(model).modalities == ()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(None, None), (4, 6)])
def test_probabilities_are_the_softmax_at_the_predictions(tmp_path, kind, size):
    predictor = open_predictor(write(kind, tmp_path, size), keep_tensors=True)
    images = images_of(2, 4, 6)

    predictions, confidences = predictor.predictions_and_confidences(images)

    np.testing.assert_array_equal(predictions[Heads.ONLY], images.argmax(-1))
    expected = softmax(images.astype("float64"), axis=-1).max(-1)
    assert confidences[Heads.ONLY].dtype == np.float32
    np.testing.assert_allclose(confidences[Heads.ONLY], expected, rtol=1e-6)
    # At another size a network of a fixed size resizes both by nearest neighbor.
    larger = images_of(1, 8, 9)
    predictions, confidences = predictor.predictions_and_confidences(larger)
    np.testing.assert_array_equal(predictions[Heads.ONLY], predictor.predict(larger))
    assert confidences[Heads.ONLY].shape == (1, 8, 9)


def test_probabilities_in_tiles_and_averaged():
    network = KerasPredictor(channel_model())
    images = images_of(1, 70, 90)
    of_tiles = TiledPredictor(network, tile_size=(64, 64), overlap=32)
    averaged = AveragedPredictor(network, flip=True)

    for predictor in (of_tiles, averaged):
        predictions, confidences = predictor.predictions_and_confidences(images)
        np.testing.assert_array_equal(predictions[Heads.ONLY], predictor.predict(images))
        expected = softmax(predictor.logits(images), axis=-1).max(-1)
        np.testing.assert_allclose(confidences[Heads.ONLY], expected, rtol=1e-5)


def test_files_state_whether_they_return_logits(exported):
    for kind in FORMATS:
        predictor = open_predictor(exported(kind))
        assert predictor.has_logits == (kind != "tflite")
        assert predictor.origin == {}
        for wrapped in (TiledPredictor(predictor), AveragedPredictor(predictor)):
            assert wrapped.has_logits == predictor.has_logits


def test_the_origin_of_a_network_is_known():
    network = KerasPredictor(tiny_model(origin={"dataset": "camvid"}))

    assert network.origin == AveragedPredictor(TiledPredictor(network)).origin
    assert network.origin == {"dataset": "camvid"}


def test_an_export_that_returns_probabilities_is_taken_at_its_word():
    predictor = KerasPredictor(channel_model())
    predictor.options = ServingOptions(probabilities=True)
    images = images_of(1, 4, 6)

    _, confidences = predictor.predictions_and_confidences(images)

    np.testing.assert_array_equal(confidences[Heads.ONLY], images.max(-1))
