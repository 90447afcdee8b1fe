"""The network that a configuration describes."""

from pathlib import Path
from typing import Any

import keras

from keras_fcn.backbones import create
from keras_fcn.labels import Heads
from keras_fcn.models import FCN, VARIANTS
from keras_fcn.prediction import load_model
from keras_fcn.weights import fuse_streams, transfer

from .config import BackboneConfig, ModelConfig
from .terminal import printable

# Pixels from one of the finest logits to the next, by variant.
STRIDES = {"fcn32s": 32, "fcn16s": 16, "fcn8s": 8, "fcn8s_atonce": 8}


def build_network(
    config: ModelConfig,
    backbone: BackboneConfig,
    heads: Heads,
    bands: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
) -> FCN:
    """Returns the network, with pretrained weights where the configuration names them.

    Args:
        config: The variant, its inputs and its initial weights.
        backbone: The backbone.
        heads: The classes by head.
        bands: Mean and deviation of each band, of images that are not RGB and have no names.

    Raises:
        ValueError: If the settings contradict each other, or `init` does not match the network.
    """
    for name, files in (("init", [config.init]), ("init_streams", config.init_streams or ())):
        for file in filter(None, files):
            if not Path(file).is_file():
                raise ValueError(f"`{name}` must be a .keras file. Received: {name}={file!r}.")
    if bands and (backbone.mean is not None or config.modalities):
        name = "mean" if backbone.mean is not None else "modalities"
        raise ValueError(
            f"`{name}` is for RGB, HHA and depth; the images have {len(bands[0])} bands, whose "
            f"mean and deviation are measured. Leave `{name}` out."
        )
    normalization = (
        {"normalization": "standardize", "mean": bands[0], "deviation": bands[1]}
        if bands
        else {"mean": backbone.mean}
    )
    is_filled = bool(config.init or config.init_streams)
    weights = None if backbone.weights == "none" else backbone.weights
    network = VARIANTS[config.variant](
        heads.unwrapped({head: spec.num_classes for head, spec in heads.items()}),
        backbone=create(
            backbone.name,
            # Weights that `init` replaces are not downloaded first.
            weights=None if is_filled else weights,
            geometry=backbone.geometry,
            **normalization,
            alpha=backbone.alpha,
            fc_filters=backbone.fc_filters,
            dropout=backbone.dropout,
        ),
        input_shape=(None, None, len(bands[0])) if bands else None,
        modalities=config.modalities or (),
        fusion=config.fusion,
        skip_filters=config.skip_filters,
        upsampling=config.upsampling,
        labels=heads.labels,
        dtype=config.precision,
    )
    if config.init:
        try:
            report = transfer(load_model(config.init), network)
        except ValueError as error:
            raise ValueError(f"`init`, {config.init}, does not fit: {error}") from error
        print(printable(f"Started from {config.init}: {report}"))
    if config.init_streams:
        streams = zip(config.modalities or (), config.init_streams, strict=True)
        report = fuse_streams(network, {name: load_model(file) for name, file in streams})
        print(printable(f"Started from {', '.join(config.init_streams)}: {report}"))
    if config.batchnorm_momentum is not None:
        set_batchnorm_momentum(network, config.batchnorm_momentum)
    if config.freeze_batchnorm:
        freeze_batchnorm(network)
    return network


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
