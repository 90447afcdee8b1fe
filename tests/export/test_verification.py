import numpy as np
import pytest
from keras_fcn_export import (
    Comparison,
    VerificationReport,
    export_savedmodel,
    export_tflite,
    verify,
)

import keras_fcn
from keras_fcn.data.dataset import from_arrays

from ..helpers import LABELS, picture, predictions_of, tiny_model
from .test_tflite import CALIBRATION

IMAGES = [picture(40, 70, seed=300), picture(64, 33, seed=301)]


def test_a_savedmodel_equals_its_model(model, savedmodel):
    report = verify(savedmodel, model, IMAGES)

    assert report.passed
    assert report.num_pixels == 40 * 70 + 64 * 33
    (row,) = report.comparisons
    assert row.equal_predictions == 1
    assert row.max_logit_difference < 1e-4
    assert row.mean_iou is None
    # 10 kB of weights and three graphs
    assert 60e3 < report.size_bytes < 5e6


@pytest.mark.parametrize("output_type", ["predictions", "logits"])
def test_a_tflite_file_is_run_with_and_without_delegate(model, tmp_path, output_type):
    path = export_tflite(model, tmp_path / "m.tflite", output_type=output_type)

    report = verify(path, model, IMAGES)

    assert report.passed
    assert [row.runtime for row in report.comparisons] == ["TFLite, XNNPACK", "TFLite, no delegate"]
    for row in report.comparisons:
        assert row.equal_predictions == 1
        # Exactly 0 would mean that the scores were not those of the file.
        assert 0 < row.max_logit_difference < 1e-3


def test_int8_scores_are_read_from_a_file_that_answers_labels(model, tmp_path):
    path = export_tflite(
        model, tmp_path / "m.tflite", quantize="int8", size=(64, 96), calibration=CALIBRATION
    )

    report = verify(path, model, IMAGES)

    assert report.min_equal_predictions == 0.9
    assert report.passed
    for row in report.comparisons:
        assert 0 < row.max_logit_difference < 0.2 * row.max_logit
    assert "Fixed input of 64x96" in report.notes[0]


def test_mean_iou_of_both_by_hand(model, tmp_path):
    path = export_tflite(model, tmp_path / "m.tflite")
    predictions = predictions_of(model, IMAGES[0]).astype("uint8")
    first = predictions[0, 0]
    # Half the rows are labeled as the model predicts, the rest is void: mean IoU is 1.
    labels = np.where(np.arange(40)[:, None] < 20, predictions, np.uint8(255))
    dataset = from_arrays("two", LABELS, {"val": [{"image": IMAGES[0], "label": labels}] * 2})
    # All labeled as the class of the first pixel: its IoU is its share, every other one's 0.
    wrong = from_arrays(
        "one",
        LABELS,
        {"val": [{"image": IMAGES[0], "label": np.full((40, 70), first)}]},
    )

    report = verify(path, model, dataset, max_images=1)
    wrong_report = verify(path, model, wrong)

    assert report.num_images == 1
    assert report.model_mean_iou == 1
    assert [row.mean_iou for row in report.comparisons] == [1, 1]
    expected = np.mean(predictions == first) / len(np.unique(predictions))
    assert wrong_report.model_mean_iou == pytest.approx(expected)


def test_a_data_set_of_other_classes_gives_no_mean_iou(model, savedmodel):
    labels = keras_fcn.LabelSpec.numbered(9)
    example = {"image": IMAGES[0], "label": np.full((40, 70), 8, "uint8")}

    report = verify(savedmodel, model, from_arrays("other", labels, {"val": [example]}))

    assert report.passed
    assert report.model_mean_iou is None
    assert "no mean IoU" in report.notes[0]


def test_another_models_artifact_fails(savedmodel):
    report = verify(savedmodel, tiny_model(seed=1), IMAGES)

    assert not report.passed
    assert "FAILED: at least 99.90%" in str(report)


def test_nan_scores_fail():
    row = Comparison("TFLite", float("nan"), 1.0, equal_predictions=1.0)

    assert not VerificationReport("a", 1, 1, 1, None, (row,), 0.5).passed


def test_baked_in_options_are_part_of_the_comparison(model, tmp_path):
    export_savedmodel(model, tmp_path, size=(64, 64), flip=True, probabilities=True)

    report = verify(tmp_path, model, IMAGES)

    assert report.passed
    assert report.comparisons[0].max_logit_difference < 1e-5


def test_an_untrained_model_is_pointed_out(tmp_path):
    untrained = tiny_model()
    for name in ("score_fr", "score_pool4", "score_pool3"):
        layer = untrained.get_layer(name)
        layer.set_weights([0 * w for w in layer.get_weights()])
    path = export_savedmodel(untrained, tmp_path)

    assert "one class everywhere" in str(verify(path, untrained, IMAGES))


def test_the_report_reads_well(model, savedmodel, tmp_path):
    model.save(tmp_path / "m.keras")

    text = str(verify(savedmodel, tmp_path / "m.keras", IMAGES[:1], min_equal_predictions=0.5))

    assert "on 1 images (2,800 pixels)" in text
    assert "TensorFlow" in text
    assert "100.0000%" in text
    assert "Passed: at least 50.00%" in text


def test_mistakes_are_explained(model, savedmodel, tmp_path):
    other = keras_fcn.LabelSpec(("sea", "road", "tree", "car"))
    model.save(tmp_path / "m.keras")

    with pytest.raises(ValueError, match="at least one image"):
        verify(savedmodel, model, [])
    with pytest.raises(ValueError, match=r"same classes.*sky, road.*sea, road"):
        verify(savedmodel, tiny_model(labels=other), IMAGES)
    with pytest.raises(ValueError, match=r"same images.*3 channels in the exported model, 4"):
        verify(savedmodel, tiny_model(input_shape=(None, None, 4)), IMAGES)
    with pytest.raises(ValueError, match=r"SavedModel, a \.tflite or"):
        verify(tmp_path / "m.keras", model, IMAGES)
    with pytest.raises(FileNotFoundError, match="nothing|no model"):
        verify(tmp_path / "missing.tflite", model, IMAGES)
