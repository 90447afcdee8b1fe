"""Models with several heads, with other inputs than RGB, and of one size only."""

import io

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras_fcn_export import export_savedmodel, export_tflite, verify
from PIL import Image

from keras_fcn.datasets import from_arrays
from keras_fcn.evaluation import evaluate
from keras_fcn.labels import Heads
from keras_fcn.prediction import open_predictor
from keras_fcn.prediction.image_files import predict_files

from ..helpers import LABELS, file_bytes, picture, predictions_of, tiny_model

HEADS = {"semantic": 3, "geometric": 2}
IMAGE = picture(40, 56)


@pytest.fixture(scope="module")
def two_heads():
    return tiny_model(num_classes=HEADS)


@pytest.fixture(scope="module")
def expected(two_heads):
    scores = two_heads(IMAGE[None].astype("float32"))
    return {head: value.numpy().argmax(-1) for head, value in scores.items()}


def test_a_savedmodel_has_one_output_a_head(two_heads, expected, tmp_path):
    folder = export_savedmodel(two_heads, tmp_path, confidence=True)
    signatures = tf.saved_model.load(str(folder)).signatures

    answer = signatures["serving_default"](images=tf.constant(IMAGE[None]))
    scores = signatures["logits"](images=tf.constant(IMAGE[None]))
    files = signatures["encoded"](image_bytes=tf.constant([file_bytes(IMAGE)]))

    assert set(answer) == {
        f"{head}_{kind}" for head in HEADS for kind in ("predictions", "confidence")
    }
    for head, labels in expected.items():
        np.testing.assert_array_equal(answer[f"{head}_predictions"], labels)
        np.testing.assert_array_equal(scores[f"{head}_logits"].numpy().argmax(-1), labels)
        mask = Image.open(io.BytesIO(files[f"{head}_mask_png_bytes"][0].numpy()))
        np.testing.assert_array_equal(np.asarray(mask), labels[0])
    text = (folder / "assets" / "labels.json").read_text()
    assert Heads.from_json(text).labels == two_heads.labels


def test_a_tflite_file_has_one_output_a_head(two_heads, expected, tmp_path):
    path = export_tflite(two_heads, tmp_path / "m.tflite")

    report = verify(path, two_heads, [IMAGE])
    predicted = open_predictor(path).predict(IMAGE[None])

    assert report.passed
    for head, labels in expected.items():
        np.testing.assert_array_equal(predicted[head], labels)


def test_other_channels_are_floats(tmp_path):
    model = tiny_model(input_shape=(None, None, 4))
    images = np.random.default_rng(0).uniform(0, 2000, (1, 33, 50, 4)).astype("float32")

    folder = export_savedmodel(model, tmp_path / "versions")
    path = export_tflite(model, tmp_path / "m.tflite", size=(33, 50))

    signatures = tf.saved_model.load(str(folder)).signatures
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    on_phone = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert set(signatures) == {"serving_default", "logits"}
    labels = signatures["serving_default"](images=tf.constant(images))["predictions"]
    np.testing.assert_array_equal(labels, model(images).numpy().argmax(-1))
    np.testing.assert_array_equal(on_phone, labels)
    with pytest.raises(ValueError, match="RGB images.*4 channels"):
        export_tflite(model, path, quantize="int8", calibration=[])


def test_a_model_of_color_and_depth_is_verified_on_a_data_set(tmp_path):
    model = tiny_model(input_shape=(None, None, 4), modalities=("rgb", "depth"))
    depth = np.random.default_rng(0).integers(500, 5000, (40, 56, 1)).astype("uint16")
    truth = predictions_of(model, np.concatenate([IMAGE, depth], axis=-1)).astype("uint8")
    example = {"image": IMAGE, "depth": depth, "label": truth}
    dataset = from_arrays("rgbd", LABELS, {"val": [example]})

    report = verify(export_savedmodel(model, tmp_path / "versions"), model, dataset)

    assert report.passed
    # The labels are the model's own, so that any other input would score less.
    assert report.model_mean_iou == 1.0


def test_artifacts_name_the_images_that_their_three_channels_do_not_tell(tmp_path):
    model = tiny_model(seed=3, modalities=("hha",))
    hha = picture(40, 56, seed=1)
    truth = predictions_of(model, hha)
    example = {"image": IMAGE, "hha": hha, "label": truth.astype("uint8")}
    dataset = from_arrays("rgb and hha", LABELS, {"val": [example]})
    artifacts = [
        export_savedmodel(model, tmp_path / "versions"),
        export_tflite(model, tmp_path / "m.tflite"),
    ]
    Image.fromarray(hha).save(tmp_path / "room.png")

    for artifact in artifacts:
        predictor = open_predictor(artifact)
        predict_files(predictor, [tmp_path / "room.png"], tmp_path / artifact.stem)

        assert predictor.modalities == ("hha",)
        assert np.mean(truth != predictions_of(model, IMAGE)) > 0.2
        assert evaluate(predictor, dataset).metrics.pixel_accuracy > 0.999
        predicted = np.asarray(Image.open(tmp_path / artifact.stem / "room.png"))
        assert np.mean(predicted == truth) > 0.999
    assert verify(artifacts[1], model, dataset).model_mean_iou == 1.0


def test_other_channels_are_resized_for_a_file_of_one_size(tmp_path):
    model = tiny_model(input_shape=(None, None, 6), modalities=("rgb", "hha"))
    hha = picture(40, 56, seed=1)
    example = {"image": IMAGE, "hha": hha, "label": np.zeros((40, 56), "uint8")}
    dataset = from_arrays("rgb and hha", LABELS, {"val": [example]})
    path = export_tflite(model, tmp_path / "m.tflite", size=(64, 32))

    report = verify(path, model, dataset)

    assert report.passed
    assert "Fixed input of 64x32" in report.notes[0]
    # All is labeled as class 0: its IoU is the share of pixels that are predicted so, of the
    # smaller labels enlarged by nearest.
    planes = [
        np.asarray(Image.fromarray(plane).resize((32, 64), Image.Resampling.BILINEAR))
        for plane in np.moveaxis(np.concatenate([IMAGE, hha], -1).astype("float32"), -1, 0)
    ]
    small = predictions_of(model, np.stack(planes, -1)).astype("uint8")
    labels = np.asarray(Image.fromarray(small).resize((56, 40), Image.Resampling.NEAREST))
    expected = np.mean(labels == 0) / len({0, *np.unique(labels)})
    assert report.model_mean_iou == pytest.approx(expected)


def test_a_model_of_one_size_still_serves_every_size(tmp_path):
    model = tiny_model(input_shape=(64, 32, 3))
    folder = export_savedmodel(model, tmp_path / "versions")

    images = tf.constant(picture(100, 80)[None])
    labels = tf.saved_model.load(str(folder)).signatures["serving_default"](images=images)[
        "predictions"
    ]

    assert labels.shape == (1, 100, 80)
    report = verify(export_tflite(model, tmp_path / "m.tflite"), model, [picture(100, 80)])
    assert report.passed
    assert "Fixed input of 64x32" in report.notes[0]
    with pytest.raises(ValueError, match="built for images of 64x32"):
        export_savedmodel(model, tmp_path / "versions", size=(32, 64))
