"""Files for MediaPipe, opened by MediaPipe's Python package."""

import importlib.util
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras_fcn_export import export_tflite, list_operators, verify

from keras_fcn.prediction import open_predictor
from keras_fcn.prediction.checksum import check

from ..helpers import LABELS, channel_model, picture, predictions_of, two_headed_model
from .test_tflite import CALIBRATION

mediapipe = pytest.importorskip("mediapipe")
vision = pytest.importorskip("mediapipe.tasks.python.vision")

SIZE = (64, 96)
IMAGE = picture(*SIZE, seed=3)


@pytest.fixture(scope="module", autouse=True)
def _reports_nothing():
    """MediaPipe reports its use to a server of its makers; the proxy given here does not exist."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("https_proxy", "http://127.0.0.1:9")
        yield


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("mediapipe") / "scenes.tflite"
    return export_tflite(model, path, size=SIZE, reader="mediapipe")


def open_segmenter(path):
    options = vision.ImageSegmenterOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(path)),
        output_category_mask=True,
        output_confidence_masks=True,
    )
    return vision.ImageSegmenter.create_from_options(options)


def segment(segmenter, image):
    """Returns the predictions and the confidences of MediaPipe for one image."""
    pixels = mediapipe.Image(
        image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
    )
    result = segmenter.segment(pixels)
    masks = [mask.numpy_view().reshape(image.shape[:2]) for mask in result.confidence_masks]
    return (
        result.category_mask.numpy_view().reshape(image.shape[:2]).copy(),
        np.stack(masks, axis=-1),
    )


def logits_of_litert(path, image):
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (details,) = interpreter.get_input_details()
    interpreter.set_tensor(details["index"], image[None])
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    return interpreter.get_tensor(output["index"])[0]


def test_mediapipe_predicts_what_litert_and_the_model_predict(model, path):
    with open_segmenter(path) as segmenter:
        predictions, confidences = segment(segmenter, IMAGE)

    logits = logits_of_litert(path, IMAGE)
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    softmax = exponentials / exponentials.sum(-1, keepdims=True)
    np.testing.assert_array_equal(predictions, logits.argmax(-1))
    np.testing.assert_array_equal(predictions, predictions_of(model, IMAGE))
    np.testing.assert_allclose(confidences, softmax, atol=1e-5)


def test_mediapipe_knows_the_names_of_the_classes(path):
    with open_segmenter(path) as segmenter:
        assert tuple(segmenter.labels) == LABELS.class_names


@pytest.mark.parametrize("quantize", ["float16", "dynamic", "int8"])
def test_quantized_files_predict_as_in_litert(model, tmp_path, quantize):
    path = export_tflite(
        model,
        tmp_path / "m.tflite",
        quantize=quantize,
        size=SIZE,
        calibration=CALIBRATION if quantize == "int8" else None,
        reader="mediapipe",
    )

    with open_segmenter(path) as segmenter:
        predictions, _ = segment(segmenter, IMAGE)

    np.testing.assert_array_equal(predictions, logits_of_litert(path, IMAGE).argmax(-1))


def test_mediapipe_resizes_other_images_and_their_predictions(path):
    image = picture(50, 37)

    with open_segmenter(path) as segmenter:
        predictions, _ = segment(segmenter, image)

    assert predictions.shape == (50, 37)
    assert predictions.max() < LABELS.num_classes


def test_the_file_is_also_one_of_this_package(model, path):
    check(path)
    predictor = open_predictor(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()

    assert predictor.labels == LABELS
    assert predictor.fixed_size == SIZE
    assert sorted(names) == ["labels.json", "labels.txt"]
    assert verify(path, model, [IMAGE]).passed


def test_the_metadata_changes_no_operator(model, path, tmp_path):
    plain = export_tflite(model, tmp_path / "m.tflite", size=SIZE, output_type="logits")

    assert list_operators(path) == list_operators(plain)
    np.testing.assert_array_equal(logits_of_litert(path, IMAGE), logits_of_litert(plain, IMAGE))


def test_forms_that_mediapipe_misreads_are_refused(model, tmp_path):
    path = tmp_path / "m.tflite"

    with pytest.raises(ValueError, match="`size` must be given for MediaPipe.*reads.*as 1x1"):
        export_tflite(model, path, reader="mediapipe")
    with pytest.raises(ValueError, match='`output_type` must be "logits" for MediaPipe'):
        export_tflite(model, path, size=SIZE, output_type="predictions", reader="mediapipe")
    with pytest.raises(ValueError, match=r"must take RGB.*Received: 4 channels and 1 heads"):
        export_tflite(channel_model(channels=4), path, size=SIZE, reader="mediapipe")
    with pytest.raises(ValueError, match=r"one head.*Received: 3 channels and 2 heads"):
        export_tflite(two_headed_model(), path, size=SIZE, reader="mediapipe")
    with pytest.raises(ValueError, match='`reader` must be "litert" or "mediapipe"'):
        export_tflite(model, path, reader="coreml")
    assert not path.exists()


def test_without_mediapipe_the_extra_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(ImportError, match=r"pip install 'keras_fcn\[mediapipe\]'"):
        export_tflite(model, tmp_path / "m.tflite", size=SIZE, reader="mediapipe")
