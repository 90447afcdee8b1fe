"""The signatures of a SavedModel: predictions, logits, and masks of encoded image files."""

from collections.abc import Callable

import tensorflow as tf

from keras_fcn.labels import Heads
from keras_fcn.models.optimize import fast_argmax
from keras_fcn.prediction import ServingOptions
from keras_fcn.prediction.graph import NetworkGraph

from .image_codec import decode_image, encode_index_png, image_size
from .model_info import flipped_too, run_at_size

# 2048 x 2048, or one Cityscapes frame twice, after padding. VGG16 needs about 2.5 GB for it.
MAX_PIXELS = 1 << 22

Function = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def pixel_limit(options: ServingOptions) -> int:
    """Returns the largest height x width of an image that a model takes."""
    return options.max_pixels or MAX_PIXELS


def predictions_function(network: NetworkGraph, options: ServingOptions) -> Function:
    """Returns the function from images to predictions, uint8 `(batch, height, width)`."""
    heads = network.heads

    def serving_default(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return _in_parts(run, images, specs, options)

    def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = {}
        for head, (predictions, confidence) in _predictions(network, images, options).items():
            outputs[f"{heads.prefix(head)}predictions"] = predictions
            if confidence is not None:
                outputs[f"{heads.prefix(head)}confidence"] = confidence
        return outputs

    maps = (None, None, None)
    specs = {f"{heads.prefix(head)}predictions": tf.TensorSpec(maps, tf.uint8) for head in heads}
    if options.confidence:
        names = (f"{heads.prefix(head)}confidence" for head in heads)
        specs.update({name: tf.TensorSpec(maps, tf.float32) for name in names})
    return serving_default


def logits_function(network: NetworkGraph, options: ServingOptions) -> Function:
    """Returns the function from images to float32 logits `(batch, height, width, num_classes)`."""
    heads = network.heads

    def logits(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return _in_parts(run, images, specs, options)

    def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            f"{heads.prefix(head)}logits": tf.nn.softmax(value) if options.probabilities else value
            for head, value in _logits(network, images, options).items()
        }

    specs = {
        f"{heads.prefix(head)}logits": tf.TensorSpec((None, None, None, spec.num_classes))
        for head, spec in heads.items()
    }
    return logits


def encoded_function(network: NetworkGraph, options: ServingOptions) -> Function:
    """Returns the function from image files, string `(batch,)`, to mask files, string `(batch,)`.

    The images may differ in size, so the network sees one at a time. If one of
    them cannot be read, the whole request fails: a response never lacks a mask
    or contains another image's.
    """
    heads = network.heads

    def encoded(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        # All headers are checked before the first image is decoded.
        checked = tf.map_fn(
            lambda item: _checked_size(item[0], item[1], options),
            (image_bytes, tf.range(tf.size(image_bytes))),
            fn_output_signature=tf.bool,
        )
        with tf.control_dependencies([checked]):
            image_bytes = tf.identity(image_bytes)
        # One at a time, or the memory would grow with the request.
        return tf.map_fn(
            mask_files,
            image_bytes,
            parallel_iterations=1,
            fn_output_signature={
                name: tf.string for head in heads for name in _encoded_outputs(heads, head, options)
            },
        )

    def mask_files(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        images = decode_image(image_bytes)[None]
        outputs = {}
        for head, (predictions, confidence) in _predictions(network, images, options).items():
            names = _encoded_outputs(heads, head, options)
            outputs[names[0]] = encode_index_png(predictions[0], heads[head].palette)
            if confidence is not None:
                shares = tf.cast(tf.round(255 * confidence[0]), tf.uint8)
                outputs[names[1]] = tf.io.encode_png(shares[..., None])
        return outputs

    return encoded


def _predictions(
    network: NetworkGraph, images: tf.Tensor, options: ServingOptions
) -> dict[str, tuple[tf.Tensor, tf.Tensor | None]]:
    """Returns the predictions of each head, and on request the probability of each."""
    if not options.flip and not options.confidence:

        def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {head: maps[..., None] for head, maps in network.predictions(images).items()}

        outputs = run_at_size(run, images, options.size)
        return {head: (maps[..., 0], None) for head, maps in outputs.items()}
    return {
        head: (fast_argmax(logits), _confidence(logits) if options.confidence else None)
        for head, logits in _logits(network, images, options).items()
    }


def _logits(
    network: NetworkGraph, images: tf.Tensor, options: ServingOptions
) -> dict[str, tf.Tensor]:
    run = flipped_too(network.logits) if options.flip else network.logits
    return run_at_size(run, images, options.size)


def _encoded_outputs(heads: Heads, head: str, options: ServingOptions) -> list[str]:
    # TF Serving's REST interface returns base64 for outputs that end in `_bytes`.
    kinds = ["mask_png_bytes"] + ["confidence_png_bytes"] * options.confidence
    return [heads.prefix(head) + kind for kind in kinds]


def _confidence(logits: tf.Tensor) -> tf.Tensor:
    """Returns the probability of the predicted class."""
    return tf.reduce_max(tf.nn.softmax(logits), axis=-1)


def _in_parts(
    run: Function, images: tf.Tensor, specs: dict[str, tf.TensorSpec], options: ServingOptions
) -> dict[str, tf.Tensor]:
    """Returns what a function returns for images, of which it gets so many as the limit allows.

    Else a request of some kilobytes, of many images of one pixel, would take the memory of the
    images that they are padded to.
    """
    height, width = tf.unstack(tf.shape(images, out_type=tf.int64)[1:3])
    with tf.control_dependencies([_assert_size(height, width, options, "The images")]):
        images = tf.identity(images)
    num_images = tf.shape(images, out_type=tf.int64)[0]
    pixels = options.padded(height) * options.padded(width)
    if options.size:
        pixels = tf.maximum(pixels, options.size[0] * options.size[1])
    per_part = tf.maximum(pixel_limit(options) // tf.maximum(pixels, 1), 1)
    num_parts = tf.maximum(tf.cast(-(-num_images // per_part), tf.int32), 1)
    outputs = {
        name: tf.TensorArray(spec.dtype, num_parts, element_shape=spec.shape, infer_shape=False)
        for name, spec in specs.items()
    }

    def run_part(
        part: tf.Tensor, outputs: dict[str, tf.TensorArray]
    ) -> tuple[tf.Tensor, dict[str, tf.TensorArray]]:
        start = tf.cast(part, tf.int64) * per_part
        values = run(images[start : start + per_part])
        return part + 1, {name: array.write(part, values[name]) for name, array in outputs.items()}

    _, outputs = tf.while_loop(
        lambda part, _: part < num_parts, run_part, (0, outputs), parallel_iterations=1
    )
    return {name: tf.ensure_shape(outputs[name].concat(), specs[name].shape) for name in specs}


def _checked_size(image_bytes: tf.Tensor, index: tf.Tensor, options: ServingOptions) -> tf.Tensor:
    height, width = image_size(image_bytes, index)
    with tf.control_dependencies(
        [_assert_size(height, width, options, "The image at position", index, "of the request")]
    ):
        return tf.constant(True)


def _assert_size(
    height: tf.Tensor, width: tf.Tensor, options: ServingOptions, *subject: str | tf.Tensor
) -> tf.Operation:
    max_pixels = pixel_limit(options)
    padded_height, padded_width = options.padded(height), options.padded(width)
    is_allowed = tf.logical_and(height >= 1, width >= 1)
    # Divided, not multiplied: a forged header may state sizes whose product overflows.
    is_allowed = tf.logical_and(
        is_allowed, padded_height <= max_pixels // tf.maximum(padded_width, 1)
    )
    return tf.debugging.Assert(
        is_allowed,
        [
            *subject,
            "must have 1 to",
            max_pixels,
            "pixels as the network pads them. Received height and width:",
            height,
            width,
            ", padded:",
            padded_height,
            padded_width,
            ". Resize before you send, or export the model again with another --max-pixels.",
        ],
    )
