"""The reference's networks as Caffe definitions, for a runtime that is not ours to run them.

Written from the tables of the reference (layers, kernels, strides, paddings,
and the crop offsets it publishes), not from our models.
"""

import struct

import numpy as np

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
INCEPTIONS = {  # 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class CaffeNet:
    """Collects layers: their definitions as prototxt, their weights for a caffemodel."""

    def __init__(self, weights, inputs):
        self.weights = weights  # layer name -> (kernel, bias or None)
        self.text = ""
        for name, shape in inputs.items():
            dims = " ".join(f"dim: {n}" for n in shape)
            self._add(name, "Input", [], f"input_param {{ shape {{ {dims} }} }}")

    def _add(self, name, kind, bottoms, parameters=""):
        bottoms = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        self.text += f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{name}" '
        self.text += f"{parameters} }}\n"
        return name

    def conv(self, name, x, filters, size, *, stride=1, pad=0, group=1, relu=True):
        numbers = f"num_output: {filters} kernel_size: {size} stride: {stride} pad: {pad}"
        x = self._add(name, "Convolution", [x], f"convolution_param {{ {numbers} group: {group} }}")
        return self._add(f"{name}_relu", "ReLU", [x]) if relu else x

    def deconv(self, name, x, filters, size, stride):
        numbers = f"num_output: {filters} kernel_size: {size} stride: {stride} bias_term: false"
        return self._add(name, "Deconvolution", [x], f"convolution_param {{ {numbers} }}")

    def pool(self, name, x, size=2, stride=2, pad=0):
        numbers = f"pool: MAX kernel_size: {size} stride: {stride} pad: {pad}"
        return self._add(name, "Pooling", [x], f"pooling_param {{ {numbers} }}")

    def lrn(self, name, x):
        return self._add(name, "LRN", [x], "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")

    def crop(self, name, x, reference, offset):
        return self._add(name, "Crop", [x, reference], f"crop_param {{ axis: 2 offset: {offset} }}")

    def total(self, name, xs, coefficients=()):
        numbers = " ".join(f"coeff: {c}" for c in coefficients)
        return self._add(name, "Eltwise", xs, f"eltwise_param {{ operation: SUM {numbers} }}")

    def scale(self, name, x, factor, channels):
        self.weights[name] = (np.full(channels, factor, "float32"), None)
        return self._add(name, "Scale", [x])

    def concat(self, name, xs):
        return self._add(name, "Concat", xs)

    def caffemodel(self):
        """Returns the weights in Caffe's format, for the layers of this net."""
        layers = b""
        for name, arrays in self.weights.items():
            blobs = b"".join(_field(7, _blob(a)) for a in arrays if a is not None)
            layers += _field(100, _field(1, name.encode()) + blobs)
        return layers


def _blob(array):
    shape = b"".join(b"\x08" + _varint(n) for n in array.shape)
    return _field(7, shape) + _field(5, np.ascontiguousarray(array, "<f4").tobytes())


def _field(number, content):
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value):
    out = b""
    while value > 0x7F:
        out += struct.pack("B", value & 0x7F | 0x80)
        value >>= 7
    return out + struct.pack("B", value)


def vgg16(net, data, border, width, fc, suffix="", blocks=VGG16):
    features = {}
    x = data
    for block, (filters, count) in enumerate(blocks, start=1):
        for index in range(1, count + 1):
            pad = border if (block, index) == (1, 1) else 1
            x = net.conv(f"conv{block}_{index}{suffix}", x, width(filters), 3, pad=pad)
        x = features[block] = net.pool(f"pool{block}{suffix}", x)
    x = net.conv(f"fc6{suffix}", x, fc, 7)
    x = net.conv(f"fc7{suffix}", x, fc, 1)
    return {"pool2": features[2], "pool3": features[3], "pool4": features[4], "fr": x}


def caffenet(net, data, border, width, fc):
    x = net.conv("conv1", data, width(96), 11, stride=4, pad=border)
    pool1 = net.pool("pool1", x, 3)
    x = net.conv("conv2", net.lrn("norm1", pool1), width(256), 5, pad=2, group=2)
    pool2 = net.pool("pool2", x, 3)
    x = net.conv("conv3", net.lrn("norm2", pool2), width(384), 3, pad=1)
    x = net.conv("conv4", x, width(384), 3, pad=1, group=2)
    x = net.conv("conv5", x, width(256), 3, pad=1, group=2)
    x = net.conv("fc6", net.pool("pool5", x, 3), fc, 6)
    return {"pool3": pool1, "pool4": pool2, "fr": net.conv("fc7", x, fc, 1)}


def googlenet(net, data, border, width):
    def inception(x, block):
        ones, reduce3, threes, reduce5, fives, projected = map(width, INCEPTIONS[block])
        name = f"inception_{block}"
        by3 = net.conv(f"{name}/3x3_reduce", x, reduce3, 1)
        by5 = net.conv(f"{name}/5x5_reduce", x, reduce5, 1)
        pool = net.pool(f"{name}/pool", x, 3, stride=1, pad=1)
        return net.concat(
            f"{name}/output",
            [
                net.conv(f"{name}/1x1", x, ones, 1),
                net.conv(f"{name}/3x3", by3, threes, 3, pad=1),
                net.conv(f"{name}/5x5", by5, fives, 5, pad=2),
                net.conv(f"{name}/pool_proj", pool, projected, 1),
            ],
        )

    x = net.conv("conv1/7x7_s2", data, width(64), 7, stride=2, pad=border)
    x = net.lrn("pool1/norm1", net.pool("pool1/3x3_s2", x, 3))
    x = net.conv("conv2/3x3_reduce", x, width(64), 1)
    x = net.lrn("conv2/norm2", net.conv("conv2/3x3", x, width(192), 3, pad=1))
    pool2 = net.pool("pool2/3x3_s2", x, 3)
    pool3 = net.pool("pool3/3x3_s2", inception(inception(pool2, "3a"), "3b"), 3)
    x = pool3
    for block in ("4a", "4b", "4c", "4d", "4e"):
        x = inception(x, block)
    x = net.pool("pool4/3x3_s2", x, 3)
    return {"pool3": pool2, "pool4": pool3, "fr": inception(inception(x, "5a"), "5b")}


def head(net, score, data, classes, stride, *, margin, offset, inner, suffix=""):
    """Scores, upsampling and crops.

    Args:
        score: Function from "fr", "pool4", "pool3" or "pool2" to the name of its scores.
        margin: What the deconvolutions' kernels lack of twice their stride.
        offset: Crop offset of the last scores.
        inner: Those of pool4, pool3 and pool2; `None` crops the upsampled scores at 0 instead.
    """

    def deconv(name, x, factor):
        return net.deconv(name + suffix, x, classes, 2 * factor - margin, factor)

    def fuse(x, pool, offset):
        skip = score(pool)
        if offset is None:
            x = net.crop(f"{x}c", x, skip, 0)
        else:
            skip = net.crop(f"{skip}c", skip, x, offset)
        return net.total(f"fuse_{pool}{suffix}", [x, skip])

    x = score("fr")
    if stride == 32:
        x = deconv("upscore", x, 32)
    else:
        x = fuse(deconv("upscore2", x, 2), "pool4", inner[0])
        if stride == 16:
            x = deconv("upscore16", x, 16)
        else:
            x = fuse(deconv("upscore_pool4", x, 2), "pool3", inner[1])
            if stride == 8:
                x = deconv("upscore8", x, 8)
            else:
                x = fuse(deconv("upscore_pool3", x, 2), "pool2", inner[2])
                x = deconv("upscore4", x, 4)
    return net.crop(f"score{suffix}", x, data, offset)


def score_layer(net, features, classes, suffix=""):
    """Returns the function from a feature's name to its scores, without streams."""
    return lambda name: net.conv(f"score_{name}{suffix}", features[name], classes, 1, relu=False)
