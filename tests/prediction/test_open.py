import shutil
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

from ..helpers import TAPS, tiny_layers, tiny_model


def test_a_missing_model_is_named():
    with pytest.raises(FileNotFoundError, match=r"no model at absent\.keras. Expected .*\.onnx"):
        open_predictor("absent.keras")
    with pytest.raises(FileNotFoundError, match=r"no model at absent\.keras"):
        load_model("absent.keras")


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "model.pth").write_text("")

    with pytest.raises(
        ValueError, match=r"a \.tflite file or a \.onnx file. Received: .*model\.pth"
    ):
        open_predictor(tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"must be a \.keras file. Received: .*model\.pth"):
        load_model(tmp_path / "model.pth")


@pytest.mark.parametrize("kind", ["keras", "tflite", "onnx"])
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_file_is_one_error(tmp_path, exported, kind, kept):
    contents = exported(kind).read_bytes()
    path = tmp_path / exported(kind).name
    path.write_bytes(contents[: int(kept * len(contents))])

    with pytest.raises(ValueError, match=rf"{path.name} (cannot be read|must contain|is not as)"):
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


@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_a_model_in_the_older_format_is_opened(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    model = tiny_model({"thing": 3, "light": 2}, modalities=("rgb", "depth"), upsampling="learned")
    keras.saving.save_model(model, path)
    image = np.random.default_rng(0).uniform(0, 255, (1, 30, 40, 4)).astype("float32")

    for opened in (load_model(path), keras.models.load_model(path, {"FCN": keras_fcn.FCN})):
        assert opened.get_config() == model.get_config()
        for head, logits in opened.predict(image, verbose=0).items():
            np.testing.assert_array_equal(logits, model.predict(image, verbose=0)[head])
    assert open_predictor(path).heads == model.heads


def test_files_of_weights_and_others_in_the_older_format_say_what_to_do(tmp_path):
    model = tiny_model()
    model.save_weights(tmp_path / "model.weights.h5")
    shutil.copy(tmp_path / "model.weights.h5", tmp_path / "renamed.h5")
    (tmp_path / "photo.h5").write_bytes(b"not HDF5")

    with pytest.raises(ValueError, match=r"model\.weights\.h5 must contain a model.*, weights="):
        load_model(tmp_path / "model.weights.h5")
    for name in ("renamed.h5", "photo.h5"):
        with pytest.raises(ValueError, match=rf'{name} could not.*model\.save\("model\.keras"\)'):
            load_model(tmp_path / name)

    # What the texts say to do.
    again = tiny_model(seed=1)
    with pytest.warns(UserWarning, match=r"model\.weights\.h5 contains no settings"):
        keras_fcn.weights.load(again, tmp_path / "model.weights.h5")
    for weight, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_are_no_numbers_are_told(tmp_path, value):
    inputs = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(2, 1, name="score")
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.array([1, 2, 3, value, 5, 6]).reshape(1, 1, 3, 2), np.zeros(2)])
    model.save(tmp_path / "m.keras")

    for opens in (load_model, open_predictor):
        with pytest.warns(UserWarning, match=r"m\.keras contains NaN or infinity in score/kernel"):
            opens(tmp_path / "m.keras")


def test_large_numbers_are_numbers(tmp_path, recwarn):
    inputs = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(2, 1)
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.full((1, 1, 3, 2), 3e38), np.full(2, 3e38)])
    model.save(tmp_path / "m.keras")

    load_model(tmp_path / "m.keras")

    assert not [w for w in recwarn if "NaN" in str(w.message)]
