"""Requests for the warm-up of a model in TensorFlow Serving."""

import math
from pathlib import Path

import tensorflow as tf

from keras_fcn.prediction import ServingOptions

from .model_info import Size
from .serving.client import field, predict_request
from .signatures import pixel_limit

# The server looks for exactly this file.
WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"


def write_warmup_requests(
    folder: Path, images: tf.TensorSpec, options: ServingOptions, *, has_encoded: bool
) -> None:
    """Adds a request for each signature to a SavedModel.

    The first request for each signature is slow, because TensorFlow prepares its kernels and
    memory. A server runs these requests while it loads the model, so that the first client does
    not wait.

    Args:
        folder: The version's folder.
        images: Input `images` of the model.
        options: Options of the export; the images are within its limits.
        has_encoded: Whether the model has the signature `encoded`.
    """
    path = folder / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in _requests(images, _image_size(options), has_encoded):
            # PredictionLog { predict_log { request } }
            writer.write(field(6, field(1, request)))


def _image_size(options: ServingOptions) -> Size:
    largest = math.isqrt(pixel_limit(options)) - 2 * options.border  # as the network pads it
    side = max(1, min(512, largest // options.stride * options.stride))
    height, width = options.size or (side, side)
    return min(height, side), min(width, side)


def _requests(images: tf.TensorSpec, size: Size, has_encoded: bool) -> list[bytes]:
    num_channels = images.shape[-1]
    # A tensor of equal values is stored as one of them.
    proto = tf.make_tensor_proto(0, images.dtype, shape=(1, *size, num_channels))
    pixels = proto.SerializeToString()
    requests = [_pixels_request(name, pixels) for name in ("serving_default", "logits")]
    if has_encoded:
        black = tf.zeros((*size, 3), tf.uint8)
        files = [tf.io.encode_jpeg(black).numpy(), tf.io.encode_png(black).numpy()]
        requests.append(predict_request("", files))
    return requests


def _pixels_request(signature: str, tensor: bytes) -> bytes:
    specification = field(3, signature.encode())
    return field(1, specification) + field(2, field(1, b"images") + field(2, tensor))
