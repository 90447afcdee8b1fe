"""The guard of `fit`, on whichever backend runs."""

import keras
import numpy as np
import pytest

from keras_fcn import FCN32s
from keras_fcn.callbacks import NonFiniteError, StopOnNonFinite
from keras_fcn.losses import PixelwiseCrossentropy
from keras_fcn.metrics import SegmentationMetrics
from keras_fcn.weights.finite import not_finite

from .helpers import tiny_model


@pytest.fixture
def model():
    model = tiny_model(3, variant=FCN32s, scale=0.1)
    model.compile("sgd", PixelwiseCrossentropy(), metrics=[SegmentationMetrics(3)])
    return model


def data(num_images=6, bad=None, value=np.nan):
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (num_images, 32, 32, 3)).astype("float32")
    if bad is not None:
        images[bad, 3, 4, 1] = value
    return images, random.integers(0, 3, (num_images, 32, 32)).astype("uint8")


def train(model, images, labels, *callbacks, epochs=1):
    return model.fit(
        images, labels, batch_size=1, epochs=epochs, shuffle=False, verbose=0,
        callbacks=list(callbacks),
    )  # fmt: skip


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_stops_the_training_and_harms_no_weight(model, value):
    images, labels = data()
    train(model, images, labels)
    good = model.get_weights()
    images, labels = data(bad=3, value=value)

    # TensorFlow's ReLU of NaN can be 0: then the loss stays finite, and the weights tell it.
    with pytest.raises(NonFiniteError, match=r"(in batch [45] of|infinite in) epoch 1\. The model"):
        train(model, images, labels, StopOnNonFinite())

    for weight, expected in zip(model.get_weights(), good, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_without_the_guard_such_an_image_destroys_the_weights(model):
    images, labels = data(bad=3)

    train(model, images, labels)

    assert not_finite(model)


def test_weights_are_looked_at_where_the_loss_is_finite(model):
    # The image that is not finite is the last of the epoch, and no pixel of it counts: the loss
    # stays finite, the gradients (0 times NaN) do not.
    images, labels = data(bad=5)
    labels[5] = 255

    with pytest.raises(NonFiniteError, match=r"weights of .+ became NaN or infinite in epoch 1\."):
        train(model, images, labels, StopOnNonFinite())

    assert not not_finite(model)


def test_weights_are_kept_of_the_epoch_and_only_if_wanted(model):
    class Spoil(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if self.epoch == 1 and batch == 2:
                kernel = self.model.get_layer("score_fr").kernel
                kernel.assign(np.full(kernel.shape, np.nan))

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch
            if epoch == 1:
                self.at_begin = self.model.get_weights()

    images, labels = data()
    spoil = Spoil()
    with pytest.raises(NonFiniteError, match="in batch 3 of epoch 2"):
        train(model, images, labels, StopOnNonFinite(), spoil, epochs=3)
    for weight, expected in zip(model.get_weights(), spoil.at_begin, strict=True):
        np.testing.assert_array_equal(weight, expected)

    with pytest.raises(NonFiniteError, match="are no longer usable.*it was 0.01"):
        train(model, images, labels, StopOnNonFinite(restore=False), Spoil(), epochs=3)
    assert not_finite(model)

    with pytest.raises(NonFiniteError, match="before the training begins"):
        train(model, images, labels, StopOnNonFinite())


def test_finite_trainings_are_not_changed(model):
    images, labels = data()
    start = model.get_weights()
    train(model, images, labels, epochs=2)
    expected = model.get_weights()
    model.set_weights(start)

    train(model, images, labels, StopOnNonFinite(), epochs=2)

    for weight, other in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, other)
