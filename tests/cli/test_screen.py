"""Names of files and classes do not reach the terminal as commands."""

import io
import warnings

import numpy as np
import pytest
from keras_fcn_cli import quiet
from keras_fcn_cli.screen import _SafeConsole, errors, output
from keras_fcn_train.terminal import printable
from PIL import Image
from rich.table import Table

from ..helpers import tiny_model

# Clears the screen; sets the title; goes up a line; reverses the direction; is no text.
HOSTILE = ("\x1b[2J", "\x1b]0;title\x07", "\x9b1A", "a\rb", "\u202etxt", "\udcff", "\x7f", "\x00")
NAME = "cat\x1b[2J\x1b[31m"


@pytest.mark.parametrize("text", HOSTILE)
def test_characters_that_act_are_escaped(text):
    escaped = printable(text)

    assert escaped.isprintable()
    assert escaped.encode("utf-8").decode("unicode_escape").encode("utf-16", "surrogatepass") == (
        text.encode("utf-16", "surrogatepass")
    )


@pytest.mark.parametrize("text", ["café, 日本語", "two\nlines\tand a tab", "[bold]no markup[/]"])
def test_text_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize("is_terminal", [False, True])
def test_consoles_write_only_their_own_sequences(is_terminal):
    assert type(output) is type(errors) is _SafeConsole
    stream = io.StringIO()
    console = _SafeConsole(file=stream, force_terminal=is_terminal, width=60)
    table = Table("class")
    table.add_row(NAME)

    console.print(NAME, markup=False, soft_wrap=True)
    console.print(table, style="bold")
    with console.status(NAME):
        pass

    text = stream.getvalue()
    assert "\x1b[2J" not in text and "\x1b[31m" not in text
    assert text.count("\\x1b[2J") >= 2
    assert ("\x1b[1m" in text) == is_terminal


@pytest.fixture
def hostile_photos(tmp_path):
    folder = tmp_path / f"photos{NAME}"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(2):
        Image.fromarray(np.zeros((8, 8, 3), "uint8")).save(folder / "images" / f"{number}.png")
        Image.fromarray(np.full((8, 8), 9, "uint8")).save(folder / "masks" / f"{number}.png")
    (folder / "classes.txt").write_text(f"sky\nroad\n{NAME}\n")
    return folder


def test_commands_escape_the_names_of_files_and_classes(run, hostile_photos, tmp_path):
    model = tmp_path / f"{NAME}.keras"
    tiny_model().save(model)
    (tmp_path / f"{NAME}.jpg").write_text("no image")

    results = [
        run("datasets", "check", "--dataset", f"folder:{hostile_photos}"),
        run("predict", "--model", model, "--output", tmp_path / "out", tmp_path / f"{NAME}.jpg"),
        run("predict", "--model", tmp_path / f"absent{NAME}", "--output", "out", "x.jpg"),
        run("evaluate", "--model", model, "--dataset", f"folder:{hostile_photos}"),
        run("train", "--recipe", NAME),
        run("summary", f"--{NAME}"),
        run(NAME),
    ]

    for result in results:
        assert result.exit_code in (1, 2)
        assert "\x1b" not in result.output
        assert "\\x1b[2J" in result.output


def test_names_that_are_no_text_do_not_end_a_command(run, tmp_path, photos, channel_model):
    # A file of another encoding: its name has a byte that is no UTF-8.
    bad = tmp_path / "caf\udce9.jpg"
    bad.write_text("no image")

    result = run(
        "predict", "--model", channel_model, "--output", tmp_path / "out",
        bad, photos / "images" / "0.png",
    )  # fmt: skip

    assert result.exit_code == 1
    assert "caf\\udce9.jpg" in result.stderr
    assert (tmp_path / "out" / "0.png").is_file()


def test_warnings_are_escaped():
    quiet.quiet_libraries()

    text = warnings.formatwarning(UserWarning(f"{NAME} is new"), UserWarning, "file.py", 1)

    assert text == "Warning: cat\\x1b[2J\\x1b[31m is new\n"
