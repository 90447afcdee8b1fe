"""Weight files by their suffix, and what networks they are for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_fcn.modalities import MODALITIES
from keras_fcn.weights.caffe import open_caffemodel
from keras_fcn.weights.pytorch import open_state_dict
from keras_fcn.weights.source import WeightFile

READERS: dict[str, Callable[[str | Path], WeightFile]] = {
    ".caffemodel": open_caffemodel,
    ".pth": open_state_dict,
    ".pt": open_state_dict,
    ".safetensors": open_state_dict,
}
# By the first layer; its filters at full width are 64, but for CaffeNet.
_BACKBONES = {"conv1_1": "vgg16", "conv1": "alexnet", "conv1_7x7_s2": "googlenet"}
_CAFFENET_FILTERS, _FILTERS = 96, 64
_LAST_UPSAMPLING = {32: "upscore", 16: "upscore16", 8: "upscore8"}


def open_weight_file(path: str | Path) -> WeightFile:
    """Opens a `.caffemodel`, `.pth`, `.pt` or `.safetensors` file, without reading its tensors.

    Raises:
        FileNotFoundError: If there is no such file.
        WeightFileError: If it is cut short, damaged, or of another kind.
        ValueError: If its suffix is none of these.
    """
    path = Path(path)
    if path.suffix not in READERS:
        raise ValueError(
            f"A weight file must end in {', '.join(READERS)}. Received: {str(path)!r}. "
            "Keras' own files are read by `keras.saving.load_model`."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no weight file {str(path)!r}.")
    return READERS[path.suffix](path)


def network_arguments(source: WeightFile) -> dict[str, Any]:
    """Returns the arguments of `FCN` that a weight file tells: what to build it for.

    What a network of three channels sees, colors or HHA, and which mean it
    subtracts, no file tells.

    Args:
        source: From `open_weight_file`.

    Returns:
        `backbone`, `alpha` if it is not as wide as published, `fc_filters`
        where the backbone has fc7, and but for a classifier `num_classes`,
        `stride` and, where they are not the default, `skip_scales`,
        `modalities` and `fusion`.

    Raises:
        ValueError: If the file holds neither scores nor an ImageNet classifier.
    """
    streams = [
        m for m in MODALITIES if source.input_layer.endswith(m) or f"fc6{m}" in source.layers
    ]
    arguments = _backbone_arguments(source, streams)
    if source.is_classifier:
        return arguments
    heads = _classes_by_head(source, streams)
    head = next(iter(heads), "")
    strides = [s for s, name in _LAST_UPSAMPLING.items() if f"{name}{head}" in source.layers]
    if not heads or len(strides) != 1 or arguments["backbone"] is None:
        raise ValueError(
            f"{str(source.path)!r} must hold a fully convolutional network with the layers "
            "score_fr and upscore, upscore16 or upscore8, or an ImageNet classifier. Received: "
            f"{', '.join(source.layers)}. Build the network yourself, and use `load_weight_file`."
        )
    arguments["stride"] = strides[0]
    arguments["num_classes"] = {name[1:]: n for name, n in heads.items()} if head else heads[""]
    scales = [source.layers.get(f"scale_{pool}") for pool in ("pool4", "pool3")]
    if all(scales):
        # By way of the text: 0.01, not the nearest float32.
        arguments["skip_scales"] = tuple(float(str(s.weight.read().flat[0])) for s in scales if s)
    return arguments


def _backbone_arguments(source: WeightFile, streams: list[str]) -> dict[str, Any]:
    """Returns what the layers before the scores tell."""
    suffix = streams[0] if streams else ""
    filters, channels = source.layers[source.input_layer].weight.shape[:2]
    backbone = source.backbone or _BACKBONES.get(source.input_layer.removesuffix(suffix))
    full_width = _CAFFENET_FILTERS if backbone == "alexnet" else _FILTERS
    arguments: dict[str, Any] = {"backbone": backbone}
    if "conv3_4" in source.layers:
        arguments["backbone"] = "vgg19"
    if backbone and filters != full_width:
        arguments["alpha"] = filters / full_width
    if fc7 := source.layers.get(f"fc7{suffix}"):
        arguments["fc_filters"] = max(fc7.weight.shape)  # as many out as in
    if streams:
        arguments |= {"modalities": tuple(streams), "fusion": "late"}
    elif channels == 4:
        arguments["modalities"] = ("color", "depth")
    return arguments


def _classes_by_head(source: WeightFile, streams: list[str]) -> dict[str, int]:
    """Returns the number of classes by the suffix of each head's layers: "" or "_semantic"."""
    suffix = streams[0] if streams else ""
    return {
        name.removeprefix("score_fr").removesuffix(suffix): layer.weight.shape[0]
        for name, layer in source.layers.items()
        if name.startswith("score_fr") and name.endswith(suffix)
    }
