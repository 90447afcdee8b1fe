"""Images of a thousand sizes are run by few graphs: no size costs a trace of its own.

Nothing is padded for it: the logits inside an image would change.
"""

import itertools

import keras
import numpy as np
import pytest
from keras_fcn_export import export_savedmodel
from tensorflow.python.eager import context

from keras_fcn.data.pipeline import evaluation_batches
from keras_fcn.datasets import from_arrays
from keras_fcn.evaluation import evaluate
from keras_fcn.losses import PixelwiseCrossentropy
from keras_fcn.prediction import KerasPredictor, open_predictor
from keras_fcn.prediction.image_files import predict_files

from ..helpers import LABELS, images_of, tiny_model

NUM_SIZES = [40, pytest.param(1000, marks=pytest.mark.full)]


def sizes(count: int) -> list[tuple[int, int]]:
    """Returns different heights and widths, in no order."""
    every = list(itertools.product(range(5, 37), range(20, 52)))
    return [every[i] for i in np.random.default_rng(0).permutation(len(every))[:count]]


def examples(count: int) -> list[dict[str, np.ndarray]]:
    return [
        {"image": images_of(1, *size)[0], "label": np.zeros(size, "uint8")} for size in sizes(count)
    ]


class CountedModel:
    """A real network, with a layer in front that notes each call: one for each graph."""

    def __init__(self) -> None:
        self.traces: list[tuple[int | None, ...]] = []
        traces = self.traces

        class Noting(keras.layers.Layer):
            def call(self, inputs):
                traces.append(inputs.shape)
                return inputs

        network = tiny_model(LABELS.num_classes)
        images = keras.Input((None, None, 3))
        self.model = keras.Model(images, network(Noting()(images)))
        traces.clear()


@pytest.mark.parametrize("count", NUM_SIZES)
def test_predict_and_evaluate_trace_the_network_once(tmp_path, count):
    counted = CountedModel()
    predictor = KerasPredictor(counted.model)
    counted.traces.clear()  # the inference form was built
    paths = []
    for number, example in enumerate(examples(count)):
        paths.append(tmp_path / f"{number}.png")
        keras.utils.save_img(paths[-1], example["image"], scale=False)

    results = predict_files(predictor, paths, tmp_path / "out", with_overlay=False)
    after_predict = len(counted.traces)
    evaluate(predictor, from_arrays("sizes", predictor.labels, {"val": examples(count)}))
    after_evaluate = len(counted.traces)
    for size in sizes(count):
        predictor.logits(images_of(1, *size))

    assert not any(result.error for result in results)
    # Predictions, the same graph again, and logits, whose graph contains the same network.
    assert (after_predict, after_evaluate, len(counted.traces)) == (1, 1, 1)


@pytest.mark.parametrize("count", NUM_SIZES)
def test_fit_traces_at_most_two_graphs(count):
    traces = []

    class NotingLoss(PixelwiseCrossentropy):
        def __call__(self, y_true, y_pred, sample_weight=None):
            traces.append(y_true.shape)
            return super().__call__(y_true, y_pred, sample_weight)

    dataset = from_arrays("sizes", LABELS, {"train": examples(count), "val": examples(count)})
    model = tiny_model()
    model.compile("sgd", NotingLoss())

    history = model.fit(
        evaluation_batches(dataset, "train", 1),
        validation_data=evaluation_batches(dataset, "val", 1),
        epochs=2,
        shuffle=False,
        verbose=0,
    )

    assert np.isfinite(history.history["val_loss"]).all()
    assert len(traces) == 2, traces  # the step of training, and that of validation


@pytest.mark.parametrize("count", NUM_SIZES)
def test_a_savedmodel_traces_no_graph(tmp_path, count):
    export_savedmodel(tiny_model(), tmp_path / "m")
    predictor = open_predictor(tmp_path / "m")
    predictor.predict(images_of(1, 9, 9)), predictor.logits(images_of(1, 9, 9))
    # Every graph that TensorFlow has traced or loaded is a function of its context.
    functions = set(context.context().list_function_names())
    assert functions

    for size in sizes(count):
        assert predictor.predict(images_of(1, *size)).shape == (1, *size)
        assert predictor.logits(images_of(1, *size)).shape == (1, *size, LABELS.num_classes)

    assert set(context.context().list_function_names()) == functions
