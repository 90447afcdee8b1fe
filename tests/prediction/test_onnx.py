import sys

import numpy as np
import pytest
from keras_fcn_export import export_onnx

from keras_fcn.prediction import open_predictor

from ..helpers import images_of, picture, tiny_model
from .networks import write_onnx

pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")


def test_several_heads_give_the_logits_of_the_model(tmp_path):
    model = tiny_model(num_classes={"semantic": 3, "geometric": 2})
    images = np.stack([picture(40, 56, seed) for seed in (1, 2)])

    predictor = open_predictor(export_onnx(model, tmp_path / "m.onnx"))

    expected = model(images.astype("float32"))
    logits, predictions = predictor.logits(images), predictor.predict(images)
    assert predictor.labels == model.labels
    for head in ("semantic", "geometric"):
        np.testing.assert_allclose(logits[head], expected[head], atol=1e-4)
        assert predictions[head].dtype == np.uint8
        np.testing.assert_array_equal(predictions[head], logits[head].argmax(-1))


def test_depth_is_named_in_the_file_and_taken_as_float32(tmp_path):
    model = tiny_model(input_shape=(None, None, 4), modalities=("rgb", "depth"))
    images = np.random.default_rng(0).uniform(1, 2000, (1, 40, 56, 4)).astype("float32")

    predictor = open_predictor(export_onnx(model, tmp_path / "m.onnx"), num_threads=1)

    assert (predictor.num_channels, predictor.modalities) == (4, ("rgb", "depth"))
    expected = np.asarray(model(images))
    np.testing.assert_allclose(predictor.logits(images), expected, atol=1e-5 * np.ptp(expected))
    np.testing.assert_array_equal(predictor.predict(images), expected.argmax(-1))
    with pytest.raises(ValueError, match="`images` must be float32"):
        predictor.predict(images_of(1, 8, 8))


def test_a_foreign_file_is_refused(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", metadata={})

    with pytest.raises(ValueError, match=r"must contain its classes \(labels.json in the metadata"):
        open_predictor(path)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    path = write_onnx(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(ImportError, match=r"pip install 'keras_fcn\[onnx\]'"):
        open_predictor(path)
