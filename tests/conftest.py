"""Fixtures that every test may use."""

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# JAX compiles operation by operation, which is most of the time of its tests.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Nothing is written into the user's folder of caches.
_CACHE = tempfile.TemporaryDirectory(prefix="keras_fcn-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images and weights that are not part of the project; absent on a fresh machine."""
    path = Path(os.environ.get("KERAS_FCN_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no shared data at {path}")
    return path


@pytest.fixture(scope="module")
def tiny_backbones():
    """Makes the tiny backbones known by name, for the tests of a module."""
    from keras_fcn.backbones import BACKBONES

    from .helpers import TINY_BACKBONES

    with pytest.MonkeyPatch.context() as patch:
        for name, kind in TINY_BACKBONES.items():
            patch.setitem(BACKBONES, name, kind)
        yield
