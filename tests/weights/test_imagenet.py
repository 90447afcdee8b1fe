import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import VGG16
from keras_fcn.weights import convolutionalize
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
