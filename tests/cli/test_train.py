import re
from pathlib import Path

import keras_fcn_train
import pytest
from keras_fcn_cli.settings import setting_options
from keras_fcn_train import (
    Config,
    TrainingInterrupted,
    TrainingResult,
    load_recipe,
    recipe_names,
)
from keras_fcn_train.config import settings


@pytest.fixture
def trained(monkeypatch):
    """Instead of training, keeps the configurations that it was to train."""
    configs = []

    def fit(config):
        configs.append(config)
        workdir = Path(config.run.workdir)
        return TrainingResult(
            workdir, workdir / "best.keras", workdir / "last.keras", 3, {"mean_iou": 0.5}, []
        )

    monkeypatch.setattr(keras_fcn_train, "fit", fit, raising=False)
    return configs


def test_every_setting_is_an_option(run):
    text = run("train", "--help").output

    for setting in settings().values():
        assert f"--{setting.option.replace('_', '-')} " in text
    for title in ("Data:", "Model:", "Backbone:", "Augmentation:", "Optimizer:", "Loss:", "Run:"):
        assert title in text


def test_options_have_their_names(run):
    """Those that scripts give."""
    options = re.findall(r"^ +--([a-z-]+) ", run("train", "--help").output, flags=re.MULTILINE)

    assert {
        *("dataset", "source", "data-dir", "workdir", "resume", "backbone", "backbone-weights"),
        *("epochs", "batch-size", "crop", "seed", "limit", "geometry", "mean", "optimizer"),
        *("gradient-accumulation-steps", "reduction", "ema-decay", "recipe", "init", "smoke"),
    } <= {option.partition("/")[0] for option in options}


def test_defaults_are_those_of_the_configuration(run, trained):
    result = run("train")

    assert trained == [Config()], result.stderr
    assert "Best epoch 3: mean_iou 0.5000" in result.output


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["--crop", "30x40"], {"crop_size": (30, 40)}),
        (["--scale", "0.5,1"], {"scale": (0.5, 1.0)}),
        (["--validation-split", "none"], {"validation_split": None}),
        (["--no-augment", "--freeze-batchnorm"], {"augment": False, "freeze_batchnorm": True}),
        (["--devices", "CPU:0,CPU:1"], {"devices": ("CPU:0", "CPU:1")}),
        (["--variant", "fcn16s", "--epochs", "7"], {"variant": "fcn16s", "epochs": 7}),
        (["--learning-rate", "1e-4"], {"learning_rate": 1e-4}),
        (["--backbone", "vgg16", "--optimizer", "sgd"], {"backbone": "vgg16", "optimizer": "sgd"}),
        (["--backbone-weights", "none"], {"backbone_weights": None}),
    ],
)
def test_options_become_settings(run, trained, arguments, settings):
    result = run("train", *arguments)

    assert trained == [Config().replace(**settings)], result.stderr


def test_options_go_before_the_recipe_and_the_recipe_before_defaults(run, trained):
    # The default crop is none; the recipe has one, which an option takes away again.
    run("train", "--recipe", "sample_quickstart", "--crop", "none", "--epochs", "2")

    recipe = load_recipe("sample_quickstart")
    assert recipe.data.crop_size is not None
    assert trained == [recipe.replace(crop_size=None, epochs=2)]


def test_a_training_is_resumed_with_its_own_settings(run, trained, tmp_path):
    config = Config().replace(epochs=9, crop_size=(32, 32))
    (tmp_path / "config.json").write_text(config.to_json())

    run("train", "--resume", "--workdir", tmp_path)

    assert trained == [config.replace(resume=True, workdir=str(tmp_path))]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--epochs", "0"], "`epochs` must be at least 1. Received: epochs=0."),
        (["--recipe", "sample_quickstrat"], "Did you mean 'sample_quickstart'?"),
        (["--resume", "--workdir", "nothing"], "There is no training to resume in nothing"),
        (["--dataset", "sampel"], "Unknown dataset 'sampel'. Did you mean sample?"),
        (["--dataset", "folder:nothing"], "nothing: there is no such folder."),
        (["--init", "nothing.keras"], "nothing.keras"),
    ],
)
def test_mistakes_are_explained(run, arguments, text):
    result = run("train", *arguments)

    assert result.exit_code == 1
    assert text in result.stderr
    assert "should not happen" not in result.stderr


def test_a_training_that_is_stopped_fails_with_its_reason(run, monkeypatch):
    def fit(config):
        raise TrainingInterrupted("Stopped after step 7; go on with --resume.")

    monkeypatch.setattr(keras_fcn_train, "fit", fit, raising=False)

    result = run("train")

    assert result.exit_code == 1
    assert result.stderr == "Error: Stopped after step 7; go on with --resume.\n"


def test_options_of_flags_have_no_default_of_their_own():
    @setting_options()
    def command(**_):
        """Takes every setting."""

    assert all(option.default is None for option in command.__click_params__)


def test_recipes_are_listed_and_described(run):
    listed = run("train", "--list-recipes").output

    for name in recipe_names():
        assert name in listed

    described = run("train", "--describe-recipe", "fcn16s_vgg16_voc").output
    assert "65.0 mean IoU on seg11valid" in described
    assert "--init runs/fcn32s_vgg16_voc/last.keras" in described
