import json

import numpy as np
import pytest

from keras_fcn.labels import Heads
from keras_fcn.prediction import ImageSizeError, ServingOptions, open_predictor

from ..helpers import images_of
from .networks import SPEC, write_savedmodel


def test_the_highest_version_is_opened(tmp_path, exported):
    for version in ("9", "10", "notes"):
        (tmp_path / version).mkdir()
    source = exported("savedmodel") / "3"
    (tmp_path / "9" / "saved_model.pb").symlink_to(source / "saved_model.pb")
    for entry in source.iterdir():
        (tmp_path / "10" / entry.name).symlink_to(entry)

    assert open_predictor(tmp_path).path == tmp_path / "10"
    assert open_predictor(tmp_path / "10").path == tmp_path / "10"


def test_options_are_those_in_its_folder(tmp_path):
    folder = write_savedmodel(tmp_path / "saved")
    assert open_predictor(folder).options == ServingOptions()

    options = {"size": [20, 30], "flip": True, "max_pixels": 100, "of_a_newer_version": 1}
    (folder / "assets" / "serving.json").write_text(json.dumps(options))
    predictor = open_predictor(folder)

    assert predictor.options == ServingOptions(size=(20, 30), flip=True, max_pixels=100)
    assert (predictor.network_size, predictor.fixed_size) == ((20, 30), None)
    with pytest.raises(ImageSizeError, match="up to 100 pixels. Received: 10x11. Run it in tiles"):
        predictor.predict(images_of(1, 10, 11))
    assert np.shape(predictor.logits(images_of(1, 10, 10))) == (1, 10, 10, 3)


def test_a_damaged_or_foreign_folder_is_one_error(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"must contain assets/labels\.json"):
        open_predictor(tmp_path)

    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "labels.json").write_text(Heads(SPEC).to_json())
    with pytest.raises(ValueError, match="cannot be read as a SavedModel"):
        open_predictor(tmp_path)


def test_a_folder_without_a_saved_model_is_refused_with_a_hint(tmp_path):
    (tmp_path / "best.keras").write_text("")

    with pytest.raises(ValueError, match=r"saved_model\.pb.*best\.keras: give that file"):
        open_predictor(tmp_path)
