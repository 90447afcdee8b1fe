"""Silence for libraries that write to the standard error stream from C++."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_native_output() -> Iterator[None]:
    """Drops what is written to the process's standard error meanwhile, unless an error occurs.

    The converters write pages of progress there, past Python's `sys.stderr`
    and past every log level. If the block raises, the text is written after all.
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
