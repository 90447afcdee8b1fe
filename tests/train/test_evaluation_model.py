"""The validation's loss is compared with the definition, in NumPy."""

import numpy as np
import pytest
from keras_fcn_train import evaluation_model as module
from keras_fcn_train.evaluation_model import EvaluationModel

import keras_fcn
from keras_fcn.data.pipeline import evaluation_batches
from keras_fcn.datasets import from_arrays
from keras_fcn.labels import Heads

from ..helpers import Tiny
from ..test_losses import expected_dice
from .tiny_training import HEADS, SPEC


@pytest.fixture(params=[None, 7 * 32], ids=["all rows at once", "blocks of rows"])
def _blocks(request, monkeypatch):
    """Of a batch of one image seven rows, of larger batches fewer; the last block is smaller."""
    if request.param:
        monkeypatch.setattr(module, "_BLOCK_PIXELS", request.param)


def dataset_of(labels):
    """Images of one size whose numbers of valid pixels differ; one has none at all."""
    random = np.random.default_rng(0)
    heads = Heads(labels)

    def example(shares):
        maps = {}
        for (head, spec), share in zip(heads.items(), shares, strict=True):
            label = random.integers(0, spec.num_classes, (32, 32)).astype("uint8")
            label[random.uniform(size=label.shape) >= share] = spec.ignore_class
            maps[head] = label
        image = random.integers(0, 256, (32, 32, 3)).astype("uint8")
        return {"image": image, "label": heads.unwrapped(maps)}

    shares = [(1.0, 0.2), (0.01, 0.9), (0.0, 0.5), (0.6, 0.0), (0.3, 0.1), (0.0, 0.0)]
    return from_arrays("tiny", labels, {"val": [example(s[: len(heads)]) for s in shares]})


def sums_by_hand(network, dataset):
    """The sum of the losses of all valid pixels and their number, by head."""
    totals = {head: [0.0, 0] for head in dataset.heads}
    for example in dataset.examples("val"):
        outputs = dataset.heads.by_name(network(example["image"][None]))
        labels = dataset.heads.by_name(example["label"])
        for head, spec in dataset.heads.items():
            logits = np.asarray(outputs[head][0], "float64")
            log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            label = labels[head].numpy()
            valid = label != spec.ignore_class
            totals[head][0] -= log_softmax[valid, label[valid]].sum()
            totals[head][1] += valid.sum()
    return totals


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("labels", [SPEC, HEADS], ids=["one head", "two heads"])
def test_the_loss_is_of_all_valid_pixels_whatever_the_batches(labels):
    dataset = dataset_of(labels)
    heads = dataset.heads
    network = keras_fcn.FCN8s(
        heads.unwrapped({head: spec.num_classes for head, spec in heads.items()}),
        backbone=Tiny(),
        labels=labels,
    )
    random = np.random.default_rng(1)
    for weight in network.weights:
        if weight.name == "kernel":
            weight.assign(random.normal(scale=0.1, size=weight.shape))
    totals = sums_by_hand(network, dataset)
    expected = {head: total / count for head, (total, count) in totals.items()}

    for batch_size in (1, 2, 4, 6):
        evaluation_model = EvaluationModel(network, heads)
        evaluation_model.refresh(0)
        logs = evaluation_model.evaluate(evaluation_batches(dataset, "val", batch_size))

        for head in heads:
            assert logs[f"{heads.prefix(head)}loss"] == pytest.approx(expected[head], rel=1e-6)
        assert logs["loss"] == pytest.approx(sum(expected.values()), rel=1e-6)


def test_the_loss_of_no_valid_pixel_is_zero():
    dataset = dataset_of(SPEC)
    (ignored,) = [e for e in dataset.examples("val").as_numpy_iterator() if e["id"] == b"val/2"]
    network = keras_fcn.FCN8s(3, backbone=Tiny(), labels=SPEC)
    nothing = from_arrays("tiny", SPEC, {"val": [ignored]})

    logs = EvaluationModel(network, nothing.heads).evaluate(evaluation_batches(nothing, "val"))

    assert logs["loss"] == 0


@pytest.mark.usefixtures("_blocks")
def test_dice_in_the_logs_is_the_mean_over_the_images_with_a_valid_pixel():
    dataset = dataset_of(SPEC)
    network = keras_fcn.FCN8s(3, backbone=Tiny(), labels=SPEC)
    examples = list(dataset.examples("val").as_numpy_iterator())
    labels = np.stack([example["label"] for example in examples])
    logits = np.asarray(network(np.stack([example["image"] for example in examples])))
    totals = sums_by_hand(network, dataset)
    expected = expected_dice(labels, logits, "mean") + totals[Heads.ONLY][0] / totals[Heads.ONLY][1]

    for batch_size in (1, 4):
        evaluation_model = EvaluationModel(network, dataset.heads, loss="crossentropy+dice")
        logs = evaluation_model.evaluate(evaluation_batches(dataset, "val", batch_size))

        assert logs["loss"] == pytest.approx(expected, rel=1e-5)
