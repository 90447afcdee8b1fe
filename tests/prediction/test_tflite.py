import zipfile

import numpy as np
import pytest
import tensorflow as tf

from keras_fcn.labels import Heads
from keras_fcn.prediction import open_predictor

from ..helpers import images_of
from .networks import LOGITS, PREDICTIONS, SPEC, add_labels, save_module, write_tflite


def test_a_file_of_predictions_has_no_logits(exported):
    with pytest.raises(ValueError, match=r"returns predictions only.*keras-fcn export --"):
        open_predictor(exported("tflite")).logits(images_of(1, 2, 2))


@pytest.mark.parametrize("use_delegate", [True, False])
def test_a_file_of_logits_gives_both(tmp_path, use_delegate):
    path = write_tflite(tmp_path / "m.tflite", logits=True)
    images = images_of(2, 3, 4)

    predictor = open_predictor(path, num_threads=1, use_delegate=use_delegate)

    np.testing.assert_array_equal(predictor.logits(images), images.astype("float32"))
    np.testing.assert_array_equal(predictor.predict(images), images.argmax(-1))


@pytest.mark.parametrize("use_delegate", [True, False])
def test_logits_before_the_predictions_are_found_if_tensors_are_kept(exported, use_delegate):
    predictor = open_predictor(exported("tflite"), use_delegate=use_delegate, keep_tensors=True)

    for images in (images_of(2, 3, 4), images_of(1, 9, 5)):
        np.testing.assert_array_equal(predictor.logits(images), images.astype("float32"))
        np.testing.assert_array_equal(predictor.predict(images), images.argmax(-1))


def test_a_file_without_arg_max_has_no_logits_to_find(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), "uint8")])
    def first_channel(images):
        return images[..., 0]

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [first_channel.get_concrete_function()]
    )
    path = tmp_path / "m.tflite"
    path.write_bytes(converter.convert())

    with pytest.raises(ValueError, match="returns predictions only"):
        open_predictor(add_labels(path, SPEC), keep_tensors=True)


def test_several_heads_are_told_apart_by_name(tmp_path):
    # Not in alphabetical order, in which TensorFlow keeps outputs.
    labels = {"second": SPEC, "first": SPEC}

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), "uint8", name="images")])
    def outputs_of(images):
        values = tf.cast(images, "float32")
        return {
            f"first_{PREDICTIONS}": tf.cast(tf.argmax(-values, -1), "uint8"),
            f"second_{PREDICTIONS}": tf.cast(tf.argmax(values, -1), "uint8"),
        }

    signatures = {"serving_default": outputs_of, LOGITS: outputs_of}
    saved = save_module(tmp_path / "saved", signatures, labels)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(saved), signature_keys=["serving_default"]
    )
    (tmp_path / "m.tflite").write_bytes(converter.convert())
    images = images_of(1, 5, 4)

    for path in (saved, add_labels(tmp_path / "m.tflite", labels)):
        found = open_predictor(path).predict(images)
        np.testing.assert_array_equal(found["first"], images.argmin(-1))
        np.testing.assert_array_equal(found["second"], images.argmax(-1))
    logits = open_predictor(path, keep_tensors=True).logits(images)
    np.testing.assert_array_equal(logits["first"], -images.astype("float32"))
    np.testing.assert_array_equal(logits["second"], images.astype("float32"))


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"\0" * 100)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.json", Heads(SPEC).to_json())

    with pytest.raises(ValueError, match=r"m\.tflite cannot be read as a TFLite model"):
        open_predictor(path)
