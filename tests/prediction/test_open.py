import subprocess
import sys
import zipfile
from threading import Thread

import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import TappedModel
from keras_fcn.prediction import load_model, open_predictor

from ..helpers import TAPS, tiny_layers


def test_a_missing_model_is_named():
    with pytest.raises(FileNotFoundError, match=r"no model at absent\.keras. Expected .*\.onnx"):
        open_predictor("absent.keras")
    with pytest.raises(FileNotFoundError, match=r"no model at absent\.keras"):
        load_model("absent.keras")


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "model.h5").write_text("")

    with pytest.raises(
        ValueError, match=r"a \.tflite file or a \.onnx file. Received: .*model\.h5"
    ):
        open_predictor(tmp_path / "model.h5")
    with pytest.raises(ValueError, match=r"must be a \.keras file. Received: .*model\.h5"):
        load_model(tmp_path / "model.h5")


@pytest.mark.parametrize("kind", ["keras", "tflite", "onnx"])
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_file_is_one_error(tmp_path, exported, kind, kept):
    contents = exported(kind).read_bytes()
    path = tmp_path / exported(kind).name
    path.write_bytes(contents[: int(kept * len(contents))])

    with pytest.raises(ValueError, match=rf"{path.name} (cannot be read|must contain)"):
        open_predictor(path)


def test_a_file_without_weights_is_one_error(tmp_path, exported):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(exported("keras")) as whole, zipfile.ZipFile(path, "w") as cut:
        for name in ("metadata.json", "config.json"):
            cut.writestr(name, whole.read(name))

    with pytest.raises(ValueError, match=r"m\.keras cannot be read as a Keras model: .*weights"):
        load_model(path)


def test_a_classifier_is_refused(tmp_path):
    inputs = keras.Input((8, 8, 3))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)).save(tmp_path / "c.keras")

    with pytest.raises(ValueError, match=r"network from images .* to \(None, 3\)"):
        open_predictor(tmp_path / "c.keras")


# === load_model ===


def test_a_model_is_loaded_as_keras_loads_it(tmp_path):
    model = keras_fcn.FCN8s(
        3,
        backbone=TappedModel(tiny_layers(), taps=TAPS, fc_filters=4, normalization="caffe"),
    )
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(size=w.shape) for w in model.get_weights()])
    model.compile("adam", "mse")
    model.save(tmp_path / "m.keras")

    loaded = load_model(tmp_path / "m.keras")
    theirs = keras.saving.load_model(tmp_path / "m.keras", compile=False)

    assert type(loaded) is type(model) and loaded.get_config() == theirs.get_config()
    assert not loaded.compiled
    assert len(loaded.weights) == len(theirs.weights) > 0
    for ours, reference in zip(loaded.weights, theirs.weights, strict=True):
        assert ours.path == reference.path and ours.trainable == reference.trainable
        np.testing.assert_array_equal(ours, reference)


def test_weights_of_a_loaded_model_can_be_trained(tmp_path, exported):
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs)).save(tmp_path / "m.keras")
    model = load_model(tmp_path / "m.keras")
    before = model.get_weights()

    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(np.ones((1, 2, 2, 3)), np.full((1, 2, 2, 2), 9.0), verbose=0)

    assert all(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))


@keras.saving.register_keras_serializable(package="tests")
class BuildsAnother(keras.layers.Layer):
    """Builds a second layer in another thread, while it is itself being built."""

    def build(self, input_shape):
        def build_another():
            self.other = keras.layers.Conv2D(4, 3)
            self.other.build((None, None, None, 3))

        thread = Thread(target=build_another)
        thread.start()
        thread.join()
        self.kernel = self.add_weight(shape=(3,), initializer="glorot_uniform")
        self.others_kernel = np.array(self.other.kernel)

    def call(self, inputs):
        return inputs * self.kernel


def test_a_model_built_meanwhile_in_another_thread_gets_its_random_weights(tmp_path):
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, BuildsAnother()(inputs)).save(tmp_path / "m.keras")

    model = load_model(tmp_path / "m.keras")

    kernel = model.layers[1].others_kernel
    assert len(np.unique(kernel)) == kernel.size


@keras.saving.register_keras_serializable(package="tests")
class WithConstant(keras.layers.Layer):
    """Has a variable that is made of numbers, which Keras cannot create later."""

    def build(self, input_shape):
        self.constant = keras.Variable(np.array([1.0, 2.0, 3.0], "float32"))

    def call(self, inputs):
        return inputs * self.constant


def test_layers_that_need_their_variables_at_once_are_loaded_too(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, WithConstant()(inputs))
    model.layers[1].constant.assign([4.0, 5.0, 6.0])
    model.save(tmp_path / "m.keras")

    loaded = load_model(tmp_path / "m.keras")

    np.testing.assert_array_equal(loaded.layers[1].constant, [4.0, 5.0, 6.0])


def test_a_fresh_process_knows_our_classes(tmp_path):
    keras_fcn.FCN8s(3, backbone="small_resnet").save(tmp_path / "m.keras")
    program = (
        "from keras_fcn.prediction import load_model\n"
        f"model = load_model({str(tmp_path / 'm.keras')!r})\n"
        "print(type(model).__name__, model.heads.labels.num_classes)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "FCN 3"
