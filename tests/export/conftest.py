"""Artifacts that several tests read."""

from pathlib import Path

import keras
import pytest
from keras_fcn_export import export_savedmodel

from ..helpers import tiny_model


@pytest.fixture(scope="session")
def model() -> keras.Model:
    return tiny_model()


@pytest.fixture(scope="session")
def savedmodel(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of versions that holds version 1."""
    path = tmp_path_factory.mktemp("savedmodel") / "scenes"
    export_savedmodel(model, path, max_pixels=200 * 200)
    return path
