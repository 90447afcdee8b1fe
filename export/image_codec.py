"""Image files inside a TensorFlow graph: their size before they are decoded, and index PNGs."""

import struct
import zlib
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.labels import Color

_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Signature (8 bytes), then the IHDR chunk: length, type, 13 bytes of header, checksum.
_PNG_HEADER_LENGTH = 8 + 4 + 4 + 13 + 4
_GRAYSCALE, _PALETTE = 0, 3
_BYTES = np.array([bytes([value]) for value in range(256)], dtype=object)


def image_size(image_bytes: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the height and width that a JPEG or PNG file states, without decoding it.

    Args:
        image_bytes: The file, a scalar string.
        index: Its position in the request, for the error message.

    Returns:
        Two int64 scalars.

    Raises:
        tf.errors.InvalidArgumentError: If it is neither a JPEG nor a PNG file,
            or its header is damaged.
    """
    is_png = _starts_with(image_bytes, _PNG_START)
    is_known = tf.logical_or(is_png, _starts_with(image_bytes, _JPEG_START))
    known = tf.debugging.Assert(
        is_known,
        [
            "image_bytes must contain JPEG or PNG files. Received neither at position",
            index,
            "of the request; its number of bytes is",
            tf.strings.length(image_bytes),
        ],
    )
    with tf.control_dependencies([known]):
        size = tf.cond(
            is_png,
            lambda: _png_size(image_bytes, index),
            lambda: tf.cast(tf.io.extract_jpeg_shape(image_bytes)[:2], tf.int64),
        )
    return size[0], size[1]


def decode_image(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns a JPEG or PNG file as RGB, uint8, shape `(height, width, 3)`.

    Gray images get three equal channels, alpha is dropped, 16 bits become 8.
    EXIF orientation is not applied.
    """
    return tf.ensure_shape(
        tf.cond(
            _starts_with(image_bytes, _PNG_START),
            lambda: tf.io.decode_png(image_bytes, channels=3),
            # The accurate transform is Pillow's default, but not TensorFlow's.
            lambda: tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE"),
        ),
        (None, None, 3),
    )


def encode_index_png(labels: tf.Tensor, palette: tuple[Color, ...]) -> tf.Tensor:
    """Returns a label map as the bytes of a palette PNG, whose pixels are the labels.

    TensorFlow writes gray PNGs only. The file is the same except for the color type in its
    header, the header's checksum, and the palette that follows.

    Args:
        labels: uint8, shape `(height, width)`.
        palette: One color per class.
    """
    gray = tf.io.encode_png(labels[..., None])
    header = tf.io.decode_raw(tf.strings.substr(gray, 0, _PNG_HEADER_LENGTH), tf.uint8)
    header = tf.bitwise.bitwise_xor(header, _gray_to_palette_header())
    header_bytes = tf.strings.reduce_join(tf.gather(tf.constant(_BYTES), tf.cast(header, tf.int32)))
    rest = tf.strings.substr(gray, _PNG_HEADER_LENGTH, tf.strings.length(gray))
    return tf.strings.join([header_bytes, tf.constant(_palette_chunk(palette)), rest])


def _starts_with(image_bytes: tf.Tensor, start: bytes) -> tf.Tensor:
    head = tf.cond(
        tf.strings.length(image_bytes) >= len(start),
        lambda: tf.strings.substr(image_bytes, 0, len(start)),
        lambda: tf.constant(b""),
    )
    return tf.equal(head, start)


def _png_size(image_bytes: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    complete = tf.debugging.Assert(
        tf.strings.length(image_bytes) >= _PNG_HEADER_LENGTH,
        ["The PNG file ends within its header, at position", index, "of the request"],
    )
    with tf.control_dependencies([complete]):
        # IHDR is the first chunk of every PNG: width and height, most significant byte first.
        size = tf.io.decode_raw(
            tf.strings.substr(image_bytes, 16, 8), tf.int32, little_endian=False
        )
    return tf.cast(tf.reverse(size, [0]), tf.int64)


def _gray_to_palette_header() -> Any:
    """Returns the value to XOR the header of a gray PNG with, for any image size.

    A CRC is affine over XOR: changing certain bits of a text of one length
    changes its CRC by an amount that does not depend on the other bits.
    """
    gray = _header_with_checksum(_GRAYSCALE)
    palette = _header_with_checksum(_PALETTE)
    change = np.zeros(_PNG_HEADER_LENGTH, "uint8")
    change[12:] = np.frombuffer(gray, "uint8") ^ np.frombuffer(palette, "uint8")
    return tf.constant(change)


def _header_with_checksum(color_type: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, color_type, 0, 0, 0)
    return header + struct.pack(">I", zlib.crc32(header))


def _palette_chunk(palette: tuple[Color, ...]) -> bytes:
    content = b"PLTE" + bytes(value for color in palette for value in color)
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
