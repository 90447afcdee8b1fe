"""Suppression of output that libraries write to the standard error stream from C++."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_native_output() -> Iterator[None]:
    """Drops output to the process's standard error stream, unless an error occurs.

    The converters write many lines of progress there, independent of Python's `sys.stderr` and of
    log levels. If the block raises an exception, the text is written.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
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
