"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# JAX compiles operation by operation, which is most of the time of its tests.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images and weights that are not part of the project; absent on a fresh machine."""
    path = Path(os.environ.get("KERAS_FCN_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no shared data at {path}")
    return path


@pytest.fixture
def tiny_backbone():
    """A functional model with taps "s8", "s16" and "s32", which builds and runs in an instant."""
    import keras
    from keras import layers

    images = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 8, strides=8, padding="same", activation="relu", name="s8")(images)
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="s16")(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="s32")(x)
    return keras.Model(images, x, name="tiny")
