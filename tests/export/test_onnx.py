import sys

import numpy as np
import pytest
from keras_fcn_export import export_onnx, verify
from keras_fcn_export.onnx import onnx_labels

from .export_samples import LABELS, labels_of, picture, tiny_model

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    return export_onnx(model, tmp_path_factory.mktemp("onnx") / "m.onnx")


@pytest.mark.parametrize("size", [(1, 1), (37, 50), (64, 96)])
def test_onnx_runtime_answers_as_the_model(model, path, size):
    images = np.stack([picture(*size, seed=1), picture(*size, seed=2)])
    session = onnxruntime.InferenceSession(path)

    labels, scores = session.run(["predictions", "logits"], {"images": images})

    expected = model(images.astype("float32")).numpy()
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected.argmax(-1))
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_the_file_describes_itself(path):
    (images,) = onnxruntime.InferenceSession(path).get_inputs()

    assert (images.name, images.type) == ("images", "tensor(uint8)")
    assert images.shape == ["batch", "height", "width", 3]
    assert onnx_labels(path) == LABELS


def test_it_is_verified_like_the_others(model, path):
    report = verify(path, model, [picture(40, 70)])

    assert report.passed
    assert report.comparisons[0].engine == "ONNX Runtime"


def test_a_fixed_size(model, tmp_path):
    image = picture(64, 32)

    path = export_onnx(model, tmp_path / "m.onnx", size=(64, 32))

    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].shape == ["batch", 64, 32, 3]
    (labels,) = session.run(["predictions"], {"images": image[None]})
    np.testing.assert_array_equal(labels[0], labels_of(model, image))


def test_several_heads(tmp_path):
    model = tiny_model(num_classes={"semantic": 3, "geometric": 2})
    image = picture(40, 40)[None]

    path = export_onnx(model, tmp_path / "m.onnx")

    names = ["semantic_predictions", "geometric_predictions"]
    answers = onnxruntime.InferenceSession(path).run(names, {"images": image})
    expected = model(image.astype("float32"))
    for head, labels in zip(("semantic", "geometric"), answers, strict=True):
        # Other kernels, other rounding: a pixel with nearly equal scores may differ.
        assert np.mean(labels == expected[head].numpy().argmax(-1)) > 0.99


def test_missing_packages_are_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)

    with pytest.raises(ImportError, match=r"needs tf2onnx.*keras_fcn\[onnx\]"):
        export_onnx(model, tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=r"must end in \.onnx"):
        export_onnx(model, tmp_path / "m.bin")
