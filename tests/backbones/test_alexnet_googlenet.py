import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import AlexNet, create
from keras_fcn.backbones.blocks import ceil_pool
from keras_fcn.layers import GroupedConv2D, LocalResponseNormalization

VARIANTS = (keras_fcn.FCN32s, keras_fcn.FCN16s, keras_fcn.FCN8s)


def test_grouped_convolution_equals_keras():
    inputs = np.random.default_rng(0).normal(size=(2, 9, 8, 4)).astype("float32")
    options = {"padding": "same", "strides": 2, "activation": "relu", "groups": 2}
    ours, theirs = GroupedConv2D(6, 3, **options), keras.layers.Conv2D(6, 3, **options)
    ours.build(inputs.shape)
    theirs.build(inputs.shape)
    weights = [np.random.default_rng(1).normal(size=w.shape) for w in theirs.get_weights()]
    for layer in (ours, theirs):
        layer.set_weights(weights)

    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_narrow_alexnet_trains(jit_compile):
    # Grouped convolutions have no gradient on CPUs in TensorFlow; ours need none.
    model = keras_fcn.FCN32s(2, backbone=AlexNet(alpha=0.05, fc_filters=4))
    model.compile("sgd", keras_fcn.losses.PixelwiseCrossentropy(), jit_compile=jit_compile)
    before = [np.asarray(w) for w in model.get_layer("score_fr").trainable_weights]

    model.fit(np.ones((1, 64, 64, 3)) * 50, np.ones((1, 64, 64), "int32"), verbose=0)

    after = model.get_layer("score_fr").trainable_weights
    assert np.abs(np.asarray(after[1]) - before[1]).max() > 0


def test_response_normalization_by_hand():
    # size 3, alpha 3, beta 1: each value over 1 + the sum of the squares beside it.
    layer = LocalResponseNormalization(size=3, alpha=3.0, beta=1.0)

    normalized = np.asarray(layer(np.array([[[[1.0, 2.0, 3.0, 0.0]]]], "float32")))

    expected = [1 / (1 + 1 + 4), 2 / (1 + 1 + 4 + 9), 3 / (1 + 4 + 9), 0]
    np.testing.assert_allclose(normalized[0, 0, 0], expected, rtol=1e-5)


def test_response_normalization_is_the_same_without_tensorflow(monkeypatch):
    inputs = np.random.default_rng(0).normal(size=(2, 3, 4, 9)).astype("float32") * 100
    layer = LocalResponseNormalization()
    with_tensorflow = np.asarray(layer(inputs))

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")

    np.testing.assert_allclose(layer(inputs), with_tensorflow, rtol=1e-5)


def test_response_normalization_needs_an_odd_size():
    with pytest.raises(ValueError, match="`size` must be odd and at least 1. Received: size=4"):
        LocalResponseNormalization(size=4)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 11])
def test_ceil_pool_takes_what_is_left(size):
    rows = np.random.default_rng(0).uniform(size=size).astype("float32")
    image = np.broadcast_to(rows[None, :, None, None], (1, size, 3, 1))

    pooled = np.asarray(ceil_pool(image, "pool"))[0, :, 0, 0]

    # Caffe: ceil((n - 3) / 2) + 1 windows, each of what there is of 3 rows.
    num_windows = -(-(size - 3) // 2) + 1
    assert pooled.tolist() == [rows[2 * i : 2 * i + 3].max() for i in range(num_windows)]


@pytest.mark.parametrize("backbone", ["alexnet", "googlenet"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_lie_on_the_image_in_both_geometries(backbone, variant):
    # One bright pixel changes the scores around itself, not a stride beside it.
    options = {"alpha": 0.1, "normalization": "none"}
    options |= {} if backbone == "googlenet" else {"fc_filters": 4}
    models = [
        variant(2, backbone=create(backbone, geometry=geometry, **options))
        for geometry in ("same", "reference")
    ]
    for layer in models[0].layers:
        if layer.weights and "upscore" not in layer.name:
            layer.set_weights([np.abs(w) for w in layer.get_weights()])
            if layer.name.startswith("score"):
                layer.set_weights([np.ones(w.shape) for w in layer.get_weights()])
    keras_fcn.weights.transfer(models[0], models[1])
    image = np.zeros((1, 448, 448, 3), "float32")
    image[0, 240, 200] = 255.0

    for model in models:
        change = np.asarray(model(image) - model(np.zeros_like(image)))[0, ..., 0]
        places = np.indices(change.shape)
        center = (places * change).sum((1, 2)) / change.sum()

        assert np.abs(center - (240, 200)).max() < 20


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet", "googlenet"])
def test_a_file_of_one_geometry_loads_into_the_other(backbone, tmp_path):
    narrow = create(backbone, alpha=0.05, fc_filters=3)
    source = keras_fcn.FCN16s(3, backbone=narrow.replace(geometry="reference", border=90))
    source.save(tmp_path / "m.keras")

    with pytest.warns(UserWarning, match="geometry: 'reference' there, 'same' here; border: 90"):
        target = keras_fcn.FCN16s(3, backbone=narrow, weights=str(tmp_path / "m.keras"))
    loaded = keras.saving.load_model(tmp_path / "m.keras")

    for old, new in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    image = np.random.default_rng(0).uniform(0, 255, (1, 41, 50, 3))
    np.testing.assert_array_equal(loaded(image), source(image))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vgg16", {"geometry": "caffe"}, '`geometry` must be "same" or "reference"'),
        ("vgg16", {"geometry": "reference", "border": 81}, "`border` must be at least 82"),
        ("vgg16", {"border": 100}, '`border` is for geometry="reference". Received: border=100'),
        (
            "resnet50",
            {"geometry": "reference"},
            "is for vgg16, vgg19, alexnet, alexnet_torchvision, googlenet. Received: .*resnet50",
        ),
        (
            "googlenet_torchvision",
            {"geometry": "reference"},
            "for 'googlenet_torchvision'. Use geometry=\"same\"",
        ),
        ("vgg16", {"alpha": 0.5, "weights": "x.h5"}, "are for alpha=1. Received: alpha=0.5"),
    ],
)
def test_errors_say_what_to_do(name, settings, message):
    with pytest.raises(ValueError, match=message):
        create(name, **settings)


def test_alexnet_takes_weights_of_caffe_and_pytorch_only():
    backbone = AlexNet(fc_filters=2, weights="nowhere")

    with pytest.raises(ValueError, match="for alexnet one that ends in .caffemodel"):
        keras_fcn.FCN(3, backbone=backbone)


@pytest.mark.parametrize("backbone", ["alexnet", pytest.param("googlenet", marks=pytest.mark.full)])
def test_export_to_tflite_keeps_scores_and_the_built_in_operation(backbone, tmp_path):
    tf = pytest.importorskip("tensorflow")
    from ai_edge_litert.interpreter import Interpreter

    model = keras_fcn.FCN8s(2, backbone=create(backbone, alpha=0.1), input_shape=(64, 64, 3))
    for layer in model.layers:
        if layer.name.startswith("score_") and layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([np.random.default_rng(0).normal(size=kernel.shape), bias])
    model.export(tmp_path / "saved", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    content = converter.convert()  # fails if an operation is not built in

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    operations = {d["op_name"] for d in interpreter._get_ops_details()}
    assert "LOCAL_RESPONSE_NORMALIZATION" in operations
    expected = np.asarray(model(image))
    np.testing.assert_allclose(scores, expected, atol=1e-4 * np.ptp(expected))
