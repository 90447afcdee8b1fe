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
from keras_fcn_train.fingerprint import ClassFingerprint, Fingerprint
from keras_fcn_train.plan import Choice, choose
from keras_fcn_train.probe import Probe, Trial

RANDOM = ("--backbone-weights", "none")


@pytest.fixture
def trained(monkeypatch):
    """Instead of training, keeps the configurations that it was to train."""
    configs = []

    def fit(config, plan=None, hosts=None):
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
    result = run("train", "--no-plan")

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
    result = run("train", "--no-plan", *arguments)

    assert trained == [Config().replace(**settings)], result.stderr


def test_options_go_before_the_recipe_and_the_recipe_before_defaults(run, trained):
    # The default crop is none; the recipe has one, which an option takes away again.
    run("train", "--recipe", "sample_quickstart", "--crop", "none", "--epochs", "2")

    recipe = load_recipe("sample_quickstart")
    assert recipe.data.crop_size is not None
    assert trained == [recipe.replace(crop_size=None, epochs=2)]


@pytest.fixture
def planned(monkeypatch):
    """Plans at once: on a machine that needs no trial, for two classes."""
    calls = []

    def make(base, given, dataset, memory, say):
        calls.append((given, dataset.name, memory))
        return plan_of(given)

    monkeypatch.setattr("keras_fcn_train.plan.make_plan", make)
    return calls


def plan_of(given):
    classes = tuple(ClassFingerprint(name, 0.5, 1.0, 50.0) for name in ("sky", "road"))
    fingerprint = Fingerprint(
        "sample", 40, 40, 0, 10, (96, 96), (96, 96), 3, ("rgb",), {"segmentation": classes}
    )
    return choose(fingerprint, Probe("CPU", 2, 4.0, (), (Trial("train", 8, (96, 96), 1.0),)), given)


def test_a_dataset_alone_is_trained_by_a_plan(run, trained, planned):
    result = run("train", "--dataset", "sample", *RANDOM, "--memory", "3", "--epochs", "5")

    given = {"dataset": "sample", "backbone_weights": None, "epochs": 5}
    assert planned == [(given, "sample", 3.0)], result.stderr
    assert trained == [plan_of(given).apply(Config()).replace(**given)]
    # Every choice is printed with its reason.
    assert re.search(r"epochs +5 +given by you", result.output)
    assert re.search(r"optimizer +adamw +its steps do not", result.output)


def test_a_plan_that_was_edited_and_other_files_are_not_replaced(run, planned, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("of the user")
    arguments = ("plan", "--dataset", "sample", *RANDOM, "--output", path)

    refused = run(*arguments)

    assert refused.exit_code == 1
    assert "plan.json exists, and keras-fcn did not write it" in refused.stderr
    assert planned == [] and path.read_text() == "of the user"

    assert run(*arguments, "--overwrite").exit_code == 0
    assert run(*arguments).exit_code == 0  # its own
    edited = path.read_text() + "\n"
    path.write_text(edited)

    refused = run(*arguments)

    assert refused.exit_code == 1
    assert "was changed afterwards" in refused.stderr and path.read_text() == edited


def test_a_plan_is_written_and_followed(run, trained, planned, tmp_path):
    path = tmp_path / "plan.json"
    result = run("plan", "--dataset", "sample", *RANDOM, "--time", "30m", "--output", path)
    assert result.exit_code == 0, result.stderr
    given, *_ = planned.pop()

    result = run("train", "--plan", path, "--workdir", tmp_path / "run", "--batch-size", "2")

    expected = plan_of(given).apply(Config())
    own = {"batch_size": 2, "workdir": str(tmp_path / "run")}
    assert trained == [expected.replace(**own)], result.stderr
    assert not planned


def test_settings_given_beside_a_plan_are_shown_and_kept_as_the_users(
    run, trained, planned, tmp_path, monkeypatch
):
    path = tmp_path / "plan.json"
    run("plan", "--dataset", "sample", *RANDOM, "--time", "30m", "--output", path)
    kept = []
    monkeypatch.setattr(
        keras_fcn_train, "fit", lambda config, plan, **_: kept.append(plan) or 1 / 0
    )

    result = run("train", "--plan", path, "--time", "5m", "--epochs", "7", "--seed", "4")

    shown = dict(re.findall(r"^(\w+) +(\S+) +given by you", result.output, re.MULTILINE))
    assert shown == {
        **{"dataset": "sample", "backbone_weights": "none"},
        **{"time": "5m", "epochs": "7", "seed": "4"},
    }
    (plan,) = kept
    assert plan.choices["time"] == Choice("5m", "given by you")
    assert plan.choices["seed"] == Choice(4, "given by you")
    assert "workdir" not in plan.choices


def test_recipes_resumed_and_smoke_trainings_make_no_plan(run, trained, planned, tmp_path):
    (tmp_path / "config.json").write_text(Config().to_json())

    for arguments in (
        ("--recipe", "sample_quickstart"),
        ("--resume", "--workdir", tmp_path),
        ("--smoke",),
    ):
        assert run("train", *arguments).exit_code == 0

    assert len(trained) == 3 and not planned


def test_a_plan_excludes_other_sources_of_all_settings(run, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("{}")

    for arguments in (("--recipe", "sample_quickstart"), ("--no-plan",), ("--resume",)):
        result = run("train", "--plan", path, *arguments)
        assert result.exit_code == 2
        assert f"--plan and {arguments[0]} exclude each other" in result.stderr
    result = run("train", "--plan", path)
    assert f"{path}: A plan must be the JSON that `keras-fcn plan` writes" in result.stderr


def test_a_workdir_of_another_training_is_refused_before_the_plan(run, planned, tmp_path):
    (tmp_path / "best.keras").touch()

    result = run("train", "--dataset", "sample", *RANDOM, "--workdir", tmp_path)

    assert "is not empty, and was not changed" in result.stderr
    assert not planned


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
        ([*RANDOM, "--dataset", "sampel"], "Unknown dataset 'sampel'. Did you mean sample?"),
        ([*RANDOM, "--dataset", "folder:nothing"], "nothing: there is no such folder."),
        ([*RANDOM, "--no-plan", "--dataset", "sampel"], "Did you mean sample?"),
        (["--no-plan", "--init", "nothing.keras"], "nothing.keras"),
        (["--loss", "iou"], "`loss` must be crossentropy, focal, dice, or several"),
        (["--time", "soon"], "`time` must be such as 30m"),
    ],
)
def test_mistakes_are_explained(run, arguments, text):
    result = run("train", *arguments)

    assert result.exit_code == 1
    assert text in result.stderr
    assert "should not happen" not in result.stderr


def test_a_training_that_is_stopped_fails_with_its_reason(run, monkeypatch):
    def fit(config, **_):
        raise TrainingInterrupted("Stopped after step 7; go on with --resume.")

    monkeypatch.setattr(keras_fcn_train, "fit", fit, raising=False)

    result = run("train", "--no-plan")

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
