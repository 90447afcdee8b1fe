from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from .networks import write


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Callable[[str], Path]:
    """Returns the file of the network in a format, for images of any size."""
    return cache(lambda kind: write(kind, tmp_path_factory.mktemp(kind)))
