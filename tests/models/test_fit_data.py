"""What `fit` of a network says about its first batch, for each kind of data that Keras takes."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fcn import LabelSpec
from keras_fcn.losses import PixelwiseCrossentropy
from keras_fcn.metrics import SegmentationMetrics

from ..helpers import tiny_model


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index : index + 1], self.y[index : index + 1]


def as_arrays(x, y):
    return x, y


def as_tensors(x, y):
    return keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)


def as_dataset(x, y):
    return (tf.data.Dataset.from_tensor_slices((x, y)).batch(1),)


def as_generator(x, y):
    return ((batch for batch in zip(x[:, None], y[:, None], strict=True)),)


def as_pydataset(x, y):
    return (Batches(x, y),)


KINDS = (as_arrays, as_tensors, as_dataset, as_generator, as_pydataset)


def compiled(num_classes=2, **options):
    model = tiny_model(num_classes, **options)
    model.compile("sgd", PixelwiseCrossentropy(), metrics=[SegmentationMetrics(num_classes)])
    return model


def images(scale=1.0, count=3):
    return (np.random.default_rng(0).uniform(0, 255, (count, 32, 32, 3)) * scale).astype("float32")


def masks(*values, count=3):
    """Masks that contain each of the values."""
    mask = np.resize(np.array(values), (32, 32)).astype("uint8")
    return np.repeat(mask[None], count, axis=0)


def texts_of(model, *data, **options):
    """The warnings of `fit` that are ours."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options = {"batch_size": 1, **options} if len(data) == 2 else options
        model.fit(*data, verbose=0, **options)
    return [str(w.message) for w in caught if "first batch of `fit`" in str(w.message)]


@pytest.mark.parametrize("kind", KINDS)
def test_black_and_white_masks_are_reported_in_the_first_batch(kind):
    (text,) = texts_of(compiled(), *kind(images(), masks(0, 255)))

    assert "are 0 and 255 only" in text and "np.where(labels == 255, 1, labels)" in text


@pytest.mark.parametrize("kind", KINDS)
def test_images_divided_by_255_are_reported_once(kind):
    options = {} if kind is as_generator else {"epochs": 2}
    (text,) = texts_of(compiled(), *kind(images(1 / 255), masks(0, 1, 255)), **options)

    assert "not divided by 255" in text


@pytest.mark.parametrize("kind", KINDS)
def test_right_data_are_not_reported_and_train_alike(kind):
    x, y = images(), masks(0, 1, 255)
    model, other = compiled(), compiled()
    other.set_weights(model.get_weights())

    assert texts_of(model, *kind(x, y), shuffle=False) == []
    for batch in zip(x, y, strict=True):
        other.train_on_batch(batch[0][None], batch[1][None])

    for weight, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "values", [(0,), (255,), (0, 1), (1, 0, 255)], ids=lambda values: "-".join(map(str, values))
)
def test_other_masks_of_two_classes_are_not_reported(values):
    assert texts_of(compiled(), images(), masks(*values)) == []


def test_masks_of_more_classes_are_not_reported():
    assert texts_of(compiled(3), images(), masks(0, 255)) == []


def test_the_other_class_and_the_specs_own_ignored_label_are_named():
    labels = LabelSpec(("a", "b"), ignore_class=200)
    model = tiny_model(2, labels=labels)
    model.compile("sgd", PixelwiseCrossentropy(ignore_class=200))

    (text,) = texts_of(model, images(), masks(1, 200))

    assert "one class is left, 1," in text and "np.where(labels == 200, 0, labels)" in text
    assert texts_of(model, images(), masks(0, 1)) == []


def test_each_head_is_looked_at():
    model = tiny_model({"thing": 2, "light": 2})
    model.compile("sgd", {"thing": PixelwiseCrossentropy(), "light": PixelwiseCrossentropy()})
    y = {"thing": masks(0, 1), "light": masks(0, 255)}

    for data in ((images(), y), as_dataset(images(), y)):
        (text,) = texts_of(model, *data)
        assert "The labels for 'light' in the first batch" in text


def test_black_images_and_those_of_bytes_are_not_reported():
    for x in (images(0), images(1 / 255).round().astype("uint8")):
        assert texts_of(compiled(), x, masks(0, 1)) == []


def test_networks_that_take_other_ranges_are_left_alone():
    depth = tiny_model(2, modalities=("depth",))
    depth.compile("sgd", PixelwiseCrossentropy())

    assert texts_of(depth, images(1 / 255)[..., :1], masks(0, 1)) == []


def test_generators_lose_no_batch():
    seen = []

    def batches():
        for index in range(4):
            seen.append(index)
            yield images(count=1), masks(0, 1, count=1)

    compiled().fit(batches(), steps_per_epoch=4, shuffle=False, verbose=0)

    assert seen[:4] == [0, 1, 2, 3]


def test_datasets_are_read_once_per_epoch():
    reads = []

    def example(index):
        reads.append(int(index))
        return images(count=1)[0], masks(0, 1, count=1)[0]

    dataset = tf.data.Dataset.range(3).map(
        lambda i: tf.numpy_function(example, [i], (tf.float32, tf.uint8))
    )
    dataset = dataset.map(
        lambda x, y: (tf.ensure_shape(x, (32, 32, 3)), tf.ensure_shape(y, (32, 32)))
    )
    compiled().fit(dataset.batch(1), epochs=2, shuffle=False, verbose=0)

    assert sorted(reads) == [0, 0, 1, 1, 2, 2]


def test_class_weight_of_fit_names_that_of_the_loss():
    with pytest.raises(ValueError, match=r"PixelwiseCrossentropy\(class_weights=\["):
        compiled().fit(images(), masks(0, 1), class_weight={0: 1.0, 1: 2.0})
