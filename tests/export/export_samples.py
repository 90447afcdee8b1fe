"""A network of a few thousand parameters whose classes all occur."""

import io

import keras
import numpy as np
from PIL import Image

import keras_fcn
from keras_fcn.backbones import TappedModel

LABELS = keras_fcn.LabelSpec(("sky", "road", "tree", "car"))


def tiny_backbone(channels: int = 3) -> keras.Model:
    images = keras.Input((None, None, channels))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    for level in range(1, 6):
        x = keras.layers.Conv2D(
            8, 3, strides=2, padding="same", activation="relu", name=f"stride{2**level}"
        )(x)
    return keras.Model(images, x, name="tiny")


def tiny_model(seed: int = 0, num_classes: object = 4, **options: object) -> keras.Model:
    keras.utils.set_random_seed(seed)
    if num_classes == 4:
        options = {"labels": LABELS, **options}
    channels = options.get("input_shape", (None, None, 3))[-1]
    model = keras_fcn.FCN8s(
        num_classes,
        backbone=TappedModel(
            tiny_backbone(channels), taps=("stride8", "stride16", "stride32"), fc_filters=8
        ),
        **options,
    )
    randomize_scores(model, seed)
    return model


def randomize_scores(model: keras.Model, seed: int = 0, scale: float = 3.0) -> None:
    """Gives weights to the layers that start at zero, so that every class occurs."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.name.startswith("score_"):
            layer.set_weights([random.normal(0, scale, w.shape) for w in layer.get_weights()])


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Returns colored blobs, uint8, shape `(height, width, 3)`."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype="uint8")
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def file_bytes(image: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, kind, **options)
    return stream.getvalue()


def labels_of(model: keras.Model, image: np.ndarray) -> np.ndarray:
    """Returns the label map of one image, computed apart from the code under test."""
    scores = keras.ops.convert_to_numpy(model(image[None].astype("float32"), training=False))
    return scores[0].argmax(-1)
