import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_fcn
from keras_fcn.backbones import VGG16, AlexNet, GoogLeNet
from keras_fcn.layers import CropLike
from keras_fcn.models.geometry import Grid, Window, grid_of, window_of

VARIANTS = {32: keras_fcn.FCN32s, 16: keras_fcn.FCN16s, 8: keras_fcn.FCN8s, 4: keras_fcn.FCN4s}


def crops(stride, kind=VGG16, **settings):
    """The crop offsets of a narrow network by layer."""
    backbone = kind(alpha=0.02, fc_filters=2, geometry="reference", **settings)
    model = VARIANTS[stride](3, backbone=backbone)
    cropping = [layer for layer in model.layers if isinstance(layer, CropLike)]
    return {layer.name: layer.offset for layer in cropping}


@pytest.mark.parametrize("border", [82, 100, 131])
def test_crops_of_the_vgg_networks_are_those_that_the_reference_publishes(border):
    # Published for a border of 100: 19; 5 and 27; 5, 9 and 31.
    assert crops(32, border=border) == {"score": border - 81}
    assert crops(16, border=border) == {"score_pool4c": 5, "score": border - 73}
    assert crops(8, border=border) == {
        "score_pool4c": 5, "score_pool3c": 9, "score": border - 69,
    }  # fmt: skip
    # Not published: 68 and 66 pixels are 72 and 68 less a cell, and half a cell, of the stride.
    assert crops(4, border=border) == {
        "score_pool4c": 5, "score_pool3c": 9, "score_pool2c": 17, "score": border - 67,
    }  # fmt: skip


def test_crop_of_alexnet_is_the_one_that_the_reference_publishes():
    assert crops(32, AlexNet) == {"score": 18}
    assert crops(32, AlexNet, border=90) == {"score": 8}


def test_a_pool_after_a_border():
    # A 2x2 maximum over pixels -100 and -99 lies between the two.
    images = layers.Input((None, None, 3))

    grid = grid_of(layers.MaxPooling2D(2)(layers.ZeroPadding2D(100)(images)))

    assert grid == Grid(stride=2, start=-99.5)


def ones(kind, *arguments, **settings):
    return kind(1, *arguments, kernel_initializer="ones", use_bias=False, **settings)


STACKS = {
    "odd": [ones(layers.Conv2D, 3)],
    "even, strides": [ones(layers.Conv2D, 4, 2), ones(layers.Conv2D, 3, 3)],
    "dilated": [ones(layers.Conv2D, 3, dilation_rate=3), layers.AveragePooling2D(2)],
    "same": [
        ones(layers.Conv2D, 3, padding="same"),
        ones(layers.Conv2D, 5, padding="same", dilation_rate=2),
        layers.AveragePooling2D(2, padding="same"),
    ],
    "same, strides": [
        ones(layers.Conv2D, 4, 2, padding="same"),
        ones(layers.Conv2D, 6, 2, padding="same"),
        layers.AveragePooling2D(3, 1, padding="same"),
    ],
    "border": [layers.ZeroPadding2D(((5, 1), (2, 3))), layers.AveragePooling2D(3, 2)],
    "activations": [layers.ReLU(), ones(layers.Conv2D, 2), layers.ReLU()],
    "transposed": [layers.AveragePooling2D(4), ones(layers.Conv2DTranspose, 4, 2)],
    "transposed, same": [
        layers.AveragePooling2D(8),
        ones(layers.Conv2DTranspose, 8, 4, padding="same"),
    ],
    "transposed, odd": [layers.AveragePooling2D(4), ones(layers.Conv2DTranspose, 3, 2)],
}


@pytest.mark.parametrize("name", STACKS)
def test_cells_are_centered_on_the_pixels_that_they_depend_on(name):
    # All weights are positive and symmetric: the middle of what a cell depends on is its place.
    images = x = keras.Input((64, 64, 1))
    for layer in STACKS[name]:
        x = layer(x)
    model, grid = keras.Model(images, x), grid_of(x)
    middle = x.shape[1] // 2 - 2

    centers = []
    for cell in (middle, middle + 1, middle + 2, middle + 3):
        pixels = tf.ones((1, 64, 64, 1))
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            value = model(pixels)[0, cell, x.shape[2] // 2, 0]
        rows = np.asarray(tape.gradient(value, pixels))[0, ..., 0].sum(1)
        centers.append((rows * np.arange(64)).sum() / rows.sum())

    # A cell of a transposed convolution lies between those that it mixes: on average they agree.
    expected = grid.start + grid.stride * (middle + np.arange(4))
    if "transposed" in name:
        assert np.mean(centers) == pytest.approx(expected.mean(), abs=1e-3)
    else:
        np.testing.assert_allclose(centers, expected, atol=1e-3)


def test_windows_along_the_width_are_those_of_the_width():
    convolution = layers.Conv2D(1, (3, 5), (1, 2), dilation_rate=1, padding="same")
    dilated = layers.Conv2D(1, (3, 5), dilation_rate=(2, 3))

    assert [window_of(convolution, axis) for axis in (0, 1)] == [Window(3, 1, 1), Window(5, 2, 1)]
    assert [window_of(dilated, axis) for axis in (0, 1)] == [Window(5, 1, 0), Window(13, 1, 0)]
    pool = layers.MaxPooling2D((2, 4), (2, 3))
    assert [window_of(pool, axis) for axis in (0, 1)] == [Window(2, 2), Window(4, 3)]
    border = layers.ZeroPadding2D(((1, 2), (3, 4)))
    assert [window_of(border, axis).padding for axis in (0, 1)] == [1, 3]


def test_the_offset_to_another_grid_is_counted_in_cells():
    grid = Grid(stride=4, start=-6.5)

    assert grid.offset_to(Grid(stride=4, start=5.5)) == 3
    assert Grid(stride=4, start=5.5).offset_to(grid) == -3
    for other in (Grid(stride=8, start=-6.5), Grid(stride=4, start=-4.5)):
        with pytest.raises(ValueError, match="must be of the same pixels"):
            grid.offset_to(other)


def test_a_transposed_convolution_undoes_a_convolution():
    grid = Grid(stride=8, start=3.5)

    assert grid.through(Window(5, 2, 2)).through(Window(5, 1 / 2, 2)) == grid


def test_half_pixels_are_refused():
    # Even kernels put GoogLeNet's scores between its pixels.
    with pytest.raises(
        ValueError, match='must be of the same pixels.*need upsampling_kernel="2f-1'
    ):
        keras_fcn.FCN32s(3, backbone=GoogLeNet(alpha=0.02), upsampling_kernel="2f")
