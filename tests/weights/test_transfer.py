import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn import LabelSpec
from keras_fcn.backbones import MobileNetV2
from keras_fcn.weights import transfer

from ..helpers import Tiny, randomize_logits


def build(variant, num_classes=3, **options):
    """Returns a network with new random weights, whose logits are zero."""
    return variant(num_classes, backbone=Tiny(fc_filters=0), **options)


@pytest.mark.parametrize(
    ("coarse", "fine", "score", "stride", "new"),
    [
        (keras_fcn.FCN32s, keras_fcn.FCN16s, "score_fr", 32, ("score_pool4",)),
        (keras_fcn.FCN16s, keras_fcn.FCN8s, "fuse_pool4", 16, ("score_pool3",)),
    ],
)
def test_the_finer_net_starts_as_the_coarser_one(coarse, fine, score, stride, new):
    source, target = build(coarse), build(fine)
    randomize_logits(source)
    image = np.random.default_rng(1).integers(0, 256, size=(1, 256, 320, 3)).astype("float32")

    report = transfer(source, target)

    # Interpolating by f is piecewise linear with kinks at the scores. Interpolating by 2 first
    # moves the kinks a quarter cell to both sides, so it cuts corners: at a score s_i it gives
    # s_i + (s_{i-1} - 2 s_i + s_{i+1}) / 8. In two dimensions the rows' and the columns' parts
    # add up. So the two differ by at most an eighth of the second differences.
    scores = np.asarray(keras.Model(source.input, source.get_layer(score).output)(image))
    bound = sum(np.abs(np.diff(scores, n=2, axis=axis)).max() for axis in (1, 2)) / 8
    difference = np.asarray(target(image)) - np.asarray(source(image))
    inner = slice(2 * stride, -2 * stride)
    assert [name for name in report.new if name.startswith("score")] == list(new)
    assert 0 < np.abs(difference[:, inner, inner]).max() <= bound * 1.001


def test_all_layers_of_equal_networks_are_copied():
    source, target = build(keras_fcn.FCN8s), build(keras_fcn.FCN8s)
    randomize_logits(source)
    image = np.random.default_rng(0).integers(0, 256, size=(1, 45, 50, 3)).astype("float32")

    report = transfer(source, target)

    assert not report.adapted and not report.new and not report.unused
    np.testing.assert_array_equal(source(image), target(image))


@pytest.mark.parametrize(
    ("old", "new", "report"),
    [
        (
            "sky road car",
            "car tree sky pole",
            "car kept, tree new, sky kept, pole new, road left out",
        ),
        (
            "background cat dog",
            "background car dog",
            "background kept, car new, dog kept, cat left out",
        ),
        ("a b", "c d", "c new, d new, a left out, b left out"),
        ("a b", "b a", "b kept, a kept"),
    ],
)
def test_classes_are_matched_by_name(old, new, report):
    old, new = old.split(), new.split()
    source, target = (
        build(keras_fcn.FCN32s, len(names), labels=LabelSpec(names)) for names in (old, new)
    )
    randomize_logits(source)

    done = transfer(source, target)

    kernel, bias = source.get_layer("score_fr").get_weights()
    ours = target.get_layer("score_fr").get_weights()
    for index, name in enumerate(new):
        # A class of the same name has its weights, every other one starts at zero.
        expected = (kernel[..., old.index(name)], bias[old.index(name)]) if name in old else (0, 0)
        np.testing.assert_array_equal(ours[0][..., index], expected[0])
        np.testing.assert_array_equal(ours[1][index], expected[1])
    assert set(done.adapted) == {"score_fr", "upscore"}
    assert f"classes: {report}" in str(done)


def test_classes_without_names_are_kept_by_index():
    source = build(keras_fcn.FCN32s, 2)
    target = build(keras_fcn.FCN32s, 3)
    randomize_logits(source)

    report = transfer(source, target)

    assert "class 1 kept, class 2 new (by number, for want of names)" in str(report)
    bias = target.get_layer("score_fr").get_weights()[1]
    np.testing.assert_array_equal(bias[:2], source.get_layer("score_fr").get_weights()[1])
    assert bias[2] == 0


def test_upsampling_kernels_move_with_their_classes():
    source = build(keras_fcn.FCN32s, 2, labels=LabelSpec(("a", "b")))
    target = build(keras_fcn.FCN32s, 2, labels=LabelSpec(("b", "a")))
    layer = source.get_layer("upscore")
    kernel = np.random.default_rng(0).normal(size=layer.kernel.shape)
    layer.set_weights([kernel])

    transfer(source, target)

    moved = target.get_layer("upscore").get_weights()[0]
    np.testing.assert_allclose(moved, kernel[:, :, ::-1, ::-1], rtol=1e-6)


def test_other_backbones_are_refused():
    source = build(keras_fcn.FCN8s)
    other = keras_fcn.FCN8s(3, backbone=MobileNetV2(alpha=0.35, fc_filters=9))

    with pytest.raises(ValueError, match="backbone: 'tiny' there, 'mobilenet_v2' here"):
        transfer(source, other)


def test_score_layers_over_other_features_are_refused_before_anything_is_copied():
    source = build(keras_fcn.FCN32s)
    other = keras_fcn.FCN32s(3, backbone=MobileNetV2(alpha=0.35, fc_filters=9))
    before = other.get_weights()

    # The score layer alone has the same name in both.
    with pytest.raises(ValueError, match="'score_fr' must have the same shape in both networks"):
        transfer(
            source,
            other,
            changes=("backbone", "fc_filters", "alpha", "normalization", "mean", "dropout"),
        )

    for old, new in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_layers_of_other_shapes_are_refused():
    def plain(filters):
        images = keras.Input((8, 8, 3))
        return keras.Model(images, keras.layers.Conv2D(filters, 3, name="first")(images))

    with pytest.raises(ValueError, match="'first' must have the same shape in both networks"):
        transfer(plain(2), plain(3))


def test_weights_argument_takes_a_model_file(tmp_path):
    source = build(keras_fcn.FCN8s)
    randomize_logits(source)
    source.save(tmp_path / "m.keras")
    image = np.random.default_rng(0).integers(0, 256, size=(1, 45, 50, 3)).astype("float32")

    same = build(keras_fcn.FCN8s, weights=str(tmp_path / "m.keras"))

    np.testing.assert_array_equal(source(image), same(image))
    with pytest.raises(ValueError, match="num_classes: 3 there, 4 here"):
        build(keras_fcn.FCN8s, 4, weights=str(tmp_path / "m.keras"))
