import numpy as np
import pytest
from keras_fcn_export import export_onnx, export_savedmodel, export_tflite

from ..helpers import tiny_model


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("export", "name"),
    [(export_tflite, "m.tflite"), (export_onnx, "m.onnx"), (export_savedmodel, "m")],
)
def test_weights_that_are_no_numbers_are_not_exported(tmp_path, export, name, value):
    if name == "m.onnx":
        pytest.importorskip("tf2onnx")
    model = tiny_model()
    kernel, bias = model.get_layer("score_fr").get_weights()
    kernel[0, 0, 1, 2] = value
    model.get_layer("score_fr").set_weights([kernel, bias])

    # 8 filters to 4 classes
    with pytest.raises(ValueError, match=r"NaN or infinity in score_fr/kernel \(1 of 32\)"):
        export(model, tmp_path / name)

    assert list(tmp_path.iterdir()) == []
