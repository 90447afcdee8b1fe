"""Artifacts that several tests read."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras_fcn_export import export_savedmodel

from ..helpers import picture, predictions_of, tiny_model


@pytest.fixture(scope="session")
def model() -> keras.Model:
    model = tiny_model()
    # Where one class were predicted everywhere, hardly any fault would be noticed.
    assert len(np.unique(predictions_of(model, picture(64, 96, seed=3)))) == 4
    return model


@pytest.fixture(scope="session")
def savedmodel(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of versions that holds version 1."""
    path = tmp_path_factory.mktemp("savedmodel") / "scenes"
    export_savedmodel(model, path, max_pixels=200 * 200)
    return path
