from importlib import import_module

import numpy as np
import pytest
from keras_fcn_benchmark.description import describe_network
from keras_fcn_benchmark.runtimes import Session, thread_environment
from keras_fcn_benchmark.worker import Worker, WorkerError
from keras_fcn_export import export_tflite

import keras_fcn

from ..helpers import picture, randomize_logits, tiny_model


def test_importing_the_runtimes_loads_no_framework():
    with Worker(import_module, "builtins") as worker:
        worker.call("eval", "__import__('keras_fcn_benchmark.runtimes') and None")
        loaded = worker.call("eval", "sorted(__import__('sys').modules)")

    assert "keras_fcn_benchmark.runtimes" in loaded
    assert not {"keras", "keras_fcn", "tensorflow", "torch", "openvino"} & set(loaded)


def test_a_session_times_and_predicts(tmp_path):
    model = tiny_model()
    path = export_tflite(model, tmp_path / "m.tflite", size=(32, 64))
    images = np.stack([picture(32, 64, seed) for seed in range(2)])

    with Worker(
        Session, "predictor", path, 1, "predictions", environment=thread_environment(1)
    ) as worker:
        worker.call("take", images[:1])
        seconds = worker.call("time", 3)
        predictions = worker.call("predictions", images)
        memory = worker.call("peak_bytes")

    assert len(seconds) == 3
    assert all(0 < value < 10 for value in seconds)
    assert 10e6 < memory < 500e6  # without TensorFlow, which takes more
    expected = model.predict(images, verbose=0).argmax(-1)
    assert predictions.dtype == np.uint8
    assert np.mean(predictions == expected) > 0.99


def test_a_file_that_cannot_be_opened_is_an_error_with_its_cause(tmp_path):
    (tmp_path / "broken.tflite").write_bytes(b"nothing")

    with pytest.raises(WorkerError, match="ChecksumError: .*broken.tflite"):
        Worker(Session, "predictor", tmp_path / "broken.tflite", 1, "predictions")


@pytest.mark.parametrize("name", ["vgg16", "mobilenet_v2"])
def test_pytorch_computes_the_same_network(tmp_path, name):
    pytest.importorskip("torch")
    from keras_fcn_benchmark.torch_network import TorchNetwork

    # Wide enough for strided convolutions, narrow enough to be quick.
    alpha, options = {"vgg16": (0.1, {"fc_filters": 8}), "mobilenet_v2": (0.35, {})}[name]
    backbone = keras_fcn.backbones.create(name, alpha=alpha, **options)
    model = keras_fcn.FCN8s(3, backbone=backbone)
    randomize_logits(model)
    images = np.stack([picture(45, 70, seed) for seed in range(2)])
    expected = model.predict(images, verbose=0)

    import torch

    network = TorchNetwork.load(describe_network(model, tmp_path))
    logits = network(torch.from_numpy(images)).numpy()

    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
