import struct
from pathlib import Path

import numpy as np
import pytest

from keras_fcn.weights import source
from keras_fcn.weights.caffe import open_caffemodel, read_caffemodel
from keras_fcn.weights.source import WeightFileError

from .caffe_files import field, write_caffemodel

KERNEL = np.arange(2 * 3 * 2 * 2, dtype="float32").reshape(2, 3, 2, 2) / 7
BIAS = np.array([-1.5, 2.25], "float32")


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("v1", [False, True])
def test_reads_what_protobuf_wrote(tmp_path, v1, packed, double):
    layers = {"relu": ("ReLU", []), "conv": [KERNEL, BIAS], "up": ("Deconvolution", [KERNEL])}
    path = write_caffemodel(tmp_path / "net", layers, v1=v1, packed=packed, double=double)

    conv, up = read_caffemodel(path)

    assert (conv.name, conv.type) == ("conv", "Convolution")
    assert (up.name, up.type) == ("up", "Deconvolution")
    kernel, bias = conv.blobs
    # The old format has four axes always.
    assert (kernel.shape, bias.shape) == ((2, 3, 2, 2), (1, 1, 1, 2) if v1 else (2,))
    np.testing.assert_array_equal(kernel.read(), KERNEL)
    np.testing.assert_array_equal(bias.read().reshape(-1), BIAS)
    np.testing.assert_array_equal(up.blobs[0].read(), KERNEL)


def test_reads_data_in_pieces_before_the_shape_and_skips_the_unknown():
    # A parser has to accept packed and unpacked numbers of one field in any mixture.
    one, two, three = (struct.pack("<f", value) for value in (1.0, 2.0, 3.0))
    unpacked = bytes([5 << 3 | 5])
    blob = (
        field(5, one)
        + unpacked + two + unpacked + three
        + field(6, one)  # diff
        + field(5, three + one)
        + bytes([9 << 3 | 1]) + struct.pack("<d", 0)  # double_diff, unpacked
        + field(7, field(1, 5))  # shape with an unpacked dim
        + field(200, 7)  # unknown
    )  # fmt: skip
    net = field(100, field(7, blob) + field(2, b"Scale") + field(1, b"scale"))

    [layer] = _read(net)

    assert layer.name == "scale"
    np.testing.assert_array_equal(layer.blobs[0].read(), [1, 2, 3, 3, 1])


def test_unpacked_data_is_read_across_blocks(tmp_path):
    values = np.arange((1 << 17) + 3, dtype="float32")
    path = write_caffemodel(tmp_path / "net", {"conv": [values, BIAS]}, packed=False)

    [layer] = read_caffemodel(path)

    np.testing.assert_array_equal(layer.blobs[0].read(), values)
    np.testing.assert_array_equal(layer.blobs[1].read(), BIAS)


def test_parts_of_a_tensor_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "_BLOCK", 8)
    values = np.arange(30, dtype="float32").reshape(10, 3)
    write_caffemodel(tmp_path / "packed", {"conv": [values]})
    write_caffemodel(tmp_path / "unpacked", {"conv": [values]}, packed=False)
    # In three pieces, at whose limits no block begins.
    pieces = b"".join(field(5, part.tobytes()) for part in np.split(values.ravel(), [5, 19]))
    blob = field(7, pieces + field(7, field(1, 10) + field(1, 3)))
    (tmp_path / "pieces").write_bytes(
        field(100, field(1, b"conv") + field(2, b"Convolution") + blob)
    )

    for name in ("packed", "unpacked", "pieces"):
        [layer] = read_caffemodel(tmp_path / name)
        rows = list(layer.blobs[0].rows(3))

        assert [first for first, _ in rows] == [0, 2, 4, 6, 8]  # 2 rows are less than 8 values
        np.testing.assert_array_equal(np.concatenate([row for _, row in rows]), values)


def test_of_layers_with_one_name_the_last_counts(tmp_path):
    path = write_caffemodel(tmp_path / "train", {"conv": [KERNEL]})
    later = write_caffemodel(tmp_path / "test", {"conv": [KERNEL + 1]})
    path.write_bytes(path.read_bytes() + later.read_bytes())

    [layer] = read_caffemodel(path)

    np.testing.assert_array_equal(layer.blobs[0].read(), KERNEL + 1)


def test_every_cut_is_an_error_or_leaves_whole_layers(tmp_path):
    whole = write_caffemodel(tmp_path / "whole", {"a": [KERNEL, BIAS], "b": [KERNEL]})
    content = whole.read_bytes()
    cut = tmp_path / "cut"
    num_errors = 0

    for length in range(len(content)):
        cut.write_bytes(content[:length])
        try:
            layers = read_caffemodel(cut)
        except WeightFileError:
            num_errors += 1
        else:
            assert [layer.name for layer in layers] == ["a"]
            np.testing.assert_array_equal(layers[0].blobs[0].read(), KERNEL)

    assert num_errors == len(content) - 1  # all but the cut between the layers


def test_a_cut_file_is_named_with_what_to_do(tmp_path):
    path = write_caffemodel(tmp_path / "fcn.caffemodel", {"a": [KERNEL], "b": [KERNEL]})
    path.write_bytes(path.read_bytes()[:-5])

    with pytest.raises(WeightFileError, match=r"fcn.caffemodel' is cut short.* Get the file again"):
        read_caffemodel(path)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"", "Received: 0 bytes"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'name: "VGG"\nlayer {', "prototxt"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\xff\xd8\xff\xe0 a picture" + bytes(50), "Get the file again"),
        (bytes(range(256)), "Get the file again"),
    ],
)
def test_foreign_files_are_refused(tmp_path, content, advice):
    path = tmp_path / "x.caffemodel"
    path.write_bytes(content)

    with pytest.raises(WeightFileError, match=advice):
        read_caffemodel(path)


def test_a_blob_with_too_few_values_is_damaged():
    blob = field(7, field(1, bytes([2, 3]))) + field(5, bytes(4 * 5))

    with pytest.raises(WeightFileError, match=r"5 values for the shape \(2, 3\)"):
        _read(field(100, field(1, b"conv") + field(7, blob)))


def test_a_network_is_opened_under_the_names_that_keras_allows(tmp_path):
    layers = {"conv1/7x7_s2": [KERNEL, BIAS], "loss3/classifier": ("InnerProduct", [KERNEL])}
    path = write_caffemodel(tmp_path / "googlenet.caffemodel", layers)

    file = open_caffemodel(path)

    assert list(file.layers) == ["conv1_7x7_s2", "loss3_classifier"]
    assert file.layers["conv1_7x7_s2"].name == "conv1/7x7_s2"
    assert file.input_layer == "conv1_7x7_s2"
    assert file.is_classifier


def test_layers_of_three_blobs_are_refused(tmp_path):
    path = write_caffemodel(tmp_path / "x", {"bn": ("BatchNorm", [BIAS, BIAS, BIAS])})

    with pytest.raises(WeightFileError, match=r"'bn' .* 3 blobs \(BatchNorm\)"):
        open_caffemodel(path)


@pytest.fixture(autouse=True)
def _scratch_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _read(content):
    Path("net.caffemodel").write_bytes(content)
    return read_caffemodel("net.caffemodel")
