"""The start of TensorFlow: without the output of libraries, and without what takes long."""

import gc
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keras_fcn_train.terminal import printable

# Warnings about how one library calls another: the user cannot change them.
_INTERNAL = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)

_is_quiet = False


def quiet_libraries() -> None:
    """Silences TensorFlow's log and Python's warnings between libraries; call it first.

    Warnings for the user (`UserWarning`, `RuntimeWarning`) stay, as one line each.
    """
    global _is_quiet
    _is_quiet = True
    # 3 leaves fatal errors; other errors are raised as exceptions as well.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    for category in _INTERNAL:
        warnings.simplefilter("ignore", category)
    warnings.formatwarning = _one_line


def load_tensorflow() -> None:
    """Imports TensorFlow without the lines that it prints before it reads its log level.

    It takes two thirds of the usual time: nothing is looked for that could be freed meanwhile, and
    libraries are left out that TensorFlow and Keras would only try to import: matplotlib, for
    Keras' own plots, and JAX, for converters. Others can import them afterwards.
    """
    if "tensorflow" in sys.modules:
        return
    if _keras_backend() == "jax" and find_spec("jax") is None:
        raise ImportError(
            "Keras is to run on JAX (KERAS_BACKEND, or ~/.keras/keras.json), which is not "
            "installed: pip install jax. Or set KERAS_BACKEND=tensorflow."
        )
    unused = ["matplotlib", "jax"] if _keras_backend() == "tensorflow" else ["matplotlib"]
    with quiet_stderr(), warnings.catch_warnings(), _without(unused), _without_collection():
        warnings.simplefilter("ignore")
        import tensorflow  # noqa: F401


def _keras_backend() -> str:
    """Returns the backend that Keras is going to use."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    try:
        return str(json.loads((Path(home) / "keras.json").read_text("utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


@contextmanager
def _without(names: list[str]) -> Iterator[None]:
    """Lets imports of these packages fail, unless they are imported already."""
    absent: dict[str, Any] = {name: None for name in names if name not in sys.modules}
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextmanager
def _without_collection() -> Iterator[None]:
    """Stops the garbage collection; afterwards it leaves out what exists by then."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drops output of C++ libraries to the standard error stream, unless the block fails.

    Warnings of Python are written at the end. With `--debug`, everything is written at once.
    """
    if not _is_quiet:
        yield
        return
    # Not by `keras_fcn.native_output`: importing it imports TensorFlow, whose lines would show.
    sys.stderr.flush()
    kept = os.dup(2)
    caught: list[warnings.WarningMessage] = []
    try:
        with tempfile.TemporaryFile() as sink, warnings.catch_warnings(record=True) as caught:
            os.dup2(sink.fileno(), 2)
            try:
                yield
            except BaseException:
                sink.seek(0)
                os.write(kept, sink.read())
                raise
            finally:
                os.dup2(kept, 2)
                os.close(kept)
    finally:
        for warning in caught:
            warnings.showwarning(
                warning.message, warning.category, warning.filename, warning.lineno
            )


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    return f"Warning: {printable(str(message))}\n"
