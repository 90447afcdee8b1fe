import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras_fcn_export import export_tflite, list_operators
from keras_fcn_export.operators import describe_operators, float_islands

from keras_fcn.labels import Heads

from ..helpers import LABELS, picture, predictions_of, tiny_model

CALIBRATION = [picture(64, 96, seed) for seed in range(100)]


def run(path, image, *, delegate=True):
    return run_batch(path, image[None], delegate=delegate)[0]


def run_batch(path, images, *, delegate=True):
    resolver = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=resolver)
    (details,) = interpreter.get_input_details()
    assert details["dtype"] == np.uint8
    interpreter.resize_tensor_input(details["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(details["index"], images)
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    return interpreter.get_tensor(output["index"])


@pytest.fixture(scope="module")
def int8(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "scenes.tflite"
    return export_tflite(model, path, quantize="int8", size=(64, 96), calibration=CALIBRATION)


@pytest.fixture(scope="module")
def float32(model, tmp_path_factory):
    return export_tflite(model, tmp_path_factory.mktemp("float32") / "scenes.tflite")


@pytest.mark.parametrize("delegate", [True, False])
@pytest.mark.parametrize("size", [(64, 96), (1, 1), (37, 50)])
def test_any_size_gets_the_predictions_of_the_model(model, float32, size, delegate):
    image = picture(*size, seed=3)

    labels = run(float32, image, delegate=delegate)

    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, predictions_of(model, image))


@pytest.mark.parametrize("delegate", [True, False])
@pytest.mark.parametrize("size", [(64, 96), (37, 50)])
def test_any_batch_gets_the_predictions_of_the_model(model, float32, size, delegate):
    images = np.stack([picture(*size, seed) for seed in range(3)])

    labels = run_batch(float32, images, delegate=delegate)

    np.testing.assert_array_equal(labels, [predictions_of(model, image) for image in images])


def test_a_batch_of_int8_gets_the_predictions_of_its_images(model, tmp_path):
    path = export_tflite(model, tmp_path / "m.tflite", quantize="int8", calibration=CALIBRATION)
    images = np.stack([picture(50, 70, seed) for seed in (200, 201)])

    labels = run_batch(path, images)

    np.testing.assert_array_equal(labels, [run(path, image) for image in images])


@pytest.mark.parametrize("output_type", ["predictions", "logits"])
def test_a_compiled_model_of_fixed_size_predicts_as_the_model(model, tmp_path, output_type):
    compiled_model = pytest.importorskip("ai_edge_litert.compiled_model")
    path = export_tflite(model, tmp_path / "m.tflite", size=(64, 96), output_type=output_type)
    image = picture(64, 96, seed=3)

    with compiled_model.CompiledModel.from_file(
        str(path), compiled_model.HardwareAccelerator.CPU
    ) as compiled:
        inputs, outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
        inputs[0].write(image[None])
        compiled.run_by_index(0, inputs, outputs)
        if output_type == "logits":
            labels = outputs[0].read(image.size // 3 * 4, np.float32).reshape(-1, 4).argmax(-1)
        else:
            labels = outputs[0].read(image.size // 3, np.uint8)

    np.testing.assert_array_equal(np.reshape(labels, (64, 96)), predictions_of(model, image))


@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic"])
@pytest.mark.parametrize("delegate", [True, False])
def test_scores_are_close_to_those_of_the_model(model, tmp_path, quantize, delegate):
    image = picture(50, 37)
    path = export_tflite(
        model, tmp_path / "m.tflite", quantize=quantize, size=(50, 37), output_type="logits"
    )

    scores = run(path, image, delegate=delegate)

    expected = model(image[None].astype("float32")).numpy()[0]
    # float16 keeps 11 bits of a weight, int8 keeps 8: of the largest score.
    tolerance = {"none": 1e-5, "float16": 2e-3, "dynamic": 0.05}[quantize] * np.abs(expected).max()
    np.testing.assert_allclose(scores, expected, atol=tolerance)


@pytest.mark.parametrize("delegate", [True, False])
def test_int8_labels_are_mostly_those_of_the_model(model, int8, delegate):
    image = picture(64, 96, seed=200)

    labels = run(int8, image, delegate=delegate)

    assert np.mean(labels == predictions_of(model, image)) > 0.9


def test_int8_is_integer_throughout_and_per_channel(int8):
    file = schema.Model.GetRootAs(int8.read_bytes(), 0)
    graph = file.Subgraphs(0)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]

    assert float_islands(list_operators(int8)) == []
    assert {t.Type() for t in tensors} <= {
        schema.TensorType.UINT8,
        schema.TensorType.INT8,
        schema.TensorType.INT32,
    }
    # The first convolution: 4 filters of 8x8x3, each with a scale of its own.
    (kernel,) = [t for t in tensors if t.ShapeAsNumpy().tolist() == [4, 8, 8, 3]]
    assert kernel.Quantization().ScaleLength() == 4


def test_int8_reads_pixels_as_they_are(int8):
    interpreter = Interpreter(str(int8))

    (details,) = interpreter.get_input_details()

    assert details["quantization"] == (1.0, 0)


def test_int8_of_any_size(model, tmp_path):
    path = export_tflite(model, tmp_path / "m.tflite", quantize="int8", calibration=CALIBRATION)
    image = picture(50, 70, seed=200)

    assert float_islands(list_operators(path)) == []
    assert np.mean(run(path, image) == predictions_of(model, image)) > 0.9


def test_operators_are_listed(float32, int8):
    names = {operator.name for operator in list_operators(int8)}

    assert {"CONV_2D", "RESIZE_BILINEAR", "ADD", "ARG_MAX"} <= names
    assert all(operator.is_builtin for operator in list_operators(int8))
    assert "RESIZE_BILINEAR" in float_islands(list_operators(float32))
    assert "RESIZE_BILINEAR 3 (float)" in describe_operators(
        list_operators(float32), mark_float=True
    )


def test_classes_are_inside_the_file(float32):
    with zipfile.ZipFile(float32) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode().split() == ["sky", "road", "tree", "car"]
        assert Heads.from_json(archive.read("labels.json").decode()).labels == LABELS


def test_mixed_precision_becomes_float32(tmp_path):
    model = tiny_model(dtype="mixed_bfloat16")
    image = picture(32, 32)

    path = export_tflite(model, tmp_path / "m.tflite", size=(32, 32))

    # Same seed, hence the same weights.
    np.testing.assert_array_equal(run(path, image), predictions_of(tiny_model(), image))


def test_mistakes_are_explained(model, tmp_path):
    path = tmp_path / "m.tflite"
    noise = [np.random.default_rng(s).integers(0, 256, (32, 32, 3), "uint8") for s in range(100)]
    blank = [np.full((8, 8, 3), value, "uint8") for value in range(100)]

    with pytest.raises(ValueError, match=r"must end in \.tflite"):
        export_tflite(model, tmp_path / "m.lite")
    with pytest.raises(ValueError, match="`quantize` must be one of none, float16"):
        export_tflite(model, path, quantize="int4")
    with pytest.raises(ValueError, match="`output_type` must be"):
        export_tflite(model, path, output_type="masks")
    with pytest.raises(ValueError, match=r"`size` must be \(height, width\)"):
        export_tflite(model, path, size=(0, 5))
    with pytest.raises(ValueError, match="`calibration` is needed"):
        export_tflite(model, path, quantize="int8")
    with pytest.raises(ValueError, match="`calibration` is needed"):
        export_tflite(model, path, calibration=CALIBRATION)
    with pytest.raises(ValueError, match=r"at least 100 different.*100 images, 1 different"):
        export_tflite(model, path, quantize="int8", calibration=CALIBRATION[:1] * 100)
    with pytest.raises(ValueError, match="look like noise"):
        export_tflite(model, path, quantize="int8", calibration=noise)
    with pytest.raises(ValueError, match="look like noise or are blank"):
        export_tflite(model, path, quantize="int8", calibration=blank)
    with pytest.raises(ValueError, match=r"position 0: float64, shape \(2, 2, 3\)"):
        export_tflite(model, path, quantize="int8", calibration=[np.zeros((2, 2, 3))])
    assert list(tmp_path.iterdir()) == []
