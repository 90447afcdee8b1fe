"""Images of many sizes run in one graph: none is traced anew for a size, and none is padded for it.

TensorFlow traces, which runs the code of the layers; a graph that is there does not run it again.
"""

import functools
import itertools

import keras_fcn_train
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras_fcn_export import export_savedmodel

import keras_fcn
from keras_fcn.datasets import from_arrays
from keras_fcn.evaluation import evaluate
from keras_fcn.prediction import KerasPredictor, open_predictor

from .helpers import Tiny
from .train.tiny_training import SPEC, tiny_config

NUM_SIZES = [30, pytest.param(1000, marks=pytest.mark.full)]


@pytest.fixture
def traces(monkeypatch):
    """A list that gets an entry when a network is traced."""
    traces = []
    call = layers.Conv2D.call

    @functools.wraps(call)
    def counted(self, *args, **kwargs):
        if self.name == "score_fr" and tf.inside_function():
            traces.append(self)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(layers.Conv2D, "call", counted)
    return traces


def examples(number):
    """Returns noise of as many different sizes."""
    sizes = itertools.islice(itertools.product(range(20, 60), repeat=2), number)
    random = np.random.default_rng(0)
    return [
        {
            "image": random.integers(0, 256, (*size, 3), dtype="uint8"),
            "label": random.integers(0, 3, size, dtype="uint8"),
        }
        for size in sizes
    ]


@pytest.fixture
def model():
    model = keras_fcn.FCN8s(3, backbone=Tiny(), labels=SPEC)
    random = np.random.default_rng(0)
    # Not negative, as BatchNorm's variance must be.
    model.set_weights([random.uniform(0, 1, weight.shape) for weight in model.weights])
    return model


@pytest.mark.parametrize("number", NUM_SIZES)
def test_prediction_and_evaluation_trace_once(model, traces, number):
    predictor = KerasPredictor(model)
    images = [example["image"] for example in examples(number)]
    expected = [np.argmax(model(image[None])[0], axis=-1) for image in images[:20]]
    traces.clear()

    for image, labels in zip(images, [*expected, *[None] * number], strict=False):
        (predicted,) = predictor.predict(image[None])
        assert labels is None or np.array_equal(predicted, labels)
    assert len(traces) == 1

    dataset = from_arrays("sizes", SPEC, {"val": examples(number)})
    result = evaluate(predictor, dataset, batch_size=4)
    assert result.num_images == number
    assert len(traces) == 1


@pytest.mark.parametrize("number", NUM_SIZES)
def test_a_training_traces_its_step_and_its_validation_once(
    tiny_backbones, tmp_path, traces, number
):
    some = examples(number)
    dataset = from_arrays("sizes", SPEC, {"train": some, "val": some[::-1]})
    config = tiny_config(
        dataset="sizes", crop_size=None, batch_size=1, epochs=2, workdir=str(tmp_path / "run")
    )

    keras_fcn_train.fit(config, dataset)

    assert len(traces) == 2


@pytest.mark.parametrize("number", NUM_SIZES)
def test_fit_of_keras_traces_once(model, traces, number):
    some = examples(number)
    batches = tf.data.Dataset.from_generator(
        lambda: ((example["image"][None], example["label"][None]) for example in some),
        output_signature=(
            tf.TensorSpec((1, None, None, 3), "uint8"), tf.TensorSpec((1, None, None), "uint8")
        ),
    ).apply(tf.data.experimental.assert_cardinality(number))  # fmt: skip
    model.compile("sgd", keras_fcn.losses.PixelwiseCrossentropy())
    traces.clear()

    model.fit(batches, epochs=2, shuffle=False, verbose=0)

    assert len(traces) == 1


@pytest.mark.parametrize("number", NUM_SIZES)
def test_a_savedmodel_has_one_graph_for_all_sizes(model, tmp_path, number):
    path = export_savedmodel(model, tmp_path / "saved")
    predictor = open_predictor(path)
    expected = KerasPredictor(model)

    # A signature is one graph: it raises an error for what does not fit.
    signature = tf.saved_model.load(path).signatures["serving_default"]
    assert signature.inputs[0].shape.as_list() == [None, None, None, 3]
    for example in examples(number):
        image = example["image"][None]
        np.testing.assert_array_equal(predictor.predict(image), expected.predict(image))
