import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers
from keras_fcn_export import export_onnx, verify
from keras_fcn_export import onnx as onnx_file

import keras_fcn
from keras_fcn.backbones import backbone_names
from keras_fcn.layers import GroupedConv2D, LocalResponseNormalization
from keras_fcn.prediction import open_predictor

from ..helpers import LABELS, picture, predictions_of, randomize_logits, tiny_model
from .test_backbones_on_tflite import narrow_model

onnx = pytest.importorskip("onnx")
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
    assert open_predictor(path).labels == LABELS


def test_it_is_verified_like_the_others(model, path):
    report = verify(path, model, [picture(40, 70)])

    assert report.passed
    assert report.comparisons[0].runtime == "ONNX Runtime"


def test_a_fixed_size(model, tmp_path):
    image = picture(64, 32)

    path = export_onnx(model, tmp_path / "m.onnx", size=(64, 32))

    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].shape == ["batch", 64, 32, 3]
    (labels,) = session.run(["predictions"], {"images": image[None]})
    np.testing.assert_array_equal(labels[0], predictions_of(model, image))


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


def model_of_many_layers():
    """Two heads, behind one layer of each kind whose weights the converter rearranges."""
    keras.utils.set_random_seed(0)
    images = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(images)
    # After an activation BatchNorm is not folded into the convolution.
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = LocalResponseNormalization()(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)
    x = GroupedConv2D(16, 3, padding="same", groups=2)(x)
    x = layers.Conv2D(16, 3, padding="same", groups=16)(x)
    x = layers.LayerNormalization()(x)
    x = layers.Dense(24, activation="gelu")(x)
    x = layers.Conv2D(12, 3, dilation_rate=2, padding="same")(x)
    heads = {
        name: layers.Conv2DTranspose(classes, 4, strides=2, padding="same", name=name)(x)
        for name, classes in (("semantic", 3), ("geometric", 2))
    }
    model = keras.Model(images, heads)
    random = np.random.default_rng(0)
    for weight in model.weights:
        # Positive, as variances are.
        low = 0.5 if "variance" in weight.path else -0.5
        weight.assign(random.uniform(low, 1, weight.shape))
    return model


@pytest.fixture(params=[1, 64])
def smallest(request, monkeypatch):
    """From how many numbers a weight is large; a normalization has fewer than 64, a kernel more."""
    monkeypatch.setattr(onnx_file, "_LARGE", request.param)
    return request.param


def test_every_kind_of_weight_is_put_in_as_the_network_needs_it(smallest, tmp_path):
    model = model_of_many_layers()
    image = picture(40, 56)[None]

    path = export_onnx(model, tmp_path / "m.onnx")

    expected = model(image.astype("float32"))
    session = onnxruntime.InferenceSession(path)
    assert [value.name for value in session.get_inputs()] == ["images"]
    for head in ("semantic", "geometric"):
        labels, scores = session.run([f"{head}_predictions", f"{head}_logits"], {"images": image})
        scale = np.abs(expected[head]).max()
        np.testing.assert_allclose(scores / scale, expected[head] / scale, atol=1e-5)
        assert np.mean(labels == expected[head].numpy().argmax(-1)) > 0.999


def test_large_constants_are_weights_that_the_converter_did_not_see(
    smallest, tmp_path, monkeypatch
):
    model = model_of_many_layers()
    large = [w.numpy() for w in model.weights if np.prod(w.shape) >= smallest]
    converted = []
    complete = onnx_file._complete
    monkeypatch.setattr(
        onnx_file,
        "_complete",
        lambda path, *a: (converted.append(onnx.load(path)), complete(path, *a)),
    )

    path = export_onnx(model, tmp_path / "m.onnx")

    (before,) = converted
    inputs = [
        [d.dim_value for d in value.type.tensor_type.shape.dim] for value in before.graph.input
    ]
    assert inputs[1:] == [list(w.shape) for w in large]
    for constant in constants_of(before):
        assert constant.size < 2 or not np.isin(constant, np.concatenate(large, axis=None)).any()
    # Rearranging keeps the numbers, so that sorted they tell which weight it is.
    found = [np.sort(constant, axis=None) for constant in constants_of(onnx.load(path))]
    # The kernel of GroupedConv2D, 3x3x8x16, is there as one kernel a group.
    (grouped,) = (w for w in large if w.shape == (3, 3, 8, 16))
    parts = [w for w in large if w is not grouped] + np.split(grouped, 2, axis=-1)
    for part in parts:
        assert any(np.array_equal(np.sort(part, axis=None), constant) for constant in found)
    stored = sum(c.size for c in found if c.size >= 64)
    assert stored == sum(p.size for p in parts if p.size >= 64)


def constants_of(file):
    constants = (onnx.numpy_helper.to_array(tensor) for tensor in file.graph.initializer)
    return [constant for constant in constants if constant.dtype == np.float32]


def test_missing_packages_are_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)

    with pytest.raises(ImportError, match=r"needs tf2onnx.*keras_fcn\[onnx\]"):
        export_onnx(model, tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=r"must end in \.onnx"):
        export_onnx(model, tmp_path / "m.bin")


def test_verify_names_the_runtime_if_it_is_missing(model, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(ImportError, match=r"needs ONNX Runtime.*keras_fcn\[onnx\]"):
        verify(path, model, [picture(9, 9, seed=1)])


@pytest.mark.full
@pytest.mark.parametrize("backbone", backbone_names())
def test_backbone(backbone, tmp_path):
    model = narrow_model(backbone)
    image = picture(64, 96)[None]

    path = export_onnx(model, tmp_path / "m.onnx")

    expected = model(image.astype("float32")).numpy()
    answer = onnxruntime.InferenceSession(path).run(["predictions", "logits"], {"images": image})
    scale = np.abs(expected).max()
    np.testing.assert_allclose(answer[1] / scale, expected / scale, atol=1e-5)
    assert np.mean(answer[0] == expected.argmax(-1)) > 0.999


EXPORT = """
import keras, keras_fcn, sys
from pathlib import Path
from keras_fcn_export import export_onnx
export_onnx(keras.models.load_model(sys.argv[1], compile=False), sys.argv[2])
# The most memory that the process held. `getrusage` counts what its parent held, too.
print(Path("/proc/self/status").read_text())
"""


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_vgg16_takes_little_memory(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras_fcn.FCN8s(num_classes=21)
    randomize_logits(model, scale=0.1)
    model.save(tmp_path / "m.keras")
    image = picture(96, 128)[None]

    command = [sys.executable, "-c", EXPORT, tmp_path / "m.keras", tmp_path / "m.onnx"]
    status = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
    # 540 MB of weights. Reading the .keras file takes 3.6 GB, the export 4.0 GB.
    assert peak < 6e9
    expected = model(image.astype("float32")).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    labels, scores = session.run(["predictions", "logits"], {"images": image})
    scale = np.abs(expected).max()
    np.testing.assert_allclose(scores / scale, expected / scale, atol=1e-5)
    assert len(np.unique(labels)) > 3
    np.testing.assert_array_equal(labels, expected.argmax(-1))
