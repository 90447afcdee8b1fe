"""Suppression of the output of libraries at their start."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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
    """Imports TensorFlow without the lines that it prints before it reads its log level."""
    if "tensorflow" not in sys.modules:
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow  # noqa: F401


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drops output of C++ libraries to the standard error stream, unless the block fails.

    Warnings of Python are written at the end. With `--debug`, everything is written at once.
    """
    if not _is_quiet:
        yield
        return
    from keras_fcn.native_output import quiet_native_output

    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught, quiet_native_output():
            yield
    finally:
        for warning in caught:
            warnings.showwarning(
                warning.message, warning.category, warning.filename, warning.lineno
            )


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    return f"Warning: {printable(str(message))}\n"
