import json

import numpy as np
import pytest
from click.testing import CliRunner
from keras_fcn_cli.main import main
from keras_fcn_export import export_tflite

import keras_fcn
from keras_fcn.backbones import MobileNetV2


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    model = keras_fcn.FCN8s(7, backbone=MobileNetV2(alpha=0.35, fc_filters=8))
    model.save(folder / "m.keras")
    export_tflite(model, folder / "m.tflite")
    return folder


def verify(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def test_a_good_file_passes_and_is_described_as_json(files):
    result = verify(
        "--artifact", files / "m.tflite", "--against", files / "m.keras", "--dataset", "sample",
        "--images", 1, "--json", files / "out" / "m.json",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert "TFLite, no delegate" in result.output
    assert "Passed" in result.output
    (report,) = json.loads((files / "out" / "m.json").read_text())
    assert report["passed"]
    assert report["num_images"] == 1
    assert [row["equal_predictions"] for row in report["comparisons"]] == [1, 1]
    assert 0 <= report["model_mean_iou"] < 1


def test_what_is_below_the_threshold_fails(files, tmp_path):
    model = keras_fcn.FCN8s(7, backbone=MobileNetV2(alpha=0.35, fc_filters=8))
    layer = model.get_layer("score_fr")
    kernel, _ = layer.get_weights()
    layer.set_weights([kernel, np.eye(7)[4]])  # class 4 everywhere, instead of class 0
    model.save(tmp_path / "other.keras")

    result = verify(
        "--artifact", files / "m.tflite", "--against", tmp_path / "other.keras",
        "--dataset", "sample", "--images", 1,
    )  # fmt: skip

    assert result.exit_code == 1
    assert "FAILED" in result.output
    assert "These differ from the model" in result.output


def test_usage_is_checked(files):
    result = verify(
        "--artifact", files / "m.tflite", "--against", files / "m.tflite", "--dataset", "sample"
    )

    assert result.exit_code == 2
    assert "--against must be a .keras file" in result.output
