import os
import subprocess
import sys

import keras
import numpy as np

import keras_fcn
from keras_fcn import LabelSpec
from keras_fcn.prediction import KerasPredictor, open_predictor

from ..helpers import images_of, two_headed_model
from .networks import SPEC


def test_classes_and_modalities_of_our_model_are_in_its_file(tmp_path):
    model = keras_fcn.FCN8s(3, backbone="small_resnet", labels=SPEC, modalities=("hha",))
    model.save(tmp_path / "m.keras")
    images = images_of(1, 35, 50)

    predictor = open_predictor(tmp_path / "m.keras")

    assert (predictor.labels, predictor.modalities) == (SPEC, ("hha",))
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    np.testing.assert_allclose(predictor.logits(images), expected, atol=1e-4)
    assert predictor.predict(images).shape == (1, 35, 50)


def test_a_model_is_traced_once_for_all_sizes():
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            traces.append(inputs.shape)
            return inputs

    inputs = keras.Input((None, None, 3))
    predictor = KerasPredictor(keras.Model(inputs, Counting()(inputs)))
    traces.clear()

    for size in range(2, 12):
        predictor.predict(images_of(1, size, 3 * size))

    assert len(traces) == 1


def test_several_heads_return_dictionaries():
    predictor = KerasPredictor(two_headed_model())
    images = images_of(1, 5, 4)

    predictions, logits = predictor.predict(images), predictor.logits(images)

    assert predictor.labels == {name: LabelSpec.numbered(3) for name in ("brightest", "darkest")}
    np.testing.assert_array_equal(predictions["brightest"], images.argmax(-1))
    np.testing.assert_array_equal(predictions["darkest"], images.argmin(-1))
    np.testing.assert_array_equal(logits["darkest"], -images.astype("float32"))


def test_prediction_runs_on_jax_in_several_threads(exported):
    program = f"""
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from keras_fcn.prediction import open_predictor
predictor = open_predictor({str(exported("keras"))!r})
images = np.array([[[[1, 9, 2], [7, 0, 3]]]], "uint8")
print(predictor.runtime, predictor.predict(images).tolist(), predictor.logits(images).dtype)
random = np.random.default_rng(0)
batches = [random.integers(0, 256, (1, 3 + i % 4, 5, 3), "uint8") for i in range(24)]
with ThreadPoolExecutor(4) as pool:
    found = list(pool.map(predictor.predict, batches))
print(all((a == b.argmax(-1)).all() for a, b in zip(found, batches)))
"""

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["Keras, jax [[[1, 0]]] float32", "True"]
