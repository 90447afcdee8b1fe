"""What a training starts from: ImageNet weights by default, a file, another network, or nothing."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_fcn.backbones import Backbone
from keras_fcn.models import FCN
from keras_fcn.prediction import load_model
from keras_fcn.weights import fuse_streams, transfer
from keras_fcn.weights import load as load_weights
from keras_fcn.weights.location import locate

from .config import BackboneConfig, ModelConfig

# The layers after the backbone, which no ImageNet classifier has.
_NEW_LAYERS = ("score_", "upscore", "skip_")


@dataclass(frozen=True)
class Start:
    """Where the weights come from, before they are loaded.

    Args:
        weights: What `keras_fcn.weights.load` takes; `None` for random weights or another network.
        description: For the user.
    """

    weights: str | None
    description: str


def find_start(model: ModelConfig, config: BackboneConfig, backbone: Backbone) -> Start:
    """Returns what a training starts from; nothing is loaded yet.

    Args:
        model: Names the network to start from, if there is one.
        config: Names the weights of the backbone.
        backbone: The backbone.

    Raises:
        ValueError: If a file does not exist, or ImageNet weights are not found.
    """
    for name, files in (("init", [model.init]), ("init_streams", model.init_streams or ())):
        for file in filter(None, files):
            if not Path(file).is_file():
                raise ValueError(f"`{name}` must be a .keras file. Received: {name}={file!r}.")
    if model.init or model.init_streams:
        # Weights that they replace are not looked for.
        return Start(None, ", ".join(filter(None, [model.init, *(model.init_streams or ())])))
    if config.weights in (None, "none"):
        return Start(None, "random (--backbone-weights none)")
    if config.weights != "imagenet":
        return Start(str(config.weights), f"the backbone from {config.weights}, the rest new")
    found = locate(backbone, config.weights_dir)
    return Start(str(found.path), f"{backbone.name} from ImageNet, {found}; the rest new")


def fill(network: FCN, config: ModelConfig, start: Start) -> tuple[str, frozenset[int]]:
    """Fills a network with what it starts from.

    Returns:
        A line about where the weights come from, and the positions among the trainable variables
        of those of the backbone that were filled: the pretrained ones.

    Raises:
        ValueError: If the weights do not fit.
    """
    before = _checksums(network)
    description = start.description
    if config.init:
        try:
            report = transfer(load_model(config.init), network)
        except ValueError as error:
            raise ValueError(f"`init`, {config.init}, does not fit: {error}") from error
        description = f"{config.init}: {report}"
    elif config.init_streams:
        streams = zip(config.modalities or (), config.init_streams, strict=True)
        report = fuse_streams(network, {name: load_model(file) for name, file in streams})
        description = f"{', '.join(config.init_streams)}: {report}"
    elif start.weights:
        network.backbone = network.backbone.replace(weights=start.weights)
        load_weights(network)
    changed = {
        i
        for i, pair in enumerate(zip(before, _checksums(network), strict=True))
        if len(set(pair)) > 1
    }
    new = {i for i, v in enumerate(network.trainable_variables) if v.path.startswith(_NEW_LAYERS)}
    return f"Weights: {description}", frozenset(changed - new)


def _checksums(network: keras.Model) -> list[int]:
    # Not copies of the weights, which for VGG16 are half a gigabyte.
    values = (np.ascontiguousarray(variable) for variable in network.trainable_variables)
    return [zlib.crc32(value.data) for value in values]
