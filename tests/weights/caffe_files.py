"""Writes `.caffemodel` files for the tests, through the official protobuf runtime."""

from functools import cache
from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPES = descriptor_pb2.FieldDescriptorProto
# Message -> field -> (number, type or message); "*" marks repeated fields, "+" packed ones.
# From src/caffe/proto/caffe.proto of BVLC/caffe.
_MESSAGES = {
    "BlobShape": {"dim": (1, "int64+")},
    "BlobProto": {
        "num": (1, "int32"),
        "channels": (2, "int32"),
        "height": (3, "int32"),
        "width": (4, "int32"),
        "data": (5, "float+"),
        "diff": (6, "float+"),
        "shape": (7, "BlobShape"),
        "double_data": (8, "double+"),
    },
    "LayerParameter": {
        "name": (1, "string"),
        "type": (2, "string"),
        "bottom": (3, "string*"),
        "top": (4, "string*"),
        "blobs": (7, "BlobProto*"),
        "phase": (10, "int32"),
    },
    "V1LayerParameter": {
        "bottom": (2, "string*"),
        "top": (3, "string*"),
        "name": (4, "string"),
        "type": (5, "int32"),
        "blobs": (6, "BlobProto*"),
        "blobs_lr": (7, "float*"),
    },
    "NetParameter": {
        "name": (1, "string"),
        "layers": (2, "V1LayerParameter*"),
        "input": (3, "string*"),
        "input_dim": (4, "int32*"),
        "layer": (100, "LayerParameter*"),
    },
}
RNG = np.random.default_rng(0)
V1_TYPES = {"Convolution": 4, "InnerProduct": 14, "Deconvolution": 39, "ReLU": 18}


@cache
def message_classes(packed=True):
    """The classes of Caffe's messages, with packed or unpacked numbers."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"caffe_{packed}.proto", package=f"caffe_{packed}", syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            repeated = kind[-1] in "*+"
            field = message.field.add(
                name=field_name,
                number=number,
                label=_TYPES.LABEL_REPEATED if repeated else _TYPES.LABEL_OPTIONAL,
            )
            base = kind.rstrip("*+")
            if base in _MESSAGES:
                field.type, field.type_name = _TYPES.TYPE_MESSAGE, f".{file.package}.{base}"
            else:
                field.type = getattr(_TYPES, f"TYPE_{base.upper()}")
            field.options.packed = packed and kind[-1] == "+"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))
        for name in _MESSAGES
    }


def write_caffemodel(path, layers, *, v1=False, packed=True, double=False):
    """Writes a network.

    Args:
        path: The file.
        layers: Name -> arrays, or name -> (type, arrays).
        v1: Writes the old format, with four legacy axes a blob.
        packed: Whether repeated numbers are packed.
        double: Whether numbers are stored as double.
    """
    net = message_classes(packed)["NetParameter"](name="net", input=["data"])
    for name, entry in layers.items():
        kind, arrays = entry if isinstance(entry, tuple) else ("Convolution", entry)
        if v1:
            layer = net.layers.add(name=name, type=V1_TYPES[kind], bottom=["data"], top=[name])
        else:
            layer = net.layer.add(name=name, type=kind, bottom=["data"], top=[name], phase=1)
        for array in arrays:
            blob = layer.blobs.add()
            (blob.double_data if double else blob.data).extend(np.ravel(array).tolist())
            if v1:
                axes = (1,) * (4 - array.ndim) + array.shape
                blob.num, blob.channels, blob.height, blob.width = axes
            else:
                blob.shape.dim.extend(array.shape)
    Path(path).write_bytes(net.SerializeToString())
    return path


def varint(value):
    """A number in the wire format."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number, content):
    """A length-delimited field (bytes) or a varint field (int) in the wire format."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def random(*shape):
    """Normal numbers, float32."""
    return RNG.normal(size=shape).astype("float32")


VGG_SHAPES = {
    "conv1_1": (64, 3, 3, 3), "conv1_2": (64, 64, 3, 3),
    "conv2_1": (128, 64, 3, 3), "conv2_2": (128, 128, 3, 3),
    "conv3_1": (256, 128, 3, 3), "conv3_2": (256, 256, 3, 3), "conv3_3": (256, 256, 3, 3),
    "conv4_1": (512, 256, 3, 3), "conv4_2": (512, 512, 3, 3), "conv4_3": (512, 512, 3, 3),
    "conv5_1": (512, 512, 3, 3), "conv5_2": (512, 512, 3, 3), "conv5_3": (512, 512, 3, 3),
}  # fmt: skip


def fcn_layers(heads={"": 3}, streams=("",), channels=3, stride=32, width=4, alpha=8):  # noqa: B006
    """A VGG16 network as the reference names it, `alpha` times narrower before fc6."""
    layers = {}
    for stream in streams:
        seen = channels
        for name, (filters, _, size, _) in VGG_SHAPES.items():
            filters //= alpha
            name = f"{name}_bgrd" if seen == 4 else name + stream
            layers[name] = [random(filters, seen, size, size), random(filters)]
            seen = filters
        layers[f"fc6{stream}"] = [random(width, seen, 7, 7), random(width)]
        layers[f"fc7{stream}"] = [random(width, width, 1, 1), random(width)]
    for head, classes in heads.items():
        scored = {"score_fr": width}
        upsampling = {"upscore": 64}
        if stride == 8:
            scored |= {"score_pool4": 512 // alpha, "score_pool3": 256 // alpha}
            upsampling = {"upscore2": 4, "upscore_pool4": 4, "upscore8": 16}
        for name, seen in scored.items():
            for stream in streams:
                layers[name + head + stream] = [random(classes, seen, 1, 1), random(classes)]
        for name, size in upsampling.items():
            layers[name + head] = ("Deconvolution", [random(classes, classes, size, size)])
    return layers
