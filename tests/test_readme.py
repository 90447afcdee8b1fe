"""What the README and the pages of docs/ show must work as it stands there."""

import re
import shlex
from pathlib import Path

import click
import pytest
from keras_fcn_cli.main import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = "\n".join([README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))])
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
]


@pytest.mark.parametrize("code", [text for language, text in BLOCKS if language == "python"])
def test_python_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    exec(compile(code, "README.md", "exec"), {})


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


def test_relative_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
