"""The network of these tests scores each pixel by its three channels: the brightest one wins."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_fcn
from keras_fcn import LabelSpec
from keras_fcn.backbones import MobileNetV2
from keras_fcn.labels import labels_to_json
from keras_fcn.prediction import KerasPredictor, open_predictor

SPEC = LabelSpec(("reddish", "greenish", "bluish"))


def channel_model(height: int | None = None, width: int | None = None) -> keras.Model:
    inputs = keras.Input((height, width, 3))
    return keras.Model(inputs, keras.layers.Rescaling(1.0)(inputs))


def images_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype("uint8")


def write_saved_model(folder: Path, size: tuple[int | None, int | None] = (None, None)) -> Path:
    module = tf.Module()
    folder.parent.mkdir(exist_ok=True)
    labels_file = folder.parent / "labels.json"
    labels_file.write_text(labels_to_json(SPEC))
    module.asset = tf.saved_model.Asset(str(labels_file))
    images = tf.TensorSpec((None, *size, 3), "uint8", name="images")

    @tf.function(input_signature=[images])
    def labels_of(images):
        return {"labels": tf.cast(tf.argmax(images, -1), "uint8")}

    @tf.function(input_signature=[images])
    def scores_of(images):
        return {"scores": tf.cast(images, "float32")}

    signatures = {"serving_default": labels_of, "scores": scores_of}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def write_tflite(path: Path, *, size: tuple[int, int] | None = None, scores: bool = False) -> Path:
    height, width = size or (None, None)

    @tf.function(input_signature=[tf.TensorSpec((1, height, width, 3), "uint8")])
    def answer(images):
        values = tf.cast(images, "float32")
        return values if scores else tf.cast(tf.argmax(values, -1), "uint8")

    converter = tf.lite.TFLiteConverter.from_concrete_functions([answer.get_concrete_function()])
    path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.json", labels_to_json(SPEC))
    return path


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> dict[str, Path]:
    """The same network in each format, for any size."""
    folder = tmp_path_factory.mktemp("artifacts")
    channel_model().save(folder / "m.keras")
    return {
        "keras": folder / "m.keras",
        "savedmodel": write_saved_model(folder / "saved" / "3").parent,
        "tflite": write_tflite(folder / "m.tflite"),
    }


@pytest.mark.parametrize("kind", ["keras", "savedmodel", "tflite"])
def test_every_format_answers_the_brightest_channel_at_any_size(artifacts, kind):
    predictor = open_predictor(artifacts[kind])

    assert (predictor.format, predictor.fixed_size, predictor.notes) == (kind, None, ())
    for shape in [(1, 1, 1), (2, 5, 7), (1, 40, 33), (3, 5, 7)]:
        images = images_of(*shape)
        labels = predictor.predict(images)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, images.argmax(-1))


@pytest.mark.parametrize("kind", ["keras", "savedmodel"])
def test_scores_are_float32(artifacts, kind):
    images = images_of(2, 4, 6)

    scores = open_predictor(artifacts[kind]).logits(images)

    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, images.astype("float32"))


def test_labels_come_from_the_artifact(artifacts):
    assert open_predictor(artifacts["savedmodel"]).labels == SPEC
    assert open_predictor(artifacts["tflite"]).labels == SPEC
    # A plain Keras model carries none.
    assert open_predictor(artifacts["keras"]).labels == LabelSpec.numbered(3)


def test_labels_of_our_model_are_in_its_file(tmp_path):
    model = keras_fcn.FCN8s(3, backbone=MobileNetV2(alpha=0.35), labels=SPEC)
    model.save(tmp_path / "m.keras")
    images = images_of(1, 35, 50)

    predictor = open_predictor(tmp_path / "m.keras")

    assert predictor.labels == SPEC
    scores = keras.ops.convert_to_numpy(model(images, training=False))
    np.testing.assert_allclose(predictor.logits(images), scores, atol=1e-4)
    assert predictor.predict(images).shape == (1, 35, 50)


def test_the_highest_version_of_a_saved_model_is_opened(tmp_path, artifacts):
    for version in ("9", "10", "notes"):
        (tmp_path / version).mkdir()
    source = artifacts["savedmodel"] / "3"
    (tmp_path / "9" / "saved_model.pb").symlink_to(source / "saved_model.pb")
    for entry in source.iterdir():
        (tmp_path / "10" / entry.name).symlink_to(entry)

    assert open_predictor(tmp_path).path == tmp_path / "10"
    assert open_predictor(tmp_path / "10").path == tmp_path / "10"


def test_a_tflite_of_labels_has_no_scores(artifacts):
    with pytest.raises(ValueError, match=r"returns predictions only.*--answer scores"):
        open_predictor(artifacts["tflite"]).logits(images_of(1, 2, 2))


def test_a_tflite_of_scores_answers_both_without_its_delegate_too(tmp_path):
    path = write_tflite(tmp_path / "m.tflite", scores=True)
    images = images_of(2, 3, 4)

    for use_delegate in (True, False):
        predictor = open_predictor(path, num_threads=1, use_delegate=use_delegate)
        np.testing.assert_array_equal(predictor.logits(images), images.astype("float32"))
        np.testing.assert_array_equal(predictor.predict(images), images.argmax(-1))


@pytest.mark.parametrize("kind", ["keras", "savedmodel", "tflite"])
def test_a_fixed_size_is_reached_by_resizing(tmp_path, kind):
    if kind == "keras":
        path = tmp_path / "m.keras"
        channel_model(4, 6).save(path)
    elif kind == "savedmodel":
        path = write_saved_model(tmp_path / "saved", (4, 6))
    else:
        path = write_tflite(tmp_path / "m.tflite", size=(4, 6))
    # Each half has one color; halves stay halves, whatever the size.
    images = np.zeros((2, 8, 24, 3), "uint8")
    images[:, :, :12, 1] = 200
    images[:, :, 12:, 2] = 200

    predictor = open_predictor(path)
    labels = predictor.predict(images)

    assert predictor.fixed_size == (4, 6)
    assert "Fixed input of 4x6" in predictor.notes[0]
    np.testing.assert_array_equal(labels, images.argmax(-1))
    assert predictor.predict(images_of(1, 4, 6)).shape == (1, 4, 6)
    if kind != "tflite":
        assert predictor.logits(images).shape == (2, 8, 24, 3)


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


def test_several_heads_answer_dictionaries():
    inputs = keras.Input((None, None, 3))
    outputs = {
        "semantic": keras.layers.Rescaling(1.0)(inputs),
        "darkest": keras.layers.Rescaling(-1.0)(inputs),
    }
    predictor = KerasPredictor(keras.Model(inputs, outputs))
    images = images_of(1, 5, 4)

    labels = predictor.predict(images)

    assert predictor.labels == {name: LabelSpec.numbered(3) for name in outputs}
    np.testing.assert_array_equal(labels["semantic"], images.argmax(-1))
    np.testing.assert_array_equal(labels["darkest"], images.argmin(-1))
    assert {head: np.shape(maps) for head, maps in predictor.logits(images).items()} == {
        "semantic": (1, 5, 4, 3),
        "darkest": (1, 5, 4, 3),
    }


def test_several_heads_of_artifacts_are_told_apart_by_name(tmp_path):
    # Not in alphabetical order, in which TensorFlow keeps outputs.
    labels = {"second": SPEC, "first": SPEC}
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), "uint8", name="images")])
    def answer(images):
        values = tf.cast(images, "float32")
        darkest = tf.cast(tf.argmin(values, -1), "uint8")
        return {"first_labels": darkest, "second_labels": tf.cast(tf.argmax(values, -1), "uint8")}

    (tmp_path / "labels.json").write_text(labels_to_json(labels))
    module.asset = tf.saved_model.Asset(str(tmp_path / "labels.json"))
    signatures = {"serving_default": answer, "scores": answer}
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(tmp_path / "saved"), signature_keys=["serving_default"]
    )
    (tmp_path / "m.tflite").write_bytes(converter.convert())
    with zipfile.ZipFile(tmp_path / "m.tflite", "a") as archive:
        archive.writestr("labels.json", labels_to_json(labels))
    images = images_of(1, 5, 4)

    for name in ("saved", "m.tflite"):
        found = open_predictor(tmp_path / name).predict(images)
        np.testing.assert_array_equal(found["first"], images.argmin(-1))
        np.testing.assert_array_equal(found["second"], images.argmax(-1))


@pytest.mark.parametrize(
    "images",
    [np.zeros((4, 4, 3), "uint8"), np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 4), "uint8")],
)
def test_images_must_be_batches_of_uint8_rgb(artifacts, images):
    with pytest.raises(ValueError, match="`images` must be uint8 RGB"):
        open_predictor(artifacts["keras"]).predict(images)


@pytest.mark.parametrize("size", [(None, None), (4, 4)])
def test_more_channels_than_rgb_are_taken_as_float32(tmp_path, size):
    inputs = keras.Input((*size, 5))
    keras.Model(inputs, keras.layers.Rescaling(1.0)(inputs)).save(tmp_path / "m.keras")
    images = np.zeros((1, 8, 8, 5), "float32")
    images[..., 4] = 0.5
    images[:, :4, :, 1] = -2.5e6

    predictor = open_predictor(tmp_path / "m.keras")

    assert predictor.num_channels == 5
    np.testing.assert_array_equal(predictor.predict(images), np.full((1, 8, 8), 4))
    with pytest.raises(ValueError, match=r"must be float32 of shape .* 5\)"):
        predictor.predict(images_of(1, 8, 8))


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model at .*absent\.keras"):
        open_predictor(tmp_path / "absent.keras")


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "model.h5").write_text("")

    with pytest.raises(ValueError, match=r"Received: .*model\.h5"):
        open_predictor(tmp_path / "model.h5")


@pytest.mark.parametrize("kind", ["keras", "tflite"])
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_file_is_one_error(tmp_path, artifacts, kind, kept):
    contents = artifacts[kind].read_bytes()
    path = tmp_path / artifacts[kind].name
    path.write_bytes(contents[: int(kept * len(contents))])

    with pytest.raises(ValueError, match=rf"{path.name} (cannot be read|must contain)"):
        open_predictor(path)


def test_a_foreign_tflite_is_refused(tmp_path, artifacts):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"\0" * 100)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.json", labels_to_json(SPEC))

    with pytest.raises(ValueError, match=r"m\.tflite cannot be read as a TFLite model"):
        open_predictor(path)


def test_a_damaged_or_foreign_saved_model_is_one_error(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"must contain assets/labels\.json"):
        open_predictor(tmp_path)

    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "labels.json").write_text(labels_to_json(SPEC))
    with pytest.raises(ValueError, match="cannot be read as a SavedModel"):
        open_predictor(tmp_path)


def test_a_folder_without_a_saved_model_is_refused_with_a_hint(tmp_path):
    (tmp_path / "best.keras").write_text("")

    with pytest.raises(ValueError, match=r"saved_model\.pb.*best\.keras: give that file"):
        open_predictor(tmp_path)


def test_a_classifier_is_refused(tmp_path):
    inputs = keras.Input((8, 8, 3))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)).save(tmp_path / "c.keras")

    with pytest.raises(ValueError, match=r"network from images .* to \(None, 3\)"):
        open_predictor(tmp_path / "c.keras")


def test_prediction_runs_on_jax(artifacts):
    program = (
        "import numpy as np; from keras_fcn.prediction import open_predictor\n"
        "images = np.array([[[[1, 9, 2], [7, 0, 3]]]], 'uint8')\n"
        f"predictor = open_predictor({str(artifacts['keras'])!r})\n"
        "print(predictor.predict(images).tolist(), predictor.logits(images).dtype)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split("\n")[0] == "[[[1, 0]]] float32"
