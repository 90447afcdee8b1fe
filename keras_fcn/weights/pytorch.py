"""PyTorch's weights: wkentaro/pytorch-fcn's networks and torchvision's classifiers."""

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_fcn.files import first_line
from keras_fcn.weights.source import (
    Shape,
    SourceLayer,
    StoredTensor,
    WeightFile,
    WeightFileError,
)

Tensors = Mapping[str, StoredTensor]

# Checkpoints contain the weights under one of these keys, beside the state of the training.
_STATE_KEYS = ("model_state_dict", "state_dict", "model")

# By the last convolution.
_VGG_BLOCKS = {"features.34": (2, 2, 4, 4, 4), "features.28": (2, 2, 3, 3, 3)}
_ALEXNET = {
    "features.0": "conv1",
    "features.3": "conv2",
    "features.6": "conv3",
    "features.8": "conv4",
    "features.10": "conv5",
    "classifier.1": "fc6",
    "classifier.4": "fc7",
    "classifier.6": "fc8",
}
_GOOGLENET_STEM = {"conv1": "conv1_7x7_s2", "conv2": "conv2_3x3_reduce", "conv3": "conv2_3x3"}
_GOOGLENET_BRANCHES = {
    "branch1": "1x1",
    "branch2.0": "3x3_reduce",
    "branch2.1": "3x3",
    "branch3.0": "5x5_reduce",
    "branch3.1": "5x5",
    "branch4.1": "pool_proj",
}
_BATCH_NORM_EPSILON = 1e-3  # of torchvision's GoogLeNet

# Notes of the report; they matter most if the model has Caffe's layers.
_ALEXNET_NOTE = (
    "torchvision's AlexNet is not CaffeNet: 64 to 256 filters without groups, and no local "
    'response normalization; it fits backbone="alexnet_torchvision"'
)
_GOOGLENET_NOTE = (
    "torchvision's GoogLeNet is not BVLC's: 3x3 kernels instead of 5x5, 2x2 pooling before "
    "inception_5a, and no local response normalization; it fits "
    'backbone="googlenet_torchvision", with its batch normalization folded into the convolutions'
)


def read_state_dict(path: str | Path) -> dict[str, StoredTensor]:
    """Returns the tensors of a PyTorch state dict.

    `.safetensors` files are read without PyTorch. The others, which are
    pickles, are read by `torch.load(weights_only=True)`, which runs no code
    from the file. From a checkpoint only the weights are taken.

    Args:
        path: A `.safetensors`, `.pth` or `.pt` file.

    Returns:
        Names without the `module.` of `DataParallel`, and tensors.

    Raises:
        FileNotFoundError: If there is no such file.
        WeightFileError: If the file is cut short, damaged, or no state dict.
        ImportError: If the file needs PyTorch, which is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weight file {str(path)!r}.")
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def open_state_dict(path: str | Path) -> WeightFile:
    """Returns a PyTorch file as `assign_weights` takes it.

    Known are the networks of wkentaro/pytorch-fcn, whose layers have the
    reference's names and inputs, and torchvision's VGG16, VGG19, AlexNet and
    GoogLeNet, whose layers are numbered and whose inputs are RGB in [0, 1]
    minus a mean, divided by a standard deviation.

    Raises:
        FileNotFoundError: If there is no such file.
        WeightFileError: If the file is cut short, damaged, or none of these networks.
        ImportError: If the file needs PyTorch, which is not installed.

    Reference:
        https://github.com/wkentaro/pytorch-fcn, https://github.com/pytorch/vision
    """
    path = Path(path)
    tensors = read_state_dict(path)
    if "features.1.running_mean" in tensors:
        raise WeightFileError(
            f"{str(path)!r} is a VGG network with batch normalization, which the networks here "
            "do not have. Use torchvision's vgg16 instead of vgg16_bn."
        )
    for last, blocks in _VGG_BLOCKS.items():
        if f"{last}.weight" in tensors:
            return _torchvision(path, tensors, _vgg_names(blocks), "conv1_1")
    if "features.10.weight" in tensors:
        return replace(
            _torchvision(path, tensors, _ALEXNET, "conv1"),
            backbone="alexnet_torchvision",
            notes=(_ALEXNET_NOTE,),
        )
    if "inception3a.branch1.conv.weight" in tensors:
        return _googlenet(path, tensors)
    if "conv1_1.weight" in tensors:
        names = {key.removesuffix(".weight") for key in tensors if key.endswith(".weight")}
        return WeightFile(
            path,
            {name: _layer(tensors, name) for name in sorted(names)},
            input_layer="conv1_1",
            records_scales=False,
        )
    raise WeightFileError(
        f"{str(path)!r} must contain a network of wkentaro/pytorch-fcn, or torchvision's VGG16, "
        f"AlexNet or GoogLeNet. Received: {len(tensors)} tensors, such as "
        f"{', '.join(list(tensors)[:3]) or 'none'}."
    )


def _torchvision(
    path: Path, tensors: Tensors, names: Mapping[str, str], input_layer: str
) -> WeightFile:
    return WeightFile(
        path,
        {
            ours: _layer(tensors, theirs)
            for theirs, ours in names.items()
            if theirs + ".weight" in tensors
        },
        input_layer=input_layer,
        normalization="torch",
        is_classifier=True,
        records_scales=False,
    )


def _layer(tensors: Tensors, name: str) -> SourceLayer:
    return SourceLayer(name, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))


def _vgg_names(blocks: tuple[int, ...]) -> dict[str, str]:
    """Returns the names of VGG's layers: torchvision numbers convolutions, ReLUs and pools."""
    names, index = {}, 0
    for block, num_convolutions in enumerate(blocks, start=1):
        for convolution in range(1, num_convolutions + 1):
            names[f"features.{index}"] = f"conv{block}_{convolution}"
            index += 2
        index += 1
    return names | {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}


def _googlenet(path: Path, tensors: Tensors) -> WeightFile:
    _check_batch_norms(path, tensors)
    layers = {ours: _without_batch_norm(tensors, theirs) for theirs, ours in _googlenet_names()}
    if "fc.weight" in tensors:
        layers["loss3_classifier"] = _layer(tensors, "fc")
    return WeightFile(
        path,
        layers,
        input_layer="conv1_7x7_s2",
        normalization="tf",  # torchvision's `transform_input`, on for the published weights
        is_classifier=True,
        records_scales=False,
        backbone="googlenet_torchvision",
        notes=(_GOOGLENET_NOTE,),
    )


def _check_batch_norms(path: Path, tensors: Tensors) -> None:
    """Raises WeightFileError unless each convolution has the four tensors of its BatchNorm."""
    for name, _ in _googlenet_names():
        convolution = tensors.get(f"{name}.conv.weight")
        wanted = {f"{name}.bn.{part}" for part in ("weight", "bias", "running_mean", "running_var")}
        shapes = {key: tensors[key].shape for key in wanted & tensors.keys()}
        if convolution is None or shapes != dict.fromkeys(wanted, convolution.shape[:1]):
            raise WeightFileError(
                f"{str(path)!r} must contain {name}.conv.weight, and of its BatchNorm weight, "
                "bias, running_mean and running_var with a number per filter. Received: "
                f"{'none' if convolution is None else convolution.shape} with {shapes}. The file "
                "is damaged, or of another network."
            )


def _googlenet_names() -> Iterator[tuple[str, str]]:
    yield from _GOOGLENET_STEM.items()
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        for theirs, ours in _GOOGLENET_BRANCHES.items():
            yield f"inception{module}.{theirs}", f"inception_{module}_{ours}"


def _without_batch_norm(tensors: Tensors, name: str) -> SourceLayer:
    """Returns a convolution and its batch normalization as one convolution with a bias."""
    weight = tensors[f"{name}.conv.weight"]

    def scale() -> np.ndarray:
        variance = tensors[f"{name}.bn.running_var"].read()
        return tensors[f"{name}.bn.weight"].read() / np.sqrt(variance + _BATCH_NORM_EPSILON)

    def read_weight() -> np.ndarray:
        return weight.read() * scale()[:, None, None, None]

    def read_bias() -> np.ndarray:
        mean = tensors[f"{name}.bn.running_mean"].read()
        return tensors[f"{name}.bn.bias"].read() - mean * scale()

    return SourceLayer(
        name,
        _computed(weight.shape, read_weight),
        _computed(weight.shape[:1], read_bias),
    )


def _computed(shape: Shape, read: Callable[[], np.ndarray]) -> StoredTensor:
    """Returns a tensor that is computed from others, each time that a part of it is read."""
    return StoredTensor(shape, lambda start, stop: read().reshape(-1)[start:stop])


def _read_safetensors(path: Path) -> dict[str, StoredTensor]:
    from safetensors import SafetensorError, safe_open

    def read(name: str, start: int, stop: int) -> np.ndarray:
        with safe_open(path, framework="numpy") as file:
            tensor = file.get_slice(name)
            shape = tensor.get_shape()
            num_values = math.prod(shape[1:])
            if not shape or start % num_values or stop % num_values:
                return file.get_tensor(name).reshape(-1)[start:stop]
            return tensor[start // num_values : stop // num_values].reshape(-1)

    try:
        with safe_open(path, framework="numpy") as file:
            return {
                name: StoredTensor(tuple(file.get_slice(name).get_shape()), partial(read, name))
                for name in file.keys()  # noqa: SIM118 (not a dict)
            }
    except SafetensorError as error:
        raise WeightFileError(
            f"{str(path)!r} must be a `.safetensors` file; it is cut short or of another kind "
            f"({error}). Get the file again."
        ) from error


def _read_pickle(path: Path) -> dict[str, StoredTensor]:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{str(path)!r} is a pickle, which needs PyTorch: `pip install torch`. Or convert it "
            "to `.safetensors` where PyTorch is installed; that is read without it."
        ) from error
    try:
        # Files of PyTorch before 1.6 are no zip archives, and cannot be mapped into memory.
        in_place = zipfile.is_zipfile(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=in_place)
    except Exception as error:  # torch raises whatever zipfile, pickle and its own reader raise
        raise WeightFileError(
            f"{str(path)!r} must be a PyTorch state dict; it is cut short or of another kind "
            f"({first_line(error)}). Get the file again, or save `model.state_dict()`."
        ) from error
    for key in _STATE_KEYS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping):
        raise WeightFileError(
            f"{str(path)!r} must be a PyTorch state dict. Received: a {type(state).__name__}. "
            "Save `model.state_dict()`."
        )
    return {
        name: StoredTensor(tuple(tensor.shape), _numpy_reader(tensor))
        for name, tensor in state.items()
        if isinstance(tensor, torch.Tensor)
    }


def _numpy_reader(tensor: Any) -> Callable[[int, int], np.ndarray]:
    return lambda start, stop: tensor.detach().reshape(-1)[start:stop].float().numpy()
