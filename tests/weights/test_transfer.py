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


def test_common_classes_are_kept_by_name():
    source = build(keras_fcn.FCN32s, 3, labels=LabelSpec(("sky", "road", "car")))
    target = build(keras_fcn.FCN32s, 4, labels=LabelSpec(("car", "tree", "sky", "pole")))
    randomize_logits(source)

    report = transfer(source, target)

    old, new = source.get_layer("score_fr"), target.get_layer("score_fr")
    old_kernel, new_kernel = old.get_weights()[0], new.get_weights()[0]
    np.testing.assert_array_equal(new_kernel[..., 0], old_kernel[..., 2])  # car
    np.testing.assert_array_equal(new_kernel[..., 2], old_kernel[..., 0])  # sky
    assert not new_kernel[..., [1, 3]].any()  # tree and pole start at zero
    assert set(report.adapted) == {"score_fr", "upscore"}


def test_classes_without_names_are_kept_by_index():
    source = build(keras_fcn.FCN32s, 2)
    target = build(keras_fcn.FCN32s, 3)
    randomize_logits(source)

    transfer(source, target)

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

    with pytest.raises(ValueError, match="must have the same shape in both networks"):
        transfer(source, other)


def test_weights_argument_takes_a_model_file(tmp_path):
    source = build(keras_fcn.FCN8s)
    randomize_logits(source)
    source.save(tmp_path / "m.keras")
    image = np.random.default_rng(0).integers(0, 256, size=(1, 45, 50, 3)).astype("float32")

    same = build(keras_fcn.FCN8s, weights=str(tmp_path / "m.keras"))

    np.testing.assert_array_equal(source(image), same(image))
    with pytest.raises(ValueError, match="Missing or of other classes: .*score_fr"):
        build(keras_fcn.FCN8s, 4, weights=str(tmp_path / "m.keras"))
