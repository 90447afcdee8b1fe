"""Every backbone and variant as TFLite: built-in operators, right numbers, no floats in int8."""

import keras
import numpy as np
import pytest
from keras_fcn_export import export_tflite, list_operators, verify
from keras_fcn_export.operators import float_islands

import keras_fcn
from keras_fcn.backbones import BACKBONES, PaperBackbone, TappedModel, backbone_names, create

from ..helpers import picture, randomize_logits
from .test_tflite import run, run_batch

SIZE = (64, 96)
IMAGES = [picture(*SIZE, seed=300), picture(*SIZE, seed=301)]
CALIBRATION = [picture(*SIZE, seed) for seed in range(100)]
# TFLite has no integer kernel for it.
ALLOWED_ISLANDS = {"alexnet": {"LOCAL_RESPONSE_NORMALIZATION"}}
ALLOWED_ISLANDS["googlenet"] = ALLOWED_ISLANDS["alexnet"]


def narrow_model(backbone, variant="FCN8s"):
    keras.utils.set_random_seed(0)
    # keras.applications takes weights, and so widths, of certain alphas only.
    alpha = {"mobilenet_v2": 0.35, "mobilenet": 0.25}.get(backbone, 0.75)
    if issubclass(BACKBONES[backbone], PaperBackbone):
        alpha = 0.125
    has_alpha = "alpha" in BACKBONES[backbone]().get_config()
    model = getattr(keras_fcn, variant)(
        4,
        backbone=create(
            backbone,
            fc_filters=0 if backbone == "googlenet" else 8,
            alpha=alpha if has_alpha else None,
        ),
    )
    randomize_logits(model, scale=0.3)
    return model


def check_on_tflite(model, backbone, tmp_path):
    floats = export_tflite(model, tmp_path / "float.tflite", size=SIZE)
    any_size = export_tflite(model, tmp_path / "any.tflite")
    integers = export_tflite(
        model, tmp_path / "int8.tflite", quantize="int8", size=SIZE, calibration=CALIBRATION
    )

    for path in (floats, any_size):
        for row in verify(path, model, IMAGES).comparisons:
            assert row.equal_predictions > 0.995, row
            assert row.max_logit_difference < 1e-3 * max(row.max_logit, 1), row
    # A batch may have any size as well, in a file of any size.
    batch = np.stack([picture(50, 70, seed=302), picture(50, 70, seed=303)])
    one_by_one = [run(any_size, image) for image in batch]
    assert np.mean(run_batch(any_size, batch) == one_by_one) > 0.995
    assert set(float_islands(list_operators(integers))) <= ALLOWED_ISLANDS.get(backbone, set())


def test_alexnet(tmp_path):
    """Local response normalization, and grouped convolutions."""
    check_on_tflite(narrow_model("alexnet"), "alexnet", tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("backbone", [name for name in backbone_names() if name != "alexnet"])
def test_backbone(backbone, tmp_path):
    check_on_tflite(narrow_model(backbone), backbone, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("variant", ["FCN32s", "FCN16s", "FCN8sAtOnce"])
def test_variant(variant, tmp_path):
    check_on_tflite(narrow_model("vgg16", variant), "vgg16", tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("stride", [4, 8])
def test_convolutions_of_large_stride(stride, tmp_path):
    """A release of the XNNPACK delegate returned zeros for these; the comparison would show it."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, strides=stride, padding="same", name="early")(images)
    for level in range(1, {4: 4, 8: 3}[stride]):
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name=f"later{level}")(x)
    taps = {4: ("later1", "later2", "later3"), 8: ("early", "later1", "later2")}[stride]
    model = keras_fcn.FCN8s(
        4, backbone=TappedModel(keras.Model(images, x), taps=taps, fc_filters=8)
    )
    randomize_logits(model, scale=0.3)

    check_on_tflite(model, "tiny", tmp_path)
