import re
import sys

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_fcn
from keras_fcn.backbones import VGG16, create
from keras_fcn.layers import ImageNormalization
from keras_fcn.weights import source
from keras_fcn.weights.architecture import network_arguments
from keras_fcn.weights.convert import load_weight_file, open_weight_file
from keras_fcn.weights.pytorch import open_state_dict, read_state_dict
from keras_fcn.weights.source import WeightFileError

RNG = np.random.default_rng(0)

VGG16_CONVOLUTIONS = {  # torchvision's index of the layer -> the paper's name
    0: "conv1_1", 2: "conv1_2", 5: "conv2_1", 7: "conv2_2", 10: "conv3_1", 12: "conv3_2",
    14: "conv3_3", 17: "conv4_1", 19: "conv4_2", 21: "conv4_3", 24: "conv5_1", 26: "conv5_2",
    28: "conv5_3",
}  # fmt: skip


def random(*shape):
    return RNG.normal(size=shape).astype("float32")


def write(path, tensors):
    save_file(tensors, path)
    return path


def parameters(name, *shape):
    return {f"{name}.weight": random(*shape), f"{name}.bias": random(shape[0])}


def test_torchvisions_vgg16_is_renamed(tmp_path):
    tensors = {}
    for index in VGG16_CONVOLUTIONS:
        tensors |= parameters(f"features.{index}", 2, 3, 3, 3)
    for index in (0, 3, 6):
        tensors |= parameters(f"classifier.{index}", 2, 2)
    path = write(tmp_path / "vgg16.safetensors", tensors)

    file = open_state_dict(path)

    names = {layer.name: name for name, layer in file.layers.items()}
    assert names == {
        **{f"features.{index}": name for index, name in VGG16_CONVOLUTIONS.items()},
        "classifier.0": "fc6",
        "classifier.3": "fc7",
        "classifier.6": "fc8",
    }
    assert (file.is_classifier, file.normalization, file.input_layer) == (True, "torch", "conv1_1")
    np.testing.assert_array_equal(
        file.layers["conv3_1"].weight.read(), tensors["features.10.weight"]
    )
    np.testing.assert_array_equal(file.layers["fc7"].bias.read(), tensors["classifier.3.bias"])


def test_torchvisions_vgg16_sees_what_it_was_trained_on(tmp_path):
    tensors = parameters("features.0", 4, 3, 3, 3) | parameters("features.28", 2, 4, 1, 1)
    path = write(tmp_path / "vgg16.safetensors", tensors)
    images = keras.Input((None, None, 3))
    x = ImageNormalization("caffe")(images)
    x = keras.layers.Conv2D(4, 3, name="block1_conv1")(x)
    model = keras.Model(images, keras.layers.Conv2D(2, 1, name="block5_conv3")(x))
    pixels = RNG.uniform(0, 255, (1, 6, 6, 3)).astype("float32")

    report = load_weight_file(model, path)

    assert "folded into conv1_1" in report.notes[0]
    normalized = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = normalized.astype("float32")
    for name in ("features.0", "features.28"):
        kernel = tensors[f"{name}.weight"].transpose(2, 3, 1, 0)
        x = keras.ops.conv(x, kernel) + tensors[f"{name}.bias"]
    np.testing.assert_allclose(model(pixels), x, rtol=1e-3, atol=1e-3)


def test_pytorch_fcn_has_the_names_of_the_reference(tmp_path):
    # FCN32s(n_class=2) of wkentaro/pytorch-fcn, but narrower.
    model = keras_fcn.FCN32s(2, backbone=VGG16(alpha=1 / 8, fc_filters=3, mean=(1, 2, 3)))
    tensors, channels = {}, 3
    for name in VGG16_CONVOLUTIONS.values():
        filters = 8 * 2 ** min(int(name[4]) - 1, 3)
        tensors |= parameters(name, filters, channels, 3, 3)
        channels = filters
    tensors |= parameters("fc6", 3, 64, 7, 7)
    tensors |= parameters("fc7", 3, 3, 1, 1)
    tensors |= parameters("score_fr", 2, 3, 1, 1)
    tensors["upscore.weight"] = random(2, 2, 64, 64)
    # As DataParallel names them.
    tensors = {f"module.{name}": tensor for name, tensor in tensors.items()}
    path = write(tmp_path / "fcn32s.safetensors", tensors)

    report = load_weight_file(model, path)

    assert report.fits
    assert report.kept == report.extra == ()
    assert report.notes == ("mean of the images 1, 2, 3: as given",)
    names = {"block4_conv3": "conv4_3", "fc6": "fc6", "score_fr": "score_fr", "upscore": "upscore"}
    for layer, name in names.items():
        expected = tensors[f"module.{name}.weight"].transpose(2, 3, 1, 0)
        np.testing.assert_array_equal(model.get_layer(layer).kernel, expected)


GOOGLENET_BRANCHES = {
    "branch1": (1, "1x1"),
    "branch2.0": (1, "3x3_reduce"),
    "branch2.1": (3, "3x3"),
    "branch3.0": (1, "5x5_reduce"),
    "branch3.1": (3, "5x5"),  # torchvision's kernels of this branch are 3x3
    "branch4.1": (1, "pool_proj"),
}


@pytest.fixture(scope="module")
def googlenet_tensors():
    names = {"conv1": 7, "conv2": 1, "conv3": 3}
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        names |= {f"inception{module}.{b}": size for b, (size, _) in GOOGLENET_BRANCHES.items()}
    tensors = parameters("fc", 10, 2)
    for name, size in names.items():
        tensors[f"{name}.conv.weight"] = random(2, 3, size, size)
        for part in ("weight", "bias", "running_mean"):
            tensors[f"{name}.bn.{part}"] = random(2)
        tensors[f"{name}.bn.running_var"] = RNG.uniform(0.01, 2, 2).astype("float32")
        tensors[f"{name}.bn.num_batches_tracked"] = np.array(7)
    return tensors


def test_batch_normalization_of_googlenet_is_folded(tmp_path, googlenet_tensors):
    path = write(tmp_path / "googlenet.safetensors", googlenet_tensors)
    image = random(1, 9, 9, 3)

    file = open_state_dict(path)

    assert len(file.layers) == 3 + 9 * 6 + 1
    assert (file.input_layer, file.normalization) == ("conv1_7x7_s2", "tf")
    for branch, (_, ours) in GOOGLENET_BRANCHES.items():
        name = f"inception4c.{branch}"
        layer = file.layers[f"inception_4c_{ours}"]
        kernel, bias = layer.weight.read(), layer.bias.read()
        assert kernel.shape == layer.weight.shape
        result = keras.ops.conv(image, kernel.transpose(2, 3, 1, 0), padding="same") + bias

        theirs = googlenet_tensors[f"{name}.conv.weight"].transpose(2, 3, 1, 0)
        x = keras.ops.conv(image, theirs, padding="same")
        gamma, beta, mean, variance = (
            googlenet_tensors[f"{name}.bn.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        expected = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-3)
    assert file.layers["inception_3b_5x5"].weight.shape == (2, 3, 3, 3)
    assert 'it fits backbone="googlenet_torchvision"' in file.notes[0]


def test_torchvisions_alexnet_is_renamed(tmp_path):
    tensors = {}
    for name in ("features.0", "features.3", "features.6", "features.8", "features.10"):
        tensors |= parameters(name, 2, 3, 3, 3)
    for index in (1, 4, 6):
        tensors |= parameters(f"classifier.{index}", 2, 2)

    file = open_state_dict(write(tmp_path / "alexnet.safetensors", tensors))

    assert list(file.layers) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    assert "not CaffeNet" in file.notes[0]
    assert network_arguments(file)["backbone"].name == "alexnet_torchvision"


@pytest.mark.parametrize("backbone", ["alexnet", "googlenet"])
def test_caffes_networks_do_not_take_torchvisions_weights(tmp_path, backbone, googlenet_tensors):
    tensors = parameters("features.0", 16, 3, 11, 11) | parameters("features.10", 2, 2, 3, 3)
    tensors = tensors if backbone == "alexnet" else googlenet_tensors
    path = write(tmp_path / "x.safetensors", tensors)
    model = keras_fcn.FCN32s(2, backbone=create(backbone, alpha=0.02, fc_filters=2))
    before = model.get_weights()

    with pytest.raises(ValueError, match=f'it fits backbone="{backbone}_torchvision"'):
        load_weight_file(model, path)

    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["features.0.weight", "features.1.running_mean"], "instead of vgg16_bn"),
        (["layer1.0.conv1.weight"], r"Received: 1 tensors, such as layer1\.0\.conv1\.weight"),
    ],
)
def test_other_networks_are_refused(tmp_path, names, message):
    path = write(tmp_path / "x.safetensors", {name: random(2) for name in names})

    with pytest.raises(WeightFileError, match=message):
        open_state_dict(path)


def test_a_cut_safetensors_file_is_refused(tmp_path):
    path = write(tmp_path / "x.safetensors", {"a": random(100)})
    path.write_bytes(path.read_bytes()[:-7])

    with pytest.raises(WeightFileError, match="cut short or of another kind"):
        read_state_dict(path)


def test_half_precision_is_read(tmp_path):
    values = random(5).astype("float16")

    tensors = read_state_dict(write(tmp_path / "x.safetensors", {"a": values}))

    np.testing.assert_array_equal(tensors["a"].read(), values)


def test_parts_of_a_tensor_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "_BLOCK", 8)
    values, scalar = random(5, 2, 3), np.array(3, "float32")
    tensors = read_state_dict(write(tmp_path / "x.safetensors", {"a": values, "b": scalar}))

    for size in (6, 3):  # whole rows of the file, and halves
        rows = np.concatenate([rows for _, rows in tensors["a"].rows(size)])
        np.testing.assert_array_equal(rows, values.reshape(-1, size))
    assert tensors["b"].read() == 3


def test_pickles_without_pytorch_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "x.pth").touch()

    with pytest.raises(ImportError, match=r"pip install torch.*\.safetensors"):
        read_state_dict(tmp_path / "x.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [False, True])
def test_pickles_and_checkpoints(tmp_path, wrap, zipped):
    torch = pytest.importorskip("torch")
    weight = random(4, 3, 3, 3)
    state = {"module.conv1_1.weight": torch.tensor(weight), "epoch": 3}
    if wrap:  # as the trainer of wkentaro/pytorch-fcn saves them
        state = {"epoch": 3, "model_state_dict": state, "best_mean_iu": 0.6}
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)

    tensors = read_state_dict(tmp_path / "x.pth")

    assert list(tensors) == ["conv1_1.weight"]
    assert tensors["conv1_1.weight"].shape == (4, 3, 3, 3)
    np.testing.assert_array_equal(tensors["conv1_1.weight"].read(), weight)


def test_damaged_pickles_and_other_objects_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.zeros(50)}, tmp_path / "cut.pth")
    content = (tmp_path / "cut.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: len(content) // 2])
    torch.save([1, 2], tmp_path / "list.pth")

    with pytest.raises(WeightFileError, match="cut short or of another kind"):
        read_state_dict(tmp_path / "cut.pth")
    with pytest.raises(WeightFileError, match="Received: a list"):
        read_state_dict(tmp_path / "list.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_cut_pickle_is_one_error(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    state = {"conv1_1.weight": torch.zeros(4, 3, 3, 3), "conv1_1.bias": torch.zeros(4)}
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "x.pth").read_bytes()

    for length in (0, 1, 2, 10, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "x.pth").write_bytes(whole[:length])
        with pytest.raises(WeightFileError, match=r"x\.pth' must be a PyTorch state dict; it is"):
            read_state_dict(tmp_path / "x.pth")


def test_an_error_of_pytorch_without_a_text_is_named(tmp_path, monkeypatch):
    """As some files that are cut short raise."""

    class Torch:
        Tensor = object

        @staticmethod
        def load(*_, **__):
            raise EOFError

    monkeypatch.setitem(sys.modules, "torch", Torch)
    (tmp_path / "x.pth").write_bytes(b"")

    with pytest.raises(WeightFileError, match=r"cut short or of another kind \(EOFError\)"):
        read_state_dict(tmp_path / "x.pth")


@pytest.mark.parametrize("name", ["conv1_1", "fc7", "score_fr", "upscore"])
@pytest.mark.parametrize("shape", [(), (4,), (0, 3, 3, 3), (2, 3, 4)])
def test_weights_of_no_convolution_are_refused(tmp_path, name, shape):
    tensors = {
        f"{layer}.weight": np.zeros((4, 4, 1, 1), "float32")
        for layer in ("conv1_1", "fc7", "score_fr", "upscore")
    }
    path = write(tmp_path / "x.safetensors", tensors | {f"{name}.weight": np.zeros(shape)})

    message = (
        rf"The weight of '{name}' in .*x\.safetensors' must have .* shape {re.escape(str(shape))}"
    )
    with pytest.raises(WeightFileError, match=message):
        open_weight_file(path)


def test_missing_layers_are_named(tmp_path, googlenet_tensors):
    vgg = {"features.28.weight": np.zeros((8, 8, 3, 3), "float32")}
    with pytest.raises(WeightFileError, match="must contain conv1_1, the layer that takes"):
        open_weight_file(write(tmp_path / "vgg.safetensors", vgg))

    tensors = dict(googlenet_tensors)
    del tensors["inception4c.branch3.1.bn.running_mean"]
    with pytest.raises(WeightFileError, match=r"must contain inception4c\.branch3\.1\.conv"):
        open_weight_file(write(tmp_path / "googlenet.safetensors", tensors))
