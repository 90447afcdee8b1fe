import keras
import numpy as np
import pytest
from keras import layers
from keras_fcn_cli.main import main

import keras_fcn
from keras_fcn.backbones import VGG16, create
from keras_fcn.models.receptive_field import summarize

from ..helpers import Tiny


@pytest.mark.parametrize(
    ("backbone", "parameters", "convolutions", "receptive_field"),
    # Counted from the definitions: convolutions of CaffeNet's two groups, VGG16 and Inception v1,
    # fc6 and fc7, and 21 scores.
    [
        ("alexnet", 56_954_261, 8, 355),
        ("vgg16", 134_346_581, 16, 404),
        ("googlenet", 5_995_077, 22, 715),
    ],
)
def test_table_1_of_the_paper(backbone, parameters, convolutions, receptive_field):
    model = keras_fcn.FCN32s(21, backbone=create(backbone).with_zeros())

    summary = summarize(model)

    [score] = summary.scores
    assert summary.parameters == parameters
    assert round(parameters / 1e6) == {"alexnet": 57, "vgg16": 134, "googlenet": 6}[backbone]
    assert (score.convolutions, score.receptive_field, score.stride) == (
        convolutions, receptive_field, 32,
    )  # fmt: skip
    assert summary.paper_receptive_field == (907 if backbone == "googlenet" else None)


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet", "googlenet"])
def test_scores_depend_on_the_pixels_of_their_receptive_field_only(backbone):
    # The gradient of the middle score with respect to the image is its receptive field.
    model = keras_fcn.FCN16s(
        2,
        backbone=create(
            backbone, alpha=0.05, fc_filters=4, geometry="reference", normalization="none"
        ),
    )
    layer = model.get_layer("score_pool4")
    layer.set_weights([np.ones(weight.shape) for weight in layer.get_weights()])
    scores = keras.Model(model.input, layer.output)
    tf = pytest.importorskip("tensorflow")
    image = tf.Variable(np.random.default_rng(0).uniform(0, 255, (1, 320, 320, 3)).astype("f"))

    with tf.GradientTape() as tape:
        maps = scores(image)
        score = tf.reduce_sum(maps[0, maps.shape[1] // 2, maps.shape[2] // 2])
    rows = np.flatnonzero(np.abs(tape.gradient(score, image)).sum((0, 2, 3)))

    [_, expected] = summarize(model).scores
    assert expected.name == "score_pool4" and expected.stride == 16
    # ReLU and pooling let only some of the pixels through.
    assert 0.6 * expected.receptive_field < np.ptp(rows) + 1 <= expected.receptive_field


def test_multiply_adds_by_hand():
    model = keras_fcn.FCN32s(2, backbone=Tiny(fc_filters=0))

    summary = summarize(model, (64, 96))

    # s8: 8*12 cells x 8*8*3*4; s16: 4*6 x 3*3*4*6; s32: 2*3 x 3*3*6*8; score: 2*3 x 8*2;
    # upscore: 2*3 cells, each with a kernel of 64*64*2*2.
    assert summary.multiply_adds == 96 * 768 + 24 * 216 + 6 * 432 + 6 * 16 + 6 * 16384
    # (768 + 4) + (216 + 6) + (432 + 8) + (16 + 2) without the upsampling's 64*64*2*2
    assert (summary.parameters, summary.upsampling_parameters) == (1452, 16384)
    # 8 + 2*8 + 2*16 pixels
    assert summary.scores[0].receptive_field == 56


def test_every_score_of_two_streams_and_two_heads_is_listed():
    model = keras_fcn.FCN16s(
        {"semantic": 3, "geometric": 2}, backbone=VGG16(alpha=0.05, fc_filters=4),
        modalities=("rgb", "hha"), fusion="late",
    )  # fmt: skip

    scores = summarize(model, (64, 64)).scores

    assert len(scores) == 2 * 2 * 2
    assert {score.stride for score in scores[:4]} == {32}
    assert {score.stride for score in scores[4:]} == {16}


def test_other_models_are_refused():
    inputs = keras.Input((8, 8, 3))

    with pytest.raises(ValueError, match="must be a network of keras_fcn, with convolutions named"):
        summarize(keras.Model(inputs, layers.Conv2D(2, 1)(inputs)))


def test_the_command_prints_table_1(capsys):
    main(["summary", "--size", "96x64"], standalone_mode=False)

    printed = capsys.readouterr().out
    for number in ("134,346,581", "56,954,261", "5,995,077", "355", "404", "715", "907"):
        assert number in printed
    assert "multiply-adds at 96x64" in printed


def test_the_command_describes_a_file(tmp_path, capsys):
    model = keras_fcn.FCN8s(3, backbone=VGG16(alpha=0.05, fc_filters=4))
    model.save(tmp_path / "m.keras")

    main(["summary", "--model", str(tmp_path / "m.keras")], standalone_mode=False)

    printed = capsys.readouterr().out
    for name in ("fcn8s_vgg16", "score_fr", "score_pool4", "score_pool3"):
        assert name in printed
