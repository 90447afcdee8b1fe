"""The metric, on whichever backend runs; `test_loss_and_metric_on_jax.py` repeats it."""

import csv

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_fcn.confusion_matrix import METRIC_NAMES
from keras_fcn.losses import PixelwiseCrossentropy
from keras_fcn.metrics import WORD, SegmentationMetrics

LABELS = np.array([[[0, 0, 1], [1, 2, 2]]], "uint8")
PREDICTIONS = np.array([[[0, 1, 1], [1, 2, 0]]], "uint8")


def logits_for(predictions, num_classes):
    """Logits whose largest is at the prediction."""
    return np.eye(num_classes, dtype="float32")[predictions]


def expected_matrix(labels, predictions, num_classes, ignore_class=255):
    matrix = np.zeros((num_classes, num_classes), "int64")
    for label, prediction in zip(labels.flat, predictions.flat, strict=True):
        if label != ignore_class:
            matrix[label, prediction] += 1
    return matrix


def floats(result):
    return {name: float(value) for name, value in result.items()}


def test_the_four_metrics_by_hand():
    metric = SegmentationMetrics(num_classes=3)

    metric.update_state(LABELS, logits_for(PREDICTIONS, 3))

    #            predicted 0 1 2   accuracy   IoU = hits / (row + column - hits)
    # label 0:             1 1 0   1/2        1 / (2 + 2 - 1) = 1/3
    # label 1:             0 2 0   1          2 / (2 + 3 - 2) = 2/3
    # label 2:             1 0 1   1/2        1 / (2 + 1 - 1) = 1/2
    np.testing.assert_array_equal(
        metric.confusion_matrix().counts, [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    )
    assert metric.confusion_matrix().counts.dtype == np.int64
    assert floats(metric.result()) == pytest.approx(
        {
            "pixel_accuracy": 4 / 6,
            "mean_accuracy": (1 / 2 + 1 + 1 / 2) / 3,
            "mean_iou": (1 / 3 + 2 / 3 + 1 / 2) / 3,
            # Every class has 2 of the 6 pixels, so the frequencies are equal.
            "frequency_weighted_iou": (1 / 3 + 2 / 3 + 1 / 2) / 3,
        }
    )


def test_means_leave_out_classes_for_which_they_are_not_defined():
    metric = SegmentationMetrics(num_classes=4)

    metric.update_state(np.array([[[0, 0, 0, 1]]]), logits_for([[[0, 0, 2, 1]]], 4))

    result = floats(metric.result())
    # Class 2 is predicted once and never labeled: no accuracy, but IoU 0. Class 3 is nowhere.
    assert result["mean_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert result["mean_iou"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert result["frequency_weighted_iou"] == pytest.approx(3 / 4 * 2 / 3 + 1 / 4 * 1)


def test_unscored_classes_leave_the_mean_iou_only():
    metric = SegmentationMetrics(num_classes=3, unscored=[2])

    metric.update_state(np.array([[[0, 1, 1, 1]]]), logits_for(np.array([[[0, 0, 1, 2]]]), 3))
    result = floats(metric.result())

    # class 0: 1/2, class 1: 1/3; class 2, predicted and nowhere labeled, would be 0.
    assert result["mean_iou"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert result["pixel_accuracy"] == pytest.approx(2 / 4)
    assert result["mean_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert SegmentationMetrics.from_config(metric.get_config()).unscored == [2]


def test_ignored_pixels_do_not_count():
    metric = SegmentationMetrics(num_classes=3, ignore_class=-1)

    metric.update_state(np.array([[[0, -1, -1]]]), logits_for([[[0, 1, 2]]], 3))

    matrix = metric.confusion_matrix()
    np.testing.assert_array_equal(matrix.counts, np.diag([1, 0, 0]))
    assert (matrix.num_ignored, matrix.ignore_class) == (2, -1)


def test_without_a_counted_pixel_all_metrics_are_0():
    metric = SegmentationMetrics(num_classes=3)

    metric.update_state(np.full((1, 2, 2), 255), np.zeros((1, 2, 2, 3), "float32"))

    assert floats(metric.result()) == dict.fromkeys(METRIC_NAMES, 0.0)


def test_the_first_of_equal_logits_is_the_prediction():
    # The logits of a new FCN are all 0.
    logits = np.array([[[[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]]], "float32")
    metric = SegmentationMetrics(num_classes=3)

    metric.update_state(np.zeros((1, 1, 2), "uint8"), logits)

    assert metric.confusion_matrix().counts[0, 0] == 2


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
@pytest.mark.parametrize("logits_dtype", ["float32", "bfloat16"])
def test_takes_labels_and_logits_of_any_dtype(dtype, logits_dtype):
    metric = SegmentationMetrics(num_classes=3)
    logits = ops.cast(logits_for(PREDICTIONS, 3), logits_dtype)

    metric.update_state(LABELS.astype(dtype)[..., None], logits)

    expected = expected_matrix(LABELS, PREDICTIONS, 3)
    np.testing.assert_array_equal(metric.confusion_matrix().counts, expected)


@pytest.mark.parametrize("num_classes", [2, 255])
def test_counts_the_fewest_and_the_most_classes(num_classes):
    random = np.random.default_rng(0)
    labels = random.integers(0, num_classes, (2, 60, 50)).astype("uint8")
    predictions = random.integers(0, num_classes, (2, 60, 50))
    labels[0] = 255
    metric = SegmentationMetrics(num_classes)

    metric.update_state(labels, logits_for(predictions, num_classes))

    expected = expected_matrix(labels, predictions, num_classes)
    np.testing.assert_array_equal(metric.confusion_matrix().counts, expected)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_neither_order_nor_batches_matter(data):
    label, prediction = st.sampled_from([0, 1, 2, 255]), st.integers(0, 2)
    # Six pixels a batch always, because JAX compiles for each size anew.
    pixels = data.draw(st.lists(st.tuples(label, prediction), min_size=12, max_size=12))
    shuffled = np.array(data.draw(st.permutations(pixels)))
    metric = SegmentationMetrics(num_classes=3)

    for batch in shuffled.reshape(2, 1, 2, 3, 2):
        metric.update_state(batch[..., 0], logits_for(batch[..., 1], 3))

    labels, predictions = np.array(pixels).T
    expected = expected_matrix(labels, predictions, 3)
    np.testing.assert_array_equal(metric.confusion_matrix().counts, expected)


@pytest.mark.parametrize("count", [WORD - 1, 2**31 - 1, 2**31, 6_200_000_007])
def test_counts_are_exact_beyond_32_bits(count):
    metric = SegmentationMetrics(num_classes=3)
    cell = 3 * 1 + 2  # label 1, prediction 2
    words = np.zeros(metric.counts.shape, "int64")
    words[:, cell] = count % WORD, count // WORD
    metric.counts.assign(words)

    metric.update_state(np.ones((1, 1, 5)), logits_for([[[2, 2, 2, 1, 2]]], 3))

    assert metric.confusion_matrix().counts[1, 2] == count + 4
    assert metric.confusion_matrix().counts[1, 1] == 1
    assert metric.confusion_matrix().num_pixels == count + 5
    # Class 2 is predicted, never labeled: of the labeled pixels 1 is right.
    assert float(metric.result()["pixel_accuracy"]) == pytest.approx(1 / (count + 5), rel=1e-5)


def test_reset_forgets_all_pixels():
    metric = SegmentationMetrics(num_classes=3)
    metric.update_state(LABELS, logits_for(PREDICTIONS, 3))

    metric.reset_state()

    assert not metric.confusion_matrix().counts.any()


def test_table_of_the_classes():
    metric = SegmentationMetrics(num_classes=3, class_names=["sky", "road", "car"])
    metric.update_state(LABELS, logits_for(PREDICTIONS, 3))

    assert [(row.name, row.iou) for row in metric.confusion_matrix().per_class()] == [
        ("sky", pytest.approx(1 / 3)),
        ("road", pytest.approx(2 / 3)),
        ("car", pytest.approx(1 / 2)),
    ]


# Labels outside of the classes


@pytest.mark.parametrize(
    ("labels", "num_classes", "message"),
    [
        ([0, 11, 11], 11, r"\[0, 11\) or equal `ignore_class`=255. Received: 11 \(2 pixels\)"),
        ([0, 11, 11], 11, "If 11 marks pixels to leave out, set `ignore_class` to it"),
        ([200, 11, 254], 11, r"11 \(1 pixel\), 200 \(1 pixel\), 254 \(1 pixel\)\. Either"),
        ([-1, 300, 0], 11, r"negative, fractional or above 255 \(2 pixels\)"),
        ([0.5, float("nan"), 1], 11, r"negative, fractional or above 255 \(2 pixels\)"),
        ([*range(50, 60)], 11, r"57 \(1 pixel\), and 2 more values\."),
    ],
)
def test_labels_outside_the_classes_are_named(labels, num_classes, message):
    metric = SegmentationMetrics(num_classes)
    metric.update_state(
        np.array([[labels]]), logits_for(np.zeros((1, 1, len(labels)), int), num_classes)
    )

    with pytest.raises(ValueError, match=message):
        metric.result()
    with pytest.raises(ValueError, match=message):
        metric.confusion_matrix()
    metric.reset_state()
    assert float(metric.result()["mean_iou"]) == 0


def test_void_is_an_invalid_label_where_nothing_is_ignored():
    metric = SegmentationMetrics(3, ignore_class=None)
    metric.update_state(np.full((1, 1, 1), 255), logits_for([[[0]]], 3))

    with pytest.raises(ValueError, match=r"must be in \[0, 3\)\. Received: 255 \(1 pixel\)"):
        metric.result()


def small_model(**compile_arguments):
    images = keras.Input((None, None, 3))
    model = keras.Model(images, keras.layers.Conv2D(3, 3, padding="same", name="score")(images))
    model.compile(
        "sgd",
        loss=PixelwiseCrossentropy(),
        metrics=[SegmentationMetrics(3)],
        **compile_arguments,
    )
    return model


@pytest.fixture(scope="module")
def examples():
    """Images with good labels, and with two bad ones in the second of four batches."""
    random = np.random.default_rng(0)
    images = random.uniform(size=(8, 6, 5, 3)).astype("float32")
    labels = random.integers(0, 3, (8, 6, 5)).astype("uint8")
    labels[:, 0] = 255
    bad = labels.copy()
    bad[2, 3, 3], bad[3, 2, 2] = 7, 9
    return images, labels, bad


@pytest.mark.parametrize(
    "compile_arguments",
    [
        {"jit_compile": False},
        {"jit_compile": True},
        {"jit_compile": False, "steps_per_execution": 2},
        {"run_eagerly": True},
    ],
    ids=str,
)
def test_fit_and_evaluate_stop_at_invalid_labels(examples, compile_arguments):
    images, labels, bad = examples
    model = small_model(**compile_arguments)

    model.fit(images, labels, batch_size=2, verbose=0)
    with pytest.raises(ValueError, match=r"Received: 7 \(1 pixel\)"):
        model.fit(images, bad, batch_size=4, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match=r"Received: 7 \(1 pixel\)"):
        model.fit(images, labels, validation_data=(images, bad), batch_size=4, verbose=0)
    with pytest.raises(ValueError, match=r"Received: 7 \(1 pixel\)"):
        model.evaluate(images, bad, batch_size=4, verbose=0)

    # The model is as good as before.
    assert np.isfinite(model.evaluate(images, labels, batch_size=4, verbose=0)).all()


def test_metrics_of_a_batch_with_invalid_labels_are_nan(examples):
    images, _, bad = examples

    logs = small_model().train_on_batch(images, bad, return_dict=True)

    assert all(np.isnan(logs[name]) for name in METRIC_NAMES)
    assert np.isfinite(logs["loss"])


# In a model


def test_logs_contain_the_four_metrics(examples, tmp_path):
    images, labels, _ = examples
    model = small_model(jit_compile=True)

    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    history = model.fit(
        images, labels, validation_data=(images, labels), callbacks=[log], verbose=0
    ).history
    evaluation = model.evaluate(images, labels, verbose=0, return_dict=True)

    names = {"loss", *METRIC_NAMES}
    assert history.keys() == names | {f"val_{name}" for name in names}
    with (tmp_path / "log.csv").open() as file:
        assert next(csv.DictReader(file)).keys() == {"epoch", *history}
    assert evaluation.keys() == names
    predictions = np.argmax(model.predict(images, verbose=0), axis=-1)
    expected = np.mean(predictions[labels != 255] == labels[labels != 255])
    assert evaluation["pixel_accuracy"] == pytest.approx(expected, rel=1e-6)
    assert history["val_pixel_accuracy"][0] == pytest.approx(expected, rel=1e-6)


def test_heads_with_prefixes_share_the_logs(examples):
    images, labels, _ = examples
    inputs = keras.Input((None, None, 3))
    heads = {
        name: keras.layers.Conv2D(num_classes, 1, name=name)(inputs)
        for name, num_classes in (("semantic", 3), ("geometric", 4))
    }
    model = keras.Model(inputs, heads)
    model.compile(
        "sgd",
        loss={name: PixelwiseCrossentropy() for name in heads},
        metrics={
            "semantic": SegmentationMetrics(3, prefix="semantic_"),
            "geometric": SegmentationMetrics(4, prefix="geometric_"),
        },
    )

    logs = model.evaluate(
        images, {"semantic": labels, "geometric": labels}, verbose=0, return_dict=True
    )

    expected = {f"{head}_{name}" for head in heads for name in METRIC_NAMES}
    assert logs.keys() == expected | {"loss", "semantic_loss", "geometric_loss"}


def test_a_saved_model_keeps_its_metric(tmp_path, examples):
    images, labels, _ = examples
    model = small_model()
    metric = SegmentationMetrics(3, None, ["a", "b", "c"], prefix="head_", name="mine")
    model.compile("sgd", PixelwiseCrossentropy(), metrics=[metric])
    model.save(tmp_path / "model.keras")

    loaded = keras.models.load_model(tmp_path / "model.keras")

    loaded.evaluate(images, labels % 3, verbose=0)
    (copy,) = loaded.metrics[1].metrics
    assert isinstance(copy, SegmentationMetrics)
    assert copy.get_config() == metric.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, r"`num_classes` must be in \[2, 255\]"),
        ({"num_classes": 3, "ignore_class": 2}, "outside the classes"),
        ({"num_classes": 3, "class_names": ["a"]}, "one name for each of the 3 classes"),
        ({"num_classes": 3, "unscored": [3]}, "`unscored` must contain labels of classes"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SegmentationMetrics(**arguments)


def test_inputs_that_do_not_fit_are_refused():
    metric = SegmentationMetrics(3)

    with pytest.raises(ValueError, match="must contain 3 classes"):
        metric.update_state(np.zeros((1, 2, 2)), np.zeros((1, 2, 2, 4), "float32"))
    with pytest.raises(ValueError, match="height and width of the logits"):
        metric.update_state(np.zeros((1, 2, 3)), np.zeros((1, 2, 2, 3), "float32"))
    with pytest.raises(ValueError, match="not in `weighted_metrics`"):
        metric.update_state(LABELS, logits_for(PREDICTIONS, 3), sample_weight=np.ones(1))
