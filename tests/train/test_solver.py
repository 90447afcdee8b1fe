"""Trainings of a small network, step by step as Caffe computes them, in NumPy."""

import keras
import numpy as np
import pytest
from keras_fcn_train import Config, OptimizerConfig, convert_rates
from keras_fcn_train.optimizers import build_optimizer

import keras_fcn
from keras_fcn.backbones import AlexNet
from keras_fcn.losses import PixelwiseCrossentropy

IGNORED = 255
NUM_STEPS = 20


def small_network():
    """A 3x3 convolution with ReLU, and scores, named as in the reference's definitions."""
    keras.utils.set_random_seed(0)
    images = keras.Input((None, None, 2))
    x = keras.layers.Conv2D(4, 3, activation="relu", bias_initializer="ones", name="conv1")(images)
    scores = keras.layers.Conv2D(3, 1, bias_initializer="ones", name="score_fr")(x)
    return keras.Model(images, scores)


def batches(count, batch_size=1, *, ignored=0.2):
    random = np.random.default_rng(1)
    for _ in range(count):
        images = random.normal(size=(batch_size, 7, 8, 2))
        labels = random.integers(0, 3, size=(batch_size, 5, 6))
        labels[random.random(labels.shape) < ignored] = IGNORED
        yield images.astype("float32"), labels.astype("uint8")


def gradients_by_hand(weights, images, labels, *, normalize):
    """Forward and backward, in float64; `normalize` as in Caffe's SoftmaxWithLoss."""
    kernel, bias, score_kernel, score_bias = weights
    windows = np.lib.stride_tricks.sliding_window_view(images.astype("float64"), (3, 3), (1, 2))
    before = np.einsum("nhwcij,ijcf->nhwf", windows, kernel) + bias
    hidden = np.maximum(before, 0)
    scores = hidden @ score_kernel[0, 0] + score_bias

    valid = labels != IGNORED
    probabilities = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    truth = np.eye(3)[np.where(valid, labels, 0)]
    divisor = valid.sum() if normalize else len(images)
    d_scores = (probabilities - truth) * valid[..., None] / divisor
    d_before = (d_scores @ score_kernel[0, 0].T) * (before > 0)
    return [
        np.einsum("nhwcij,nhwf->ijcf", windows, d_before),
        d_before.sum((0, 1, 2)),
        np.einsum("nhwf,nhwc->fc", hidden, d_scores)[None, None],
        d_scores.sum((0, 1, 2)),
    ]


def caffe_training(weights, data, *, rate, momentum, decay, multipliers, normalize, iter_size=1):
    """Caffe's SGDSolver: gradients are averaged over iter_size, decayed, and added to the history.

    `multipliers` are (lr_mult, decay_mult) of each blob.
    """
    weights = [weight.astype("float64") for weight in weights]
    history = [np.zeros_like(weight) for weight in weights]
    data = list(data)
    for start in range(0, len(data), iter_size):
        gradients = [np.zeros_like(weight) for weight in weights]
        for images, labels in data[start : start + iter_size]:
            for i, g in enumerate(gradients_by_hand(weights, images, labels, normalize=normalize)):
                gradients[i] += g / iter_size
        for i, (lr_mult, decay_mult) in enumerate(multipliers):
            gradient = gradients[i] + decay * decay_mult * weights[i]
            history[i] = momentum * history[i] + rate * lr_mult * gradient
            weights[i] -= history[i]
    return weights


def trained(config, data):
    network = small_network()
    network.compile(
        optimizer=build_optimizer(
            config.optimizer, 1000, network.trainable_variables, config.backbone.name
        ),
        loss=PixelwiseCrossentropy(IGNORED, reduction=config.loss.reduction),
        jit_compile=False,
    )
    for images, labels in data:
        network.train_on_batch(images, labels)
    return network.get_weights()


def solver(**settings):
    return Config().replace(
        **{"optimizer": "sgd", "schedule": "constant", "weight_decay": 0.02, **settings}
    )


# Kernel and bias of conv1, then those of score_fr.
DOUBLED_BIASES = [(1, 1), (2, 0), (1, 1), (2, 0)]
ALEXNET = [(1, 1), (1, 1), (1, 1), (2, 0)]


@pytest.mark.parametrize(
    ("backbone", "multipliers"), [("vgg16", DOUBLED_BIASES), ("alexnet", ALEXNET)]
)
def test_twenty_heavy_steps_are_those_of_caffe(backbone, multipliers):
    """The sum over the pixels of one image, with a momentum of 0.99."""
    config = solver(reduction="per_image", backbone=backbone, learning_rate=1e-4, momentum=0.99)
    expected = caffe_training(
        small_network().get_weights(),
        batches(NUM_STEPS),
        rate=1e-4,
        momentum=0.99,
        decay=0.02,
        multipliers=multipliers,
        normalize=False,
    )

    result = trained(config, batches(NUM_STEPS))

    for weight, wanted, start in zip(result, expected, small_network().get_weights(), strict=True):
        np.testing.assert_allclose(weight, wanted, rtol=1e-5, atol=1e-6)
        assert np.abs(wanted - start).max() > 0.02  # there was something to compare


def test_twenty_steps_of_twenty_accumulated_images_are_those_of_caffe():
    """The mean over the pixels, gradients averaged over twenty images of different weight."""
    config = solver(
        reduction="mean",
        gradient_accumulation_steps=20,
        learning_rate=0.05,
        momentum=0.9,
        backbone="alexnet",
    )
    expected = caffe_training(
        small_network().get_weights(),
        batches(20 * NUM_STEPS),
        rate=0.05,
        momentum=0.9,
        decay=0.02,
        multipliers=ALEXNET,
        normalize=True,
        iter_size=20,
    )

    result = trained(config, batches(20 * NUM_STEPS))

    for weight, wanted, start in zip(result, expected, small_network().get_weights(), strict=True):
        np.testing.assert_allclose(weight, wanted, rtol=1e-5, atol=1e-6)
        assert np.abs(wanted - start).max() > 0.02


@pytest.mark.parametrize("after", ["per_image", "sum"])
def test_converted_rates_make_the_same_steps(after):
    mean = solver(reduction="mean", learning_rate=0.05, momentum=0.9)
    # 5 x 6 scores an image, none of them ignored.
    rate, decay = convert_rates(0.05, 0.02, before="mean", after=after, pixels=30, batch_size=2)
    converted = mean.replace(reduction=after, learning_rate=rate, weight_decay=decay)

    data = list(batches(NUM_STEPS, batch_size=2, ignored=0.0))

    for weight, wanted in zip(trained(converted, data), trained(mean, data), strict=True):
        np.testing.assert_allclose(weight, wanted, rtol=1e-4, atol=1e-6)


def test_biases_of_alexnet_but_not_of_its_score_are_like_kernels():
    network = keras_fcn.FCN32s(3, backbone=AlexNet(alpha=0.1, fc_filters=4))

    optimizer = build_optimizer(
        OptimizerConfig("sgd"), 10, network.trainable_variables, backbone="alexnet"
    )

    # The layers of voc-fcn-alexnet that `conv_relu` makes.
    assert set(optimizer.kernel_like) == {*(f"conv{i}" for i in range(1, 6)), "fc6", "fc7"}
