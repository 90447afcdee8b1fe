"""The files of a workdir are data: nothing in them is executed, and damage is named."""

import io
import json
import zipfile

import keras
import numpy as np
import pytest
from keras_fcn_train import Config, fit, load_recipe
from keras_fcn_train.callbacks.log import read_log
from keras_fcn_train.state import Position, State
from PIL import Image

from .tiny_training import tiny_config, tiny_dataset

RECIPE = """
from pathlib import Path
from keras_fcn_train import Config

Path({marker!r}).touch()
CONFIG = Config()
NEEDS = {{"init": "the network of before."}}
"""


@pytest.fixture
def recipe(tmp_path):
    """A recipe file, and the file that appears when it is executed."""
    path, marker = tmp_path / "recipe.py", tmp_path / "executed"
    path.write_text(RECIPE.format(marker=str(marker)))
    return path, marker


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize("resume", [False, True])
def test_no_recipe_is_executed_because_a_configuration_names_it(tmp_path, recipe, resume):
    path, marker = recipe
    config = tiny_config(workdir=str(tmp_path / "run"), epochs=1)
    if resume:
        fit(config, tiny_dataset())
        written = json.loads((tmp_path / "run" / "config.json").read_text())
        written["run"]["recipe"] = str(path)
        (tmp_path / "run" / "config.json").write_text(json.dumps(written))

    fit(config.replace(recipe=str(path), resume=resume), tiny_dataset())

    assert not marker.exists()


def test_recipe_is_executed_where_it_is_named_and_its_needs_are_checked(tmp_path, recipe):
    path, marker = recipe

    config = load_recipe(str(path))

    assert marker.exists()
    with pytest.raises(ValueError, match="needs --init: the network of before"):
        fit(config.replace(workdir=str(tmp_path / "run")))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "Expecting value"),
        (b'{"data": {', "Expecting property name"),
        (b"[" * 100_000, "maximum recursion depth"),
        (b"\xff\xfe{}", "can't decode byte"),
        (b"[1, 2]", "must be sections by name"),
        (b"null", "must be sections by name"),
        (b'{"data": 3}', "must be settings by name"),
        (b'{"data": {"batch_size": "8"}}', "must be a whole number"),
        (b'{"run": {"seed": 1' + b"0" * 5000 + b"}}", "Exceeds the limit"),
    ],
    ids=["empty", "cut", "deep", "binary", "list", "null", "number", "type", "digits"],
)
def test_damaged_config_is_named_with_its_cause_and_a_way_out(tmp_path, content, cause):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    (tmp_path / "last.keras").touch()

    with pytest.raises(ValueError, match=cause) as error:
        fit(Config().replace(workdir=str(tmp_path), resume=True))

    assert str(error.value).startswith(f"{path} cannot be read as the settings of a training")
    assert f"--init {tmp_path / 'last.keras'}" in str(error.value)


def state_of(path):
    return State(path, {"model": [keras.Variable(np.arange(1000, dtype="float32"))]})


def with_position(text):
    def damage(content):
        stream = io.BytesIO()
        np.savez(stream, **{"model/0000": np.zeros(1000, "float32"), "position": text})
        return stream.getvalue()

    return damage


def with_pickle(content):
    stream = io.BytesIO()
    np.savez(stream, **{"model/0000": np.array([None], object), "position": "{}"})
    return stream.getvalue()


def without_members(content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w"):
        pass
    return stream.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:100],
        lambda content: content[: len(content) // 2],
        lambda content: b"text",
        lambda content: content[:2000] + bytes([content[2000] ^ 1]) + content[2001:],
        with_pickle,
        without_members,
        with_position("{"),
        with_position("[]"),
        with_position('{"epoch": "1"}'),
        with_position('{"epoch": -1}'),
        with_position('{"later": 1}'),
    ],
    ids=["empty", "start", "half", "text", "bit", "pickle", "members", "cut position", "list",
         "text epoch", "negative epoch", "other key"],
)  # fmt: skip
def test_damaged_state_is_named_with_its_cause_and_a_way_out(tmp_path, damage):
    path = tmp_path / "state.npz"
    state_of(path).save(Position(epoch=1))
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(ValueError, match=r"cannot be read as the state .*--init") as error:
        state_of(path).restore("model")

    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    "text",
    ["epoch,loss\n0,x\n", "loss\n0.5\n", "epoch\n-1\n", "epoch,loss\n0,1,2\n", "epoch\n\x00\n"],
)
def test_damaged_log_is_named(tmp_path, text):
    path = tmp_path / "log.csv"
    path.write_text(text)

    with pytest.raises(ValueError, match="cannot be read as the log of a training") as error:
        read_log(path)

    assert str(error.value).startswith(str(path))


@pytest.mark.usefixtures("tiny_backbones")
def test_the_same_command_runs_after_a_bad_mask_at_the_start_was_mended(tmp_path):
    random = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for number in range(5):
        shape = (32, 32, 3)
        image = random.integers(0, 256, shape, "uint8")
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{number}.png")
        mask = random.integers(0, 3, shape[:2], "uint8")
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{number}.png")
    (tmp_path / "data" / "classes.txt").write_text("a\nb\nc\n")
    bad = {path: path.read_bytes() for path in sorted((tmp_path / "data" / "masks").glob("*.png"))}
    for path in bad:
        Image.fromarray(np.full((32, 32), 7, "uint8")).save(path)
    config = tiny_config(
        dataset=f"folder:{tmp_path / 'data'}", workdir=str(tmp_path / "run"), epochs=1
    )

    with pytest.raises(Exception, match="labels must be in"):
        fit(config)
    for path, content in bad.items():
        path.write_bytes(content)
    result = fit(config)

    assert result.best.is_file()
