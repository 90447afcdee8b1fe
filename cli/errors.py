"""Errors on the screen: one paragraph, no traceback."""

import os
import re
from typing import IO, Any

import click

from .screen import errors

_OUR_PACKAGES = (
    "keras_fcn",
    "keras_fcn_train",
    "keras_fcn_export",
    "keras_fcn_benchmark",
    "keras_fcn_report",
    "keras_fcn_cli",
)


class Failure(click.ClickException):
    """A command failed; exit status 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        errors.print("[bold red]Error:[/] ", end="")
        errors.print(self.message, markup=False, highlight=False, soft_wrap=True)


def failure_of(error: Exception) -> Failure:
    """Returns an exception as a paragraph, with a hint to `--debug` if it is not a known error."""
    from keras_fcn.files import disk_error

    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        # Python reads bytes of a name that are no text as surrogates.
        return Failure(
            f"{error.object}: the bytes of this name of a file or folder are no UTF-8 text. "
            "Rename it."
        )
    ours = _raised_by_us(error)
    if ours is not None:
        return Failure(ours)
    names = _file_names(error)
    if (code := disk_error(error)) is not None:
        cause = os.strerror(code)
        if names or not isinstance(error, OSError):  # whose texts name the file
            what = ": ".join(names) or str(error).strip().splitlines()[0][:300]
            cause = f"{what}: it cannot be written ({cause})"
        return Failure(f"{cause}. Free some space, or choose another folder.")
    if isinstance(error, OSError) and error.strerror:
        return Failure(f"{': '.join([*names, error.strerror])}.")
    kind = type(error).__name__
    if kind in ("ResourceExhaustedError", "MemoryError"):
        return Failure(
            "There is not enough memory. Use a smaller batch, smaller crops or images, or a "
            "smaller network."
        )
    text = str(error).strip().split("\n\n")[0][:600] or "no message"
    return Failure(f"{kind}: {text}\nThis should not happen: `--debug` shows where it did.")


def _file_names(error: Exception) -> list[str]:
    if not isinstance(error, OSError):
        return []
    return [str(name) for name in (error.filename, error.filename2) if name]


def _raised_by_us(error: Exception) -> str | None:
    """Returns the message of an error that our own code raised on purpose, else None."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    if module.split(".")[0] in _OUR_PACKAGES and isinstance(
        error, (ValueError, TypeError, OSError, RuntimeError, ImportError)
    ):
        # An OSError of Python's own has its text in `strerror`.
        return None if isinstance(error, OSError) and error.strerror else str(error)
    return _inside_tensorflow(error)


def _inside_tensorflow(error: Exception) -> str | None:
    """Returns our message from TensorFlow's error, whose text contains it with the traceback.

    Errors in functions that read data reach the caller in this form.
    """
    text = str(error)
    found = re.search(r"(?:ValueError|TypeError|OSError): (.*?)\nTraceback", text, re.DOTALL)
    return found[1].strip() if found and "/keras_fcn/" in text else None
