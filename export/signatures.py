"""What a served model can be asked: labels of images, scores of images, masks of image files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import keras
import tensorflow as tf

from keras_fcn.labels import Labels
from keras_fcn.models.optimize import Precision, highest_label

from .image_codec import decode_image, encode_index_png, image_size
from .model_info import Size, head_scores, label_specs, output_name

# 2048 x 2048, or one Cityscapes frame twice. VGG16 needs about 2.5 GB for it.
MAX_PIXELS = 1 << 22

Function = Callable[[tf.Tensor], dict[str, tf.Tensor]]


@dataclass(frozen=True)
class ServingOptions:
    """What is baked into the signatures of a SavedModel.

    Args:
        size: Height and width that the network sees; `None` for those of each image.
        flip: Whether to average with the scores of the mirrored image.
        confidence: Whether to answer the probability of each label, too.
        scores: `"logits"` or `"probabilities"`.
        max_pixels: Largest height x width of an image; larger ones are refused
            before they are decoded or reach the network.
        precision: Of weights and features.
    """

    size: Size | None = None
    flip: bool = False
    confidence: bool = False
    scores: Literal["logits", "probabilities"] = "logits"
    max_pixels: int = MAX_PIXELS
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.scores not in ("logits", "probabilities"):
            raise ValueError(
                f'`scores` must be "logits" or "probabilities". Received: scores={self.scores!r}.'
            )
        if self.max_pixels < 1:
            raise ValueError(
                f"`max_pixels` must be at least 1. Received: max_pixels={self.max_pixels}."
            )


def labels_function(model: keras.Model, options: ServingOptions) -> Function:
    """Returns images uint8 `(batch, height, width, 3)` -> labels uint8 `(batch, height, width)`."""

    def serving_default(images: tf.Tensor) -> dict[str, tf.Tensor]:
        images = _within_limit(images, options.max_pixels)
        scores = head_scores(model, images, size=options.size, flip=options.flip)
        outputs = {
            output_name(head, "labels"): highest_label(value) for head, value in scores.items()
        }
        if options.confidence:
            for head, value in scores.items():
                outputs[output_name(head, "confidence")] = _confidence(value)
        return outputs

    return serving_default


def scores_function(model: keras.Model, options: ServingOptions) -> Function:
    """Returns images -> float32 scores `(batch, height, width, num_classes)`."""

    def scores(images: tf.Tensor) -> dict[str, tf.Tensor]:
        images = _within_limit(images, options.max_pixels)
        by_head = head_scores(model, images, size=options.size, flip=options.flip)
        if options.scores == "probabilities":
            by_head = {head: tf.nn.softmax(value) for head, value in by_head.items()}
        return {output_name(head, "scores"): value for head, value in by_head.items()}

    return scores


def encoded_function(model: keras.Model, labels: Labels, options: ServingOptions) -> Function:
    """Returns files of images, string `(batch,)` -> files of masks, string `(batch,)`.

    The images may differ in size, so the network sees one at a time. If one of
    them cannot be read, the whole request fails: an answer never lacks a mask
    or holds another image's.
    """
    specs = label_specs(labels)

    def encoded(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        # All headers are checked before the first image is decoded.
        checked = tf.map_fn(
            lambda item: _checked_size(item[0], item[1], options.max_pixels),
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
                name: tf.string for head in specs for name in _encoded_outputs(head, options)
            },
        )

    def mask_files(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        image = decode_image(image_bytes)
        scores = head_scores(model, image[None], size=options.size, flip=options.flip)
        outputs = {}
        for head, value in scores.items():
            mask_name, *confidence_name = _encoded_outputs(head, options)
            outputs[mask_name] = encode_index_png(highest_label(value)[0], specs[head].palette)
            for name in confidence_name:
                shares = tf.cast(tf.round(255 * _confidence(value)[0]), tf.uint8)
                outputs[name] = tf.io.encode_png(shares[..., None])
        return outputs

    return encoded


def _encoded_outputs(head: str, options: ServingOptions) -> list[str]:
    # TF Serving's REST interface answers base64 for outputs that end in `_bytes`.
    kinds = ["mask_png_bytes"] + ["confidence_png_bytes"] * options.confidence
    return [output_name(head, kind) for kind in kinds]


def _confidence(scores: tf.Tensor) -> tf.Tensor:
    """Returns the probability of the label with the highest score."""
    return tf.reduce_max(tf.nn.softmax(scores), axis=-1)


def _within_limit(images: tf.Tensor, max_pixels: int) -> tf.Tensor:
    height, width = tf.unstack(tf.shape(images, out_type=tf.int64)[1:3])
    with tf.control_dependencies([_assert_size(height, width, max_pixels, "The images")]):
        return tf.identity(images)


def _checked_size(image_bytes: tf.Tensor, index: tf.Tensor, max_pixels: int) -> tf.Tensor:
    height, width = image_size(image_bytes, index)
    with tf.control_dependencies(
        [_assert_size(height, width, max_pixels, "The image at position", index, "of the request")]
    ):
        return tf.constant(True)


def _assert_size(
    height: tf.Tensor, width: tf.Tensor, max_pixels: int, *subject: str | tf.Tensor
) -> tf.Operation:
    is_allowed = tf.logical_and(height >= 1, width >= 1)
    # Divided, not multiplied: a forged header may state sizes whose product overflows.
    is_allowed = tf.logical_and(is_allowed, height <= max_pixels // tf.maximum(width, 1))
    return tf.debugging.Assert(
        is_allowed,
        [
            *subject,
            "must hold 1 to",
            max_pixels,
            "pixels. Received height and width:",
            height,
            width,
            ". Resize before you send, or export the model again with another --max-pixels.",
        ],
    )
