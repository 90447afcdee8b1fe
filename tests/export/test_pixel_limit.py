"""What a request may cost: pixels are counted as the network pads them."""

import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_fcn_export import export_savedmodel
from keras_fcn_export.model_info import padding
from keras_fcn_export.signatures import logits_function
from PIL import Image

from keras_fcn import FCN8s
from keras_fcn.backbones import BACKBONES
from keras_fcn.prediction import open_predictor
from keras_fcn.prediction.graph import NetworkGraph
from keras_fcn.prediction.keras_model import heads_of
from keras_fcn.prediction.predictor import ImageSizeError, ServingOptions

from ..helpers import channel_model, file_bytes, picture, tiny_model

# In a process of its own: the largest memory of a process never falls.
PROGRAM = """
    import resource, sys
    import numpy as np, tensorflow as tf

    folder, request = sys.argv[1:]
    loaded = tf.saved_model.load(folder)
    small = np.zeros((1, 8, 8, 3), "uint8")
    loaded.signatures["serving_default"](images=tf.constant(small))
    loaded.signatures["logits"](images=tf.constant(small))
    png = tf.io.encode_png(small[0])
    loaded.signatures["encoded"](image_bytes=png[None])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        if request == "encoded":
            content = open(folder + "/../long.png", "rb").read()
            loaded.signatures[request](image_bytes=tf.constant([content]))
        elif request == "many":
            images = tf.zeros((20_000, 1, 1, 3), tf.uint8)
            print(loaded.signatures["serving_default"](images=images)["predictions"].shape)
        else:
            loaded.signatures[request](images=tf.zeros((1, 1, 1_000_000, 3), tf.uint8))
    except tf.errors.InvalidArgumentError as error:
        print("refused" if "--max-pixels" in str(error) else error)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported")
    folder = export_savedmodel(tiny_model(), path)
    content = file_bytes(Image.new("L", (1_000_000, 1)))
    assert len(content) < 2000
    (path / "long.png").write_bytes(content)
    return folder


@pytest.mark.parametrize("request_", ["encoded", "serving_default", "logits"])
def test_long_image_of_one_pixel_in_height_is_refused_without_its_memory(exported, request_):
    # 32 x 1,000,000 pixels are run for 1 x 1,000,000. Without the check: above 1,000 MB.
    outcome, megabytes = run(exported, request_)

    assert outcome == "refused"
    assert megabytes < 100


def test_many_images_of_one_pixel_are_run_in_parts(exported):
    # 20,000 images of 1 x 1 pixel, 60 kB, are 20,480,000 pixels to the network.
    outcome, megabytes = run(exported, "many")

    assert outcome == "(20000, 1, 1)"
    assert megabytes < 700


def run(folder, request):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(folder), request],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outcome, megabytes = done.stdout.splitlines()[-2:]
    print(outcome, megabytes)
    return outcome, int(megabytes)


def test_parts_have_the_predictions_of_the_whole(tmp_path):
    model = tiny_model()
    # Room for three images of 40 x 60, which are padded to 64 x 64.
    folder = export_savedmodel(model, tmp_path, max_pixels=3 * 64 * 64, confidence=True)
    images = np.stack([picture(40, 60, seed=seed) for seed in range(7)])
    expected = model.predict(images, verbose=0)

    loaded = tf.saved_model.load(str(folder))
    outputs = loaded.signatures["serving_default"](images=tf.constant(images))
    logits = loaded.signatures["logits"](images=tf.constant(images))["logits"]

    np.testing.assert_array_equal(outputs["predictions"], expected.argmax(-1))
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    shares = np.exp(expected) / np.exp(expected).sum(-1, keepdims=True)
    np.testing.assert_allclose(outputs["confidence"], shares.max(-1), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # 8 x 8 pixels an image: all seven are 448.
        ({"max_pixels": 448}, [7] * 7),
        ({"max_pixels": 447}, [6] * 6 + [1]),
        # Resized to 16 x 64: 1,024 pixels an image, so that two have room.
        ({"max_pixels": 2048, "size": (16, 64)}, [2] * 6 + [1]),
        ({"max_pixels": 2047, "size": (64, 16)}, [1] * 7),
        # Padded by 4 on each side to 16 x 16, 256 pixels.
        ({"max_pixels": 1023, "border": 4}, [3] * 6 + [1]),
    ],
)
def test_a_part_has_as_many_images_as_the_limit_allows(options, expected):
    # The logits are the number of images that the network sees at once.
    class Count(keras.layers.Layer):
        def call(self, inputs):
            return 0 * inputs + keras.ops.cast(keras.ops.shape(inputs)[0], "float32")

    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, Count()(inputs))
    network = NetworkGraph(model, heads_of(model), tf.TensorSpec((None, None, None, 3)))
    run = logits_function(network, ServingOptions(**options))

    [logits] = run(tf.zeros((7, 8, 8, 3), tf.uint8)).values()

    assert np.asarray(logits)[:, 0, 0, 0].tolist() == expected


@pytest.mark.parametrize(
    ("geometry", "expected"),
    # The reference pads 100 pixels on each side of VGG's input.
    [("same", (32, 0)), ("reference", (1, 100))],
)
def test_padding_is_that_of_the_network(geometry, expected):
    backbone = BACKBONES["vgg16"](alpha=0.125, fc_filters=8, geometry=geometry)

    assert padding(FCN8s(2, backbone=backbone)) == expected


def test_network_that_pads_nothing_has_its_own_pixels():
    assert padding(channel_model()) == (1, 0)


def test_limit_is_of_the_padded_image_and_the_message_contains_both(tmp_path):
    predictor = open_predictor(export_savedmodel(tiny_model(), tmp_path, max_pixels=64 * 64))
    options = json.loads((tmp_path / "1" / "assets" / "serving.json").read_text())

    assert predictor.predict(np.zeros((1, 33, 64, 3), "uint8")).shape == (1, 33, 64)
    with pytest.raises(ImageSizeError, match="Received: 1x129, which the network pads to 32x160"):
        predictor.predict(np.zeros((1, 1, 129, 3), "uint8"))

    assert (options["stride"], options["border"]) == (32, 0)
