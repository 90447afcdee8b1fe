"""Tiles are compared with the network on the whole image."""

import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import VGG16
from keras_fcn.models.receptive_field import reach_of
from keras_fcn.prediction import KerasPredictor, Predictor
from keras_fcn.prediction.tiling import BLEND, TiledPredictor, spans_of

from ..helpers import (
    Tiny,
    channel_model,
    images_of,
    randomize_logits,
    tiny_model,
    two_headed_model,
)


@pytest.fixture
def network() -> KerasPredictor:
    backbone = Tiny(fc_filters=0, normalization="caffe")
    return KerasPredictor(tiny_model(3, backbone=backbone, scale=1.0))


class Recorded(Predictor):
    """Remembers the sizes of the images that a network was given."""

    format = runtime = "keras"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(None, predictor.heads, (None, None, 3))
        self.predictor = predictor
        self.sizes: list[tuple[int, ...]] = []

    def _predictions(self, images):
        raise AssertionError("predictions cannot be blended")

    def _logits(self, images):
        self.sizes.append(images.shape[1:3])
        return self.heads.by_name(self.predictor.logits(images))


# Widths and heights that end in, before and after a tile, and that 32 does not divide.
@pytest.mark.parametrize("size", [(500, 710), (448, 481), (33, 730)])
def test_tiles_give_the_logits_of_the_whole_image(network, size):
    images = images_of(1, *size)
    tiled = TiledPredictor(network, tile_size=(448, 480))

    # Half of a receptive field of 56 pixels, and what upsampling by 2, 2 and 8 adds: the next
    # score at strides 32, 16 and 8.
    assert 28 < network.reach <= 28 + 32 + 16 + 8
    assert tiled.overlap == 224 >= 2 * network.reach + BLEND
    assert tiled.is_exact and "logits as of the whole image" in tiled.notes[0]
    expected = network.logits(images)
    np.testing.assert_allclose(tiled.logits(images), expected, atol=1e-5 * np.ptp(expected))
    assert (tiled.predict(images) == expected.argmax(-1)).mean() > 0.9999


def test_an_overlap_below_the_reach_differs_at_the_seams_only(network):
    images = images_of(1, 300, 410)
    tiled = TiledPredictor(network, tile_size=(192, 192), overlap=32)

    difference = np.abs(tiled.logits(images) - network.logits(images)).max(-1)[0]

    assert not tiled.is_exact and "may differ" in tiled.notes[0]
    assert difference[:128, :128].max() < 1e-4  # 64 pixels and more from the nearest edge
    assert difference[:, 160:192].max() > 1e-3


def test_the_network_never_sees_more_than_a_tile(network):
    recorded = Recorded(network)

    TiledPredictor(recorded, tile_size=(128, 160), overlap=32).predict(images_of(1, 330, 400))

    # Steps of 96 and 128: from rows 0, 96, 192 and 288; columns 0, 128 and 256.
    rows, columns = [128, 128, 128, 42], [160, 160, 144]
    assert recorded.sizes == [(height, width) for height in rows for width in columns]


def test_logits_are_blended_along_the_seam():
    class Counter(Recorded):
        def _logits(self, images):
            self.sizes.append(())
            logits = np.full((*images.shape[:3], 3), len(self.sizes), "float32")
            return self.heads.by_name(logits)

    counter = Counter(KerasPredictor(channel_model()))

    logits = TiledPredictor(counter, tile_size=(128, 128), overlap=64).logits(images_of(1, 20, 150))

    # Tiles 1 and 2 share columns 64 to 127; they fade from 80 to 111.
    ramp = 1 + (np.arange(32) + 0.5) / 32
    np.testing.assert_allclose(logits[0, 7, :, 1], [1] * 80 + [*ramp] + [2] * 38, rtol=1e-6)


def test_a_network_of_fixed_size_gets_whole_tiles_of_it():
    fixed = KerasPredictor(channel_model((128, 160)))
    tiled = TiledPredictor(fixed)
    images = images_of(1, 300, 333)

    # Resized to 128x160 and back, no pixel would keep its label.
    np.testing.assert_array_equal(tiled.predict(images), images.argmax(-1))
    with pytest.raises(ValueError, match="must not be smaller. Received: 100x300"):
        tiled.predict(images_of(1, 100, 300))
    with pytest.raises(ValueError, match="that the network takes, 128x160. Received: 64x64"):
        TiledPredictor(fixed, tile_size=(64, 64))


def test_several_heads_are_blended_each():
    tiled = TiledPredictor(KerasPredictor(two_headed_model()), tile_size=(64, 64), overlap=32)
    images = images_of(2, 100, 90)

    labels = tiled.predict(images)

    np.testing.assert_array_equal(labels["brightest"], images.argmax(-1))
    np.testing.assert_array_equal(labels["darkest"], images.argmin(-1))


def test_logits_are_blended_across_rows_and_columns_of_every_image():
    # Each tile's logits are its number, which counts rows first, on images of 3 x 2 tiles.
    class Counter(Recorded):
        def _logits(self, images):
            self.sizes.append(())
            logits = np.full((*images.shape[:3], 3), len(self.sizes), "float32")
            return self.heads.by_name(logits)

    counter = Counter(KerasPredictor(channel_model()))
    tiled = TiledPredictor(counter, tile_size=(64, 64), overlap=32)

    logits = tiled.logits(images_of(2, 120, 90))

    # Tiles of 64 in steps of 32 share 32 pixels, over which they fade: the first from 32 to 63.
    def shares(length, count):
        share = np.zeros((count, length))
        ramp = (np.arange(32) + 0.5) / 32
        for i in range(count):
            share[i, 32 * i : 32 * i + 64] = 1
            if i > 0:
                share[i, 32 * i : 32 * i + 32] = ramp
            if i < count - 1:
                share[i, 32 * i + 32 : 32 * i + 64] = 1 - ramp
        return share

    numbers = np.arange(1, 7).reshape(3, 2)
    for image in range(2):
        expected = shares(120, 3).T @ (numbers + 6 * image) @ shares(90, 2)
        np.testing.assert_allclose(logits[image, ..., 2], expected, rtol=1e-5)


def test_tiles_give_the_probabilities_of_the_whole_image():
    tiled = TiledPredictor(KerasPredictor(two_headed_model()), tile_size=(64, 64), overlap=32)
    images = images_of(2, 100, 90)

    predictions, confidences = tiled.predictions_and_confidences(images)

    # Softmax of the pixel's values, and of their negatives.
    for head, logits in (("brightest", images.astype(float)), ("darkest", -images.astype(float))):
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        np.testing.assert_array_equal(predictions[head], logits.argmax(-1))
        np.testing.assert_allclose(confidences[head], 1 / powers.sum(-1), rtol=1e-4)


@pytest.mark.parametrize(
    ("reach", "tile_size", "overlap", "is_exact"),
    [
        (0, (1408, 1408), 32, True),  # the blend alone
        (1, (1408, 1408), 64, True),  # 34, in steps of 32
        (16, (128, 512), 64, True),  # 64, half of the smaller side
        (17, (128, 512), 32, False),  # 66 does not fit: a quarter
        (None, (1408, 1408), 352, False),  # unknown: a quarter
        (None, (64, 96), 32, False),  # no less than a blend
        (None, (320, 352), 64, False),  # a quarter of 320 is 80: the multiple of 32 below
    ],
)
def test_the_overlap_is_what_exact_logits_take_or_a_quarter(reach, tile_size, overlap, is_exact):
    class Reaching(Recorded):
        @property
        def reach(self):
            return reach

    tiled = TiledPredictor(Reaching(KerasPredictor(channel_model())), tile_size=tile_size)

    assert (tiled.overlap, tiled.is_exact) == (overlap, is_exact)


def test_a_network_that_has_no_size_gets_tiles_of_1408():
    assert TiledPredictor(KerasPredictor(channel_model())).tile_size == (1408, 1408)


def test_the_smallest_sizes_are_taken():
    network = KerasPredictor(channel_model())
    images = images_of(1, 128, 128)

    assert TiledPredictor(network, tile_size=(64, 64), overlap=32).overlap == 32
    # A network of a fixed size takes its own size, said or not, and an image of just that.
    fixed = KerasPredictor(channel_model((128, 128)))
    for size in (None, (128, 128)):
        tiled = TiledPredictor(fixed, tile_size=size)
        np.testing.assert_array_equal(tiled.predict(images), images.argmax(-1))
        assert not tiled.is_exact
    with pytest.raises(ValueError, match="at least 128 pixels.*takes 96x128"):
        TiledPredictor(KerasPredictor(channel_model((96, 128))))


def test_the_last_tile_is_cut_off_unless_it_must_be_whole():
    # Steps of 64: from 0 and 64 whole, from 128 to the end.
    cut = [(span.start, span.stop) for span in spans_of(200, 128, 64)]
    whole = [(span.start, span.stop) for span in spans_of(200, 128, 64, last_is_whole=True)]

    assert cut == [(0, 128), (64, 192), (128, 200)]
    assert whole == [(0, 128), (64, 192), (72, 200)]


@pytest.mark.parametrize("last_is_whole", [True, False])
@pytest.mark.parametrize("length", [128, 129, 160, 161, 300, 1000])
def test_weights_sum_to_one_at_every_pixel(length, last_is_whole):
    total, finished = np.zeros(length), np.zeros(length)

    for span in spans_of(length, 128, 64, last_is_whole=last_is_whole):
        total[span.first : span.end] += span.weights()
        finished[span.finished] += 1
        assert span.start <= span.first < span.end <= span.stop <= length

    np.testing.assert_allclose(total, 1, rtol=1e-6)
    assert (finished == 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile_size": (100, 128)}, "multiples of 32.*Received: 100x128"),
        ({"tile_size": (32, 64)}, "at least 64"),
        ({"overlap": 20}, "multiple of 32.*Received: overlap=20"),
        ({"tile_size": (128, 128), "overlap": 96}, "from 32 to half a tile, 64"),
    ],
)
def test_sizes_that_cannot_be_tiled_are_explained(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        TiledPredictor(network, **arguments)


@pytest.mark.parametrize("geometry", ["same", "reference"])
def test_pixels_beyond_the_reach_change_nothing(geometry):
    keras.utils.set_random_seed(0)
    model = keras_fcn.FCN8s(
        2, backbone=VGG16(alpha=0.05, fc_filters=4, geometry=geometry, normalization="none")
    )
    predictor = KerasPredictor(randomize_logits(model))
    reach = reach_of(model)
    image = images_of(1, 64, 800)
    changed = image.copy()
    changed[:, :, 401:] = 255 - changed[:, :, 401:]

    difference = np.abs(predictor.logits(changed) - predictor.logits(image)).max((0, 1, 3))

    nearest = np.flatnonzero(difference > 1e-5 * difference.max())[0]
    # At most by the reach, and not by much less: it is no vague bound.
    assert 0.7 * reach < 401 - nearest <= reach
