"""The properties of a network that an export needs, and its logits, one tensor per head."""

import json
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_fcn import FCN, modalities
from keras_fcn.layers import PadToStride
from keras_fcn.prediction.keras_model import heads_of, image_reading_of

Size = tuple[int, int]
# From images, float32, to an output per head.
Run = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def num_channels(model: keras.Model) -> int:
    """Returns the number of channels of the images: 3 unless there are other modalities."""
    return int(model.input_shape[-1])


def modalities_of(model: keras.Model) -> tuple[str, ...]:
    """Returns the names of the modalities; none for RGB and where they have no names."""
    return tuple(getattr(model, "modalities", ()))


def reading_of(model: keras.Model) -> str:
    """Returns how image files are read, as JSON; "" if that is the default."""
    values = image_reading_of(model).to_dict()
    if values.get("channels") != 3:
        values.pop("channels", None)  # the images have as many
    return json.dumps(values) if values else ""


def image_dtype(model: keras.Model) -> tf.DType:
    """Returns the dtype of an exported model's images.

    It is uint8 for RGB. Depth does not fit into uint8, so images with another
    number of channels are float32.
    """
    return tf.as_dtype(modalities.image_dtype(num_channels(model)))


def network_size(model: keras.Model, size: Size | None) -> Size | None:
    """Returns the height and width that the network sees; `None` for those of each image.

    Raises:
        ValueError: If `size` is not a size, or the model was built for another one.
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


def padding(model: keras.Model) -> tuple[int, int]:
    """Returns how a network pads its images: to multiples of the first number, by the second.

    Other models than an `FCN` are taken to pad nothing before their first layer with weights.
    """
    layers = list(model._flatten_layers(include_self=False))
    strides = [layer.stride for layer in layers if isinstance(layer, PadToStride)]
    is_border = isinstance(model, FCN) and not strides
    borders = [
        layer.padding[0][0]
        for layer in layers
        if is_border and isinstance(layer, keras.layers.ZeroPadding2D) and layer.name == "pad"
    ]
    return max(strides, default=1), max(borders, default=0)


def float32_model(model: keras.Model) -> keras.Model:
    """Returns the model with float32 layers; formats for phones have no bfloat16.

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


def run_of(model: keras.Model) -> Run:
    """Returns the function from images to the logits of each head, float32."""
    heads = heads_of(model)

    def logits_of(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = heads.by_name(model(images, training=False))
        return {head: tf.cast(logits, tf.float32) for head, logits in outputs.items()}

    return logits_of


def run_at_size(run: Run, images: tf.Tensor, size: Size | None) -> dict[str, tf.Tensor]:
    """Returns the outputs for images that the network sees at another size.

    Args:
        run: Its outputs have the shape `(batch, height, width, channels)`.
        images: RGB, 0..255, shape `(batch, height, width, 3)`; or the model's modalities.
        size: Height and width to which the images are resized, and from which the outputs are
            resized back by nearest neighbor; `None` for the size of the images.
    """
    images = tf.cast(images, tf.float32)
    if size is None:
        return run(images)
    outputs = run(tf.image.resize(images, size, antialias=True))
    back = tf.shape(images)[1:3]
    return {head: tf.image.resize(x, back, method="nearest") for head, x in outputs.items()}


def flipped_too(run: Run) -> Run:
    """Returns the function that averages the outputs with those for the mirrored images."""

    def average(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs, mirrored = run(images), run(tf.reverse(images, [2]))
        return {head: (x + tf.reverse(mirrored[head], [2])) / 2 for head, x in outputs.items()}

    return average


def arg_max(logits: tf.Tensor) -> tf.Tensor:
    """Returns the class of the highest logit, uint8, shape `(batch, height, width)`."""
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)


def _computes_in_float32(model: keras.Model) -> bool:
    layers = model._flatten_layers(include_self=False)
    return all(layer.compute_dtype in (None, "float32") for layer in layers)
