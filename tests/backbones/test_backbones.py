import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import keras_fcn
from keras_fcn.backbones import (
    BACKBONES,
    MobileNetV2,
    SmallResNet,
    TappedModel,
    backbone_names,
    create,
)
from keras_fcn.weights import transfer

from ..helpers import TAPS, tiny_layers


@pytest.mark.parametrize("name", backbone_names())
def test_features_have_strides_8_16_and_32(name):
    # 70x40 is padded to 96x64.
    alpha = 0.35 if name == "mobilenet_v2" else None
    model = keras_fcn.FCN8s(
        3, backbone=create(name, alpha=alpha, fc_filters=4), input_shape=(70, 40, 3)
    )

    for layer, size in (("score_pool3", (12, 8)), ("score_pool4", (6, 4)), ("score_fr", (3, 2))):
        assert model.get_layer(layer).output.shape[1:3] == size
    assert model.output_shape == (None, 70, 40, 3)


def test_the_table_normalizes_as_keras_applications_does():
    image = np.arange(12, dtype="float32").reshape(1, 2, 2, 3) * 20
    modules = {
        "vgg16": keras.applications.vgg16,
        "resnet50": keras.applications.resnet,
        "mobilenet": keras.applications.mobilenet,
        "mobilenet_v2": keras.applications.mobilenet_v2,
        "densenet121": keras.applications.densenet,
    }
    for name, module in modules.items():
        ours = keras_fcn.layers.ImageNormalization(BACKBONES[name].trained_with)(image)

        np.testing.assert_allclose(ours, module.preprocess_input(image.copy()), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "constructor"),
    [
        ("efficientnet_v2_b0", keras.applications.EfficientNetV2B0),
        ("convnext_tiny", keras.applications.ConvNeXtTiny),
        ("mobilenet_v3_small", keras.applications.MobileNetV3Small),
    ],
)
def test_the_table_normalizes_as_the_layers_inside_keras_applications(name, constructor):
    # These networks bring their own preprocessing layers: run those of the original.
    inside = constructor(include_top=False, weights=None, input_shape=(32, 32, 3))
    image = np.random.default_rng(0).integers(0, 256, size=(1, 32, 32, 3)).astype("float32")
    x = image
    for layer in inside.layers[1:4]:
        if isinstance(layer, layers.Rescaling | layers.Normalization):
            x = layer(x)

    ours = keras_fcn.layers.ImageNormalization(BACKBONES[name].trained_with)(image)

    np.testing.assert_allclose(ours, x, atol=1e-4)


def test_weights_of_a_file_reach_the_backbone(tmp_path):
    source = keras.applications.MobileNetV2(
        alpha=0.35, include_top=False, weights=None, input_shape=(96, 96, 3)
    )
    path = str(tmp_path / "backbone.weights.h5")
    source.save_weights(path)

    model = keras_fcn.FCN8s(3, backbone=MobileNetV2(alpha=0.35, weights=path))

    nested = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    for layer in (layer for layer in nested.layers if layer.weights):
        for ours, theirs in zip(
            layer.get_weights(), source.get_layer(layer.name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_real_weights_tell_images_apart(shared_data):
    path = shared_data / "weights" / "mobilenet_v2_0.35_notop.weights.h5"

    model = keras_fcn.FCN8s(3, backbone=MobileNetV2(alpha=0.35, weights=str(path)))

    nested = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    original = keras.applications.MobileNetV2(
        alpha=0.35, include_top=False, weights=str(path), input_shape=(None, None, 3)
    )
    image = np.random.default_rng(0).uniform(-1, 1, size=(1, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(nested(image)["P5"], original(image), atol=1e-5)


def test_a_name_is_short_for_the_object_with_its_defaults():
    assert create("mobilenet_v2") == MobileNetV2()
    assert keras_fcn.FCN8s(3, backbone="small_resnet").backbone == SmallResNet()
    # `None` is a default, and all backbones have the usual geometry.
    settings = {"alpha": 0.35, "dropout": None, "geometry": "same", "weights": None}
    assert create("mobilenet_v2", **settings) == MobileNetV2(alpha=0.35)


@pytest.mark.parametrize("name", backbone_names())
def test_backbones_are_serialized(name):
    backbone = create(name, fc_filters=7, dropout=0.25, mean=(1, 2, 3))

    config = keras.saving.serialize_keras_object(backbone)
    restored = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))

    assert restored == backbone
    assert restored.get_config()["mean"] == [1, 2, 3]
    assert BACKBONES[name].name == name


def test_files_load_in_a_fresh_process(tmp_path):
    networks = {
        "named": keras_fcn.FCN8s(3, backbone=SmallResNet(alpha=0.25, fc_filters=4)),
        "own": keras_fcn.FCN8s(3, backbone=TappedModel(tiny_layers(), taps=TAPS)),
    }
    image = np.random.default_rng(0).uniform(0, 255, (1, 33, 40, 3)).astype("float32")
    np.save(tmp_path / "image.npy", image)
    for name, network in networks.items():
        network.get_layer("score_fr").bias.assign([1.0, 2.0, 3.0])
        network.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", network(image))
    code = f"""
import keras, keras_fcn, numpy as np
for name in {list(networks)}:
    network = keras.saving.load_model(f"{tmp_path}/{{name}}.keras")
    logits = network(np.load("{tmp_path}/image.npy"))
    print(np.array_equal(logits, np.load(f"{tmp_path}/{{name}}.npy")), network.backbone.fc_filters)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.split() == ["True", "4", "True", "256"], done.stderr


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vgg", {}, "one of vgg16, vgg19, .* Received: backbone='vgg'"),
        ("resnet50", {"alpha": 0.5}, "`alpha` is for vgg16, .* Leave it out"),
        ("vgg16", {"taps": ("a", "b", "c")}, "`taps` is for resnet50, .* Leave it out"),
        ("vgg16", {"fc_filter": 3}, "Unknown setting 'fc_filter' of 'vgg16'.*mean 'fc_filters'"),
        ("vgg16", {"dropout": 1.0}, r"`dropout` must be in \[0, 1\)"),
        ("vgg16", {"fc_filters": -1}, "`fc_filters` must be in"),
    ],
)
def test_settings_that_do_not_fit(name, settings, message):
    with pytest.raises(ValueError, match=message):
        create(name, **settings)


def test_weights_are_for_backbones_that_are_built_here():
    with pytest.raises(ValueError, match="Load the weights of 'tiny' yourself"):
        TappedModel(tiny_layers(), taps=TAPS, weights="x.h5")
    backbone = TappedModel(tiny_layers(), taps=TAPS)
    with pytest.raises(ValueError, match="Load the weights of 'tiny' yourself"):
        keras_fcn.FCN8s(3, backbone=backbone, weights="imagenet")


def test_a_model_of_the_users_is_no_backbone_of_late_fusion():
    backbone = TappedModel(tiny_layers(), taps=TAPS)

    with pytest.raises(ValueError, match="layers exist once.* backbone='tiny'"):
        keras_fcn.FCN8s(3, backbone=backbone, modalities=("rgb", "hha"), fusion="late")


def test_applications_can_be_tapped_elsewhere():
    taps = ("block_5_add", "block_12_add", "out_relu")

    model = keras_fcn.FCN8s(3, backbone=MobileNetV2(alpha=0.35, taps=taps))

    # 6 times the filters come before a block's end; at alpha 0.35 these have 16 and 32.
    nested = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    assert nested.output["P3"].shape[-1] == 16
    assert nested.output["P4"].shape[-1] == 32


def test_zeros_are_for_weights_to_come():
    backbone = create("vgg16", alpha=0.05, fc_filters=4)

    zeros = keras_fcn.FCN32s(2, backbone=backbone.with_zeros())
    random = keras_fcn.FCN32s(2, backbone=backbone)

    assert not np.any(zeros.get_layer("fc6").kernel)
    assert np.std(random.get_layer("fc6").kernel) > 0
    assert MobileNetV2().with_zeros() == MobileNetV2()


def test_taps_that_do_not_exist_or_fit():
    with pytest.raises(ValueError, match="names the layer 's4', which 'tiny' does not have"):
        keras_fcn.FCN8s(3, backbone=TappedModel(tiny_layers(), taps=("s4", "s16", "s32")))
    with pytest.raises(ValueError, match=r"The tap 's16' for P3 must have stride 8.*4x4"):
        keras_fcn.FCN8s(3, backbone=TappedModel(tiny_layers(), taps=("s16", "s16", "s32")))
    with pytest.raises(ValueError, match="`taps` must name the layers"):
        TappedModel(tiny_layers())


@pytest.mark.parametrize("name", backbone_names())
def test_fcn4s_scores_features_at_stride_4_where_there_are_some(name):
    small = {"alpha": 0.05, "fc_filters": 4} if name.startswith("vgg") else {}
    backbone = create(name, **small)
    if name.startswith(("alexnet", "googlenet")):
        with pytest.raises(ValueError, match=f"8, 16 or 32 for '{name}'.*no features at stride 4"):
            keras_fcn.FCN4s(3, backbone=backbone)
        return

    model = keras_fcn.FCN4s(3, backbone=backbone, input_shape=(64, 96, 3))

    assert model.get_layer("score_pool2").output.shape[1:3] == (16, 24)
    assert model.get_layer("upscore4").output.shape[1:3] == (64, 96)


def test_three_taps_are_enough_for_the_other_networks():
    fine, coarse = SmallResNet(alpha=0.125), SmallResNet(alpha=0.125, taps=("s8", "s16", "s32"))
    source = keras_fcn.FCN8s(3, backbone=coarse)
    for weight in source.weights:
        weight.assign(np.random.default_rng(0).uniform(0, 1, weight.shape))

    with pytest.raises(ValueError, match="`stride` must be 8, 16 or 32 for 'small_resnet'"):
        keras_fcn.FCN4s(3, backbone=coarse)
    target = keras_fcn.FCN4s(3, backbone=fine)
    transfer(source, target)

    # All layers but the last upsampling and the new ones.
    image = np.random.default_rng(1).uniform(0, 255, (1, 64, 64, 3))
    fused = [
        keras.Model(model.input, model.get_layer("fuse_pool3").output)(image)
        for model in (source, target)
    ]
    np.testing.assert_array_equal(*fused)
    assert not np.any(target.get_layer("score_pool2").kernel)


def test_layers_of_the_small_network_are_called_alike_in_every_copy():
    # `transfer` finds layers by name.
    first, second = (
        [layer.name for layer in SmallResNet(alpha=0.125).network(3).layers
         if layer.weights]
        for _ in range(2)
    )  # fmt: skip

    assert first == second


def classifier_layers(size):
    """A network of Keras without its classifier, as built by default: for one size only."""
    return keras.applications.MobileNet(
        input_shape=(*size, 3), include_top=False, weights=None, alpha=0.25
    )


MOBILENET_TAPS = ("conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu")


def test_a_backbone_for_one_size_says_how_to_build_it_for_any():
    keras.utils.set_random_seed(0)
    fixed = classifier_layers((224, 224))
    message = (
        r"built for 224x224 only\. Build it with the input shape \(None, None, 3\).*set_weights"
    )
    for input_shape in (None, (192, 224, 3)):
        with pytest.raises(ValueError, match=message):
            keras_fcn.FCN8s(
                2, backbone=TappedModel(fixed, taps=MOBILENET_TAPS), input_shape=input_shape
            )

    # What the text says to do: for any size, or for this one.
    free = classifier_layers((None, None))
    free.set_weights(fixed.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype("float32")
    np.testing.assert_allclose(free(image), fixed(image), atol=1e-5)
    network = keras_fcn.FCN8s(2, backbone=TappedModel(free, taps=MOBILENET_TAPS))
    assert network(image[:, :50, :70]).shape == (1, 50, 70, 2)
    network = keras_fcn.FCN8s(
        2, backbone=TappedModel(fixed, taps=MOBILENET_TAPS), input_shape=(224, 224, 3)
    )
    assert network(image).shape == (1, 224, 224, 2)
