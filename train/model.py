"""The network that a configuration describes."""

from typing import Any

import keras

from keras_fcn.backbones import Backbone, create
from keras_fcn.labels import Heads
from keras_fcn.models import FCN, VARIANTS

from .config import BackboneConfig, ModelConfig

# Pixels from one of the finest logits to the next, by variant.
STRIDES = {"fcn32s": 32, "fcn16s": 16, "fcn8s": 8, "fcn8s_atonce": 8, "fcn4s": 4}


# The mean and the deviation of each band.
Bands = tuple[tuple[float, ...], tuple[float, ...]]


def build_backbone(config: BackboneConfig) -> Backbone:
    """Returns the backbone of a configuration, without weights.

    Raises:
        ValueError: If there is no such backbone, or it has no such setting.
    """
    return create(
        config.name,
        geometry=config.geometry,
        mean=config.mean,
        alpha=config.alpha,
        fc_filters=config.fc_filters,
        dropout=config.dropout,
    )


def build_network(
    config: ModelConfig, backbone: Backbone, heads: Heads, bands: Bands | None = None
) -> FCN:
    """Returns the network with random weights; `starts.fill` gives it others.

    Args:
        config: The variant and its inputs.
        backbone: The backbone.
        heads: The classes by head.
        bands: Mean and deviation of each band, of images that are not RGB and have no names.

    Raises:
        ValueError: If the settings contradict each other.
    """
    if bands:
        backbone = _for_bands(backbone, bands, config)
    network = VARIANTS[config.variant](
        heads.unwrapped({head: spec.num_classes for head, spec in heads.items()}),
        backbone=backbone,
        input_shape=(None, None, len(bands[0])) if bands else None,
        modalities=config.modalities or (),
        fusion=config.fusion,
        skip_filters=config.skip_filters,
        upsampling=config.upsampling,
        labels=heads.labels,
        dtype=config.precision,
    )
    if config.batchnorm_momentum is not None:
        set_batchnorm_momentum(network, config.batchnorm_momentum)
    if config.freeze_batchnorm:
        freeze_batchnorm(network)
    return network


def _for_bands(backbone: Backbone, bands: Bands, config: ModelConfig) -> Backbone:
    """Returns the backbone for images that are not RGB and have no names."""
    if backbone.mean is not None or config.modalities:
        name = "mean" if backbone.mean is not None else "modalities"
        raise ValueError(
            f"`{name}` is for RGB, HHA and depth; the images have {len(bands[0])} bands, whose "
            f"mean and deviation are measured. Leave `{name}` out."
        )
    mean, deviation = bands
    return backbone.replace(normalization="standardize", mean=mean, deviation=deviation)


def set_batchnorm_momentum(network: FCN, momentum: float) -> None:
    """Sets how slowly the moving statistics of all BatchNorm layers follow the batches.

    They matter for inference only. The MobileNets come with 0.999, which takes thousands of
    steps: after 1,200 steps on CamVid the validation mean IoU was 0.47 with them, and
    0.63 with statistics of the last few batches.
    """
    for layer in _nested_layers(network):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum


def freeze_batchnorm(network: FCN) -> int:
    """Keeps the backbone's BatchNorm layers at their pretrained statistics, scales and offsets.

    Those outside the backbone were never pretrained, and stay trainable.

    Returns:
        The number of layers that were frozen.
    """
    frozen = 0
    for backbone in network.layers:
        if isinstance(backbone, keras.Model):
            for layer in _nested_layers(backbone):
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False
                    frozen += 1
    return frozen


def _nested_layers(model: keras.Model) -> list[Any]:
    nested: list[Any] = []
    for layer in model.layers:
        nested += _nested_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return nested
