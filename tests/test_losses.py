"""The loss, on whichever backend runs; `test_loss_and_metric_on_jax.py` repeats it."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_fcn.losses import Dice, Focal, PixelwiseCrossentropy, SumOfLosses, create, parts_of

HERE = Path(__file__).parent


def log_softmax(scores):
    scores = np.asarray(scores, "float64")
    return scores - np.log(np.sum(np.exp(scores), axis=-1, keepdims=True))


def expected_loss(labels, scores, reduction, class_weights=None, sample_weight=None):
    """The definition, one pixel after the other."""
    log_probabilities = log_softmax(scores)
    total, num_valid = 0.0, 0
    for pixel in np.ndindex(labels.shape):
        label = labels[pixel]
        if not 0 <= label < scores.shape[-1]:
            continue
        weight = 1.0 if class_weights is None else class_weights[label]
        if sample_weight is not None:
            weight *= sample_weight[pixel[: sample_weight.ndim]]
        total -= weight * log_probabilities[(*pixel, label)]
        num_valid += 1
    return total / {"mean": max(num_valid, 1), "per_image": len(labels), "sum": 1}[reduction]


def gradient_of(loss, labels, scores):
    """The gradient of the loss with respect to the scores, as NumPy."""
    scores = ops.convert_to_tensor(scores)
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda s: loss(labels, s))(scores))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = loss(labels, scores)
    return tape.gradient(value, scores).numpy()


@pytest.fixture
def batch():
    """Labels with ignored pixels and scores, shape (2, 3, 4, 5)."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, (2, 3, 4)).astype("uint8")
    labels[0, :2] = 255
    return labels, random.normal(scale=3, size=(2, 3, 4, 5)).astype("float32")


def test_mean_over_the_valid_pixels_by_hand():
    # Scores are logs of probabilities, so a pixel's loss is -log of its label's.
    scores = np.log([[[[0.5, 0.5], [0.25, 0.75], [0.1, 0.9]]]]).astype("float32")

    value = PixelwiseCrossentropy()([[[0, 0, 255]]], scores)

    assert float(value) == pytest.approx((np.log(2) + np.log(4)) / 2, rel=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "per_image", "sum"])
@pytest.mark.parametrize("weights_shape", [None, (2,), (2, 3, 4), (2, 3, 4, 1)])
def test_agrees_with_the_definition(batch, reduction, weights_shape):
    labels, scores = batch
    class_weights = [0.5, 1.0, 2.0, 0.0, 3.0]
    sample_weight = None
    if weights_shape is not None:
        sample_weight = np.random.default_rng(1).uniform(size=weights_shape).astype("float32")
    loss = PixelwiseCrossentropy(reduction=reduction, class_weights=class_weights)

    value = loss(labels, scores, sample_weight=sample_weight)

    pixel_weights = sample_weight
    if weights_shape is not None and len(weights_shape) == 4:
        pixel_weights = sample_weight[..., 0]
    expected = expected_loss(labels, scores, reduction, class_weights, pixel_weights)
    assert float(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32"])
@pytest.mark.parametrize("has_axis", [False, True])
def test_takes_labels_of_any_dtype_with_or_without_a_last_axis(batch, dtype, has_axis):
    labels, scores = batch
    expected = expected_loss(labels, scores, "mean")

    labels = labels.astype(dtype)
    value = PixelwiseCrossentropy()(labels[..., None] if has_axis else labels, scores)

    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_gradient_is_softmax_minus_label_over_the_valid_pixels(batch):
    labels, scores = batch

    gradient = gradient_of(PixelwiseCrossentropy(), labels, scores)

    valid = labels != 255
    expected = np.exp(log_softmax(scores)) - np.eye(5)[np.where(valid, labels, 0)]
    expected *= valid[..., None] / valid.sum()
    np.testing.assert_allclose(gradient, expected, atol=1e-7)
    assert not gradient[0, :2].any()


@pytest.mark.parametrize("reduction", ["mean", "per_image", "sum"])
def test_batch_without_a_valid_pixel_gives_zero_and_no_gradient(batch, reduction):
    labels = np.full_like(batch[0], 255)
    loss = PixelwiseCrossentropy(reduction=reduction)

    assert float(loss(labels, batch[1])) == 0
    np.testing.assert_array_equal(gradient_of(loss, labels, batch[1]), 0)


NOT_FINITE = (np.inf, -np.inf, np.nan)


@pytest.mark.parametrize("reduction", ["mean", "per_image", "sum"])
@pytest.mark.parametrize("value", NOT_FINITE)
def test_logits_of_pixels_that_do_not_count_may_be_anything(batch, reduction, value):
    labels, scores = batch
    # Pixels of weight 0 for each of three causes: their label, their class, their sample weight.
    class_weights = [0.5, 1.0, 2.0, 0.0, 3.0]
    sample_weight = np.ones(labels.shape, "float32")
    sample_weight[1, 2] = 0
    labels[1, 0, 0] = 3
    left_out = (labels == 255) | (labels == 3) | (sample_weight == 0)
    expected = expected_loss(labels, scores, reduction, class_weights, sample_weight)
    spoiled = np.where(left_out[..., None], np.float32(value), scores)
    spoiled[0, 0, 0] = [value, 0, 1, -value, 2]
    # A weight of an ignored pixel may be anything, too.
    sample_weight[0, :2] = value
    loss = PixelwiseCrossentropy(reduction=reduction, class_weights=class_weights)

    result = loss(labels, spoiled, sample_weight=sample_weight)
    gradient = gradient_of(
        lambda labels, scores: loss(labels, scores, sample_weight=sample_weight), labels, spoiled
    )

    assert float(result) == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(gradient).all()
    assert not gradient[left_out].any() and gradient[~left_out].any(-1).all()


def test_a_class_with_a_logit_of_minus_infinity_is_excluded(batch):
    labels, scores = batch
    labels[labels == 4] = 0
    expected = expected_loss(labels, scores[..., :4], "mean")  # the softmax of the other classes
    scores[..., 4] = -np.inf

    gradient = gradient_of(PixelwiseCrossentropy(), labels, scores)

    assert float(PixelwiseCrossentropy()(labels, scores)) == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(gradient).all() and not gradient[..., 4].any()


@pytest.mark.parametrize("value", NOT_FINITE)
def test_logits_of_counted_pixels_are_not_hidden(batch, value):
    labels, scores = batch
    label = labels[1, 0, 0]
    scores[1, 0, 0, label] = value

    assert not np.isfinite(float(PixelwiseCrossentropy()(labels, scores)))


def test_large_scores_neither_overflow_nor_underflow():
    scores = np.array([[[[1e4, 0.0, -1e4], [-1e4, 0.0, 1e4]]]], "float32")
    loss = PixelwiseCrossentropy(reduction="sum")

    # The first pixel is right: 0. The second misses its label by 2e4.
    assert float(loss([[[0, 0]]], scores)) == pytest.approx(2e4)
    assert np.isfinite(gradient_of(loss, [[[0, 0]]], scores)).all()


def test_bfloat16_scores_are_computed_with_in_float32():
    # 40,000 pixels of loss log(2): a bfloat16 sum (8 bits) would stop growing at about 256.
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        scores = ops.zeros((1, 200, 200, 2), dtype="bfloat16")
        value = PixelwiseCrossentropy(reduction="sum")(np.zeros((1, 200, 200), "uint8"), scores)
    finally:
        keras.config.set_dtype_policy("float32")

    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert float(value) == pytest.approx(40_000 * np.log(2), rel=1e-5)


@pytest.mark.parametrize("stray", [7, 254, -1, 2**40, 0.5])
def test_labels_outside_the_classes_are_left_out_in_silence(batch, stray, capfd):
    labels, scores = batch
    if stray == 2**40 and keras.backend.backend() == "jax":
        pytest.skip("JAX has no int64")
    labels = labels.astype("float32" if stray == 0.5 else "int64")
    ignored = labels.copy()
    labels[1, 0], ignored[1, 0] = stray, 255

    value = PixelwiseCrossentropy()(labels, scores)

    assert float(value) == float(PixelwiseCrossentropy()(ignored, scores))
    assert capfd.readouterr().err == ""


def model_of_a_bias(loss, **compile_arguments):
    """A network whose scores are a bias, 0 at first, so that every probability is 1/3."""
    images = keras.Input((None, None, 3))
    scores = keras.layers.Conv2D(3, 1, kernel_initializer="zeros", name="score")(images)
    model = keras.Model(images, scores)
    model.compile(keras.optimizers.SGD(1.0), loss=loss, **compile_arguments)
    return model


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_and_evaluate_with_weights_of_pixels(jit_compile):
    images = np.zeros((2, 2, 2, 3), "float32")
    labels = np.array([[[0, 1], [255, 255]], [[2, 255], [255, 255]]], "uint8")
    weights = np.ones((2, 2, 2), "float32")
    weights[0, 0, 0] = 4
    model = model_of_a_bias(PixelwiseCrossentropy(), jit_compile=jit_compile)

    history = model.fit(images, labels, sample_weight=weights, batch_size=2, verbose=0).history

    # Weights 4, 1, 1 on losses of log(3), divided by 3 pixels.
    assert history["loss"][0] == pytest.approx(2 * np.log(3), rel=1e-5)
    # The gradient of the bias is the sum of weight * (1/3 - label) / 3.
    bias = model.get_layer("score").bias
    expected = -(6 / 3 - np.array([4, 1, 1])) / 3
    np.testing.assert_allclose(ops.convert_to_numpy(bias.value), expected, rtol=1e-5)
    # Probabilities are now proportional to exp(2/3, -1/3, -1/3), and one pixel has each class.
    expected_evaluation = -log_softmax(expected).mean()
    assert model.evaluate(images, labels, verbose=0) == pytest.approx(expected_evaluation, rel=1e-5)


def test_a_saved_model_keeps_its_loss(tmp_path, batch):
    weights = np.array([1.0, 2.0, 0.5])
    loss = PixelwiseCrossentropy(7, "per_image", class_weights=weights, name="mine")
    model_of_a_bias(loss).save(tmp_path / "model.keras")

    loaded = keras.models.load_model(tmp_path / "model.keras").loss

    assert isinstance(loaded, PixelwiseCrossentropy)
    assert loaded.get_config() == loss.get_config()
    assert loaded.get_config()["class_weights"] == [1.0, 2.0, 0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reduction": "valid"}, "`reduction` must be one of .*'mean', 'per_image', 'sum'"),
        ({"ignore_class": 2.5}, "`ignore_class` must be a whole number or None"),
        ({"class_weights": [1.0, -1.0]}, "at least 0"),
        ({"class_weights": [0.0, 0.0]}, "not all 0"),
        ({"class_weights": [1.0, float("nan")]}, "finite"),
        ({"class_weights": {0: 1.0}}, "not a dictionary"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PixelwiseCrossentropy(**arguments)


@pytest.mark.parametrize(
    ("arguments", "labels_shape", "sample_weight", "message"),
    [
        ({"ignore_class": 1}, (2, 4, 4), None, "outside the classes"),
        ({"class_weights": [1, 2]}, (2, 4, 4), None, "one factor for each of the 3 classes"),
        ({}, (2, 4, 5), None, "height and width of the logits"),
        ({}, (2, 4, 4, 3), None, "must become indices"),
        ({}, (2, 4, 4), np.ones((2, 4)), "`sample_weight` must have the shape"),
        ({}, (2, 4, 4), np.ones((2, 4, 5)), "`sample_weight` must have the shape"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(arguments, labels_shape, sample_weight, message):
    loss = PixelwiseCrossentropy(**arguments)

    with pytest.raises(ValueError, match=message):
        loss(np.zeros(labels_shape, "uint8"), np.zeros((2, 4, 4, 3), "float32"), sample_weight)


def test_scores_without_a_batch_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, height, width, num_classes\)"):
        PixelwiseCrossentropy()(np.zeros((4, 4)), np.zeros((4, 4, 3), "float32"))


# === Focal loss, Dice, and sums ===


def expected_focal(labels, logits, gamma, reduction, class_weights=None, sample_weight=None):
    """Lin et al. 2017, equation 4, with the factor as a weight of the pixel's cross-entropy."""
    probabilities = np.exp(log_softmax(logits))
    classes = np.where(labels < logits.shape[-1], labels, 0)
    of_label = np.take_along_axis(probabilities, classes[..., None].astype(int), -1)[..., 0]
    factors = (1 - of_label) ** gamma
    if sample_weight is not None:
        factors = factors * sample_weight.reshape(
            sample_weight.shape + (1,) * (3 - sample_weight.ndim)
        )
    return expected_loss(labels, logits, reduction, class_weights, factors)


def expected_dice(labels, logits, reduction, class_weights=None, sample_weight=None):
    """The definition, one image and one class after the other, over lists of valid pixels."""
    probabilities = np.exp(log_softmax(logits))
    weights = np.ones(logits.shape[-1]) if class_weights is None else class_weights
    losses, num_valid = [], 0
    for index, label in enumerate(labels):
        pixel_weights = np.ones(label.shape)
        if sample_weight is not None and sample_weight.ndim == 3:
            pixel_weights = sample_weight[index]
        valid = (label >= 0) & (label < logits.shape[-1])
        num_valid += valid.any()
        truth, factor = label[valid], pixel_weights[valid]
        terms = []
        for c in np.unique(truth[factor > 0]):
            p, y = probabilities[index][valid][:, c], truth == c
            dice = 2 * np.sum(factor * p * y) / (np.sum(factor * p) + np.sum(factor * y))
            terms.append(weights[c] * (1 - dice))
        loss = np.mean(terms) if terms else 0.0
        is_per_image = sample_weight is not None and sample_weight.ndim == 1
        losses.append(loss * (sample_weight[index] if is_per_image else 1))
    return sum(losses) / {"mean": max(num_valid, 1), "per_image": len(labels), "sum": 1}[reduction]


def test_focal_loss_by_hand():
    logits = np.log([[[[0.5, 0.5], [0.25, 0.75], [0.1, 0.9]]]]).astype("float32")

    value = Focal(gamma=2.0)([[[0, 0, 255]]], logits)

    expected = (0.5**2 * np.log(2) + 0.75**2 * np.log(4)) / 2
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_dice_by_hand():
    logits = np.log([[[[0.5, 0.5], [0.25, 0.75], [0.1, 0.9]]]]).astype("float32")

    value = Dice()([[[0, 1, 255]]], logits)

    # Class 0: 2 * 0.5 / (0.75 + 1); class 1: 2 * 0.75 / (1.25 + 1); the third pixel is ignored.
    expected = 1 - (1 / 1.75 + 1.5 / 2.25) / 2
    assert float(value) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "per_image", "sum"])
@pytest.mark.parametrize("weights_shape", [None, (2,), (2, 3, 4)])
def test_focal_and_dice_agree_with_their_definitions(batch, reduction, weights_shape):
    labels, logits = batch
    labels[1] = np.where(labels[1] == 2, 3, labels[1])  # a class that an image lacks
    weights = [0.5, 1.0, 2.0, 0.0, 3.0]
    sample_weight = None
    if weights_shape:
        sample_weight = np.random.default_rng(1).uniform(size=weights_shape).astype("float32")
    arguments = {"reduction": reduction, "class_weights": weights}

    focal = Focal(gamma=1.5, **arguments)(labels, logits, sample_weight=sample_weight)
    dice = Dice(**arguments)(labels, logits, sample_weight=sample_weight)

    rest = (reduction, weights, sample_weight)
    assert float(focal) == pytest.approx(expected_focal(labels, logits, 1.5, *rest), rel=1e-5)
    assert float(dice) == pytest.approx(expected_dice(labels, logits, *rest), rel=1e-5)


def test_dice_is_that_of_each_image_whatever_is_beside_it(batch):
    labels, logits = batch

    together = float(Dice()(labels, logits))

    alone = [float(Dice()(labels[i : i + 1], logits[i : i + 1])) for i in range(2)]
    assert together == pytest.approx(np.mean(alone), rel=1e-6)


def test_images_without_a_valid_pixel_do_not_count_in_the_mean_of_dice(batch):
    labels, logits = batch
    labels[0] = 255

    value = Dice()(labels, logits)

    assert float(value) == pytest.approx(expected_dice(labels[1:], logits[1:], "mean"), rel=1e-5)
    assert not gradient_of(Dice(), labels, logits)[0].any()


@pytest.mark.parametrize("loss", [Focal(gamma=0.5), Focal(), Dice()], ids=lambda loss: loss.name)
def test_gradients_are_those_of_finite_differences(batch, loss):
    labels, logits = batch
    weights = [0.5, 1.0, 2.0, 1.0, 3.0]
    loss.class_weights = weights
    gradient = gradient_of(loss, labels, logits)

    def value(logits):
        if isinstance(loss, Focal):
            return expected_focal(labels, logits, loss.gamma, "mean", weights)
        return expected_dice(labels, logits, "mean", weights)

    random = np.random.default_rng(2)
    for _ in range(3):
        direction = random.normal(size=logits.shape)
        step = 1e-5 * direction
        slope = (value(logits + step) - value(logits - step)) / 2e-5
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-3, abs=1e-6)
    assert not gradient[labels == 255].any()


def test_focal_loss_with_gamma_zero_is_the_crossentropy(batch):
    expected = PixelwiseCrossentropy()(*batch)

    assert float(Focal(gamma=0.0)(*batch)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("kind", [Focal, Dice])
@pytest.mark.parametrize("value", NOT_FINITE)
def test_other_losses_do_not_see_logits_that_do_not_count(batch, kind, value):
    labels, logits = batch
    sample_weight = np.ones(labels.shape, "float32")
    sample_weight[1, 2] = 0
    loss = kind()
    expected = float(loss(labels, logits, sample_weight=sample_weight))
    left_out = (labels == 255) | (sample_weight == 0)
    spoiled = np.where(left_out[..., None], np.float32(value), logits)
    sample_weight[0, :2] = value

    result = loss(labels, spoiled, sample_weight=sample_weight)
    gradient = gradient_of(
        lambda labels, scores: loss(labels, scores, sample_weight=sample_weight), labels, spoiled
    )

    assert float(result) == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(gradient).all() and not gradient[left_out].any()
    spoiled[1, 0, 0] = np.nan
    assert not np.isfinite(float(loss(labels, spoiled, sample_weight=sample_weight)))


@pytest.mark.parametrize("kind", [Focal, Dice])
@pytest.mark.parametrize("sure", [60.0, 1e4])
def test_sure_predictions_have_finite_gradients(kind, sure):
    logits = np.array([[[[sure, 0.0], [0.0, sure], [sure, 0.0]]]], "float32")
    labels = np.array([[[0, 1, 1]]])

    for loss in (kind(), Focal(gamma=0.5)):
        assert np.isfinite(gradient_of(loss, labels, logits)).all()
    # Two of three pixels are right: class 0 has 2 * 1 / (2 + 1), class 1 has 2 * 1 / (1 + 2).
    assert float(Dice()(labels, logits)) == pytest.approx(1 / 3, rel=1e-5)
    assert float(Focal()(labels, logits)) == pytest.approx(sure / 3, rel=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "per_image", "sum"])
def test_other_losses_of_a_batch_without_a_valid_pixel_are_zero(batch, reduction):
    labels = np.full_like(batch[0], 255)
    loss = create("focal+dice", reduction=reduction)

    assert float(loss(labels, batch[1])) == 0
    np.testing.assert_array_equal(gradient_of(loss, labels, batch[1]), 0)


def test_a_sum_adds_values_and_gradients(batch):
    labels, logits = batch
    weights = [0.5, 1.0, 2.0, 0.5, 3.0]
    loss = create("crossentropy+dice", ignore_class=255, class_weights=weights)

    expected = expected_loss(labels, logits, "mean", weights)
    expected += expected_dice(labels, logits, "mean", weights)
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-5)
    parts = [gradient_of(part, labels, logits) for part in parts_of(loss)]
    np.testing.assert_allclose(gradient_of(loss, labels, logits), sum(parts), atol=1e-7)


def test_a_model_trains_with_a_sum_and_keeps_it(tmp_path, batch):
    loss = create("focal+dice", ignore_class=7)
    model = model_of_a_bias(loss)
    images = np.zeros((2, 2, 2, 3), "float32")
    labels = np.array([[[0, 1], [7, 7]], [[2, 7], [7, 7]]], "uint8")
    uniform = np.zeros((2, 2, 2, 3))
    expected = expected_focal(np.where(labels == 7, 255, labels), uniform, 2.0, "mean")
    expected += expected_dice(np.where(labels == 7, 255, labels), uniform, "mean")

    history = model.fit(images, labels, batch_size=2, verbose=0).history
    model.save(tmp_path / "model.keras")

    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    loaded = keras.models.load_model(tmp_path / "model.keras").loss
    assert isinstance(loaded, SumOfLosses)
    assert [type(part) for part in parts_of(loaded)] == [Focal, Dice]
    assert loaded.get_config() == loss.get_config()


def test_sums_over_batches_give_the_mean_over_all(batch):
    labels, logits = batch
    for name in ("crossentropy", "focal", "dice"):
        loss = create(name)
        halves = [loss.total_and_count(labels[i : i + 1], logits[i : i + 1]) for i in range(2)]
        total, count = (sum(float(half[i]) for half in halves) for i in range(2))

        assert total / count == pytest.approx(float(loss(labels, logits)), rel=1e-5), name


@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 2.0, 0.0, 3.0]])
def test_sums_over_blocks_of_rows_give_the_terms_of_the_images(batch, weights):
    labels, logits = batch
    for name in ("crossentropy", "focal", "dice"):
        loss = create(name, class_weights=weights)
        blocks = [loss.sums(labels[:, rows], logits[:, rows]) for rows in ([0], [1, 2])]
        total, count = loss.total_and_count_of([sum(parts) for parts in zip(*blocks, strict=True)])

        assert float(total / count) == pytest.approx(float(loss(labels, logits)), rel=1e-5), name


@pytest.mark.parametrize("name", ["", "crossentropy+", "iou", "dice+dice", "crossentropy dice"])
def test_unknown_names_of_losses_are_refused(name):
    with pytest.raises(ValueError, match=r"crossentropy, focal, dice, or several .* Received"):
        create(name)


def test_wrong_arguments_of_other_losses_are_refused():
    with pytest.raises(ValueError, match="`gamma` must be at least 0"):
        Focal(gamma=-1.0)
    with pytest.raises(ValueError, match="at least one loss"):
        SumOfLosses([])
    with pytest.raises(ValueError, match="one factor for each of the 3 classes"):
        Dice(class_weights=[1, 2])(np.zeros((1, 2, 2)), np.zeros((1, 2, 2, 3), "float32"))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute")
@pytest.mark.parametrize(
    ("loss", "reduction", "num_images"),
    [
        # The last batch of 7 images gives 2 to one replica and 1 to the other.
        ("crossentropy", "mean", 7),
        ("focal+dice", "mean", 7),
        pytest.param("crossentropy", "mean", 8, marks=pytest.mark.full),
        pytest.param("crossentropy", "per_image", 7, marks=pytest.mark.full),
        pytest.param("crossentropy", "sum", 8, marks=pytest.mark.full),
        pytest.param("dice", "mean", 8, marks=pytest.mark.full),
        pytest.param("crossentropy+dice", "per_image", 7, marks=pytest.mark.full),
    ],
)
def test_two_replicas_train_as_one_device(loss, reduction, num_images):
    command = [sys.executable, HERE / "losses_distributed.py", loss, reduction, str(num_images)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert finished.returncode == 0, finished.stderr[-2000:]
    one, two = json.loads(finished.stdout.splitlines()[-1]).values()

    for ours, theirs in zip(two["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert two["history"].keys() == one["history"].keys()
    for name, values in one["history"].items():
        np.testing.assert_allclose(two["history"][name], values, rtol=1e-5, err_msg=name)
    for name, value in one["evaluate"].items():
        assert two["evaluate"][name] == pytest.approx(value, rel=1e-5), name
    assert two["confusion"] == one["confusion"]
