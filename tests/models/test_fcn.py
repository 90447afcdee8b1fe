import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn import LabelSpec
from keras_fcn.backbones import VGG16, MobileNetV2

from ..helpers import Tiny, tiny_model


@pytest.fixture
def model():
    """FCN-8s on a tiny backbone, with random logits (they start at zero otherwise)."""
    return tiny_model(3, backbone=Tiny(fc_filters=5), scale=1.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (31, 33), (32, 64), (50, 37), (97, 65)])
def test_scores_have_the_size_of_the_image(model, size):
    images = np.random.default_rng(0).integers(0, 256, size=(2, *size, 3)).astype("uint8")

    scores = model(images)

    assert tuple(scores.shape) == (2, *size, 3)
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    assert np.isfinite(np.asarray(scores)).all()


def test_image_is_padded_with_zeros_after_normalization():
    # The mean color is zero after normalization, so padding by it changes nothing.
    model = tiny_model(3, backbone=Tiny(normalization="caffe"), scale=1.0)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, size=(1, 40, 50, 3)).astype("float32")
    mean_rgb = np.array([123.68, 116.779, 103.939], "float32")
    padded = np.broadcast_to(mean_rgb, (1, 64, 64, 3)).copy()
    padded[:, :40, :50] = image

    np.testing.assert_allclose(
        model(image), np.asarray(model(padded))[:, :40, :50], rtol=1e-4, atol=1e-3
    )


def test_static_size_is_kept():
    model = keras_fcn.FCN8s(3, backbone=Tiny(), input_shape=(50, 37, 3))

    assert model.output_shape == (None, 50, 37, 3)


def test_every_dtype_of_pixels_gives_the_same_scores(model):
    image = np.random.default_rng(0).integers(0, 256, size=(1, 33, 40, 3))

    scores = [np.asarray(model(image.astype(d))) for d in ("uint8", "int32", "float32", "float64")]

    for other in scores[1:]:
        np.testing.assert_array_equal(scores[0], other)


def test_vgg16_has_as_many_parameters_as_the_paper_says():
    # VGG16 without its last layer: 134,260,544; scores 86,037 + 10,773 + 5,397;
    # upsampling 21 * 21 * (4 * 4 + 4 * 4 + 16 * 16) = 127,008.
    model = keras_fcn.FCN8s(21)

    upsampling = sum(
        layer.count_params() for layer in model.layers if layer.name.startswith("upscore")
    )
    assert model.count_params() == 134_489_759
    assert model.count_params() - upsampling == 134_362_751


def test_layers_are_named_as_in_the_reference():
    model = keras_fcn.FCN8s(21, backbone=VGG16(fc_filters=8))

    names = [layer.name for layer in model.layers]
    for name in "fc6 drop6 fc7 drop7 score_fr score_pool4 score_pool3".split():
        assert name in names
    for name in "upscore2 upscore_pool4 upscore8 block1_conv1 block5_conv3 score".split():
        assert name in names
    assert "upscore16" in [
        layer.name for layer in keras_fcn.FCN16s(21, backbone=VGG16(fc_filters=8)).layers
    ]
    assert "upscore" in [
        layer.name for layer in keras_fcn.FCN32s(21, backbone=VGG16(fc_filters=8)).layers
    ]


@pytest.mark.parametrize(
    ("upsampling", "trainable"),
    [("fixed", []), ("inner", ["upscore2", "upscore_pool4"]),
     ("learned", ["upscore2", "upscore_pool4", "upscore8"])],
)  # fmt: skip
def test_upsampling_is_trained_as_asked(upsampling, trainable):
    model = keras_fcn.FCN8s(3, backbone=Tiny(), upsampling=upsampling)

    names = [
        layer.name for layer in model.layers
        if layer.name.startswith("upscore") and layer.trainable_weights
    ]  # fmt: skip
    assert names == trainable


def test_scores_start_at_zero():
    model = keras_fcn.FCN8s(3, backbone=Tiny())

    assert not np.any(model(np.ones((1, 40, 40, 3))))


def test_sum_of_three_scores_by_hand():
    # With constant score maps (kernels zero, biases 1, 10 and 100), the interior is their sum.
    model = keras_fcn.FCN8s(2, backbone=Tiny(fc_filters=0))
    for name, value in (("score_fr", 1.0), ("score_pool4", 10.0), ("score_pool3", 100.0)):
        layer = model.get_layer(name)
        layer.set_weights([np.zeros(layer.kernel.shape), np.array([value, 0])])

    scores = np.asarray(model(np.zeros((1, 256, 256, 3))))

    np.testing.assert_allclose(scores[0, 64:-64, 64:-64, 0], 111.0, rtol=1e-5)
    assert not scores[..., 1].any()


def test_saving_keeps_everything(model, tmp_path):
    model.origin = {"dataset": "camvid", "scores": {"mean_iou": 0.5}}
    images = np.random.default_rng(0).integers(0, 256, size=(1, 33, 40, 3)).astype("uint8")

    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")

    assert loaded.labels == model.labels
    assert loaded.origin == model.origin
    np.testing.assert_array_equal(loaded(images), model(images))


def test_a_float32_session_loads_a_bfloat16_model_as_it_was(tmp_path):
    model = keras_fcn.FCN8s(3, backbone=MobileNetV2(alpha=0.35), dtype="mixed_bfloat16")

    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")

    assert loaded.get_layer("fc6").compute_dtype == "bfloat16"
    assert loaded.get_layer("score_fr").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_labels_travel_with_the_model():
    labels = LabelSpec(("road", "car", "sky"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))

    model = keras_fcn.FCN8s(3, backbone=Tiny(), labels=labels)

    assert keras_fcn.FCN.from_config(model.get_config()).labels == labels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, r"`num_classes` must be in \[2, 255\].*use 2"),
        ({"num_classes": 256}, r"`num_classes` must be in \[2, 255\]"),
        ({"num_classes": 2.0}, "`num_classes` must be a whole number"),
        ({"stride": 2}, "`stride` must be 4, 8, 16 or 32. Received: stride=2"),
        ({"backbone": "vgg"}, "`backbone` must be an object such as .* or one of vgg16, vgg19"),
        ({"backbone": keras.Sequential()}, "`backbone` must be .*TappedModel.* Received: .*Seq"),
        ({"upsampling": "bilinear"}, '`upsampling` must be "fixed", "inner" or "learned"'),
        ({"upsampling_kernel": "3f"}, '`upsampling_kernel` must be "2f" or "2f-1"'),
        ({"skip_filters": -1}, "`skip_filters` must be in"),
        ({"input_shape": (32, 3)}, r"`input_shape` must be \(height, width,"),
        ({"labels": LabelSpec(("a", "b"))}, "`labels` must name 3 classes"),
        ({"weights": "nowhere.keras"}, "`weights` must be .* an existing file"),
        (
            {"backbone": VGG16(weights="nowhere.h5", fc_filters=2)},
            "`weights` of the backbone must be .* existing file",
        ),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_fcn.FCN(**{"num_classes": 3, **arguments})
