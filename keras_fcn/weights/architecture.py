"""The network of a weight file, from the names and shapes of its layers."""

from typing import Any

from keras_fcn.backbones import Backbone, create
from keras_fcn.modalities import MODALITIES
from keras_fcn.weights.source import WeightFile

# By the first layer; its filters at full width are 64, except for CaffeNet's.
_BACKBONES = {"conv1_1": "vgg16", "conv1": "alexnet", "conv1_7x7_s2": "googlenet"}
_CAFFENET_FILTERS, _FILTERS = 96, 64
_LAST_UPSAMPLING = {32: "upscore", 16: "upscore16", 8: "upscore8"}


def network_arguments(source: WeightFile) -> dict[str, Any]:
    """Returns the arguments of `FCN` to build the network that a weight file is for.

    No file records which modality a network of three channels takes, RGB or HHA, nor which mean
    it subtracts.

    Args:
        source: From `open_weight_file`.

    Returns:
        `backbone`, and except for a classifier `num_classes`, `stride` and, where they are not
        the default, `skip_scales`, `modalities` and `fusion`.

    Raises:
        ValueError: If the file contains neither score layers nor an ImageNet classifier.
    """
    streams = [
        m for m in MODALITIES if source.input_layer.endswith(m) or f"fc6{m}" in source.layers
    ]
    suffix = streams[0] if streams else ""
    classes = _classes_by_suffix(source, suffix)
    suffix_of_head = next(iter(classes), "")
    strides = [
        s for s, name in _LAST_UPSAMPLING.items() if f"{name}{suffix_of_head}" in source.layers
    ]
    backbone = _backbone(source, suffix)
    is_network = bool(classes) and len(strides) == 1
    if backbone is None or not (is_network or source.is_classifier):
        raise ValueError(
            f"{str(source.path)!r} must contain a fully convolutional network with the layers "
            "score_fr and upscore, upscore16 or upscore8, or an ImageNet classifier. Received: "
            f"{', '.join(source.layers)}. Build the network yourself, and use `load_weight_file`."
        )
    arguments: dict[str, Any] = {"backbone": backbone}
    if streams:
        arguments |= {"modalities": tuple(streams), "fusion": "late"}
    elif source.layers[source.input_layer].weight.shape[1] == 4:
        arguments["modalities"] = ("rgb", "depth")
    if source.is_classifier:
        return arguments
    arguments["stride"] = strides[0]
    by_name = {name.removeprefix("_"): n for name, n in classes.items()}
    arguments["num_classes"] = by_name if suffix_of_head else classes[""]
    scales = [source.layers.get(f"scale_{pool}") for pool in ("pool4", "pool3")]
    if all(scales):
        # By way of the text: 0.01, not the nearest float32.
        arguments["skip_scales"] = tuple(float(str(s.weight.read().flat[0])) for s in scales if s)
    return arguments


def _backbone(source: WeightFile, suffix: str) -> Backbone | None:
    """Returns the backbone of the layers before the score layers; None if it is unknown."""
    name = source.backbone or _BACKBONES.get(source.input_layer.removesuffix(suffix))
    if name is None:
        return None
    if "conv3_4" in source.layers:
        name = "vgg19"
    full_width = _CAFFENET_FILTERS if name == "alexnet" else _FILTERS
    fc7 = source.layers.get(f"fc7{suffix}")
    return create(
        name,
        alpha=source.layers[source.input_layer].weight.shape[0] / full_width,
        fc_filters=max(fc7.weight.shape) if fc7 else None,  # as many out as in
    )


def _classes_by_suffix(source: WeightFile, suffix: str) -> dict[str, int]:
    """Returns the number of classes by the suffix of each head's layers: "" or "_semantic"."""
    return {
        name.removeprefix("score_fr").removesuffix(suffix): layer.weight.shape[0]
        for name, layer in source.layers.items()
        if name.startswith("score_fr") and name.endswith(suffix)
    }
