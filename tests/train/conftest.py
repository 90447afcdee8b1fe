"""What the tests of trainings change in their process, and put back."""

from collections.abc import Iterator

import pytest
from keras_fcn_train import data


@pytest.fixture(scope="module", autouse=True)
def _real_data_sets_again() -> Iterator[None]:
    """Undoes `tiny_training.install`: the tests of another file may want datasets by name."""
    open_dataset = data.open_dataset
    yield
    data.open_dataset = open_dataset
