"""What a training starts from, and the two learning rates that follow from it."""

import keras
import numpy as np
import pytest
from keras_fcn_train import Config, TrainingInterrupted, fit
from keras_fcn_train.model import build_backbone, build_network
from keras_fcn_train.starts import fill, find_start

from keras_fcn.labels import Heads

from .test_training import assert_same_weights, press_ctrl_c_after
from .tiny_training import SPEC, tiny_config, tiny_dataset

pytestmark = pytest.mark.usefixtures("tiny_backbones")


@pytest.fixture(scope="module")
def first(tmp_path_factory, tiny_backbones):
    """A training of one epoch, from whose network others start."""
    workdir = tmp_path_factory.mktemp("first")
    return fit(tiny_config(workdir=str(workdir), epochs=1), tiny_dataset())


def test_imagenet_is_the_default_and_is_looked_for_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_fcn.weights.location._fetch", lambda _: 1 / 0)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    config = Config().replace(dataset="folder:none", workdir=str(tmp_path / "run"))

    # Before the dataset, which does not exist either.
    with pytest.raises(ValueError, match="weights of mobilenet_v2 at alpha=1 were not found"):
        fit(config)

    assert not (tmp_path / "run").exists()


def test_weights_of_imagenet_are_printed_and_pretrained(shared_data, capsys):
    config = Config().replace(alpha=0.35, weights_dir=str(shared_data / "weights"), skip_filters=4)
    backbone = build_backbone(config.backbone)
    start = find_start(config.model, config.backbone, backbone)
    network = build_network(config.model, backbone, Heads(SPEC))

    line, pretrained = fill(network, config.model, start)

    file = shared_data / "weights" / "mobilenet_v2_0.35_notop.weights.h5"
    assert line == f"Weights: mobilenet_v2 from ImageNet, {file} (--weights-dir); the rest new"
    names = [variable.path for variable in network.trainable_variables]
    new = {names[i] for i in range(len(names)) if i not in pretrained}
    # The backbone has 52 convolutions and 52 BatchNorms with two vectors each.
    assert len(pretrained) == 52 * 3
    assert {name.split("/")[0] for name in new} >= {"score_fr", "skip_pool3", "fc6"}
    assert not any("block_" in name or "Conv1" in name for name in new)


def test_weights_that_are_none_or_of_another_network_are_named(tmp_path, capsys):
    # Not the fixture, whose output is printed once only.
    first = fit(tiny_config(workdir=str(tmp_path / "first"), epochs=1), tiny_dataset())
    assert "Weights: random (--backbone-weights none)" in capsys.readouterr().out

    second = tiny_config(
        workdir=str(tmp_path / "second"), epochs=1, init=str(first.last),
        backbone_weights="imagenet",
    )  # fmt: skip
    fit(second, tiny_dataset())

    # ImageNet weights, which `init` would replace, are not looked for.
    assert f"Weights: {first.last}: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [
        ("sgd", 1),
        ("adamw", 2),
        pytest.param("sgd", 2, marks=pytest.mark.full),
        pytest.param("adamw", 1, marks=pytest.mark.full),
    ],
)
def test_two_learning_rates_resume_exactly(optimizer, steps, first, tmp_path, monkeypatch, capsys):
    config = tiny_config(
        workdir=str(tmp_path / "run"), optimizer=optimizer, pretrained_factor=0.01,
        gradient_accumulation_steps=steps, init=str(first.last), epochs=2,
    )  # fmt: skip
    undisturbed = fit(config.replace(workdir=str(tmp_path / "all")), tiny_dataset())
    press_ctrl_c_after(4, monkeypatch)
    with pytest.raises(TrainingInterrupted):
        fit(config, tiny_dataset())
    monkeypatch.undo()

    capsys.readouterr()
    resumed = fit(config.replace(resume=True), tiny_dataset())

    assert_same_weights(resumed.last, undisturbed.last)
    assert "Weights: the state in" in capsys.readouterr().out


def test_the_pretrained_backbone_moves_less_than_the_new_layers(first, tmp_path):
    settings = {"init": str(first.last), "epochs": 1, "ema_decay": None, "weight_decay": 0.0}
    before = keras.models.load_model(first.last)
    moved = {}
    for factor in (1.0, 0.01):
        config = tiny_config(
            workdir=str(tmp_path / f"{factor}"), pretrained_factor=factor, **settings
        )
        after = keras.models.load_model(fit(config, tiny_dataset()).last)
        moved[factor] = {
            name: np.abs(after.get_layer(name).kernel - before.get_layer(name).kernel).mean()
            for name in ("fc6", "score_fr")
        }

    assert moved[0.01]["fc6"] < 0.05 * moved[1.0]["fc6"]
    assert moved[0.01]["score_fr"] > 0.3 * moved[1.0]["score_fr"]
