"""What the README and the pages of docs/ show must work as it stands there."""

import re
import shlex
from pathlib import Path

import click
import pytest
from keras_fcn_cli.main import main
from keras_fcn_cli.settings import given_settings
from keras_fcn_cli.train import configuration
from keras_fcn_train.recipes import check_needs, recipe_names

from keras_fcn.backbones import backbone_names
from keras_fcn.datasets import DATASET_NAMES
from keras_fcn.weights.convert import READERS
from keras_fcn.weights.published import CARDS

from .helpers import Tiny

ROOT = Path(__file__).resolve().parent.parent
PATHS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = "\n".join(path.read_text() for path in PATHS)
# An example that several pages show is one.
BLOCKS = [
    *dict.fromkeys(re.findall(r"^```(\w*)\n(.*?)^```", PAGES, flags=re.MULTILINE | re.DOTALL))
]
COMMANDS = [
    line.strip()
    for language, text in BLOCKS
    if language != "python"
    for line in text.replace("\\\n", " ").splitlines()
    if line.strip().startswith("keras-fcn")
] + re.findall(r"`(keras-fcn [^`\n]* --[^`\n]*)`", PAGES)
# Files that are converted by name, because a network was published under it.
FILENAMES = {card.filename for card in CARDS.values()}


# Tracing the training of MobileNetV2 takes most of a minute.
SLOW = "backbone = keras_fcn.backbones.MobileNetV2("
CODES = [text for language, text in BLOCKS if language == "python"]


@pytest.mark.parametrize(
    "code", [pytest.param(code, marks=[pytest.mark.full] * (SLOW in code)) for code in CODES]
)
def test_python_blocks_run(code, tmp_path, monkeypatch):
    if "import mediapipe" in code:
        pytest.importorskip("mediapipe")
        # Its report of use goes nowhere; see tests/export/test_mediapipe.py.
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)

    exec(compile(code, "README.md", "exec"), {})


def test_slow_python_blocks_run_with_a_small_backbone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    slow = [code for code in CODES if SLOW in code]

    assert slow
    for code in slow:
        # Every line runs as it stands but for the network's backbone.
        assert code.count("backbone=backbone") == 1
        code = code.replace("backbone=backbone", "backbone=small_backbone")
        names = {"small_backbone": Tiny()}
        exec(compile(code, "README.md", "exec"), names)
        assert names["logits"].shape == (4, 90, 120, 3)  # as its comment promises


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_take_the_options_that_are_shown(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("best.keras").touch()  # some options want a file
    _, *arguments = shlex.split(line, comments=True)
    context = main.make_context("keras-fcn", list(arguments))
    command = main
    while hasattr(command, "resolve_command"):
        name, command, arguments = command.resolve_command(context, arguments)
        # Parses without running; an unknown option or a missing one is an error.
        try:
            context = command.make_context(name, list(arguments), parent=context)
        except click.exceptions.Exit:  # an option such as --help does all there is to do
            return
        arguments = [*context._protected_args, *context.args] if hasattr(
            command, "resolve_command"
        ) else []  # fmt: skip
    check_values(context)


def check_values(context):
    """Fails where an option that takes any text names what does not exist."""
    if context.info_name == "train":
        # Takes the recipe, checks all settings, and what the recipe lacks.
        check_needs(configuration(given_settings(context)))
    given = {name: value for name, value in context.params.items() if value}
    if "recipe" in given:
        assert given["recipe"] in recipe_names()
    if "dataset" in given:
        assert given["dataset"].partition(":")[0] in DATASET_NAMES
    for name in given.get("backbones", [given.get("backbone", "vgg16")]):
        assert name in backbone_names()
    if context.info_name == "convert":
        source = given["source"]
        assert source in CARDS or Path(source).suffix in READERS
        assert source in CARDS or Path(source).suffix != ".caffemodel" or source in FILENAMES


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("train --recipe fcn32s_vgg16_vok", "Unknown recipe"),
        ("train --recipe fcn16s_vgg16_voc", "needs --init"),
        ("train --crop 300", "no height and width"),
        ("evaluate --model x --dataset voc2013", "voc2013"),
        ("summary --backbone vgg17", "vgg17"),
        ("convert --from fcn4s-heavy-pascal.caffemodel --output x.keras", "fcn4s"),
    ],
)
def test_wrong_commands_are_found(line, problem, tmp_path, monkeypatch):
    errors = (AssertionError, ValueError, click.UsageError)
    with pytest.raises(errors, match=problem):
        test_commands_take_the_options_that_are_shown(f"keras-fcn {line}", tmp_path, monkeypatch)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_tests_that_the_pages_name_exist():
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    names = set(re.findall(r"`(test_\w+)`", PAGES))
    files = set(re.findall(r"`(tests/[\w/]+\.py)`", PAGES))

    assert names
    assert [name for name in sorted(names) if f"def {name}(" not in code] == []
    assert files
    assert [file for file in sorted(files) if not (ROOT / file).is_file()] == []
