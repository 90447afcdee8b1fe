import os
import subprocess
import sys
from pathlib import Path

import pytest
from keras_fcn_cli import main as main_module
from keras_fcn_cli import quiet
from keras_fcn_cli.main import SUBCOMMANDS

import keras_fcn

# What a developer sets to silence libraries, and a user does not.
LOG_LEVELS = ("TF_CPP_MIN_LOG_LEVEL", "GRPC_VERBOSITY")


@pytest.mark.parametrize("name", ["", *SUBCOMMANDS, "datasets check"])
def test_every_command_has_help(run, name):
    result = run(*name.split(), "--help")

    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: keras-fcn{' ' * bool(name)}{name} [OPTIONS]")


def test_help_is_there_at_once_and_loads_no_tensorflow():
    program = (
        "import sys\n"
        "from keras_fcn_cli.main import main\n"
        "for arguments in [[], ['train'], ['study', 'masking']]:\n"
        "    try: main([*arguments, '--help'])\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "loaded = {'tensorflow', 'keras', 'matplotlib', 'tensorflow_datasets'} & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )

    before = os.times()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    after = os.times()

    assert done.returncode == 0, done.stderr
    assert "--learning-rate" in done.stdout and "--background" in done.stdout
    # Time of the processor: on the clock, other processes may keep this one waiting.
    user = after.children_user - before.children_user
    assert user + after.children_system - before.children_system < 1


def test_the_version_is_shown(run):
    assert run("--version").output == f"keras-fcn, version {keras_fcn.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluat"],
        ["evaluate", "--modle", "m.keras"],
        ["evaluate", "--dataset", "sample"],
        ["train", "--crop", "288"],
        ["train", "--precision", "float16"],
        ["train", "--epochs", "many"],
        ["train", "--scale", "0.5"],
        ["predict", "--model", "m.keras", "--output", "out"],
        ["export", "--model", "m.keras", "--format", "caffe", "--output", "out"],
        ["export", "--model", "m.keras", "--format", "tflite", "--output", "o", "--size", "9"],
    ],
)
def test_wrong_usage_exits_with_2(run, arguments):
    result = run(*arguments)

    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr


def failing_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("keras_fcn.datasets.prepare_dataset", fail)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.txt"), "x.txt: No such file or"),
        (PermissionError(13, "Permission denied", "y"), "y: Permission denied."),
        (OSError(28, "No space left on device"), "No space left on device."),
        (KeyError("what"), "KeyError: 'what'\nThis should not happen: `--debug` shows where"),
        (MemoryError(), "There is not enough memory. Use a smaller batch"),
        (RuntimeError(""), "RuntimeError: no message"),
    ],
)
def test_errors_are_a_paragraph_and_exit_with_1(run, monkeypatch, error, text):
    failing_command(monkeypatch, error)

    result = run("datasets", "prepare", "--dataset", "camvid")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {text}")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("position", [0, 4])
def test_debug_shows_the_traceback_wherever_it_stands(run, monkeypatch, position):
    failing_command(monkeypatch, KeyError("what"))
    arguments = ["datasets", "prepare", "--dataset", "camvid"]

    result = run(*arguments[:position], "--debug", *arguments[position:])

    assert isinstance(result.exception, KeyError)
    assert result.exit_code == 1


def test_ctrl_c_exits_with_1_and_no_traceback(run, monkeypatch):
    failing_command(monkeypatch, KeyboardInterrupt())

    result = run("datasets", "prepare", "--dataset", "camvid")

    assert result.exit_code == 1
    assert "Aborted!" in result.stderr
    assert "Traceback" not in result.stderr


def test_libraries_are_silent_and_results_go_to_standard_output(channel_model, photos, tmp_path):
    """Run as a user does: with warnings as Python has them, and nothing imported before."""
    command = Path(sys.executable).with_name("keras-fcn")

    done = subprocess.run(
        [command, "predict", "--model", channel_model, "--output", tmp_path, photos / "images"],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in LOG_LEVELS},
    )

    assert done.stderr == ""
    assert done.stdout == f"6 of 6 images predicted, in {tmp_path}.\n"
    assert done.returncode == 0


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_libraries_that_tensorflow_does_without_can_be_imported_afterwards(backend):
    pytest.importorskip("jax")
    program = (
        "import gc, sys\n"
        "from keras_fcn_cli.quiet import load_tensorflow\n"
        "load_tensorflow()\n"
        "left_out = {'matplotlib', 'jax'} - set(sys.modules)\n"
        "import keras, jax.numpy, matplotlib.pyplot\n"
        "print(sorted(left_out), keras.backend.backend(), gc.isenabled())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )

    left_out = ["jax", "matplotlib"] if backend == "tensorflow" else ["matplotlib"]
    assert done.stdout == f"{left_out} {backend} True\n", done.stderr


def test_every_subcommand_has_a_file():
    folder = Path(main_module.__file__).parent

    assert all((folder / f"{name}.py").is_file() for name in SUBCOMMANDS)


def test_warnings_are_written_while_libraries_are_quiet():
    program = (
        "import os, warnings\n"
        "from keras_fcn_cli import quiet\n"
        "quiet.quiet_libraries()\n"
        "with quiet.quiet_stderr():\n"
        "    os.write(2, b'from a library')\n"
        "    warnings.warn('from us')\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stderr == "Warning: from us\n"


def test_a_backend_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(quiet, "find_spec", lambda name: None)

    with pytest.raises(ImportError, match="not installed: pip install jax. Or set KERAS_BACKEND="):
        quiet.load_tensorflow()
