import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import VGG16, AlexNet, GoogLeNet
from keras_fcn.layers import ImageNormalization
from keras_fcn.models.saving import save_model
from keras_fcn.prediction import load_model
from keras_fcn.weights.adapt import fold_normalization
from keras_fcn.weights.architecture import network_arguments
from keras_fcn.weights.convert import (
    assign_weights,
    fill_when_saved,
    load_weight_file,
    open_weight_file,
    reference_name,
)
from keras_fcn.weights.source import WeightFileError

from .caffe_files import fcn_layers, field, random, write_caffemodel

CAFFE_MEAN = (103.939, 116.779, 123.68)
RNG = np.random.default_rng(0)


def caffe_convolution(image, kernel, bias, groups=1):
    """Caffe's convolution layer by its definition; image (channels, height, width)."""
    outputs, inputs, height, width = kernel.shape
    rows, columns = image.shape[1] - height + 1, image.shape[2] - width + 1
    result = np.zeros((outputs, rows, columns))
    for o in range(outputs):
        group = o // (outputs // groups)
        seen = image[group * inputs : (group + 1) * inputs]
        for y, x in np.ndindex(rows, columns):
            result[o, y, x] = np.sum(seen[:, y : y + height, x : x + width] * kernel[o]) + bias[o]
    return result


def caffe_deconvolution(image, kernel, stride):
    """Caffe's deconvolution layer by its definition: each input pixel adds its kernel."""
    inputs, outputs, height, width = kernel.shape
    rows = (image.shape[1] - 1) * stride + height
    columns = (image.shape[2] - 1) * stride + width
    result = np.zeros((outputs, rows, columns))
    for i, y, x in np.ndindex(inputs, *image.shape[1:]):
        window = result[:, y * stride : y * stride + height, x * stride : x * stride + width]
        window += image[i, y, x] * kernel[i]
    return result


def one_layer_model(layer, channels):
    inputs = keras.Input((None, None, channels))
    return keras.Model(inputs, layer(inputs))


def run(model, image):
    """Model on an image (channels, height, width), result in that order, too."""
    return np.asarray(model(image.transpose(1, 2, 0)[None]))[0].transpose(2, 0, 1)


def test_convolutions_keep_their_orientation(tmp_path):
    kernel, bias, image = random(4, 3, 3, 2), random(4), random(3, 5, 6)
    path = write_caffemodel(tmp_path / "n.caffemodel", {"conv1_1": [kernel, bias]})
    model = one_layer_model(keras.layers.Conv2D(4, (3, 2), name="block1_conv1"), 3)

    report = load_weight_file(model, path)

    assert report.loaded == ("block1_conv1",)
    expected = caffe_convolution(image, kernel, bias)
    np.testing.assert_allclose(run(model, image), expected, rtol=1e-4, atol=1e-5)


def test_grouped_convolutions(tmp_path):
    kernel, bias, image = random(6, 2, 3, 3), random(6), random(4, 5, 5)
    path = write_caffemodel(tmp_path / "n.caffemodel", {"conv2": [kernel, bias]}, v1=True)
    model = one_layer_model(keras.layers.Conv2D(6, 3, groups=2, name="conv2"), 4)

    load_weight_file(model, path)

    expected = caffe_convolution(image, kernel, bias, groups=2)
    np.testing.assert_allclose(run(model, image), expected, rtol=1e-4, atol=1e-5)


def test_deconvolutions_keep_their_orientation(tmp_path):
    kernel, image = random(3, 3, 4, 4), random(3, 3, 2)
    path = write_caffemodel(tmp_path / "n.caffemodel", {"upscore2": ("Deconvolution", [kernel])})
    layer = keras.layers.Conv2DTranspose(3, 4, strides=2, use_bias=False, name="upscore2")
    model = one_layer_model(layer, 3)

    load_weight_file(model, path)

    expected = caffe_deconvolution(image, kernel, stride=2)
    np.testing.assert_allclose(run(model, image), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("v1", [False, True])
def test_a_fully_connected_layer_becomes_the_convolution_it_is(tmp_path, v1):
    matrix, bias, image = random(5, 2 * 7 * 7), random(5), random(2, 7, 7)
    layers = {"fc6": ("InnerProduct", [matrix, bias])}  # v1: shapes (1, 1, 5, 98), (1, 1, 1, 5)
    path = write_caffemodel(tmp_path / "n.caffemodel", layers, v1=v1)
    model = one_layer_model(keras.layers.Conv2D(5, 7, name="fc6"), 2)

    load_weight_file(model, path)

    expected = matrix @ image.reshape(-1) + bias  # Caffe flattens channel, row, column
    np.testing.assert_allclose(run(model, image)[:, 0, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def fcn8s_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("caffe") / "fcn8s.caffemodel"
    return write_caffemodel(path, fcn_layers(stride=8))


@pytest.fixture(scope="module")
def fcn8s():
    return keras_fcn.FCN8s(3, backbone=VGG16(alpha=1 / 8, fc_filters=4, mean=CAFFE_MEAN))


def test_a_whole_network_is_filled(fcn8s, fcn8s_file):
    report = load_weight_file(fcn8s, fcn8s_file)

    assert report.fits
    assert len(report.loaded) == 13 + 5 + 3
    assert report.extra == report.kept == ()
    assert report.notes == ("mean of the images 103.939, 116.779, 123.68: as given",)
    stored = open_weight_file(fcn8s_file).layers
    for layer in fcn8s.layers:
        if layer.weights:
            source = stored[reference_name(layer.name)]
            expected = source.weight.read().transpose(2, 3, 1, 0)
            np.testing.assert_array_equal(layer.kernel.numpy(), expected)
            if layer.use_bias:
                np.testing.assert_array_equal(layer.bias.numpy(), source.bias.read())


def test_a_file_tells_what_to_build(fcn8s_file, tmp_path):
    assert network_arguments(open_weight_file(fcn8s_file)) == {
        "backbone": VGG16(alpha=1 / 8, fc_filters=4), "num_classes": 3, "stride": 8
    }  # fmt: skip
    classifier, _ = classifier_file(tmp_path)
    assert network_arguments(open_weight_file(classifier)) == {"backbone": VGG16(alpha=1 / 16)}
    other = write_caffemodel(tmp_path / "n.caffemodel", {"conv1_1": [random(2, 3, 1, 1)]})
    with pytest.raises(ValueError, match=r"must contain .* Received: conv1_1\. Build the network"):
        network_arguments(open_weight_file(other))


def test_what_does_not_fit_is_listed_and_nothing_is_changed(fcn8s_file):
    model = keras_fcn.FCN16s(4, backbone=VGG16(alpha=1 / 8, fc_filters=4))
    before = model.get_weights()

    with pytest.raises(ValueError, match="do not fit 'fcn16s_vgg16', which is unchanged") as info:
        load_weight_file(model, fcn8s_file)

    lines = str(info.value).splitlines()
    assert "  upscore16: [(32, 32, 4, 4)]" in lines  # missing
    assert "  score_fr: the model needs the weight (4, 4, 1, 1), the file has (3, 4, 1, 1)" in lines
    assert {"  score_pool3", "  upscore_pool4", "  upscore8"} <= set(lines)  # extra
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_missing_bias_is_a_mismatch(tmp_path):
    path = write_caffemodel(tmp_path / "n.caffemodel", {"score_fr": [random(2, 3, 1, 1)]})
    model = one_layer_model(keras.layers.Conv2D(2, 1, name="score_fr"), 3)

    with pytest.raises(ValueError, match="the model needs 2 biases, the file has 0"):
        load_weight_file(model, path)


def classifier_model(channels=3):
    images = x = keras.Input((None, None, channels))
    x = keras.layers.Conv2D(4, 3, name="block1_conv1")(x)
    x = keras.layers.Conv2D(2, 1, name="score_fr", kernel_initializer="ones")(x)
    x = keras.layers.Conv2DTranspose(2, 64, use_bias=False, name="upscore")(x)
    return keras.Model(images, x)


def classifier_file(tmp_path):
    layers = {
        "conv1_1": [random(4, 3, 3, 3), random(4)],
        "fc8": ("InnerProduct", [random(1000, 9), random(1000)]),
    }
    return write_caffemodel(tmp_path / "vgg.caffemodel", layers, v1=True), layers


def test_a_classifier_leaves_scores_and_upsampling_alone(tmp_path):
    path, _ = classifier_file(tmp_path)
    model = classifier_model()

    report = load_weight_file(model, path)

    assert report.loaded == ("block1_conv1",)
    assert report.kept == ("score_fr", "upscore")
    assert report.extra == ("fc8",)
    np.testing.assert_array_equal(model.get_layer("score_fr").kernel, np.ones((1, 1, 4, 2)))
    assert str(report).splitlines()[1:] == [
        "Kept as the model had them:", "  score_fr", "  upscore", "Not used from the file:", "  fc8"
    ]  # fmt: skip


def test_what_is_saved_of_a_network_without_weights_is_what_fills_one(tmp_path, fcn8s_file):
    layers = {name: arrays for name, arrays in fcn_layers(stride=8).items() if "score" not in name}
    layers["fc8"] = ("InnerProduct", [random(1000, 4), random(1000)])
    classifier = write_caffemodel(tmp_path / "vgg16.caffemodel", layers, v1=True)

    def build():
        return keras_fcn.FCN8s(
            3,
            backbone=VGG16(alpha=1 / 8, fc_filters=4, normalization="torch"),
            upsampling="learned",
        )

    for path in (fcn8s_file, classifier):
        file = open_weight_file(path)
        filled = build()
        report = assign_weights(filled, file)
        with keras.StatelessScope(initialize_variables=False):
            model = build()
            assert fill_when_saved(model, file) == report
            save_model(model, tmp_path / "n.keras")
        saved = keras.saving.load_model(tmp_path / "n.keras")

        assert report.notes  # the normalization is folded into the first convolution
        for one, other in zip(saved.get_weights(), filled.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.full
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_file_of_540_mb_is_converted_in_less_than_1_5_gb(tmp_path):
    layers = fcn_layers(heads={"": 21}, stride=8, width=4096, alpha=1)
    with (tmp_path / "fcn8s.caffemodel").open("wb") as file:
        for name, entry in layers.items():
            kind, arrays = entry if isinstance(entry, tuple) else ("Convolution", entry)
            blobs = b"".join(
                field(7, field(7, b"".join(field(1, size) for size in array.shape))
                      + field(5, (array / 100).tobytes()))
                for array in arrays
            )  # fmt: skip
            file.write(field(100, field(1, name.encode()) + field(2, kind.encode()) + blobs))
    code = (
        "import sys; from pathlib import Path; from keras_fcn_cli.main import main;"
        "main(sys.argv[1:], standalone_mode=False); print(Path('/proc/self/status').read_text())"
    )
    arguments = ["convert", "--from", tmp_path / "fcn8s.caffemodel", "--variant", "fcn8s"]

    result = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--output", tmp_path / "n.keras"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip

    peak = next(line for line in result.stdout.splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) * 1024 < 1.5e9
    model = load_model(tmp_path / "n.keras")
    expected = layers["fc6"][0].transpose(2, 3, 1, 0) / 100
    np.testing.assert_array_equal(model.get_layer("fc6").kernel, expected)


def test_a_fourth_channel_starts_as_the_mean_of_the_colors(tmp_path):
    path, layers = classifier_file(tmp_path)
    model = classifier_model(channels=4)

    load_weight_file(model, path)

    kernel = model.get_layer("block1_conv1").kernel.numpy()  # (3, 3, 4, 4)
    np.testing.assert_array_equal(kernel[:, :, :3], layers["conv1_1"][0].transpose(2, 3, 1, 0))
    np.testing.assert_allclose(kernel[:, :, 3], kernel[:, :, :3].mean(axis=2), rtol=1e-6)


def at_once_model(scale):
    images = x = keras.Input((None, None, 3))
    if scale:
        x = keras.layers.Rescaling(scale, name="scale_pool4")(x)
    return keras.Model(images, keras.layers.Conv2D(2, 1, name="score_pool4")(x))


@pytest.mark.parametrize(
    ("model_scale", "file_scale", "problem"),
    [
        (0.01, 0.01, None),
        (None, None, None),
        (None, 0.01, "model multiplies by 1, the file by 0.01"),
        (0.01, None, "model multiplies by 0.01, the file by 1"),
        (0.01, 0.0001, "model multiplies by 0.01, the file by 0.0001"),
    ],
)
def test_scaled_skips_must_agree(tmp_path, model_scale, file_scale, problem):
    layers = {"score_pool4": [random(2, 3, 1, 1), random(2)]}
    if file_scale:
        layers["scale_pool4"] = ("Scale", [np.full(3, file_scale, "float32")])
    path = write_caffemodel(tmp_path / "n.caffemodel", layers)
    model = at_once_model(model_scale)

    if problem is None:
        assert load_weight_file(model, path).extra == ()
    else:
        with pytest.raises(ValueError, match=problem):
            load_weight_file(model, path)


@pytest.mark.parametrize("applied", ["caffe", "tf", "torch", "none"])
@pytest.mark.parametrize("trained_with", ["caffe", "tf", "torch", "none"])
def test_another_normalization_is_folded_into_the_first_convolution(trained_with, applied):
    kernel, bias = random(3, 3, 3, 2), random(2)
    pixels = RNG.uniform(0, 255, (1, 5, 6, 3)).astype("float32")
    theirs = keras.ops.conv(ImageNormalization(trained_with)(pixels), kernel) + bias
    scale = float(np.abs(theirs).max())

    folded, shift = fold_normalization(
        kernel, bias, trained_with, applied, (103.939, 116.779, 123.68)
    )

    ours = keras.ops.conv(ImageNormalization(applied)(pixels), folded) + shift
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * scale)


def test_a_difference_in_normalization_is_noted(tmp_path):
    kernel = random(2, 3, 1, 1)
    path = write_caffemodel(tmp_path / "n.caffemodel", {"conv1_1": [kernel, np.zeros(2)]})
    images = keras.Input((None, None, 3))
    x = ImageNormalization("none")(images)
    model = keras.Model(images, keras.layers.Conv2D(2, 1, name="block1_conv1")(x))

    report = load_weight_file(model, path)

    [note] = report.notes
    assert "trained on inputs normalized as 'caffe', the model normalizes as 'none'" in note
    pixel = np.array([10.0, 20.0, 30.0])
    expected = kernel[:, :, 0, 0] @ (pixel[::-1] - CAFFE_MEAN)
    np.testing.assert_allclose(np.ravel(model(pixel[None, None, None])), expected, rtol=1e-4)


def test_a_difference_that_cannot_be_folded_is_a_mismatch(tmp_path):
    path = write_caffemodel(tmp_path / "n.caffemodel", {"conv1_1": [random(2, 4, 1, 1), random(2)]})
    images = keras.Input((None, None, 4))
    x = ImageNormalization("none", name="normalization")(images)
    model = keras.Model(images, keras.layers.Conv2D(2, 1, name="block1_conv1")(x))

    with pytest.raises(ValueError, match="normalization: the model normalizes as 'none', the file"):
        load_weight_file(model, path)


def test_unknown_suffixes_and_missing_files(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.caffemodel, \.pth, \.pt, \.safetensors"):
        open_weight_file("weights.npz")
    with pytest.raises(FileNotFoundError, match=r"no weight file .none\.caffemodel"):
        open_weight_file("none.caffemodel")
    (tmp_path / "x.caffemodel").write_bytes(b"<html>")
    with pytest.raises(WeightFileError, match="web page"):
        open_weight_file(tmp_path / "x.caffemodel")


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        (fcn_layers({"_sem": 5, "_geo": 3}, stride=8),
         {"num_classes": {"semantic": 5, "geometric": 3}, "stride": 8}),
        (fcn_layers(streams=("color", "hha")),
         {"num_classes": 3, "stride": 32, "modalities": ("rgb", "hha"), "fusion": "late"}),
        (fcn_layers(channels=4),
         {"num_classes": 3, "stride": 32, "modalities": ("rgb", "depth")}),
        (fcn_layers(stride=8) | {
            "scale_pool4": ("Scale", [np.full(64, 0.01, "float32")]),
            "scale_pool3": ("Scale", [np.full(32, 0.0001, "float32")])},
         {"num_classes": 3, "stride": 8, "skip_scales": (0.01, 0.0001)}),
    ],
    ids=["two heads", "two streams", "rgb and depth", "at once"],
)  # fmt: skip
def test_the_references_other_networks(tmp_path, layers, told):
    source = open_weight_file(write_caffemodel(tmp_path / "n.caffemodel", layers))

    arguments = network_arguments(source)

    assert arguments == {"backbone": VGG16(alpha=1 / 8, fc_filters=4), **told}
    report = assign_weights(keras_fcn.FCN(**arguments), source)
    assert report.fits
    assert len(report.loaded) == sum(not name.startswith("scale") for name in layers)
    assert report.extra == report.kept == report.notes == ()


def test_a_classifier_fills_both_streams(tmp_path):
    layers = {k: v for k, v in fcn_layers().items() if not k.startswith(("score", "up"))}
    layers["fc8"] = ("InnerProduct", [random(10, 4), random(10)])
    path = write_caffemodel(tmp_path / "vgg.caffemodel", layers)
    model = keras_fcn.FCN32s(
        3, backbone=VGG16(alpha=1 / 8, fc_filters=4), modalities=("rgb", "hha"), fusion="late"
    )

    report = load_weight_file(model, path)

    assert report.kept == ("score_frrgb", "score_frhha", "upscore")
    for stream in ("rgb", "hha"):
        np.testing.assert_array_equal(
            model.get_layer(f"block3_conv2{stream}").kernel,
            layers["conv3_2"][0].transpose(2, 3, 1, 0),
        )


# bvlc_reference_caffenet at an eighth of its width: layer -> weight.
CAFFENET = {
    "conv1": (12, 3, 11, 11), "conv2": (32, 6, 5, 5), "conv3": (48, 32, 3, 3),
    "conv4": (48, 24, 3, 3), "conv5": (32, 24, 3, 3), "fc6": (4, 32 * 6 * 6), "fc7": (4, 4),
    "fc8": (1000, 4),
}  # fmt: skip


def googlenet_shapes():
    """bvlc_googlenet at a quarter of its width (Szegedy et al., CVPR 2015, table 1)."""
    shapes = {
        "conv1/7x7_s2": (16, 3, 7, 7), "conv2/3x3_reduce": (16, 16, 1, 1),
        "conv2/3x3": (48, 16, 3, 3), "loss1/conv": (32, 128, 1, 1),
        "loss3/classifier": (1000, 256),
    }  # fmt: skip
    modules = """
        3a 192 64 96 128 16 32 32    3b 256 128 128 192 32 96 64    4a 480 192 96 208 16 48 64
        4b 512 160 112 224 24 64 64  4c 512 128 128 256 24 64 64    4d 512 112 144 288 32 64 64
        4e 528 256 160 320 32 128 128  5a 832 256 160 320 32 128 128  5b 832 384 192 384 48 128 128
    """.split()
    for start in range(0, len(modules), 8):
        module, *widths = modules[start : start + 8]
        seen, ones, reduce3, threes, reduce5, fives, projected = (int(w) // 4 for w in widths)
        shapes |= {
            f"inception_{module}/1x1": (ones, seen, 1, 1),
            f"inception_{module}/3x3_reduce": (reduce3, seen, 1, 1),
            f"inception_{module}/3x3": (threes, reduce3, 3, 3),
            f"inception_{module}/5x5_reduce": (reduce5, seen, 1, 1),
            f"inception_{module}/5x5": (fives, reduce5, 5, 5),
            f"inception_{module}/pool_proj": (projected, seen, 1, 1),
        }
    return shapes


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize(
    ("shapes", "backbone", "extra"),
    [
        (CAFFENET, AlexNet(alpha=1 / 8, fc_filters=4), ("fc8",)),
        (googlenet_shapes(), GoogLeNet(alpha=1 / 4), ("loss1/conv", "loss3/classifier")),
    ],
    ids=["caffenet", "googlenet"],
)
def test_the_other_classifiers(tmp_path, shapes, backbone, extra, v1):
    layers = {name: [random(*shape), random(shape[0])] for name, shape in shapes.items()}
    source = open_weight_file(write_caffemodel(tmp_path / "n.caffemodel", layers, v1=v1))

    arguments = network_arguments(source)

    assert arguments == {"backbone": backbone}
    report = assign_weights(keras_fcn.FCN32s(2, **arguments), source)
    assert len(report.loaded) == len(shapes) - len(extra)
    assert report.extra == extra
    assert report.kept == ("score_fr", "upscore")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(fcn8s, tmp_path, value):
    layers = fcn_layers(stride=8)
    layers["conv4_2"][0][3, 2, 1, 0] = value
    path = write_caffemodel(tmp_path / "n.caffemodel", layers)
    before = fcn8s.get_weights()

    # conv4_2: 512 / 8 filters of 3x3 over as many
    with pytest.raises(ValueError, match=r"NaN or infinity in conv4_2 \(1 of 36864\)"):
        load_weight_file(fcn8s, path)

    for old, new in zip(before, fcn8s.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
