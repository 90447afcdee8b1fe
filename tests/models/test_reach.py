"""The reach of networks is compared with how far a changed pixel changes logits."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_fcn
from keras_fcn.backbones import BACKBONES, VGG16, TappedModel, create
from keras_fcn.backbones.backbone import ReferenceBackbone
from keras_fcn.layers import PadToStride
from keras_fcn.models.receptive_field import reach_of, summarize
from keras_fcn.prediction import KerasPredictor
from keras_fcn.prediction.tiling import TiledPredictor

from ..helpers import randomize_logits

HEIGHT = 64
# Those with a narrow variant, which take a second or two; the others only in `-m full`.
NARROW = {
    "vgg16": {"alpha": 0.05, "fc_filters": 4},
    "vgg19": {"alpha": 0.05, "fc_filters": 4},
    "alexnet": {"alpha": 0.1, "fc_filters": 4},
    "mobilenet": {"alpha": 0.25},
    "mobilenet_v2": {"alpha": 0.35},
    "mobilenet_v3_small": {},
    "small_resnet": {},
}
CASES = [
    pytest.param(name, geometry, marks=[] if name in NARROW else [pytest.mark.full])
    for name in BACKBONES
    for geometry in ("same", "reference")
    if geometry == "same" or issubclass(BACKBONES[name], ReferenceBackbone)
]


def distances_of_changes(
    model: keras.Model, width: int, along: str = "width", num_changed: int = 32
) -> np.ndarray:
    """Returns the largest change of the logits at each distance from pixels that are changed.

    Index 0 is the nearest of the changed pixels, which are all to its right (or below).
    """
    start = width - num_changed
    image = np.random.default_rng(0).integers(0, 64, (1, HEIGHT, width, 3)).astype("uint8")
    changed = image.copy()
    changed[:, :, start:] += 191
    if along == "height":
        image, changed = (np.ascontiguousarray(x.swapaxes(1, 2)) for x in (image, changed))
    predictor = KerasPredictor(model)
    difference = np.abs(predictor.logits(changed) - predictor.logits(image))
    by_line = difference.max((0, 2, 3) if along == "height" else (0, 1, 3))
    return by_line[start::-1]


@pytest.mark.parametrize(("name", "geometry"), CASES)
def test_pixels_beyond_the_reach_change_nothing(name, geometry):
    keras.utils.set_random_seed(0)
    options = {"geometry": geometry} if geometry == "reference" else {}
    model = randomize_logits(
        keras_fcn.FCN8s(2, backbone=create(name, **NARROW.get(name, {}), **options))
    )
    reach = reach_of(model)
    far = 1000 if np.isinf(reach) else int(reach)

    # More pixels for means over the image, of which few pixels change little.
    num_changed = 320 if np.isinf(reach) else 32
    change = distances_of_changes(model, 32 * -(-(far + 600) // 32), num_changed=num_changed)

    # Rounding: the fastest kernels for one place of the image are not those for all.
    beyond = change[far + 1 :].max() / change.max()
    if np.isinf(reach):
        assert beyond > 1e-5
    else:
        assert beyond < 1e-5
        assert change[: far // 2].max() > 1e-5 * change.max()


def with_layer(make, sizes=(None, None)):
    """An FCN whose backbone contains a layer, or anything that maps a tensor to a tensor."""
    images = keras.Input((*sizes, 3))
    x = s8 = layers.Conv2D(6, 8, strides=8, padding="same", name="s8")(images)
    x = make(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="s16")(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="s32")(x)
    del s8
    backbone = TappedModel(keras.Model(images, x), taps=("s8", "s16", "s32"), fc_filters=0)
    keras.utils.set_random_seed(0)
    return randomize_logits(keras_fcn.FCN8s(2, backbone=backbone))


@keras.saving.register_keras_serializable(package="tests")
class MinusMean(layers.Layer):
    """A layer of a user."""

    def call(self, x):
        return x - keras.ops.mean(x, axis=(1, 2), keepdims=True)


@keras.saving.register_keras_serializable(package="tests")
class ReLUOfMean(layers.ReLU):
    """A subclass of a layer that is known, with a `call` of its own."""

    def call(self, x):
        return super().call(x) + keras.ops.mean(x, axis=(1, 2), keepdims=True)


def squeeze_and_excitation(x):
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.Multiply()([x, layers.Dense(6, activation="sigmoid")(gate)])


def attention(x):
    tokens = layers.Reshape((-1, 6))(x)
    tokens = layers.MultiHeadAttention(1, 4)(tokens, tokens)
    gate = keras.ops.mean(tokens, axis=1, keepdims=True)
    return x + keras.ops.expand_dims(gate, 1)


def nested(x):
    inner = keras.Input((None, None, 6))
    return keras.Model(inner, layers.GroupNormalization(2)(inner))(x)


def group_as_activation(x):
    return layers.Conv2D(6, 1, activation=MinusMean())(x)


GLOBAL = {
    "GroupNormalization": lambda x: layers.GroupNormalization(groups=3)(x),
    "LayerNormalization of space": lambda x: (
        layers.LayerNormalization(axis=(1, 2, 3))(x) if x.shape[1] else MinusMean()(x)
    ),
    "UnitNormalization of rows": lambda x: layers.UnitNormalization(axis=2)(x),
    "squeeze-and-excitation": squeeze_and_excitation,
    "mean over the image": lambda x: x - keras.ops.mean(x, axis=(1, 2), keepdims=True),
    "largest value of the image": lambda x: x - keras.ops.max(x, axis=(1, 2), keepdims=True),
    "reversed image": lambda x: x + x[:, :, ::-1],
    "softmax over a row": lambda x: 100 * layers.Softmax(axis=2)(x),
    "attention": attention,
    "layer of a user": lambda x: MinusMean()(x),
    "subclass of a known layer": lambda x: ReLUOfMean()(x),
    "activation of a user": group_as_activation,
    "model inside the model": nested,
}


@pytest.mark.parametrize("make", GLOBAL.values(), ids=GLOBAL)
def test_networks_that_see_the_whole_image_have_no_finite_reach(make):
    model = with_layer(make)

    # 500 pixels away, six times as far as the windows of this network reach.
    change = distances_of_changes(model, 640)
    assert change[500:].max() > 1e-4 * change.max()
    assert np.isinf(reach_of(model)) and KerasPredictor(model).reach is None
    assert all(score.is_global for score in summarize(model).scores if score.name != "score_pool3")
    tiled = TiledPredictor(KerasPredictor(model), tile_size=(320, 320))
    assert not tiled.is_exact and "may differ" in tiled.notes[0]


LOCAL = {
    "LayerNormalization of channels": lambda x: layers.LayerNormalization()(x),
    "BatchNormalization": lambda x: layers.BatchNormalization()(x),
    "softmax of channels": lambda x: layers.Softmax()(x),
    "operations": lambda x: keras.ops.relu(x * 2.0 + 1.0) + x[..., ::-1],
    "wide window": lambda x: layers.Conv2D(6, (1, 9), padding="same")(x),
    "high window": lambda x: layers.Conv2D(6, (9, 1), padding="same")(x),
    "layer used twice": lambda x: (f := layers.Conv2D(6, 3, padding="same"))(f(x)),
    "dilated window": lambda x: layers.DepthwiseConv2D(3, dilation_rate=3, padding="same")(x),
}


@pytest.mark.parametrize("make", LOCAL.values(), ids=LOCAL)
def test_local_layers_have_a_reach_that_is_kept(make):
    model = with_layer(make)
    reach = reach_of(model)

    farthest = 0
    for along in ("width", "height"):
        change = distances_of_changes(model, 640, along)
        farthest = max(farthest, int(np.flatnonzero(change > 1e-5 * change.max()).max()))

    # At most the reach, and along the axis of the largest windows not much less.
    assert 0.6 * reach < farthest <= reach < 200


@pytest.mark.parametrize("is_padded", [True, False])
def test_a_network_whose_windows_move_with_the_size_of_the_image_has_no_finite_reach(is_padded):
    # TensorFlow puts the padding of "same" left of an image of 64 columns, but on both sides of
    # one of 63: then the windows of all cells are one pixel further left.
    images = keras.Input((None, None, 3))
    x = PadToStride(2)(images) if is_padded else images
    x = layers.Conv2D(2, 3, strides=2, padding="same")(x)
    model = keras.Model(images, layers.Conv2DTranspose(2, 2, strides=2)(x))
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype("float32")

    narrower = model.predict(image[:, :, :63], verbose=0)[:, :, :50]

    is_same = np.allclose(narrower, model.predict(image, verbose=0)[:, :, :50], rtol=1e-4)
    assert is_same == is_padded
    assert np.isinf(reach_of(model)) != is_padded


def test_tiles_at_multiples_of_32_do_not_fit_a_coarser_stride():
    images = keras.Input((None, None, 3))
    for stride in (32, 64):
        x = layers.AveragePooling2D(stride)(PadToStride(stride)(images))
        model = keras.Model(images, layers.Conv2DTranspose(2, stride, strides=stride)(x))

        assert np.isinf(reach_of(model)) == (stride == 64)


def test_the_summary_says_which_scores_see_the_whole_image(capsys):
    from keras_fcn_cli.main import main

    main(["summary", "--backbone", "mobilenet_v3_small"], standalone_mode=False)
    assert "whole image (703)" in capsys.readouterr().out
    vgg = keras_fcn.FCN8s(2, backbone=VGG16(alpha=0.05, fc_filters=4))
    assert not any(score.is_global for score in summarize(vgg).scores)
