"""The network of these tests scores each pixel by its three channels: the brightest one wins."""

import io
import json

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import keras_fcn
from keras_fcn import LabelSpec
from keras_fcn.backbones import VGG16
from keras_fcn.datasets import SegmentationDataset, from_arrays
from keras_fcn.evaluation import confusion_matrices, evaluate, evaluate_heads, save_json
from keras_fcn.labels import Heads, Labels
from keras_fcn.prediction import KerasPredictor

from .helpers import channel_model, two_headed_model

SPEC = LabelSpec(("red", "green", "blue"))


class ChannelPredictor(KerasPredictor):
    def __init__(self, labels: Labels = SPEC, size: tuple[int | None, int | None] = (None, None)):
        super().__init__(channel_model(size))
        self.heads = Heads(labels)


def image_of(channels: list[list[int]]) -> np.ndarray:
    return np.eye(3, dtype="uint8")[channels] * 200


def dataset_of(*pairs: tuple[list, list], labels: Labels = SPEC) -> SegmentationDataset:
    examples = [
        {"image": image_of(channels), "label": np.array(label, "uint8")}
        for channels, label in pairs
    ]
    return from_arrays("tiny", labels, {"val": examples})


def printed(renderable: object) -> str:
    file = io.StringIO()
    Console(file=file, width=100).print(renderable)
    return file.getvalue()


# Predicted 0 0 1 / 1 and labeled 0 1 1 / ignored: green 1 of 2 hit, red 1 false positive.
PAIRS = (([[0, 0, 1]], [[0, 1, 1]]), ([[1]], [[255]]))


def test_metrics_by_hand():
    result = evaluate(ChannelPredictor(), dataset_of(*PAIRS))

    assert result.confusion_matrix.counts.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    metrics = result.to_dict()
    assert metrics["pixel_accuracy"] == pytest.approx(2 / 3)
    assert metrics["mean_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert metrics["mean_iou"] == pytest.approx(1 / 2)
    assert metrics["frequency_weighted_iou"] == pytest.approx(1 / 2)
    assert metrics["per_class_iou"] == {"red": 0.5, "green": 0.5, "blue": None}
    counts = [metrics[key] for key in ("num_images", "num_pixels", "num_ignored_pixels")]
    assert counts == [2, 3, 1]
    assert metrics["confusion_matrix"] == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_json_has_the_circumstances_and_no_nan():
    result = evaluate(ChannelPredictor(), dataset_of(([[0]], [[255]])))

    text = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(text)["mean_iou"] is None
    assert [result.to_dict()[key] for key in ("dataset", "split", "format")] == [
        "tiny",
        "val",
        "keras",
    ]


def test_every_head_has_its_own_metrics(tmp_path):
    predictor = KerasPredictor(two_headed_model())
    others = LabelSpec(("red", "vast", "blue"))
    predictor.heads = Heads({"brightest": SPEC, "darkest": others})
    image = np.array([[[1, 2, 3], [9, 8, 7]]], "uint8")
    # The brightest channels are 2 and 0, the darkest 0 and 2.
    label = {"darkest": np.array([[0, 1]], "uint8"), "brightest": np.array([[2, 255]], "uint8")}
    dataset = from_arrays("tiny", predictor.labels, {"val": [{"image": image, "label": label}]})

    results = evaluate_heads(predictor, dataset)

    assert {head: result.metrics.pixel_accuracy for head, result in results.items()} == {
        "brightest": 1.0,
        "darkest": 0.5,
    }
    assert [result.confusion_matrix.num_ignored for result in results.values()] == [1, 0]
    chosen = evaluate_heads(predictor, dataset, classes=["red", "vast"])
    assert [result.classes for result in chosen.values()] == [("red",), ("red", "vast")]
    assert ", head darkest on tiny" in printed(results["darkest"])
    metrics = json.loads(save_json(results, tmp_path / "metrics.json").read_text())
    assert metrics["heads"]["darkest"]["pixel_accuracy"] == 0.5
    with pytest.raises(ValueError, match="`evaluate` is for one head"):
        evaluate(predictor, dataset)
    with pytest.raises(ValueError, match="brightest, darkest. It has labels for: one head without"):
        evaluate_heads(predictor, dataset_of(*PAIRS))


def test_a_head_of_the_network_that_the_dataset_lacks_is_named():
    predictor = KerasPredictor(two_headed_model())
    predictor.heads = Heads({"brightest": SPEC, "darkest": SPEC})
    image = np.zeros((1, 2, 3), "uint8")
    label = {"brightest": np.zeros((1, 2), "uint8")}
    dataset = from_arrays("tiny", {"brightest": SPEC}, {"val": [{"image": image, "label": label}]})

    with pytest.raises(ValueError, match="brightest, darkest. It has labels for: brightest."):
        evaluate_heads(predictor, dataset)


@pytest.mark.parametrize("batch_size", [2, 5])
def test_batches_change_no_metric(batch_size):
    generator = np.random.default_rng(0)
    shapes = [(2, 3), (4, 4), (2, 3), (2, 3), (4, 4), (1, 1)]
    pairs = [
        (generator.integers(0, 3, s).tolist(), generator.integers(0, 3, s).tolist()) for s in shapes
    ]
    predictor, sizes, images = ChannelPredictor(), [], []
    run = predictor._predictions
    predictor._predictions = lambda images: (sizes.append(len(images)), run(images))[1]

    single = evaluate(ChannelPredictor(), dataset_of(*pairs))
    batched = evaluate(
        predictor,
        dataset_of(*pairs),
        batch_size=batch_size,
        on_image=images.append,
    )

    np.testing.assert_array_equal(batched.confusion_matrix.counts, single.confusion_matrix.counts)
    assert sum(sizes) == 6
    assert max(sizes) == (2 if batch_size == 2 else 3)
    assert [image.position for image in images] == [0, 1, 2, 3, 4, 5]
    labels = {f"val/{i}": label for i, (_, label) in enumerate(pairs)}
    assert {image.id: image.labels[Heads.ONLY].tolist() for image in images} == labels


def test_every_image_has_a_matrix_of_its_own():
    matrices = []

    result = evaluate(
        ChannelPredictor(),
        dataset_of(*PAIRS, ([[2, 1]], [[2, 2]])),
        on_image=lambda image: matrices.append((image.position, image.matrices[Heads.ONLY])),
    )

    counts = [(position, matrix.counts.tolist()) for position, matrix in matrices]
    assert counts == [
        (0, [[1, 0, 0], [1, 1, 0], [0, 0, 0]]),
        (1, [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        (2, [[0, 0, 0], [0, 0, 0], [0, 1, 1]]),
    ]
    assert [matrix.num_ignored for _, matrix in matrices] == [0, 1, 0]
    # Blue: 1 of 2 hit. Green, predicted once and nowhere labeled: 0.
    assert matrices[2][1].metrics().mean_iou == pytest.approx((1 / 2 + 0) / 2)
    total = [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert result.confusion_matrix.counts.tolist() == total


def test_predictions_are_counted_for_the_heads_of_the_network_alone():
    inputs = keras.Input((None, None, 3))
    outputs = {"hue": keras.layers.Rescaling(1.0)(inputs)}
    heads = Heads({"shade": LabelSpec.numbered(200), "hue": SPEC})
    labels = {"shade": np.uint8([[[9, 9]]]), "hue": np.uint8([[[0, 0]]])}

    matrices = confusion_matrices(
        KerasPredictor(keras.Model(inputs, outputs)), [(image_of([[0, 1]])[None], labels)], heads
    )

    assert list(matrices) == ["hue"]
    assert matrices["hue"].counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_the_mean_of_chosen_classes_stands_beside_that_of_all():
    # Red: 2 of 3 hit. Green: never hit. Blue: 1 hit, 1 false positive from red, 1 from green.
    dataset = dataset_of(([[0, 0, 2, 2, 2]], [[0, 0, 0, 1, 2]]))

    result = evaluate(ChannelPredictor(), dataset, classes=["blue", "red"])

    metrics = result.to_dict()
    assert metrics["mean_iou"] == pytest.approx((2 / 3 + 0 + 1 / 3) / 3)
    assert metrics["mean_iou_of_classes"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert metrics["classes"] == ["blue", "red"]
    text = printed(result)
    assert "mean IoU of 2 classes *" in text
    assert "red *" in text


def test_classes_that_the_dataset_does_not_score_leave_the_mean():
    labels = LabelSpec(("red", "green", "blue"), unscored=("blue",))
    # Predicted 0 0 1 2 and labeled 0 1 1 1.
    dataset = dataset_of(([[0, 0, 1, 2]], [[0, 1, 1, 1]]), labels=labels)

    result = evaluate(ChannelPredictor(), dataset)

    # Red 1/2, green 1/3; blue, predicted once and nowhere labeled, would be 0.
    assert result.metrics.mean_iou == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert result.metrics.pixel_accuracy == pytest.approx(2 / 4)
    assert result.to_dict()["unscored"] == ["blue"]
    assert "Not in the mean IoU, as the dataset has it: blue." in printed(result)


def test_unscored_classes_are_saved_with_the_labels():
    labels = LabelSpec(("red", "green", "blue"), unscored=["blue"])

    assert LabelSpec.from_dict(json.loads(json.dumps(labels.to_dict()))) == labels
    assert labels.unscored_labels == (2,)
    # Files from before there were any are read, and written, as they were.
    assert "unscored" not in SPEC.to_dict()
    assert LabelSpec.from_dict(SPEC.to_dict()).unscored == ()
    for unscored in (("cow",), ("red", "green", "blue")):
        with pytest.raises(ValueError, match="`unscored` must name classes, and not all of them"):
            LabelSpec(("red", "green", "blue"), unscored=unscored)


def test_images_of_several_kinds_are_joined_for_the_network():
    predictor = KerasPredictor(channel_model(channels=4))
    predictor.heads = Heads(LabelSpec(("red", "green", "blue", "far")))
    example = {
        "image": image_of([[0, 1, 2]]),
        "depth": np.array([[[100], [300], [100]]], "uint16"),  # colors are 200
        "label": np.array([[0, 3, 2]], "uint8"),
    }
    dataset = from_arrays("rgbd", predictor.labels, {"val": [example]})

    predictor.modalities = ("rgb", "depth")

    assert evaluate(predictor, dataset).metrics.pixel_accuracy == 1.0
    with pytest.raises(ValueError, match="takes images of 4 channels; hha, depth, rgb are 7"):
        evaluate(predictor, dataset, modalities=("hha", "depth", "rgb"))
    with pytest.raises(ValueError, match="has no modality 'depth'. It has: rgb"):
        evaluate(predictor, dataset_of(([[0]], [[3]]), labels=predictor.labels))


def test_a_network_of_ours_says_which_images_it_takes():
    network = keras_fcn.FCN32s(2, backbone=VGG16(alpha=1 / 32, fc_filters=2), modalities=("hha",))

    assert KerasPredictor(network).modalities == ("hha",)


def test_the_table_shows_metrics_counts_and_notes():
    text = printed(evaluate(ChannelPredictor(size=(4, 4)), dataset_of(*PAIRS)))

    assert "2 images, 3 pixels, 25.0% more ignored" in text
    assert "Note: Fixed input of 4x4" in text
    rows = [line.split() for line in text.splitlines()]
    # Of three labeled pixels one is red, two are green.
    assert ["red", "0.5000", "1.0000", "33.33%"] in rows
    assert ["green", "0.5000", "0.5000", "66.67%"] in rows
    assert ["blue", "-", "-", "0.00%"] in rows
    assert ["mean", "IoU", "0.5000"] in rows


def test_the_confusion_matrix_is_drawn(tmp_path):
    path = evaluate(ChannelPredictor(), dataset_of(*PAIRS)).save_confusion_matrix(
        tmp_path / "matrix.png"
    )

    with Image.open(path) as picture:
        assert picture.format == "PNG"


def test_another_number_of_classes_is_refused():
    dataset = dataset_of(([[0]], [[0]]), labels=LabelSpec(("sky", "road")))

    with pytest.raises(ValueError, match=r"network has 3 classes \(red.*'tiny' has 2 \(sky, road"):
        evaluate(ChannelPredictor(), dataset)


def test_another_order_of_classes_is_refused():
    dataset = dataset_of(([[0]], [[0]]), labels=LabelSpec(("Blue", "red", "green")))

    with pytest.raises(ValueError, match="in another order"):
        evaluate(ChannelPredictor(), dataset)


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (("Red", "GREEN", "blue"), None),
        (("class 0", "class 1", "class 2"), "does not name its classes"),
        (("red", "lime", "sea"), "2 class names differ, such as 'lime' in the network and 'green'"),
    ],
)
def test_other_names_are_noted(names, note):
    result = evaluate(ChannelPredictor(LabelSpec(names)), dataset_of(*PAIRS))

    assert result.class_names == SPEC.class_names
    assert len(result.notes) == (note is not None)
    assert note is None or note in result.notes[0]


def test_unknown_splits_and_classes_are_refused():
    dataset = dataset_of(*PAIRS)

    with pytest.raises(ValueError, match="no split 'test'"):
        evaluate(ChannelPredictor(), dataset, "test")
    with pytest.raises(ValueError, match=r"Received: 'gren'\. Did you mean 'green'\?"):
        evaluate(ChannelPredictor(), dataset, classes=["gren"])
    with pytest.raises(ValueError, match="must not repeat"):
        evaluate(ChannelPredictor(), dataset, classes=["red", "red"])


def test_images_come_with_all_that_is_known_of_them():
    images = []

    evaluate(ChannelPredictor(), dataset_of(*PAIRS), confidences=True, on_image=images.append)

    first = images[0]
    np.testing.assert_array_equal(first.image, image_of([[0, 0, 1]]))
    assert first.labels[Heads.ONLY].tolist() == [[0, 1, 1]]
    assert first.predictions[Heads.ONLY].tolist() == [[0, 0, 1]]
    # Logits of 200, 0 and 0: the others have a probability of e^-200 each.
    np.testing.assert_allclose(first.confidences[Heads.ONLY], [[1, 1, 1]])
    assert [image.id for image in images] == ["val/0", "val/1"]
    evaluate(ChannelPredictor(), dataset_of(*PAIRS), on_image=images.append)
    assert images[2].confidences is None


def test_confidences_change_no_prediction_and_cost_no_second_run():
    predictor, runs = ChannelPredictor(size=(4, 4)), []
    logits = predictor._logits
    predictor._logits = lambda images: (runs.append(images.shape), logits(images))[1]
    predictor._predictions = None  # not called
    pairs = [(np.random.default_rng(i).integers(0, 3, (7, 5)).tolist(),) * 2 for i in range(3)]

    result = evaluate(predictor, dataset_of(*pairs), confidences=True, on_image=lambda _: None)

    plain = evaluate(ChannelPredictor(size=(4, 4)), dataset_of(*pairs))
    np.testing.assert_array_equal(result.confusion_matrix.counts, plain.confusion_matrix.counts)
    assert runs == [(1, 4, 4, 3)] * 3


def test_a_network_without_logits_has_no_confidences():
    class Fixed(ChannelPredictor):
        has_logits = False

    images = []

    evaluate(Fixed(), dataset_of(*PAIRS), confidences=True, on_image=images.append)

    assert [image.confidences for image in images] == [None, None]
