"""The inference form of every kind of network equals the network that Keras computes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_fcn
from keras_fcn.backbones import MobileNetV2, SmallResNet, TappedModel, create
from keras_fcn.layers import GroupedConv2D, PadToStride
from keras_fcn.models.optimize import inference_model
from keras_fcn.models.receptive_field import reach_of

from ..helpers import TAPS, images_of, randomize_logits
from .test_reach import CASES, NARROW

SIZES = [(64, 96), (37, 50)]
# What is folded in each backbone, counted in its paper: BatchNorms after convolutions (with that of
# fc6), and paddings before convolutions of stride 2 that are longer at the end than at the start.
BATCHNORMS = {
    "mobilenet": 27 + 1,
    "mobilenet_v2": 52 + 1,
    "mobilenet_v3_small": 34 + 1,
    "mobilenet_v3_large": 46 + 1,
    "efficientnet_v2_b0": 59 + 1,
    "resnet50": 53 + 1,
    "small_resnet": 9 + 1,
}
PADDINGS = {
    "mobilenet": 4,
    "mobilenet_v2": 4,
    "mobilenet_v3_small": 4,
    "mobilenet_v3_large": 4,
}


def with_random_statistics(model: keras.Model, seed: int = 0) -> keras.Model:
    """Gives every BatchNorm of a model, and of models in it, random numbers in all its weights."""
    random = np.random.default_rng(seed)
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, layers.BatchNormalization):
            for name in ("gamma", "beta", "moving_mean", "moving_variance"):
                if (weight := getattr(layer, name)) is not None:
                    low, high = (0.5, 1.5) if name in ("gamma", "moving_variance") else (-0.5, 0.5)
                    weight.assign(random.uniform(low, high, weight.shape))
    return model


def assert_equal_outputs(model: keras.Model, faster: keras.Model, images: np.ndarray) -> None:
    """Compares the outputs; equal numbers everywhere would show nothing."""
    for output, expected in zip(
        keras.tree.flatten(faster(images, training=False)),
        keras.tree.flatten(model(images, training=False)),
        strict=True,
    ):
        output, expected = ops.convert_to_numpy(output), ops.convert_to_numpy(expected)
        assert expected.std() > 0
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def count(model: keras.Model, kind: type) -> int:
    return sum(isinstance(la, kind) for la in model._flatten_layers(include_self=False))


@pytest.mark.parametrize(("name", "geometry"), CASES)
def test_the_inference_form_of_every_backbone_computes_the_same(name, geometry):
    keras.utils.set_random_seed(0)
    options = {"geometry": geometry} if geometry == "reference" else {}
    model = keras_fcn.FCN8s(3, backbone=create(name, **NARROW.get(name, {}), **options))
    with_random_statistics(randomize_logits(model))

    faster = inference_model(model)

    for size in SIZES:
        assert_equal_outputs(model, faster, images_of(1, *size))
    folded = count(model, layers.BatchNormalization) - count(faster, layers.BatchNormalization)
    assert folded == BATCHNORMS.get(name, folded)
    merged = count(model, layers.ZeroPadding2D) - count(faster, layers.ZeroPadding2D)
    assert merged == PADDINGS.get(name, 0)
    assert (folded > 0) == (count(model, layers.BatchNormalization) > 0)


def test_several_heads_modalities_and_skips_compute_the_same():
    keras.utils.set_random_seed(0)
    model = keras_fcn.FCN8s(
        {"semantic": 4, "geometric": 3},
        backbone=SmallResNet(alpha=0.25),
        modalities=("rgb", "depth"),
        fusion="late",
        skip_filters=8,
        upsampling="learned",
    )
    with_random_statistics(randomize_logits(model))
    kernel = model.get_layer("upscore2_semantic").kernel
    kernel.assign(kernel * 1.5)
    images = np.random.default_rng(0).uniform(1, 255, (2, 40, 70, 4)).astype("float32")

    faster = inference_model(model)

    assert set(faster.output) == {"semantic", "geometric"}
    assert count(faster, layers.BatchNormalization) == 0
    assert_equal_outputs(model, faster, images)


def test_the_original_is_left_as_it_was():
    model = with_random_statistics(
        randomize_logits(keras_fcn.FCN8s(3, backbone=MobileNetV2(alpha=0.35)))
    )
    images = images_of(1, 64, 96)
    weights, logits = model.get_weights(), model(images).numpy()
    reach, names = reach_of(model), [layer.name for layer in model.layers]

    first, second = inference_model(model), inference_model(model)

    assert_equal_outputs(model, first, images)
    assert_equal_outputs(model, second, images)
    assert (reach_of(model), [layer.name for layer in model.layers]) == (reach, names)
    np.testing.assert_array_equal(model(images), logits)
    for weight, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, before)
    # What nothing is folded into is not copied.
    assert first.get_layer("score_fr").kernel is model.get_layer("score_fr").kernel


@pytest.mark.parametrize(
    "convolution",
    [
        layers.Conv2D(6, 3, padding="same"),
        layers.Conv2D(6, 3, use_bias=False, dilation_rate=2),
        GroupedConv2D(6, 3, groups=2, use_bias=False),
        layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        layers.DepthwiseConv2D(3, depth_multiplier=3, strides=2, padding="same"),
        layers.SeparableConv2D(6, 3, depth_multiplier=2, use_bias=False),
        layers.Conv2DTranspose(6, 4, strides=2, padding="same", use_bias=False),
        layers.Conv2DTranspose(6, 3, strides=2, output_padding=1),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"axis": 3}], ids=str)
def test_each_kind_of_convolution_takes_in_batchnorm(convolution, options):
    convolution = type(convolution).from_config(
        {**convolution.get_config(), "bias_initializer": "random_normal"}
    )
    images = keras.Input((None, None, 4))
    norm = layers.BatchNormalization(**options)
    norm.trainable = "scale" not in options  # frozen or not: at inference there is no difference
    model = with_random_statistics(keras.Model(images, norm(convolution(images))))

    faster = inference_model(model)

    assert count(faster, layers.BatchNormalization) == 0
    pixels = np.random.default_rng(0).normal(size=(2, 9, 12, 4)).astype("float32")
    assert_equal_outputs(model, faster, pixels)


# === What stays ===


def _norm(**options):
    return layers.BatchNormalization(**options)


def _convolution(**options):
    return layers.Conv2D(4, 3, padding="same", **options)


def _read_by_others(x):
    features = _convolution()(x)
    return layers.Concatenate()([_norm()(features), features])


def _also_an_output(x):
    features = _convolution()(x)
    return [_norm()(features), features]


def _shared_convolution(x):
    convolution = _convolution()
    return layers.Concatenate()([_norm()(convolution(x)), _norm()(convolution(-x))])


def _shared_norm(x):
    norm = _norm()
    return layers.Concatenate()([norm(_convolution()(x)), norm(_convolution()(x))])


def _shared_between_models(x):
    inputs = keras.Input((None, None, 4))
    convolution = _convolution()
    inner = keras.Model(inputs, _norm()(convolution(inputs)))
    return layers.Concatenate()([inner(x), convolution(x)])


def _shared_with_a_layer_of_layers(x):
    convolution = _convolution()
    frames = layers.TimeDistributed(convolution)(ops.expand_dims(x, 1))
    return layers.Concatenate()([_norm()(convolution(x)), ops.squeeze(frames, 1)])


def _activated(x):
    return _norm()(_convolution(activation="relu")(x))


def _before_the_convolution(x):
    return _convolution()(_norm()(x))


def _other_axis(x):
    return _norm(axis=1)(_convolution()(x))


def _of_the_batch(x):
    return _norm()(_convolution()(x), training=True)


def _half_precision(x):
    return _norm(dtype="mixed_bfloat16")(_convolution(dtype="mixed_bfloat16")(x))


def _adapted(x):
    convolution = _convolution()
    y = _norm()(convolution(x))
    convolution.enable_lora(2)
    kernel = convolution.lora_kernel_b
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return y


class _DoubledConvolution(layers.Conv2D):
    def call(self, inputs):
        return 2 * super().call(inputs) ** 2


def _users_own(x):
    return _norm()(_DoubledConvolution(4, 3)(x))


@pytest.mark.parametrize(
    "build",
    [
        _read_by_others, _also_an_output, _shared_convolution, _shared_norm, _shared_between_models,
        _shared_with_a_layer_of_layers, _activated, _before_the_convolution, _other_axis,
        _of_the_batch, _half_precision, _adapted, _users_own,
    ],
    ids=lambda function: function.__name__,
)  # fmt: skip
def test_what_would_compute_something_else_stays(build):
    images = keras.Input((8, 8, 4))
    model = with_random_statistics(keras.Model(images, build(images)))

    faster = inference_model(model)

    assert count(faster, layers.BatchNormalization) == count(model, layers.BatchNormalization) > 0
    pixels = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype("float32")
    assert_equal_outputs(model, faster, pixels)


@pytest.mark.parametrize("variance", [0.0, np.nan, -1.0])
def test_statistics_without_a_finite_factor_stay(variance):
    images = keras.Input((8, 8, 4))
    norm = _norm(epsilon=0.0)
    model = keras.Model(images, norm(_convolution()(images)))
    norm.moving_variance.assign(np.full(4, variance))

    assert inference_model(model) is model


def test_a_model_called_twice_is_folded_once():
    inputs = keras.Input((None, None, 4))
    inner = keras.Model(inputs, _norm()(_convolution()(inputs)), name="inner")
    images = keras.Input((None, None, 4))
    model = with_random_statistics(keras.Model(images, inner(inner(images))))

    faster = inference_model(model)

    assert count(faster, layers.BatchNormalization) == 0
    assert_equal_outputs(model, faster, np.random.default_rng(0).normal(size=(1, 8, 8, 4)))


def test_a_model_with_a_call_of_its_own_is_not_taken_for_its_graph():
    class Doubled(keras.Model):
        def call(self, inputs, training=None):
            return 2 * super().call(inputs)

    inputs = keras.Input((None, None, 4))
    inner = Doubled(inputs, _norm()(_convolution()(inputs)))
    images = keras.Input((None, None, 4))
    model = keras.Model(images, inner(images))

    assert inference_model(model) is model
    assert inference_model(inner) is inner


# === Padding ===

ANY = (None, None)


def _padded(size, padding, kernel_size, strides, *, pad_to=1, kind=layers.Conv2D):
    images = keras.Input((*size, 4))
    x = PadToStride(pad_to)(images) if pad_to > 1 else images
    x = layers.ZeroPadding2D(padding)(x)
    options = {"filters": 4} if kind is not layers.DepthwiseConv2D else {}
    x = kind(kernel_size=kernel_size, strides=strides, **options)(x)
    return keras.Model(images, x)


@pytest.mark.parametrize(
    ("model", "is_merged"),
    [
        (_padded(ANY, ((0, 1), (0, 1)), 3, 2, pad_to=32), True),
        (_padded(ANY, ((1, 2), (1, 2)), 5, 2, pad_to=2, kind=layers.DepthwiseConv2D), True),
        (_padded(ANY, ((0, 1), (1, 2)), (3, 5), 2, pad_to=4, kind=layers.SeparableConv2D), True),
        (_padded(ANY, 1, 3, 1), True),
        (_padded((64, 32), ((0, 1), (0, 1)), 3, 2), True),
        # Of any size: an odd one has a row at the top as well.
        (_padded(ANY, ((0, 1), (0, 1)), 3, 2), False),
        (_padded((63, 32), ((0, 1), (0, 1)), 3, 2), False),
        (_padded(ANY, ((1, 1), (1, 1)), 3, 2, pad_to=32), False),
        (_padded(ANY, 3, 7, 2, pad_to=32), False),
        (_padded(ANY, 100, 3, 1), False),
        (_padded(ANY, 1, 4, 4, pad_to=32, kind=layers.Conv2DTranspose), False),
        (_padded(ANY, ((0, 1), (0, 1)), 3, 2, pad_to=9), False),
    ],
)  # fmt: skip
def test_padding_is_merged_where_same_adds_as_much(model, is_merged):
    faster = inference_model(model)

    assert count(faster, layers.ZeroPadding2D) == (0 if is_merged else 1)
    height, width = (size or 37 for size in model.input_shape[1:3])
    pixels = np.random.default_rng(0).normal(size=(2, height, width, 4)).astype("float32")
    assert_equal_outputs(model, faster, pixels)


def test_padding_that_others_read_stays():
    images = keras.Input((None, None, 4))
    padded = layers.ZeroPadding2D(1)(images)
    outputs = [_convolution()(padded), layers.Conv2D(4, 3)(padded)]

    model = keras.Model(images, outputs)

    assert inference_model(model) is model


def test_the_size_is_followed_through_the_network_of_a_user():
    images = x = keras.Input((None, None, 3))
    for name, filters, steps in (("s8", 4, 3), ("s16", 6, 1), ("s32", 8, 1)):
        for _ in range(steps):
            x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
            x = layers.Conv2D(filters, 3, 2)(x)
            x = layers.BatchNormalization()(x)
            gate = layers.Dense(filters, "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
            x = layers.Multiply()([gate, x])
        x = layers.ReLU(name=name)(x)
    model = keras_fcn.FCN8s(
        3, backbone=TappedModel(keras.Model(images, x), taps=TAPS, fc_filters=4)
    )
    with_random_statistics(randomize_logits(model))

    faster = inference_model(model)

    assert count(faster, layers.ZeroPadding2D) == 0
    assert_equal_outputs(model, faster, images_of(1, 37, 50))


def test_a_network_in_half_precision_keeps_its_numbers():
    model = keras_fcn.FCN8s(3, backbone=SmallResNet(alpha=0.25), dtype="mixed_bfloat16")
    with_random_statistics(randomize_logits(model))
    images = images_of(1, 37, 50)

    faster = inference_model(model)

    assert count(faster, layers.BatchNormalization) == count(model, layers.BatchNormalization)
    assert_equal_outputs(model, faster, images)
