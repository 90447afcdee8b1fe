"""Weights of a network with other settings are refused wherever they come from."""

import inspect
from dataclasses import fields

import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import BACKBONES, VGG16, MobileNetV2, TappedModel
from keras_fcn.labels import LabelSpec
from keras_fcn.weights import transfer
from keras_fcn.weights.comparison import compare

TINY = {"alpha": 0.05, "fc_filters": 4}
TAPS = ("s8", "s16", "s32")


def build(**settings):
    of_backbone = {f.name for f in fields(VGG16)}
    backbone = {name: settings.pop(name) for name in of_backbone & settings.keys()}
    settings.setdefault("backbone", VGG16(**{**TINY, **backbone}))
    model = keras_fcn.FCN(3, **settings)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("score") and layer.weights:
            layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return model


def user_model(activation):
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 8, 8, padding="same", activation=activation, name="s8")(images)
    x = keras.layers.Conv2D(6, 3, 2, padding="same", name="s16")(x)
    x = keras.layers.Conv2D(8, 3, 2, padding="same", name="s32")(x)
    return TappedModel(keras.Model(images, x, name="mine"), taps=TAPS, fc_filters=0)


def crossing_model(second):
    """Returns a backbone with a sum whose second term is the output of a layer."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 8, 8, padding="same", name="first")(images)
    outputs = {"first": x, "other": keras.layers.Conv2D(4, 1, name="other")(x)}
    x = keras.layers.Add(name="both")([outputs["other"], outputs["first"]])
    x = keras.layers.Add(name="s8")([x, outputs[second]])
    x = keras.layers.Conv2D(6, 3, 2, padding="same", name="s16")(x)
    x = keras.layers.Conv2D(8, 3, 2, padding="same", name="s32")(x)
    return TappedModel(keras.Model(images, x, name="mine"), taps=TAPS, fc_filters=0)


SETTINGS = {
    # Setting -> that of the file, that of the network, what the message contains.
    "skip_scales": (
        {"skip_scales": (0.01, 0.0001)},
        {},
        r"skip_scales: \(0.01, 0.0001\) there, \(1.0, 1.0\) here\n"
        r"The network that fits has skip_scales=\(0.01, 0.0001\)\.",
    ),
    "normalization": (
        {"normalization": "caffe"},
        {"normalization": "tf"},
        "normalization='caffe' in its backbone",
    ),
    "mean": ({"mean": (1, 2, 3)}, {"mean": (4, 5, 60)}, r"mean=\(1, 2, 3\) in its backbone"),
    "modalities": (
        {"modalities": ("rgb",)},
        {"modalities": ("hha",)},
        r"modalities: \('rgb',\) there, \('hha',\) here",
    ),
    "model": (
        {"backbone": user_model("relu")},
        {"backbone": user_model("tanh")},
        "model, layer 's8': .*relu.* there, .*tanh.* here",
    ),
    "connections": (
        {"backbone": crossing_model("first")},
        {"backbone": crossing_model("other")},
        "model, inputs of layer 's8': 'layers 3:0:0, 1:0:0' there, 'layers 3:0:0, 2:0:0' here",
    ),
    "upsampling_kernel": (
        {"upsampling_kernel": "2f"},
        {"upsampling_kernel": "2f-1"},
        "upsampling_kernel='2f'",
    ),
    "stride": ({"stride": 8}, {"stride": 16}, "stride=8"),
    "skip_filters": ({"skip_filters": 2}, {"skip_filters": 3}, "skip_filters=2"),
    "alpha": ({"alpha": 0.05}, {"alpha": 0.1}, "alpha=0.05 in its backbone"),
    "labels": (
        {"labels": LabelSpec(("a", "b", "c"))},
        {"labels": LabelSpec(("c", "b", "a"))},
        r"labels=\(a, b, c\)",
    ),
}
# The settings that fit the same weights, so that nothing but the comparison can tell.
FITTING = ("skip_scales", "normalization", "mean", "modalities", "model", "connections")


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_file_of_other_settings_is_refused(tmp_path, setting):
    theirs, ours, message = SETTINGS[setting]
    source, target = build(**theirs), build(**ours)
    source.save(tmp_path / "m.keras")
    before = target.get_weights()

    with pytest.raises(ValueError, match=message) as info:
        keras_fcn.weights.load(target, tmp_path / "m.keras")

    assert f"m.keras contains a network that computes something else than '{target.name}'" in str(
        info.value
    )
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("setting", FITTING)
def test_those_settings_change_the_logits(setting):
    """The comparison refuses nothing that computes the same."""
    theirs, ours, _ = SETTINGS[setting]
    source, target = build(**theirs), build(**ours)
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")

    target.set_weights(source.get_weights())

    expected = np.asarray(source(image))
    assert np.abs(np.asarray(target(image)) - expected).max() > 1e-3 * np.ptp(expected)


@pytest.mark.parametrize("setting", ["normalization", "mean", "modalities", "model"])
def test_transfer_refuses_what_it_is_not_for_unless_asked(setting):
    theirs, ours, message = SETTINGS[setting]
    source, target = build(**theirs), build(**ours)

    with pytest.raises(ValueError, match=rf"(?s){message}.*with changes=\('{setting}'"):
        transfer(source, target)

    changes = {"modalities": ("modalities", "mean", "normalization")}.get(setting, (setting,))
    assert f"{setting}" in str(transfer(source, target, changes=changes))


def test_transfer_tells_what_it_changes():
    coarse, fine = build(stride=32), build(stride=16)

    assert "stride: 32 there, 16 here" in str(transfer(coarse, fine))


@pytest.mark.parametrize("how", ["transfer", "load"])
def test_a_network_that_names_no_mean_gets_that_of_its_weights(tmp_path, how):
    source, target = build(mean=(1, 20, 90)), build()

    if how == "transfer":
        assert "mean of rgb: that of the source, 1, 20, 90" in str(transfer(source, target))
    else:
        source.save(tmp_path / "m.keras")
        keras_fcn.weights.load(target, tmp_path / "m.keras")

    pixel = keras.Model(target.input, target.get_layer("normalization").output)(
        np.zeros((1, 1, 1, 3))
    )
    assert np.ravel(pixel).tolist() == [-1, -20, -90]
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    np.testing.assert_array_equal(target(image), source(image))


def test_backbones_of_two_streams_are_copied_each():
    # The layers of the two have the same names.
    backbone = MobileNetV2(alpha=0.35, fc_filters=4)
    late = {"modalities": ("rgb", "hha"), "fusion": "late", "backbone": backbone}
    source, target = build(**late), build(**late)
    first, second = (la for la in source.layers if isinstance(la, keras.Model))
    one, other = (model.get_layer("Conv1").get_weights()[0] for model in (first, second))
    assert (one != other).any()

    report = transfer(source, target)

    assert not report.new and not report.unused
    for old, new in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_weights_of_scaled_skips_are_multiplied():
    at_once, plain = build(skip_scales=(0.01, 0.0001)), build()
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    kernel = at_once.get_layer("score_pool3").get_weights()[0]

    transfer(at_once, plain)

    np.testing.assert_allclose(plain.get_layer("score_pool3").kernel, kernel * 1e-4, rtol=1e-6)
    expected = np.asarray(at_once(image))
    np.testing.assert_allclose(plain(image), expected, rtol=0, atol=1e-6 * np.ptp(expected))


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (
            {"input_shape": (None, None, 5)},
            {},
            r"input_shape: \(None, None, 5\) there, \(None, None, 3\) here\n  normalization: "
            "'none' there, 'caffe' here",
        ),
        ({}, {"input_shape": (None, None, 4)}, "normalization: 'caffe' there, 'none' here"),
        (
            {"input_shape": (None, None, 4)},
            {"modalities": ("rgb", "depth")},
            r"modalities: \(\) there, \('rgb', 'depth'\) here",
        ),
    ],
)
def test_channels_without_names_are_compared(theirs, ours, message):
    with pytest.raises(ValueError, match=message):
        transfer(build(**theirs), build(**ours))


def test_channels_without_names_extend_the_colors():
    source = build(normalization="none")

    report = transfer(source, build(normalization="none", input_shape=(None, None, 4)))

    assert report.adapted == ("block1_conv1",)
    assert "input_shape: (None, None, 3) there, (None, None, 4) here" in str(report)


def bands(mean, deviation):
    settings = {"normalization": "standardize", "mean": mean, "deviation": deviation}
    return build(**settings, input_shape=(None, None, len(mean)))


def test_standardized_bands_are_compared(tmp_path):
    source = bands((1.0, 2.0), (3.0, 4.0))
    source.save(tmp_path / "m.keras")
    differ = (
        r"mean: \(1.0, 2.0\) there, \(1.0, 5.0\) here\n  deviation: .* there, \(3.0, 6.0\) here"
    )

    assert compare(source, bands((1.0, 2.0), (3.0, 4.0))) == []
    with pytest.raises(ValueError, match=differ):
        keras_fcn.weights.load(bands((1.0, 5.0), (3.0, 6.0)), tmp_path / "m.keras")
    build().save(tmp_path / "rgb.keras")
    with pytest.raises(ValueError, match="normalization: 'caffe' there, 'standardize' here"):
        keras_fcn.weights.load(source, tmp_path / "rgb.keras")


def test_transfer_keeps_the_statistics_of_the_bands_it_is_for():
    source, target = bands((1.0, 2.0), (3.0, 4.0)), bands((1.0, 5.0), (3.0, 6.0))

    report = str(transfer(source, target))

    assert "mean: (1.0, 2.0) there, (1.0, 5.0) here" in report
    assert target.backbone.mean == target.get_layer("normalization").mean == (1.0, 5.0)
    with pytest.raises(ValueError, match=r"input_shape: \(None, None, 2\) there"):
        transfer(source, bands((1.0,), (2.0,)))
    with pytest.raises(ValueError, match="normalization: 'standardize' there, 'caffe' here"):
        transfer(source, build())


@pytest.mark.parametrize("num_bands", [2, 5])
def test_colors_start_standardized_bands_on_purpose(num_bands):
    report = transfer(build(), bands((1.0,) * num_bands, (2.0,) * num_bands))

    assert report.adapted == ("block1_conv1",)
    assert "normalization: 'caffe' there, 'standardize' here" in str(report)


def test_a_file_of_another_kind_of_network_is_named(tmp_path):
    images = keras.Input((None, None, 3))
    keras.Model(images, keras.layers.Conv2D(2, 3)(images)).save(tmp_path / "m.keras")

    with pytest.raises(ValueError, match=r"m\.keras does not fit .*have no layer in common"):
        keras_fcn.weights.load(build(), tmp_path / "m.keras")


def test_colors_without_a_name_are_rgb():
    assert compare(build(mean=(1, 2, 3)), build(mean=(1, 2, 3), modalities=("rgb",))) == []


def test_nothing_that_leaves_the_logits_alone_is_a_difference():
    source = build()
    same = build(
        dropout=0.2,
        kernel_initializer="zeros",
        upsampling="learned",
        dtype="bfloat16",
        input_shape=(64, 96, 3),
        origin={"a": 1},
        name="other",
    )

    assert compare(source, same) == []


def test_every_setting_is_compared_or_known_to_change_no_logits():
    compared = {"num_classes", "labels", "stride", "skip_scales", "skip_filters"}
    compared |= {"upsampling_kernel", "modalities", "fusion", "backbone", "input_shape"}
    inert = {"weights", "upsampling", "origin", "dtype", "name"}

    arguments = set(inspect.signature(keras_fcn.FCN).parameters)

    assert arguments == compared | inert
    for backbone in (*BACKBONES.values(), TappedModel):
        names = {field.name for field in fields(backbone)}
        layers = {"normalization", "mean", "deviation", "model"}
        assert names <= layers | {
            *("alpha", "fc_filters", "geometry", "border", "taps"),  # compared by value
            *("weights", "dropout", "kernel_initializer"),  # change no logits
            "include_top", "minimalistic",
        }, backbone  # fmt: skip


def test_a_file_without_settings_says_what_was_not_checked(tmp_path):
    at_once, plain = build(skip_scales=(0.01, 0.0001)), build()
    at_once.save_weights(tmp_path / "m.weights.h5")

    with pytest.warns(UserWarning, match=r"m\.weights\.h5 contains no settings.*skip_scales"):
        keras_fcn.weights.load(plain, tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="does not contain the weights of 'fcn16s_vgg16'"):
        keras_fcn.weights.load(build(stride=16), tmp_path / "m.weights.h5")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", "transfer"])
@pytest.mark.filterwarnings("ignore:.*NaN or infinity")
def test_weights_that_are_no_numbers_are_refused(tmp_path, value, suffix):
    source = build()
    kernel = source.get_layer("fc6").kernel
    kernel.assign(np.full(kernel.shape, value))

    path = str(tmp_path / f"m{suffix}")

    def fill():
        if suffix == "transfer":
            transfer(source, build())
        else:
            source.save(path) if suffix == ".keras" else source.save_weights(path)
            keras_fcn.weights.load(build(), path)

    # fc6: 7 x 7 of 26 channels (512 * 0.05) to 4
    with pytest.raises(ValueError, match=r"NaN or infinity in fc6/kernel \(5096 of 5096\)"):
        fill()
