"""Caffe's `.caffemodel` files, read without Caffe."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_fcn.weights.source import Shape, SourceLayer, StoredTensor, WeightFile, WeightFileError
from keras_fcn.weights.wire_format import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    Field,
    WireFormatError,
    read_fields,
    read_packed_varints,
)

# Numbers of the fields, from src/caffe/proto/caffe.proto of BVLC/caffe.
_NET_LAYERS_V1, _NET_LAYER = 2, 100
_BLOB_DATA, _BLOB_SHAPE, _BLOB_DOUBLE_DATA = 5, 7, 8
_BLOB_LEGACY_AXES = (1, 2, 3, 4)  # num, channels, height, width
_SHAPE_DIM = 1
_UNPACKED_TYPES = {"<f4": FIXED32, "<f8": FIXED64}


@dataclass(frozen=True)
class _LayerFields:
    name: int
    type: int
    blobs: int


_LAYER_FIELDS = {
    _NET_LAYER: _LayerFields(name=1, type=2, blobs=7),
    _NET_LAYERS_V1: _LayerFields(name=4, type=5, blobs=6),
}
_BLOCK = 1 << 16  # unpacked values to read at a time
# Of V1LayerParameter.LayerType, those whose layers have weights.
_V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}

# Of the ImageNet classifiers that the networks start from.
_CLASSIFIER_LAYERS = ("fc8", "loss3_classifier")
_INPUT_LAYERS = ("conv1_1", "conv1", "conv1_7x7_s2")

_FOREIGN = {
    b"\x89HDF": "It is an HDF5 file: `.caffemodel.h5` snapshots are not read.",
    b"PK\x03\x04": "It is a zip archive: unpack it, or give PyTorch files the suffix `.pth`.",
    b"<": "It is a web page: the download failed, get the file again.",
    b"version https://git-lfs": "It is a pointer of git-lfs: run `git lfs pull`.",
    b"name:": "It is a prototxt, which defines a network but has no weights.",
    b"layer": "It is a prototxt, which defines a network but has no weights.",
}


@dataclass(frozen=True)
class CaffeLayer:
    """A layer with weights in a `.caffemodel`.

    Args:
        name: Its name.
        type: Its type, such as `"Convolution"`; a number for the types of the
            old format that have no weights as a rule.
        blobs: Its weights: as a rule the kernel, then the bias.
    """

    name: str
    type: str
    blobs: tuple[StoredTensor, ...]


def read_caffemodel(path: str | Path) -> list[CaffeLayer]:
    """Returns the layers with weights in a `.caffemodel`, in the order of the file.

    Reads both the `layer` of today and the `layers` of 2013 (V1), and blobs
    with a shape as well as those with num, channels, height and width.
    Only names and shapes are read; a blob's values when it is asked for them.

    Args:
        path: The file. HDF5 snapshots (`.caffemodel.h5`) are another format.

    Returns:
        The layers. Of several with the same name, the last one.

    Raises:
        FileNotFoundError: If there is no such file.
        WeightFileError: If the file is cut short, damaged, or no `.caffemodel`.

    Reference:
        src/caffe/proto/caffe.proto in https://github.com/BVLC/caffe
    """
    path = Path(path)
    layers = {}
    with path.open("rb") as file:
        size = path.stat().st_size
        try:
            for net_field in read_fields(file, 0, size):
                if net_field.number in _LAYER_FIELDS and net_field.wire_type == BYTES:
                    layer = _read_layer(file, path, net_field)
                    if layer.blobs:
                        layers[layer.name] = layer
        except (WireFormatError, UnicodeDecodeError) as error:
            raise _damaged(path, size, len(layers), str(error)) from error
    if not layers:
        raise _damaged(path, size, 0, "no layer with weights in it")
    return list(layers.values())


def open_caffemodel(path: str | Path) -> WeightFile:
    """Returns a `.caffemodel` as `assign_weights` takes it.

    Example of use: `assign_weights(model, open_caffemodel("fcn8s-heavy-pascal.caffemodel"))`.

    Raises:
        FileNotFoundError: If there is no such file.
        WeightFileError: If the file is cut short, damaged, or no `.caffemodel`.
    """
    layers = {}
    for layer in read_caffemodel(path):
        name = _our_name(layer.name)
        if len(layer.blobs) > 2:
            raise WeightFileError(
                f"Layer {layer.name!r} of {str(path)!r} must have a weight and at most a bias. "
                f"Received: {len(layer.blobs)} blobs ({layer.type}). No network of "
                "fcn.berkeleyvision.org has such a layer."
            )
        layers[name] = SourceLayer(layer.name, *layer.blobs)
    return WeightFile(
        path=Path(path),
        layers=layers,
        input_layer=next((name for name in _INPUT_LAYERS if name in layers), next(iter(layers))),
        is_classifier=any(name in layers for name in _CLASSIFIER_LAYERS),
    )


def _our_name(name: str) -> str:
    """Returns the name of a layer as the networks here spell it."""
    name = name.replace("/", "_")  # which Keras allows in no name
    name = name.removesuffix("_bgrd")  # conv1_1 of the network for RGB and depth
    name = re.sub("color$", "rgb", name)  # a stream of the network for RGB and HHA
    return re.sub("_sem$", "_semantic", re.sub("_geo$", "_geometric", name))


def _read_layer(file: BinaryIO, path: Path, message: Field) -> CaffeLayer:
    numbers = _LAYER_FIELDS[message.number]
    name, kind, blobs = "", "", []
    for field in read_fields(file, message.start, message.end):
        if field.number == numbers.name and field.wire_type == BYTES:
            name = _read_text(file, field)
        elif field.number == numbers.type:
            kind = (
                _read_text(file, field)
                if field.wire_type == BYTES
                else _V1_TYPES.get(field.value, str(field.value))
            )
        elif field.number == numbers.blobs and field.wire_type == BYTES:
            blobs.append(_read_blob(file, path, field))
    return CaffeLayer(name, kind, tuple(blobs))


def _read_text(file: BinaryIO, field: Field) -> str:
    file.seek(field.start)
    return file.read(field.end - field.start).decode()


@dataclass(frozen=True)
class _Segment:
    """Values that lie one after the other in the file, each after `skip` bytes of tag."""

    offset: int
    count: int
    dtype: str
    skip: int = 0


def _read_blob(file: BinaryIO, path: Path, message: Field) -> StoredTensor:
    shape: Shape | None = None
    legacy: dict[int, int] = {}
    segments: list[_Segment] = []
    for field in _skip_unpacked(file, message, segments):
        if field.number == _BLOB_SHAPE and field.wire_type == BYTES:
            shape = tuple(
                dim
                for part in read_fields(file, field.start, field.end)
                if part.number == _SHAPE_DIM
                for dim in read_packed_varints(file, part)
            )
        elif field.number in _BLOB_LEGACY_AXES and field.wire_type == VARINT:
            legacy[field.number] = field.value
    if legacy:  # Caffe, too, lets the legacy axes win.
        shape = tuple(legacy.get(axis, 0) for axis in _BLOB_LEGACY_AXES)
    count = sum(segment.count for segment in segments)
    if shape is None or math.prod(shape) != count:
        raise WireFormatError(
            f"the blob at byte {message.start} has {count} values for the shape {shape}"
        )
    return StoredTensor(shape, partial(_read_values, path, tuple(segments)))


def _skip_unpacked(file: BinaryIO, message: Field, segments: list[_Segment]) -> Iterator[Field]:
    """Yields the fields of a blob that contain no data; the data is noted in `segments`."""
    start = message.start
    while start < message.end:
        for field in read_fields(file, start, message.end):
            dtype = {_BLOB_DATA: "<f4", _BLOB_DOUBLE_DATA: "<f8"}.get(field.number)
            if dtype is None:
                yield field
            elif field.wire_type == BYTES:
                width = np.dtype(dtype).itemsize
                if (field.end - field.start) % width:
                    raise WireFormatError(f"half a number in the data at byte {field.start}")
                segments.append(_Segment(field.start, (field.end - field.start) // width, dtype))
            elif field.wire_type != _UNPACKED_TYPES[dtype]:
                raise WireFormatError(f"data of wire type {field.wire_type} at byte {field.start}")
            else:
                # One tag a value: millions of fields, so not one by one.
                segment = _unpacked_segment(file, field, message.end, dtype)
                segments.append(segment)
                start = segment.offset + segment.count * (1 + np.dtype(dtype).itemsize)
                break
        else:
            return


def _unpacked_segment(file: BinaryIO, first: Field, end: int, dtype: str) -> _Segment:
    # All tags of the data fields (5 and 8) are one byte long.
    start = first.start - 1
    record = _record(dtype)
    tag = first.number << 3 | first.wire_type
    available = (end - start) // record.itemsize
    count = 0
    while count < available:
        file.seek(start + count * record.itemsize)
        block = np.fromfile(file, record, min(_BLOCK, available - count))
        same = block["tag"] == tag
        if not same.all():
            count += int(np.argmin(same))
            break
        count += len(block)
    return _Segment(start, count, dtype, skip=1)


def _record(dtype: str) -> np.dtype:
    return np.dtype([("tag", "u1"), ("value", dtype)])


def _read_values(path: Path, segments: tuple[_Segment, ...], start: int, stop: int) -> np.ndarray:
    parts = []
    with path.open("rb") as file:
        for segment in segments:
            first, end = max(start, 0), min(stop, segment.count)
            if first < end:
                record = _record(segment.dtype) if segment.skip else np.dtype(segment.dtype)
                file.seek(segment.offset + first * record.itemsize)
                values = np.fromfile(file, record, end - first)
                parts.append(values["value"] if segment.skip else values)
            start, stop = start - segment.count, stop - segment.count
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _damaged(path: Path, size: int, num_layers: int, reason: str) -> WeightFileError:
    with path.open("rb") as file:
        head = file.read(64).lstrip()
    for magic, advice in _FOREIGN.items():
        if head.startswith(magic):
            return WeightFileError(f"{str(path)!r} must be a `.caffemodel`. {advice}")
    if num_layers:
        return WeightFileError(
            f"{str(path)!r} is cut short or damaged: {reason}. Read: {num_layers} layers with "
            f"weights from {size} bytes. Get the file again, and compare its size and checksum "
            "with those of its source."
        )
    return WeightFileError(
        f"{str(path)!r} must be a `.caffemodel`, a network in Caffe's binary format. "
        f"Received: {size} bytes, cut short or of another kind ({reason}). Get the file again; "
        "if it is one from before 2013, let Caffe's `upgrade_net_proto_binary` rewrite it."
    )
