from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from .networks import write


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Callable[[str], Path]:
    """Returns the file of the network in a format, for images of any size."""
    return cache(lambda kind: write(kind, tmp_path_factory.mktemp(kind)))


@pytest.fixture(scope="session")
def elsewhere() -> str:
    """The start of URLs of files of this machine that only fsspec knows, as of a remote storage."""
    fsspec = pytest.importorskip("fsspec", reason='pip install "keras_fcn[bulk]"')
    from fsspec.implementations.local import LocalFileSystem

    class Elsewhere(LocalFileSystem):
        protocol = "elsewhere"

        def __reduce__(self) -> tuple[type, tuple[()]]:
            return LocalFileSystem, ()  # in a worker, which does not know this class

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return LocalFileSystem._strip_protocol(path.removeprefix("elsewhere://"))

    fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)
    return "elsewhere://"
