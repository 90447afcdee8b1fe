"""Networks of weight files against the reference's definitions, from the image of 0..255 on."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from keras_fcn_cli.convert import command
from safetensors.numpy import save_file

import keras_fcn
from keras_fcn.backbones import VGG16, AlexNet
from keras_fcn.prediction import load_model
from keras_fcn.weights.published import CARDS

from ..models import caffe_nets
from ..models.test_reference import pixels, run
from .caffe_files import fcn_layers, write_caffemodel

# Blue, green, red, from the data layers of fcn.berkeleyvision.org: voc_layers.py,
# pascalcontext_layers.py, siftflow_layers.py and nyud_layers.py; HHA and depth from the last.
VOC = (104.00699, 116.66877, 122.67892)
CONTEXT = (104.007, 116.669, 122.679)
SIFTFLOW = (114.578, 115.294, 108.353)
NYUD_RGB, NYUD_HHA, NYUD_DEPTH = (116.190, 97.203, 92.318), (132.431, 94.076, 118.477), (7.844,)
# Of VGG_ILSVRC_16_layers (gist ksimonyan/211839e770f7b538e2d8), and of BVLC's networks.
VGG, CAFFENET_MEAN = (103.939, 116.779, 123.68), (104, 117, 123)

ALPHA, WIDTH, SIZE = 8, 4, (61, 95)


def weights_of(**options):
    """Layers as in a file, of a size that keeps numbers near those of the image."""
    layers = fcn_layers(width=WIDTH, alpha=ALPHA, **options)
    for entry in layers.values():
        if isinstance(entry, tuple):
            kernel = entry[1][0]
            entry[1][0] = kernel * np.float32(2 / kernel.shape[2])
        else:
            entry[0] = entry[0] * np.float32(np.sqrt(2 / np.prod(entry[0].shape[1:])))
    return layers


def convert(tmp_path, layers, *options, name="n.caffemodel"):
    """Writes a file, converts it as a user does, and returns the network."""
    path = tmp_path / name
    if path.suffix == ".caffemodel":
        write_caffemodel(path, layers)
    else:
        save_file({f"{k}.{p}": v for k, e in layers.items() for p, v in parts(e)}, path)
    target = tmp_path / "n.keras"
    arguments = ["--from", path, "--geometry", "reference", "--output", target, *options]
    result = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return load_model(target), result.output


def parts(entry):
    arrays = entry[1] if isinstance(entry, tuple) else entry
    return zip(("weight", "bias"), arrays, strict=False)


def reference(layers, inputs, classes, *, heads=("",), streams=("",)):
    """Returns the logits of the reference's FCN-32s, by OpenCV, of images minus their means."""
    weights = {
        name: (arrays[0], arrays[1] if len(arrays) == 2 else None)
        for name, entry in layers.items()
        for arrays in [entry[1] if isinstance(entry, tuple) else entry]
    }
    shapes = {name: data.transpose(0, 3, 1, 2).shape for name, data in inputs.items()}
    net = caffe_nets.CaffeNet(weights, shapes)

    def width(filters):
        return filters // ALPHA

    features = {
        stream: caffe_nets.vgg16(net, data, 100, width, WIDTH, suffix=stream)
        for stream, data in zip(streams, inputs, strict=True)
    }
    for head, number in zip(heads, classes, strict=True):

        def score(pool, head=head, number=number):
            scores = [
                net.conv(f"score_{pool}{head}{s}", features[s][pool], number, 1, relu=False)
                for s in streams
            ]
            if len(scores) == 1:
                return scores[0]
            return net.total(f"fused_{pool}", scores, (0.5,) * len(scores))

        data = next(iter(inputs))
        caffe_nets.head(net, score, data, number, 32, margin=0, offset=19, inner=(), suffix=head)
    return run(net, inputs, [f"score{head}" for head in heads])


def assert_equal(ours, theirs, other):
    """Checks that logits agree, and that those of another mean would not have."""
    scale = np.ptp(theirs)
    difference = np.abs(np.asarray(ours) - theirs).max() / scale
    assert np.abs(other - theirs).max() / scale > 20 * 2e-5
    assert difference < 2e-5


def bgr(image, mean):
    return (image[..., ::-1] - np.array(mean)).astype("float32")


@pytest.mark.parametrize(
    ("heads", "mean", "options", "suffix"),
    [
        ({"": 21}, VOC, (), ".caffemodel"),
        ({"": 21}, VOC, (), ".safetensors"),
        ({"": 60}, CONTEXT, (), ".caffemodel"),
        ({"_sem": 33, "_geo": 3}, SIFTFLOW, (), ".caffemodel"),
        ({"": 40}, NYUD_RGB, ("--modalities", "rgb"), ".caffemodel"),
        ({"": 7}, (1, 20, 90), ("--mean", "1,20,90"), ".caffemodel"),
    ],
    ids=["voc", "pytorch", "context", "siftflow", "nyud", "given"],
)
def test_a_converted_network_subtracts_its_own_mean(tmp_path, heads, mean, options, suffix):
    layers = weights_of(heads=heads)
    image = pixels(SIZE)

    model, output = convert(tmp_path, layers, *options, name=f"n{suffix}")

    ours = model.heads.by_name(model(image))
    for head, logits in zip(heads, ours.values(), strict=True):
        [theirs], [other] = (
            reference(layers, {"data": bgr(image, m)}, [heads[head]], heads=[head])
            for m in (mean, VGG)
        )
        assert_equal(logits, theirs, other)
    assert ", ".join(f"{value:g}" for value in mean) in output


def test_hha_keeps_the_order_of_its_channels(tmp_path):
    layers, image = weights_of(heads={"": 40}), pixels(SIZE)

    model, _ = convert(tmp_path, layers, "--modalities", "hha")

    data = (image - np.array(NYUD_HHA)).astype("float32")
    [theirs] = reference(layers, {"data": data}, [40])
    [other] = reference(layers, {"data": bgr(image, NYUD_RGB)}, [40])
    assert_equal(model(image), theirs, other)


def test_streams_have_their_own_means(tmp_path):
    layers = weights_of(heads={"": 40}, streams=("color", "hha"))
    image = pixels(SIZE, channels=6)

    model, output = convert(tmp_path, layers)

    hha = (image[..., 3:] - np.array(NYUD_HHA)).astype("float32")
    [theirs], [other] = (
        reference(
            layers,
            {"color": bgr(image[..., :3], mean), "hha": hha},
            [40],
            streams=("color", "hha"),
        )
        for mean in (NYUD_RGB, VOC)
    )
    assert_equal(model(image), theirs, other)
    assert "40 classes, and takes rgb, hha" in output


def test_depth_has_the_mean_of_its_logarithm(tmp_path):
    layers = weights_of(heads={"": 40}, channels=4)
    image = pixels(SIZE, channels=4)
    image[..., 3:] = 1 + 20 * image[..., 3:]  # values below 1 are missing depth

    model, _ = convert(tmp_path, layers)

    layers = {name.removesuffix("_bgrd"): entry for name, entry in layers.items()}
    depth = (np.log(image[..., 3:]) - np.array(NYUD_DEPTH)).astype("float32")
    [theirs], [other] = (
        reference(
            layers, {"data": np.concatenate([bgr(image[..., :3], mean), depth], axis=-1)}, [40]
        )
        for mean in (NYUD_RGB, VOC)
    )
    assert_equal(model(image), theirs, other)


def test_weights_of_a_file_come_with_their_mean(tmp_path):
    layers, image = weights_of(heads={"": 21}), pixels(SIZE)
    path = write_caffemodel(tmp_path / "n.caffemodel", layers)
    backbone = VGG16(alpha=1 / ALPHA, fc_filters=WIDTH, geometry="reference")

    model = keras_fcn.FCN32s(21, backbone=backbone, weights=path)

    [theirs], [other] = (reference(layers, {"data": bgr(image, m)}, [21]) for m in (VOC, VGG))
    assert_equal(model(image), theirs, other)
    assert model.origin["notes"][-1].startswith("mean of the images 104.007, 116.669, 122.679: ")


@pytest.mark.parametrize("applied", ["torch", "tf", "none"])
def test_the_mean_of_the_file_is_folded_into_another_normalization(tmp_path, applied):
    layers = weights_of(heads={"": 21})
    path = write_caffemodel(tmp_path / "n.caffemodel", layers)
    backbone = VGG16(alpha=1 / ALPHA, fc_filters=WIDTH, normalization=applied)

    model = keras_fcn.FCN32s(21, backbone=backbone, weights=path)

    # A pixel of the mean is zero after Caffe's normalization, so only the bias remains.
    pixel = np.array(VOC[::-1], "float32").reshape(1, 1, 1, 3)
    normalized = model.get_layer("normalization")(np.tile(pixel, (1, 3, 3, 1)))
    first = model.get_layer("block1_conv1")
    inner = np.einsum("hwi,hwio->o", np.asarray(normalized)[0], first.kernel) + first.bias
    np.testing.assert_allclose(inner, layers["conv1_1"][1], rtol=0, atol=1e-4)


def test_a_classifier_comes_with_its_mean(tmp_path):
    shapes = {"conv1": (12, 3, 11, 11), "fc8": (1000, 4)}
    layers = {
        name: [np.zeros(s, "float32"), np.zeros(s[0], "float32")] for name, s in shapes.items()
    }
    path = write_caffemodel(tmp_path / "caffenet.caffemodel", layers)
    model = keras_fcn.FCN32s(2, backbone=AlexNet(alpha=1 / 8, fc_filters=4))
    for layer in model.layers:  # the other layers that the file must contain
        if layer.weights and layer.name not in ("conv1", "score_fr", "upscore"):
            kernel = np.zeros(layer.kernel.shape, "float32").transpose(3, 2, 0, 1)
            layers[layer.name] = [kernel, np.zeros(len(kernel), "float32")]
    write_caffemodel(path, layers)

    keras_fcn.weights.load(model, path)

    assert model.get_layer("normalization").mean == CAFFENET_MEAN


@pytest.mark.parametrize(
    ("layers", "options", "why"),
    [
        ({"": 7}, (), "it has 7 classes, as none of the datasets that are known"),
        ({"": 40}, (), "RGB than from HHA. Give the modality"),
        ({"": 21}, ("--modalities", "hha"), "it has 21 classes of hha, as none"),
    ],
    ids=["unknown", "nyud", "voc-hha"],
)
def test_a_mean_that_cannot_be_decided_is_asked_for(tmp_path, layers, options, why):
    path = write_caffemodel(tmp_path / "n.caffemodel", weights_of(heads=layers))
    arguments = ["--from", path, "--output", tmp_path / "n.keras", *options]

    result = CliRunner().invoke(command, [str(a) for a in arguments])

    assert why in str(result.exception)
    assert "`--mean B,G,R` on the command line" in str(result.exception)
    assert not (tmp_path / "n.keras").exists()
    with pytest.raises(ValueError, match="cannot be decided: it has .*`mean` of the backbone"):
        keras_fcn.FCN32s(
            layers[""],
            backbone=VGG16(alpha=1 / ALPHA, fc_filters=WIDTH),
            modalities=options[1:],
            weights=path,
        )


def test_a_published_file_is_known_by_its_checksum_under_any_name(tmp_path, monkeypatch):
    layers = weights_of(heads={"": 40})
    path = write_caffemodel(tmp_path / "renamed.caffemodel", layers)
    # By coreutils, of the bytes that were written.
    digest = subprocess.run(["sha1sum", path], capture_output=True, text=True).stdout.split()[0]
    card = replace(CARDS["nyud-fcn32s-hha"], sha1=digest)
    monkeypatch.setitem(CARDS, "nyud-fcn32s-hha", card)

    model, output = convert(tmp_path, layers, name="renamed.caffemodel")

    assert "the file has the SHA-1 of the published nyud-fcn32s-hha" in output
    assert model.modalities == ("hha",)
    assert model.get_layer("normalization").mean == NYUD_HHA
    with pytest.raises(ValueError, match=r"is for images of hha: .* Build it with\s+modalities"):
        keras_fcn.FCN32s(40, backbone=VGG16(alpha=1 / ALPHA, fc_filters=WIDTH), weights=path)


def test_a_name_is_no_proof_where_a_checksum_is_published(tmp_path):
    layers = weights_of(heads={"": 21})

    _, output = convert(tmp_path, layers, name="fcn32s-heavy-pascal.caffemodel")
    assert "because the file has its 21 classes" in output

    _, output = convert(tmp_path, layers, name="fcn16s-heavy-pascal.caffemodel")
    assert "name and the classes of the published voc-fcn16s" in output


@pytest.mark.parametrize(
    ("heads", "options", "first", "last"),
    [
        ({"": 21}, (), "background", "tvmonitor"),
        ({"": 60}, (), "background", "wood"),
        ({"": 40}, ("--modalities", "rgb"), "wall", "other prop"),
        ({"_sem": 33, "_geo": 3}, (), "awning", "window"),
    ],
    ids=["voc", "context", "nyud", "siftflow"],
)
def test_a_converted_network_names_its_classes(tmp_path, heads, options, first, last):
    model, output = convert(tmp_path, weights_of(heads=heads), *options)

    names = next(iter(model.heads.values())).class_names
    assert (names[0], names[-1]) == (first, last)
    assert f"classes: {first}" in output or f"classes of semantic: {first}" in output
    if model.heads.is_named:
        assert model.heads["geometric"].class_names == ("sky", "horizontal", "vertical")
