"""Backbones: normalized images in, features at strides 4, 8, 16 and 32 out.

`BACKBONES` is the table of those that `FCN8s(backbone="...")` takes by name. A new one is a
subclass of `Backbone` (or of `Application`, for a network of Keras) and a row in the table.
"""

import difflib
from dataclasses import fields
from typing import Any

from keras_fcn.backbones.alexnet import AlexNet, AlexNetTorchvision
from keras_fcn.backbones.applications import (
    Application,
    ConvNeXtTiny,
    DenseNet121,
    EfficientNetV2B0,
    MobileNet,
    MobileNetV2,
    MobileNetV3Large,
    MobileNetV3Small,
    ModelBackbone,
    ResNet50,
    ScalableApplication,
    TappedModel,
)
from keras_fcn.backbones.backbone import Backbone, PaperBackbone, ReferenceBackbone
from keras_fcn.backbones.googlenet import GoogLeNet, GoogLeNetTorchvision
from keras_fcn.backbones.small_resnet import SmallResNet
from keras_fcn.backbones.vgg import VGG16, VGG19

__all__ = [
    "BACKBONES",
    "VGG16",
    "VGG19",
    "AlexNet",
    "AlexNetTorchvision",
    "Application",
    "Backbone",
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetV2B0",
    "GoogLeNet",
    "GoogLeNetTorchvision",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "ModelBackbone",
    "PaperBackbone",
    "ReferenceBackbone",
    "ResNet50",
    "ScalableApplication",
    "SmallResNet",
    "TappedModel",
    "backbone_names",
    "create",
]

BACKBONES: dict[str, type[Backbone]] = {
    kind.name: kind
    for kind in (
        VGG16,
        VGG19,
        AlexNet,
        AlexNetTorchvision,
        GoogLeNet,
        GoogLeNetTorchvision,
        ResNet50,
        SmallResNet,
        MobileNet,
        MobileNetV2,
        MobileNetV3Small,
        MobileNetV3Large,
        EfficientNetV2B0,
        ConvNeXtTiny,
        DenseNet121,
    )
}


def backbone_names() -> tuple[str, ...]:
    """Returns the names that `backbone=` accepts.

    >>> backbone_names()[:3]
    ('vgg16', 'vgg19', 'alexnet')
    """
    return tuple(BACKBONES)


def create(name: str, **settings: Any) -> Backbone:
    """Returns the backbone of a name.

    Args:
        name: One of `backbone_names()`.
        **settings: Arguments of its class. Those that are `None` keep their defaults, and
            `geometry="same"`, which is what all backbones have, is accepted by all.

    Raises:
        ValueError: If there is no such backbone, or it has no such setting.

    Example:
        >>> create("mobilenet_v2", alpha=0.35, dropout=None) == MobileNetV2(alpha=0.35)
        True
        >>> create("resnet50", alpha=0.5)
        Traceback (most recent call last):
        ValueError: `alpha` is for vgg16, ... Received: alpha=0.5 for 'resnet50'. Leave it out.
    """
    if not isinstance(name, str) or name not in BACKBONES:
        raise ValueError(
            "`backbone` must be an object such as keras_fcn.backbones.MobileNetV2(alpha=0.35), "
            "for a keras.Model of yours keras_fcn.backbones.TappedModel(model, taps=(...)), or "
            f"one of {', '.join(BACKBONES)}. Received: backbone={name!r}."
        )
    given = {setting: value for setting, value in settings.items() if value is not None}
    names_of = {kind: [f.name for f in fields(row)] for kind, row in BACKBONES.items()}
    for setting, value in list(given.items()):
        if setting in names_of[name]:
            continue
        having = [kind for kind, names in names_of.items() if setting in names]
        if not having:
            nearest = difflib.get_close_matches(setting, names_of[name], n=1)
            raise ValueError(
                f"Unknown setting {setting!r} of {name!r}. "
                + (f"Did you mean {nearest[0]!r}? " if nearest else "")
                + f"It has: {', '.join(names_of[name])}."
            )
        if (setting, value) == ("geometry", "same"):
            del given[setting]
            continue
        way_out = 'Use geometry="same".' if setting == "geometry" else "Leave it out."
        raise ValueError(
            f"`{setting}` is for {', '.join(having)}. Received: {setting}={value!r} for {name!r}. "
            + way_out
        )
    return BACKBONES[name](**given)
