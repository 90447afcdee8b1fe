import io

import numpy as np
import pytest
import tensorflow as tf
from keras_fcn_export.image_codec import decode_image, encode_index_png, image_size
from PIL import Image

from keras_fcn.labels import voc_palette

from ..helpers import file_bytes, picture


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (256, 255), (500, 375)])
def test_an_index_png_holds_labels_and_palette(size):
    labels = np.random.default_rng(0).integers(0, 21, size, dtype="uint8")

    content = encode_index_png(tf.constant(labels), voc_palette(21)).numpy()

    image = Image.open(io.BytesIO(content))
    image.verify()  # the checksums of all chunks
    image = Image.open(io.BytesIO(content))
    assert image.mode == "P"
    assert image.getpalette()[:6] == [0, 0, 0, 128, 0, 0]
    np.testing.assert_array_equal(np.asarray(image), labels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_size_is_read_from_the_header(kind):
    content = file_bytes(picture(40, 70), kind)

    # The pixels are cut off: only the header can have been read.
    height, width = image_size(tf.constant(content[: max(700, 33)]), tf.constant(0))

    assert (int(height), int(width)) == (40, 70)


@pytest.mark.parametrize("quality", [50, 95])
def test_jpegs_decode_as_in_pillow(quality):
    content = file_bytes(picture(99, 131), "JPEG", quality=quality)

    decoded = decode_image(tf.constant(content)).numpy()

    np.testing.assert_array_equal(decoded, np.asarray(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_pngs_of_any_mode_decode_as_rgb(mode):
    image = Image.fromarray(picture(20, 30)).convert(mode)

    decoded = decode_image(tf.constant(file_bytes(image))).numpy()

    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))


def test_sixteen_bits_become_eight():
    values = np.arange(0, 65536, 1000, dtype="uint16")[None]

    decoded = decode_image(tf.constant(file_bytes(Image.fromarray(values)))).numpy()

    np.testing.assert_array_equal(decoded[0, :, 0], values[0] >> 8)
