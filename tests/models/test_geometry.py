import pytest
from keras import layers

import keras_fcn
from keras_fcn.backbones import VGG16, AlexNet, GoogLeNet
from keras_fcn.layers import CropLike
from keras_fcn.models.geometry import Grid, Window, grid_of

VARIANTS = {32: keras_fcn.FCN32s, 16: keras_fcn.FCN16s, 8: keras_fcn.FCN8s}


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


def test_crop_of_alexnet_is_the_one_that_the_reference_publishes():
    assert crops(32, AlexNet) == {"score": 18}
    assert crops(32, AlexNet, border=90) == {"score": 8}


def test_a_pool_after_a_border():
    # A 2x2 maximum over pixels -100 and -99 lies between the two.
    images = layers.Input((None, None, 3))

    grid = grid_of(layers.MaxPooling2D(2)(layers.ZeroPadding2D(100)(images)))

    assert grid == Grid(stride=2, start=-99.5)


def test_a_transposed_convolution_undoes_a_convolution():
    grid = Grid(stride=8, start=3.5)

    assert grid.through(Window(5, 2, 2)).through(Window(5, 1 / 2, 2)) == grid


def test_half_pixels_are_refused():
    # Even kernels put GoogLeNet's scores between its pixels.
    with pytest.raises(
        ValueError, match='must be of the same pixels.*need upsampling_kernel="2f-1'
    ):
        keras_fcn.FCN32s(3, backbone=GoogLeNet(alpha=0.02), upsampling_kernel="2f")
