"""The network as an artifact runs it: images to scores, one tensor a head."""

from typing import Any

import keras
import tensorflow as tf

from keras_fcn import FCN
from keras_fcn.labels import Labels, LabelSpec

Size = tuple[int, int]


def labels_of(model: keras.Model) -> Labels:
    """Returns the classes of a model; a model that is not an FCN gets numbered ones.

    >>> images = keras.Input((None, None, 3))
    >>> labels_of(keras.Model(images, keras.layers.Conv2D(2, 1)(images))).class_names
    ('class 0', 'class 1')
    """
    labels = getattr(model, "labels", None)
    if isinstance(labels, LabelSpec | dict):
        return labels
    if isinstance(model.output, dict):
        return {name: LabelSpec.numbered(output.shape[-1]) for name, output in model.output.items()}
    return LabelSpec.numbered(model.output.shape[-1])


def label_specs(labels: Labels) -> dict[str, LabelSpec]:
    """Returns one spec a head; the only head of most models is called `""`."""
    return {"": labels} if isinstance(labels, LabelSpec) else labels


def num_channels(model: keras.Model) -> int:
    """Returns the number of channels of the images: 3 unless there are other modalities."""
    return int(model.input_shape[-1])


def modalities_of(model: keras.Model) -> tuple[str, ...]:
    """Returns the kinds of the images; none for RGB and where the model does not say."""
    return tuple(getattr(model, "modalities", ()))


def image_dtype(model: keras.Model) -> tf.DType:
    """Returns the type of the images an artifact takes.

    That is uint8 for RGB. Depth does not fit into it, so that images with
    another number of channels are float32.
    """
    return tf.uint8 if num_channels(model) == 3 else tf.float32


def network_size(model: keras.Model, size: Size | None) -> Size | None:
    """Returns the height and width that the network sees; `None` for those of each image.

    Raises:
        ValueError: If `size` is no size, or the model was built for another one.
    """
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"`size` must be (height, width) in pixels. Received: size={size}.")
    height, width = model.input_shape[1:3]
    if height is None and width is None:
        return size
    if height is None or width is None or (size is not None and tuple(size) != (height, width)):
        raise ValueError(
            f"`size` must agree with the model, which was built for images of {height}x{width}. "
            f"Received: size={size}. Build it with input_shape=(None, None, "
            f"{num_channels(model)}) and load the same weights."
        )
    return height, width


def output_name(head: str, kind: str) -> str:
    """Returns what an artifact calls an output.

    >>> output_name("", "labels"), output_name("semantic", "labels")
    ('labels', 'semantic_labels')
    """
    return f"{head}_{kind}" if head else kind


def float32_model(model: keras.Model) -> keras.Model:
    """Returns the model with float32 layers; formats for phones know no bfloat16.

    Raises:
        ValueError: If the layers cannot be converted.
    """
    if _computes_in_float32(model):
        return model
    config = {**model.get_config(), "dtype": "float32"}
    if isinstance(model, FCN):
        copy = type(model).from_config(config)
        copy.set_weights(model.get_weights())
        if _computes_in_float32(copy):
            return copy
    raise ValueError(
        f"The layers of {model.name!r} must compute in float32 for this format. Build the model "
        "with float32 layers and load the same weights."
    )


def head_scores(
    model: keras.Model, images: tf.Tensor, *, size: Size | None = None, flip: bool = False
) -> dict[str, tf.Tensor]:
    """Returns the scores of every head at the size of the images.

    Args:
        model: Takes RGB 0..255, gives logits, or a dict of them.
        images: RGB, 0..255, shape `(batch, height, width, 3)`; or the model's modalities.
        size: Height and width that the network sees. The images are resized to it,
            and the scores back by nearest neighbor.
        flip: Whether to average the scores with those of the mirrored images.
    """
    images = tf.cast(images, tf.float32)
    height_and_width = tf.shape(images)[1:3]
    if size is not None:
        images = tf.image.resize(images, size, antialias=True)
    scores = _by_head(model(images, training=False))
    if flip:
        mirrored = _by_head(model(tf.reverse(images, [2]), training=False))
        scores = {
            head: (value + tf.reverse(mirrored[head], [2])) / 2 for head, value in scores.items()
        }
    if size is not None:
        scores = {
            head: tf.image.resize(value, height_and_width, method="nearest")
            for head, value in scores.items()
        }
    return scores


def arg_max(scores: tf.Tensor) -> tf.Tensor:
    """Returns the label of the highest score, uint8, shape `(batch, height, width)`."""
    return tf.cast(tf.argmax(scores, axis=-1, output_type=tf.int32), tf.uint8)


def _computes_in_float32(model: keras.Model) -> bool:
    layers = model._flatten_layers(include_self=False)
    return all(layer.compute_dtype in (None, "float32") for layer in layers)


def _by_head(outputs: Any) -> dict[str, tf.Tensor]:
    outputs = outputs if isinstance(outputs, dict) else {"": outputs}
    return {head: tf.cast(scores, tf.float32) for head, scores in outputs.items()}
