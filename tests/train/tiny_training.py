"""A dataset and a backbone so small that a training takes a second.

Import it before a training; it works in a fresh process too, where
monkeypatching from a test does not reach.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from keras_fcn_train import Config

from keras_fcn import LabelSpec
from keras_fcn.backbones import BACKBONES, Application
from keras_fcn.backbones.applications import Taps
from keras_fcn.datasets import from_arrays

SPEC = LabelSpec(("ground", "stripe", "box"))
HEADS = {"thing": SPEC, "light": LabelSpec(("dark", "bright"))}


def tiny_backbone(normalized: bool, dropout: float = 0.0) -> keras.Model:
    """Returns three convolutions with strides 8, 16 and 32, with or without BatchNorm.

    As in EfficientNetV2, dropout comes before it.
    """
    images = keras.Input((None, None, 3))
    x = images
    for name, filters, strides in (("s8", 4, 8), ("s16", 6, 2), ("s32", 8, 2)):
        x = layers.Conv2D(
            filters, strides + 1, strides=strides, padding="same", name=f"{name}_conv"
        )(x)
        if dropout:
            x = layers.Dropout(dropout)(x)
        if normalized:
            x = layers.BatchNormalization(name=f"{name}_bn")(x)
        x = layers.ReLU(name=name)(x)
    return keras.Model(images, x, name="tiny")


@keras.saving.register_keras_serializable(package="tests")
@dataclass(frozen=True, kw_only=True)
class Tiny(Application):
    """A backbone of three convolutions."""

    taps: Taps = ("s8", "s16", "s32")
    name = "tiny"
    trained_with = "tf"
    constructor = staticmethod(lambda **_: tiny_backbone(normalized=False))


@keras.saving.register_keras_serializable(package="tests")
@dataclass(frozen=True, kw_only=True)
class TinyNormalized(Tiny):
    """A backbone of three convolutions with BatchNorm."""

    name = "tiny_normalized"
    constructor = staticmethod(lambda **_: tiny_backbone(normalized=True))


@keras.saving.register_keras_serializable(package="tests")
@dataclass(frozen=True, kw_only=True)
class TinyDropped(Tiny):
    """A backbone of three convolutions with dropout before BatchNorm."""

    name = "tiny_dropped"
    constructor = staticmethod(lambda **_: tiny_backbone(normalized=True, dropout=0.3))


def tiny_dataset(name: str = "tiny", *, num_train: int = 12) -> Any:
    """Returns noisy images, 40x48 and 36x48, whose class is brightness, with void pixels.

    The set "tiny_heads" has a second label map: whether a pixel is bright.
    """
    has_heads = name == "tiny_heads"
    random = np.random.default_rng(0)

    def example(height: int) -> dict[str, Any]:
        label = np.repeat(random.integers(0, 3, (height // 4, 12)), 4, axis=0).repeat(4, axis=1)
        image = 90 * label[..., None] + random.integers(0, 60, (height, 48, 3))
        bright = (label > 0).astype("uint8")
        label[:2] = SPEC.ignore_class
        label = label.astype("uint8")
        both = {"thing": label, "light": bright}
        return {"image": image.astype("uint8"), "label": both if has_heads else label}

    splits = {
        "train": [example(40 - 4 * (i % 2)) for i in range(num_train)],
        "val": [example(40 - 4 * (i % 2)) for i in range(3)],
    }
    return from_arrays(name, HEADS if has_heads else SPEC, splits)


def tiny_config(**settings: Any) -> Config:
    """Returns settings that use shuffle, augmentation, dropout and an average."""
    return Config().replace(
        **{
            "dataset": "tiny",
            "backbone": "tiny_normalized",
            "fc_filters": 8,
            "dropout": 0.5,
            "crop_size": (32, 32),
            "batch_size": 4,
            "epochs": 3,
            "learning_rate": 0.01,
            "ema_decay": 0.9,
            **settings,
        }
    )


def install() -> None:
    """Makes the backbones known by name."""
    for kind in (Tiny, TinyNormalized, TinyDropped):
        BACKBONES[kind.name] = kind
