"""What the tests of several folders share: small networks, random logits, images.

It has no relative imports, so that programs which tests start can import it too.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers
from PIL import Image

import keras_fcn
from keras_fcn import LabelSpec
from keras_fcn.backbones import Backbone
from keras_fcn.backbones.applications import ModelBackbone, Taps
from keras_fcn.layers.normalization import NormalizationMode

TAPS: Taps = ("s8", "s16", "s32")
LABELS = LabelSpec(("sky", "road", "tree", "car"))

# === The tiny network ===


def tiny_layers(num_channels: int = 3, *, has_batchnorm: bool = False) -> keras.Model:
    """Returns three convolutions with the taps "s8", "s16" and "s32"."""
    images = x = keras.Input((None, None, num_channels))
    for name, filters, size, strides in (("s8", 4, 8, 8), ("s16", 6, 3, 2), ("s32", 8, 3, 2)):
        x = layers.Conv2D(filters, size, strides, padding="same", name=f"{name}_conv")(x)
        if has_batchnorm:
            x = layers.BatchNormalization(name=f"{name}_bn")(x)
        x = layers.ReLU(name=name)(x)
    return keras.Model(images, x, name="tiny")


@keras.saving.register_keras_serializable(package="tests")
@dataclass(frozen=True, kw_only=True)
class Tiny(ModelBackbone):
    """A backbone of three convolutions, which builds and runs in an instant."""

    taps: Taps = TAPS
    fc_filters: int = 8

    name: ClassVar[str] = "tiny"
    trained_with: ClassVar[NormalizationMode] = "tf"
    has_batchnorm: ClassVar[bool] = False

    def network(self, num_channels: int, weights: str | None = None) -> keras.Model:
        assert weights is None
        return tiny_layers(num_channels, has_batchnorm=self.has_batchnorm)


@keras.saving.register_keras_serializable(package="tests")
@dataclass(frozen=True, kw_only=True)
class TinyWithBatchNorm(Tiny):
    """The same with BatchNorm after each convolution."""

    name: ClassVar[str] = "tiny_batchnorm"
    has_batchnorm: ClassVar[bool] = True


# For `BACKBONES`, where a test names its backbone in a configuration: the fixture `tiny_backbones`.
TINY_BACKBONES: dict[str, type[Backbone]] = {kind.name: kind for kind in (Tiny, TinyWithBatchNorm)}


def tiny_model(
    num_classes: Any = 4,
    *,
    variant: Callable[..., keras.Model] = keras_fcn.FCN8s,
    backbone: Backbone | None = None,
    seed: int = 0,
    scale: float = 3.0,
    **options: Any,
) -> keras.Model:
    """Returns a network of a few thousand parameters that predicts each of its classes.

    Args:
        num_classes: Number of classes, or a dictionary of them by head; 4 have `LABELS`.
        variant: What builds it.
        backbone: `Tiny()` by default.
        seed: Equal seeds give equal weights.
        scale: See `randomize_logits`.
        **options: Further arguments of `variant`.
    """
    keras.utils.set_random_seed(seed)
    if num_classes == 4:
        options = {"labels": LABELS, **options}
    model = variant(num_classes, backbone=backbone or Tiny(), **options)
    return randomize_logits(model, seed, scale)


def randomize_logits(model: keras.Model, seed: int = 0, scale: float = 1.0) -> keras.Model:
    """Gives random weights to the layers that start at zero and would hide every difference.

    Args:
        model: The network; it is changed, and returned.
        seed: Equal seeds give equal weights.
        scale: Standard deviation of the kernels. Biases have a tenth of it, or the same class would
            be predicted everywhere.
    """
    random = np.random.default_rng(seed)
    named = [layer for layer in model.layers if layer.name.startswith("score_")]
    score_layers = [layer for layer in named if layer.weights]
    assert score_layers
    for layer in score_layers:
        kernel, bias = layer.get_weights()
        layer.set_weights(
            [random.normal(0, scale, kernel.shape), random.normal(0, scale / 10, bias.shape)]
        )
    return model


def predictions_of(model: keras.Model, image: np.ndarray) -> np.ndarray:
    """Returns the predictions for one image, computed apart from the code under test."""
    logits = keras.ops.convert_to_numpy(model(image[None].astype("float32"), training=False))
    return logits[0].argmax(-1)


# === Networks whose predictions are known ===


def channel_model(
    size: tuple[int | None, int | None] = (None, None), channels: int = 3
) -> keras.Model:
    """Returns a network whose logits are the pixels: the brightest channel is the class."""
    inputs = keras.Input((*size, channels))
    return keras.Model(inputs, layers.Rescaling(1.0)(inputs))


def two_headed_model() -> keras.Model:
    """Returns a network that predicts the brightest channel and, by its other head, the darkest."""
    inputs = keras.Input((None, None, 3))
    outputs = {
        "brightest": layers.Rescaling(1.0)(inputs),
        "darkest": layers.Rescaling(-1.0)(inputs),
    }
    return keras.Model(inputs, outputs)


# === Images ===


def images_of(*shape: int) -> np.ndarray:
    """Returns random uint8 images, shape `(batch, height, width, 3)`."""
    return np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype("uint8")


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Returns colored blobs, uint8, shape `(height, width, 3)`."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype="uint8")
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def file_bytes(image: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Returns the contents of an image file."""
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, kind, **options)
    return stream.getvalue()
