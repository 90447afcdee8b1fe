"""Model files that contain code, or name it, are refused without running it."""

import json
import zipfile
from pathlib import Path

import keras
import pytest

from keras_fcn.prediction import open_predictor

from ..helpers import channel_model


def with_config(path: Path, change) -> Path:
    """Writes a `.keras` file whose configuration is changed."""
    channel_model().save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_lambda_layers_are_refused(tmp_path):
    marker = tmp_path / "executed"
    name = str(marker)
    images = keras.Input((8, 8, 3))
    layer = keras.layers.Lambda(lambda x: (Path(name).touch(), x)[1], output_shape=(8, 8, 3))
    model = keras.Model(images, layer(images))
    model.save(tmp_path / "m.keras")
    marker.unlink(missing_ok=True)

    with pytest.raises(ValueError, match=r"m\.keras cannot be read as a Keras model"):
        open_predictor(tmp_path / "m.keras")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [("os", "system", {"command": "touch {marker}"}), ("pathlib", "Path", {}), (
        "subprocess", "Popen", {"args": ["touch", "{marker}"]})],
)  # fmt: skip
def test_modules_that_are_named_are_not_called(tmp_path, module, name, arguments):
    marker = tmp_path / "executed"
    arguments = json.loads(json.dumps(arguments).replace("{marker}", str(marker)))
    path = with_config(
        tmp_path / "m.keras",
        lambda config: config["config"]["layers"][1].update(
            module=module, class_name=name, config=arguments, registered_name=None
        ),
    )

    with pytest.raises(ValueError, match=r"m\.keras cannot be read as a Keras model"):
        open_predictor(path)
    assert not marker.exists()


def test_members_with_names_outside_are_unpacked_inside(tmp_path):
    path = with_config(tmp_path / "m.keras", lambda config: None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../../../../../../../../../" + str(tmp_path / "outside.txt"), "x")
        archive.writestr(str(tmp_path / "absolute.txt"), "x")

    open_predictor(path)

    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]
