"""Our networks against the reference's definitions, run by OpenCV's Caffe importer.

Weights are random, and the deconvolutions are not bilinear: flipped or
transposed kernels would show.
"""

import re

import cv2
import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import VGG16, create
from keras_fcn.backbones.blocks import scaled

from . import caffe_nets

ALPHA, FC = 0.06, 10
VOC_MEAN = (104.00699, 116.66877, 122.67892)
VARIANTS = {32: keras_fcn.FCN32s, 16: keras_fcn.FCN16s, 8: keras_fcn.FCN8s, 4: keras_fcn.FCN4s}
# fcn-berkeley: crop offsets of the last scores for a border P. That of FCN-4s, which it does not
# have, continues the series: each skip moves the scores by a cell of its stride.
VGG_OFFSETS = {32: -81, 16: -73, 8: -69, 4: -67}
VGG_INNER = (5, 9, 17)
SIZES = [(61, 95), (375, 500)]


def width(filters):
    return scaled(filters, ALPHA)


def build(num_classes, stride, **options):
    fusion = {name: options.pop(name) for name in ("modalities", "fusion") if name in options}
    name = options.pop("backbone", "vgg16")
    options = {"alpha": ALPHA, "geometry": "reference", "mean": VOC_MEAN, **options}
    if name != "googlenet":
        options = {"fc_filters": FC, **options}
    return VARIANTS[stride](num_classes, backbone=create(name, **options), **fusion)


def caffe_name(layer_name):
    """What the reference calls a layer of ours."""
    name = re.sub(r"^block(\d)_conv(\d)", r"conv\1_\2", layer_name)
    name = re.sub(r"^(conv[12]|inception_..)_(.*)", r"\1/\2", name) if "x" in name else name
    return name.replace("_pool_proj", "/pool_proj")


def randomize(model, seed=0):
    """Fills a model with random weights; returns them as Caffe orders them."""
    rng = np.random.default_rng(seed)
    weights = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        kernel = layer.kernel.shape
        if isinstance(layer, keras.layers.Conv2DTranspose):
            # Of about the size of a bilinear one, so that no score outweighs the others.
            values = [rng.normal(size=kernel) * 2 / kernel[0] + 1 / kernel[0]]
        else:
            fan_in = np.prod(kernel[:3])
            values = [rng.normal(size=kernel) * np.sqrt(2 / fan_in), rng.normal(size=kernel[3])]
        values = [value.astype("float32") for value in values]
        layer.set_weights(values)
        # Keras: (height, width, in, out) or, transposed, (..., out, in); Caffe: the other way.
        weights[caffe_name(layer.name)] = (
            values[0].transpose(3, 2, 0, 1),
            values[1] if len(values) == 2 else None,
        )
    return weights


def run(net, inputs, outputs):
    dnn = cv2.dnn.readNetFromCaffe(
        np.frombuffer(net.text.encode(), np.uint8), np.frombuffer(net.caffemodel(), np.uint8)
    )
    dnn.enableWinograd(False)  # exact convolutions
    for name, array in inputs.items():
        dnn.setInput(np.ascontiguousarray(array.transpose(0, 3, 1, 2)), name)
    return [scores.transpose(0, 2, 3, 1) for scores in dnn.forward(list(outputs))]


def assert_close(ours, theirs):
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape
    assert np.ptp(theirs) > 1e-3 and np.std(theirs) > 0.01 * np.ptp(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.ptp(theirs))


def pixels(size, channels=3, seed=1):
    return np.random.default_rng(seed).uniform(0, 255, (1, *size, channels)).astype("float32")


def bgr(image, mean=VOC_MEAN):
    return image[..., ::-1] - np.array(mean, "float32")


def check(model, size, border, layout, *, margin, offset, inner, scales=()):
    """Compares a network with one stream of colors at one size."""
    image = pixels(size)
    data = bgr(image)
    net = caffe_nets.CaffeNet(randomize(model), {"data": data.transpose(0, 3, 1, 2).shape})
    features = layout(net, border)
    for pool, factor in scales:
        channels = net.weights[f"score_{pool}"][0].shape[1]
        features[pool] = net.scale(f"scale_{pool}", features[pool], factor, channels)
    heads = model.num_classes
    if not isinstance(heads, dict):
        heads = {"": heads}
    for name, classes in heads.items():
        suffix = f"_{name}" if name else ""
        score = caffe_nets.score_layer(net, features, classes, suffix)
        caffe_nets.head(
            net, score, "data", classes, model.stride,
            margin=margin, offset=offset, inner=inner, suffix=suffix,
        )  # fmt: skip

    theirs = run(net, {"data": data}, [f"score_{name}" if name else "score" for name in heads])

    ours = model(image)
    for name, scores in zip(heads, theirs, strict=True):
        assert_close(ours[name] if name else ours, scores)


def vgg16(net, border):
    return caffe_nets.vgg16(net, "data", border, width, FC)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [32, 16, 8, 4])
def test_vgg16(stride, size):
    model = build(21, stride)

    check(model, size, 100, vgg16, margin=0, offset=100 + VGG_OFFSETS[stride], inner=VGG_INNER)


@pytest.mark.parametrize("border", [82, 91, 117])
def test_vgg16_with_another_border(border):
    model = build(4, 8, border=border)

    check(model, (67, 110), border, vgg16, margin=0, offset=border - 69, inner=(5, 9))


@pytest.mark.parametrize("size", SIZES)
def test_vgg16_at_once(size):
    backbone = VGG16(alpha=ALPHA, fc_filters=FC, geometry="reference", mean=VOC_MEAN)
    model = keras_fcn.FCN8sAtOnce(21, backbone=backbone)

    check(
        model, size, 100, vgg16, margin=0, offset=31, inner=(5, 9),
        scales=(("pool4", 0.01), ("pool3", 0.0001)),
    )  # fmt: skip


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_vgg16_with_two_heads(stride):
    model = build({"semantic": 33, "geometric": 3}, stride)

    check(model, (77, 64), 100, vgg16, margin=0, offset=100 + VGG_OFFSETS[stride], inner=(5, 9))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_alexnet(stride, size):
    model = build(21, stride, backbone="alexnet")

    check(
        model, size, 100, lambda net, border: caffe_nets.caffenet(net, "data", border, width, FC),
        margin=1, offset=18, inner=(5, 10),
    )  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_googlenet(stride, size):
    model = build(21, stride, backbone="googlenet")

    check(
        model, size, 100, lambda net, border: caffe_nets.googlenet(net, "data", border, width),
        margin=1, offset=98, inner=(None, None),
    )  # fmt: skip


def test_early_fusion_of_rgb_and_depth():
    model = build(5, 32, modalities=("rgb", "depth"), mean=None)
    image = pixels((50, 71), channels=4)
    image[..., 3:] *= 20  # about 0..5100, as in NYUDv2
    data = np.concatenate(
        [bgr(image[..., :3], (116.190, 97.203, 92.318)), np.log(image[..., 3:]) - 7.844], axis=-1
    ).astype("float32")
    net = caffe_nets.CaffeNet(randomize(model), {"data": (1, 4, 50, 71)})
    score = caffe_nets.score_layer(net, vgg16(net, 100), 5)
    caffe_nets.head(net, score, "data", 5, 32, margin=0, offset=19, inner=())

    assert_close(model(image), run(net, {"data": data}, ["score"])[0])


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_late_fusion_of_rgb_and_hha(stride):
    model = build(5, stride, modalities=("rgb", "hha"), fusion="late", mean=None)
    image = pixels((50, 71), channels=6)
    inputs = {
        "rgb": bgr(image[..., :3], (116.190, 97.203, 92.318)),
        "hha": image[..., 3:] - np.array((132.431, 94.076, 118.477), "float32"),
    }
    net = caffe_nets.CaffeNet(randomize(model), dict.fromkeys(inputs, (1, 3, 50, 71)))
    features = {name: caffe_nets.vgg16(net, name, 100, width, FC, suffix=name) for name in inputs}

    def score(pool):
        scores = [
            net.conv(f"score_{pool}{name}", features[name][pool], 5, 1, relu=False)
            for name in inputs
        ]
        return net.total(f"fused_{pool}", scores, (0.5, 0.5))

    offset = 100 + VGG_OFFSETS[stride]
    caffe_nets.head(net, score, "rgb", 5, stride, margin=0, offset=offset, inner=(5, 9))

    assert_close(model(image), run(net, inputs, ["score"])[0])


@pytest.mark.full
@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("backbone", ["vgg16", "alexnet", "googlenet"])
def test_full_width(backbone, stride):
    options = {} if backbone == "googlenet" else {"fc_filters": 4096}
    model = build(21, stride, backbone=backbone, alpha=None, **options)
    layout, margin, offset, inner = {
        "vgg16": (
            lambda net, border: caffe_nets.vgg16(net, "data", border, int, 4096),
            0, 100 + VGG_OFFSETS[stride], (5, 9),
        ),
        "alexnet": (
            lambda net, border: caffe_nets.caffenet(net, "data", border, int, 4096), 1, 18, (5, 10)
        ),
        "googlenet": (
            lambda net, border: caffe_nets.googlenet(net, "data", border, int), 1, 98, (None, None)
        ),
    }[backbone]  # fmt: skip

    check(model, (375, 500), 100, layout, margin=margin, offset=offset, inner=inner)
