import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import VGG16, MobileNetV2
from keras_fcn.layers.normalization import TORCH_MEAN_RGB, TORCH_STD_RGB
from keras_fcn.weights import convolutionalize, transfer, widen_to_bands
from keras_fcn.weights.imagenet import load_vgg_weights


def test_fc7_equals_the_classifiers_fc2():
    # On a 224x224 image pool5 is 7x7, so fc6 fits in exactly one position: the middle.
    classifier = keras.applications.VGG16(weights=None)
    rng = np.random.default_rng(0)
    for name in ("fc1", "fc2"):  # biases start at zero, which would hide a lost one
        layer = classifier.get_layer(name)
        layer.bias.assign(rng.normal(scale=0.1, size=layer.bias.shape))
    model = keras_fcn.FCN32s(2)
    image = rng.integers(0, 256, size=(1, 224, 224, 3)).astype("float32")

    filled = convolutionalize(classifier, model)

    ours = keras.Model(model.input, model.get_layer("fc7").output)(image)
    theirs = keras.Model(classifier.input, classifier.get_layer("fc2").output)(
        keras.applications.vgg16.preprocess_input(image.copy())
    )
    assert filled[-2:] == ["fc6", "fc7"] and len(filled) == 15
    np.testing.assert_allclose(ours[0, 3, 3], theirs[0], rtol=1e-4, atol=1e-5)


def test_a_widened_convolution_sees_standardized_colors_as_the_old_one_saw_pixels():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(1, 1, 3, 4))
    pixels = rng.uniform(0, 255, 3)
    mean, deviation = 255 * np.array(TORCH_MEAN_RGB), 255 * np.array(TORCH_STD_RGB)
    standardized = (pixels - mean) / deviation

    # What each network takes, about the mean: blue, green, red; [-1, 1]; deviations.
    taken = {
        "caffe": (pixels - mean)[::-1],
        "tf": (pixels - mean) / 127.5,
        "torch": standardized,
    }
    for mode, colors in taken.items():
        old = colors @ kernel[0, 0]
        for count in (4, 6, 13):
            widened = widen_to_bands(kernel, count, mode)
            # The first three bands are the colors, the others lack: as many thirds of the sum.
            bands = np.concatenate([standardized, np.zeros(count - 3)])
            np.testing.assert_allclose(bands @ widened[0, 0], old * 3 / count, rtol=1e-5)
        # One band in place of three equal ones, two in place of three.
        rgb = widen_to_bands(kernel, 3, mode)[0, 0]
        np.testing.assert_allclose(widen_to_bands(kernel, 1, mode)[0, 0, 0], rgb.sum(axis=0))
        two = widen_to_bands(kernel, 2, mode)[0, 0]
        np.testing.assert_allclose(two, np.stack([rgb.sum(axis=0) / 2] * 2))


@pytest.mark.parametrize("count", [1, 5])
def test_classifiers_fill_networks_for_bands(tmp_path, count):
    classifier = keras.applications.VGG16(weights=None, include_top=False)
    path = str(tmp_path / "notop.weights.h5")
    classifier.save_weights(path)
    kernel, bias = classifier.get_layer("block1_conv1").get_weights()
    bands = {"normalization": "standardize", "mean": (9.0,) * count, "deviation": (2.0,) * count}

    model = keras_fcn.FCN32s(
        2, backbone=VGG16(fc_filters=2, weights=path, **bands), input_shape=(None, None, count)
    )

    filled = model.get_layer("block1_conv1").get_weights()
    np.testing.assert_array_equal(filled[0], widen_to_bands(kernel, count, "caffe"))
    np.testing.assert_array_equal(filled[1], bias)
    np.testing.assert_array_equal(
        model.get_layer("block2_conv1").kernel, classifier.get_layer("block2_conv1").kernel
    )


def test_networks_of_keras_applications_are_widened(tmp_path):
    options = {"include_top": False, "input_shape": (None, None, 3), "alpha": 0.35}
    source = keras.applications.MobileNetV2(weights=None, **options)
    source.save_weights(tmp_path / "m.weights.h5")
    kernel = source.get_layer("Conv1").get_weights()[0]

    backbone = MobileNetV2(
        alpha=0.35,
        weights=str(tmp_path / "m.weights.h5"),
        normalization="standardize",
        mean=(1.0,) * 6,
        deviation=(1.0,) * 6,
    )
    model = keras_fcn.FCN8s(2, backbone=backbone, input_shape=(None, None, 6))

    (inner,) = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    widened = inner.get_layer("Conv1").get_weights()[0]
    np.testing.assert_allclose(widened, widen_to_bands(kernel, 6, "tf"), rtol=1e-6)


def test_a_network_for_colors_starts_one_for_bands():
    colors = keras_fcn.FCN32s(2, backbone=VGG16(alpha=0.125, fc_filters=2))
    for count in (1, 4):
        bands = {
            "normalization": "standardize",
            "mean": (0.0,) * count,
            "deviation": (1.0,) * count,
        }
        backbone = VGG16(alpha=0.125, fc_filters=2, **bands)
        model = keras_fcn.FCN32s(2, backbone=backbone, input_shape=(None, None, count))

        report = transfer(colors, model)

        assert report.adapted == ("block1_conv1",)
        kernel = colors.get_layer("block1_conv1").kernel.numpy()
        np.testing.assert_array_equal(
            model.get_layer("block1_conv1").kernel, widen_to_bands(kernel, count, "caffe")
        )


def test_arrays_fill_the_layers_they_name(tmp_path):
    model = keras_fcn.FCN32s(2, backbone=VGG16(fc_filters=2))
    before = model.get_layer("block1_conv2").get_weights()[0]
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 64)).astype("float32")
    np.savez(tmp_path / "a.npz", block1_conv1_kernel=kernel, block1_conv1_bias=np.ones(64))

    filled = load_vgg_weights(model, keras.applications.VGG16, str(tmp_path / "a.npz"))

    assert filled == ["block1_conv1"]
    np.testing.assert_array_equal(model.get_layer("block1_conv1").get_weights()[0], kernel)
    np.testing.assert_array_equal(model.get_layer("block1_conv2").get_weights()[0], before)


def test_a_file_without_the_top_fills_the_convolutions(tmp_path):
    classifier = keras.applications.VGG16(weights=None, include_top=False)
    path = str(tmp_path / "notop.weights.h5")
    classifier.save_weights(path)
    model = keras_fcn.FCN32s(2, backbone=VGG16(fc_filters=2, weights=path))

    np.testing.assert_array_equal(
        model.get_layer("block5_conv3").get_weights()[0],
        classifier.get_layer("block5_conv3").get_weights()[0],
    )


def test_the_real_first_blocks_load(shared_data):
    path = str(shared_data / "weights" / "vgg16_blocks1_2_imagenet.npz")

    model = keras_fcn.FCN32s(2, backbone=VGG16(fc_filters=2, weights=path))

    with np.load(path) as arrays:
        kernel = arrays["block2_conv2_kernel"]
    np.testing.assert_array_equal(model.get_layer("block2_conv2").get_weights()[0], kernel)


def test_foreign_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "other.h5").write_text("not HDF5")

    with pytest.raises(ValueError, match=r"other.npz must contain arrays such as"):
        keras_fcn.FCN32s(2, backbone=VGG16(fc_filters=2, weights=str(tmp_path / "other.npz")))
    with pytest.raises(ValueError, match=r"other.h5 does not contain the weights of VGG16"):
        keras_fcn.FCN32s(2, backbone=VGG16(fc_filters=2, weights=str(tmp_path / "other.h5")))
