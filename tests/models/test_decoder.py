import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn import LabelSpec
from keras_fcn.backbones import VGG16, MobileNetV2, TappedModel
from keras_fcn.weights import extend_input_channels, fuse_streams, transfer

from ..helpers import TAPS, Tiny, tiny_layers

HEADS = {"semantic": 4, "geometric": 3}
NARROW = VGG16(alpha=0.05, fc_filters=4)


def randomize_all(model, seed=0):
    """Gives random weights to all layers but the upsampling, biases included; returns the model."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.weights and not layer.name.startswith("upscore"):
            layer.set_weights([rng.normal(size=w.shape) * 0.3 for w in layer.get_weights()])
    return model


def image(channels=3, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (1, 45, 50, channels)).astype("float32")


def test_heads_share_the_trunk_and_have_their_own_scores():
    backbone = TappedModel(tiny_layers(), taps=TAPS, fc_filters=0)
    model = randomize_all(keras_fcn.FCN8s(HEADS, backbone=backbone))

    scores = model(image())

    # Each head equals a network of its own with the same weights.
    for head, num_classes in HEADS.items():
        single = keras_fcn.FCN8s(num_classes, backbone=backbone)
        for name in ("score_fr", "score_pool4", "score_pool3"):
            single.get_layer(name).set_weights(model.get_layer(f"{name}_{head}").get_weights())
        np.testing.assert_allclose(scores[head], single(image()), rtol=1e-5, atol=1e-5)
    assert list(scores) == list(HEADS)


def test_heads_have_the_names_of_the_reference():
    model = keras_fcn.FCN8s(HEADS, backbone=NARROW)

    names = {layer.name for layer in model.layers}
    for name in "score_fr upscore2 score_pool4 upscore_pool4 score_pool3 upscore8 score".split():
        assert {f"{name}_semantic", f"{name}_geometric"} <= names


def test_heads_are_saved_with_their_labels(tmp_path):
    labels = {
        "semantic": LabelSpec(("sky", "road", "car", "tree")),
        "geometric": LabelSpec(("sky", "horizontal", "vertical"), ignore_class=100),
    }
    model = keras_fcn.FCN16s(HEADS, backbone=Tiny(), labels=labels)
    randomize_all(model)

    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")

    assert loaded.labels == model.labels == labels
    for head in HEADS:
        np.testing.assert_array_equal(loaded(image())[head], model(image())[head])


def test_each_head_has_its_loss_and_metrics():
    model = keras_fcn.FCN32s(HEADS, backbone=Tiny())
    model.compile(
        "sgd",
        loss={head: keras_fcn.losses.PixelwiseCrossentropy() for head in HEADS},
        metrics={
            head: keras_fcn.metrics.SegmentationMetrics(n, name=f"{head}_scores")
            for head, n in HEADS.items()
        },
    )
    labels = {head: np.zeros((1, 45, 50), "int32") for head in HEADS}

    history = model.fit(image(), labels, verbose=0).history

    # Scores start at zero: the mean cross-entropy over n classes is log n.
    assert history["semantic_loss"][0] == pytest.approx(np.log(4), rel=1e-4)
    assert history["geometric_loss"][0] == pytest.approx(np.log(3), rel=1e-4)


def test_classes_of_heads_are_transferred_by_name():
    def build(names):
        heads = {"a": 2, "b": len(names)}
        labels = {"a": LabelSpec(("on", "off")), "b": LabelSpec(names)}
        return keras_fcn.FCN32s(heads, backbone=Tiny(fc_filters=0), labels=labels)

    source, target = randomize_all(build(("x", "y"))), build(("z", "y", "x"))

    report = transfer(source, target)

    old = source.get_layer("score_fr_b").get_weights()[0]
    new = target.get_layer("score_fr_b").get_weights()[0]
    np.testing.assert_array_equal(new[..., [2, 1]], old)
    assert set(report.adapted) == {"score_fr_b", "upscore_b"}
    assert "score_fr_a" in report.copied


def test_a_head_with_the_name_of_a_stream_is_transferred_by_name():
    def build(names):
        labels = {"hha": LabelSpec(names)}
        streams = {"modalities": ("hha", "rgb"), "fusion": "late"}
        heads = {"hha": len(names)}
        return keras_fcn.FCN32s(heads, backbone=NARROW, labels=labels, **streams)

    source, target = randomize_all(build(("x", "y"))), build(("y", "x"))

    transfer(source, target)

    for layer in ("score_fr_hhahha", "score_fr_hhargb"):
        old, new = (model.get_layer(layer).get_weights()[0] for model in (source, target))
        np.testing.assert_array_equal(new[..., ::-1], old)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": {}}, "must have names of letters"),
        ({"num_classes": {"a b": 3}}, "must have names of letters"),
        ({"num_classes": {"pool4": 2, "a": 2}}, "A head must not be called 'pool4'"),
        ({"num_classes": {"fr": 2, "fr_fr": 2}}, "A head must not be called 'fr'"),
        ({"num_classes": {"a": 2, "b_a": 2}}, "must not end with _ and that of another one"),
        ({"num_classes": {"a": 1}}, r"`num_classes` must be in \[2, 255\]"),
        ({"labels": LabelSpec(("a", "b"))}, "`labels` must be a dictionary with the heads"),
        (
            {"labels": {h: LabelSpec(("a", "b", "c")) for h in HEADS}},
            "`labels` of 'semantic' must name 4 classes",
        ),
        ({"modalities": ("rgb", "smell")}, "`modalities` must name some of rgb, hha, depth"),
        ({"modalities": ("rgb", "rgb")}, "`modalities` must name some of"),
        ({"modalities": ("rgb",), "fusion": "late"}, "of two or more `modalities`"),
        ({"modalities": ("hha",), "fusion": "middle"}, '`fusion` must be "early" or "late"'),
        ({"modalities": ("depth",), "input_shape": (8, 8, 3)}, r"must be \(height, width, 1\)"),
        (
            {"input_shape": (8, 8, 4), "backbone": VGG16(normalization="caffe")},
            "must have 3 channels.*Received: 4",
        ),
        (
            {"input_shape": (None, None, 4), "backbone": VGG16(weights="x.h5")},
            "`normalization`.* or `modalities` must be given",
        ),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_fcn.FCN(**{"num_classes": HEADS, "backbone": NARROW, **arguments})


def test_skips_are_scaled_before_their_scores():
    model = randomize_all(keras_fcn.FCN8sAtOnce(3, backbone=NARROW))
    plain = keras_fcn.FCN8s(3, backbone=NARROW)

    kernel = model.get_layer("score_pool3").get_weights()[0]
    report = transfer(model, plain)

    # The factor moves into the weights, so that both networks compute the same.
    np.testing.assert_allclose(
        plain.get_layer("score_pool3").get_weights()[0], kernel * 0.0001, rtol=1e-6
    )
    assert set(report.adapted) == {"score_pool4", "score_pool3"}
    assert "skip_scales: (0.01, 0.0001) there, (1.0, 1.0) here" in str(report)

    np.testing.assert_allclose(model(image()), plain(image()), rtol=1e-4, atol=1e-3)
    assert keras_fcn.FCN.from_config(model.get_config()).get_layer("scale_pool3").scale == 0.0001


def test_any_number_of_channels():
    model = randomize_all(keras_fcn.FCN8s(3, input_shape=(None, None, 7), backbone=NARROW))

    assert model(image(7)).shape == (1, 45, 50, 3)
    restored = keras_fcn.FCN.from_config(model.get_config())
    assert restored.input_shape == (None, None, None, 7)


def test_channels_have_the_means_that_are_given():
    backbone = NARROW.replace(normalization="caffe", mean=(1, 2, 3, 4))
    model = keras_fcn.FCN32s(2, input_shape=(None, None, 4), backbone=backbone)
    normalized = keras.Model(model.input, model.get_layer("normalization").output)

    # Only red, green and blue are turned round.
    assert np.asarray(normalized(np.zeros((1, 1, 1, 4)))).ravel().tolist() == [-1, -2, -3, -4]


def test_rgb_hha_and_depth_are_normalized_as_in_the_reference():
    model = keras_fcn.FCN32s(2, modalities=("rgb", "hha", "depth"), backbone=NARROW)
    merged = keras.Model(model.input, model.get_layer("modalities").output)
    pixel = np.array([100, 110, 120, 1, 2, 3, 1000.0], "float32")

    values = np.asarray(merged(pixel.reshape(1, 1, 1, 7))).ravel()

    expected = [120 - 116.190, 110 - 97.203, 100 - 92.318]  # blue, green, red
    expected += [1 - 132.431, 2 - 94.076, 3 - 118.477, np.log(1000) - 7.844]
    np.testing.assert_allclose(values, expected, atol=1e-3)


def test_missing_depth_is_finite():
    model = randomize_all(keras_fcn.FCN32s(2, modalities=("depth",), backbone=NARROW))

    assert np.isfinite(np.asarray(model(np.zeros((1, 40, 40, 1))))).all()


def test_depth_starts_as_the_mean_of_the_colors():
    colors = randomize_all(keras_fcn.FCN32s(3, modalities=("rgb",), backbone=NARROW))
    both = keras_fcn.FCN32s(3, modalities=("rgb", "depth"), backbone=NARROW)

    report = transfer(colors, both)

    old = colors.get_layer("block1_conv1").get_weights()[0]
    new = both.get_layer("block1_conv1").get_weights()[0]
    np.testing.assert_array_equal(new[:, :, :3], old)
    np.testing.assert_allclose(new[:, :, 3], old.mean(axis=2), rtol=1e-6)
    assert report.adapted == ("block1_conv1",)


def test_pretrained_backbones_are_extended_too(shared_data):
    path = str(shared_data / "weights" / "mobilenet_v2_0.35_notop.weights.h5")

    backbone = MobileNetV2(alpha=0.35, weights=path)
    model = keras_fcn.FCN32s(3, backbone=backbone, modalities=("rgb", "depth"))

    nested = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    kernel = nested.get_layer("Conv1").get_weights()[0]
    assert kernel.shape[2] == 4 and kernel.std() > 0
    np.testing.assert_allclose(kernel[:, :, 3], kernel[:, :, :3].mean(axis=2), rtol=1e-6)


@pytest.mark.parametrize(
    ("variant", "backbone"),
    [
        (keras_fcn.FCN32s, NARROW),
        (keras_fcn.FCN16s, NARROW),
        (keras_fcn.FCN8s, NARROW),
        (keras_fcn.FCN8s, MobileNetV2(alpha=0.35, fc_filters=4)),
    ],
)
def test_fused_streams_average_the_scores_of_two_networks(variant, backbone):
    rgb = randomize_all(variant(3, modalities=("rgb",), backbone=backbone), seed=1)
    hha = randomize_all(variant(3, modalities=("hha",), backbone=backbone), seed=2)
    both = variant(3, modalities=("rgb", "hha"), fusion="late", backbone=backbone)

    fuse_streams(both, {"rgb": rgb, "hha": hha})

    # Upsampling is linear: the average of the scores is the score of the averages.
    pixels = image(6)
    expected = (np.asarray(rgb(pixels[..., :3])) + np.asarray(hha(pixels[..., 3:]))) / 2
    np.testing.assert_allclose(both(pixels), expected, rtol=1e-3, atol=1e-3 * np.ptp(expected))
    copy = keras_fcn.FCN.from_config(both.get_config())
    transfer(both, copy)
    np.testing.assert_array_equal(copy(pixels), both(pixels))


def test_streams_of_other_networks_are_refused():
    both = keras_fcn.FCN32s(3, modalities=("rgb", "hha"), fusion="late", backbone=NARROW)
    wider = keras_fcn.FCN32s(3, backbone=VGG16(alpha=0.1, fc_filters=4), modalities=("hha",))

    with pytest.raises(ValueError, match=r"modality 'hha' must .*\n  alpha: 0\.1 there, 0\.05"):
        fuse_streams(both, {"hha": wider})
    with pytest.raises(ValueError, match="'hha' must take it alone. Received: .* takes rgb"):
        fuse_streams(both, {"hha": keras_fcn.FCN32s(3, backbone=NARROW, modalities=("rgb",))})
    images = keras.Input((None, None, 3))
    plain = keras.Model(images, keras.layers.Conv2D(2, 3, name="block1_conv1")(images))
    with pytest.raises(ValueError, match="must have a layer 'block1_conv1hha' like"):
        fuse_streams(both, {"hha": plain})


def test_streams_with_other_classes_are_refused():
    named = [LabelSpec(("a", "b", "c")), LabelSpec(("a", "c", "b"))]
    both = keras_fcn.FCN32s(
        3, modalities=("rgb", "hha"), fusion="late", backbone=NARROW, labels=named[0]
    )
    other = keras_fcn.FCN32s(3, modalities=("hha",), backbone=NARROW, labels=named[1])

    with pytest.raises(ValueError, match=r"labels: \(a, c, b\) there, \(a, b, c\) here"):
        fuse_streams(both, {"hha": other})


def test_streams_bring_their_means():
    sources = {
        name: keras_fcn.FCN32s(3, modalities=(name,), backbone=NARROW.replace(mean=mean))
        for name, mean in (("rgb", (1, 2, 3)), ("hha", (4, 5, 6)))
    }
    both = keras_fcn.FCN32s(3, modalities=("rgb", "hha"), fusion="late", backbone=NARROW)

    report = fuse_streams(both, sources)

    normalized = keras.Model(
        both.input, [both.get_layer(f"normalization{name}").output for name in ("rgb", "hha")]
    )
    rgb, hha = normalized(np.zeros((1, 1, 1, 6)))
    assert np.ravel(rgb).tolist() == [-1, -2, -3]
    assert np.ravel(hha).tolist() == [-4, -5, -6]
    assert "mean of hha: that of the source, 4, 5, 6" in str(report)
    assert both.get_config()["backbone"]["config"]["mean"] == [1, 2, 3, 4, 5, 6]


def test_extended_kernels_keep_the_colors():
    kernel = np.arange(6.0).reshape(1, 1, 3, 2)

    extended = extend_input_channels(kernel, 5)

    np.testing.assert_array_equal(extended[:, :, :3], kernel)
    assert extended[0, 0, 3].tolist() == extended[0, 0, 4].tolist() == [2.0, 3.0]
