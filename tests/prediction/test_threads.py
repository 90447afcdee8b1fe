"""Predictors are called from several threads, with images of several sizes."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import keras
import numpy as np
import pytest

from keras_fcn.prediction import (
    AveragedPredictor,
    KerasPredictor,
    Predictor,
    TiledPredictor,
    open_predictor,
)

from ..helpers import Tiny, images_of, tiny_model
from .networks import FORMATS

NUM_THREADS = 4
SIZES = [(33, 20), (64, 96), (1, 7), (130, 70), (33, 21)]


def check_threads(predictor: Predictor, alone: Predictor) -> None:
    """Compares the results of threads that start together with those of another predictor."""
    batches = [images_of(1 + i % 2, *SIZES[i % len(SIZES)]) for i in range(15)]
    expected = [(alone.predict(images), alone.logits(images)) for images in batches]
    barrier = Barrier(NUM_THREADS)

    def run(thread: int) -> list:
        order = np.random.default_rng(thread).permutation(len(batches))
        barrier.wait(timeout=60)
        return [(i, predictor.predict(batches[i]), predictor.logits(batches[i])) for i in order]

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        results = [result for results in pool.map(run, range(NUM_THREADS)) for result in results]

    assert len(results) == NUM_THREADS * len(batches)
    for i, predictions, logits in results:
        np.testing.assert_array_equal(predictions, expected[i][0])
        np.testing.assert_array_equal(logits, expected[i][1])


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_may_be_called_from_several_threads(exported, kind):
    predictor, alone = (open_predictor(exported(kind), keep_tensors=True) for _ in range(2))

    check_threads(predictor, alone)


def test_a_model_is_traced_once_by_all_threads():
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            traces.append(inputs.shape)
            return inputs

    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, Counting()(inputs))
    alone = KerasPredictor(model)
    alone.predict(images_of(1, 2, 2)), alone.logits(images_of(1, 2, 2))
    traces.clear()

    check_threads(KerasPredictor(model), alone)

    assert len(traces) == 1  # for predictions and logits


def test_tiles_and_averages_may_be_called_from_several_threads():
    model = tiny_model(3, backbone=Tiny(fc_filters=0, normalization="caffe"))

    def wrapped(network: Predictor) -> Predictor:
        averaged = AveragedPredictor(network, flip=True, scales=(0.5, 1))
        return TiledPredictor(averaged, tile_size=(64, 64), overlap=32)

    check_threads(wrapped(KerasPredictor(model)), wrapped(KerasPredictor(model)))
