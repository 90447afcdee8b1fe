"""From ImageNet classifiers to the backbones of fully convolutional networks."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_fcn.backbones.applications import Application
from keras_fcn.backbones.vgg import VGG
from keras_fcn.files import first_line
from keras_fcn.weights.adapt import extend_input_channels, widen_to_bands
from keras_fcn.weights.convert import READERS, fill_network, load_weight_file, open_weight_file
from keras_fcn.weights.published import download, find_card

if TYPE_CHECKING:
    from keras_fcn.models import FCN

# Classifier layer -> layer of the fully convolutional network.
FULLY_CONNECTED = {"fc1": "fc6", "fc2": "fc7"}


def load_backbone_weights(model: "FCN", weights: str) -> None:
    """Fills the backbones of a network with the ImageNet classifier that they come from.

    The first convolution of a backbone for further channels than colors is extended, see
    `extend_input_channels`; that of one for standardized bands is widened, see `widen_to_bands`.

    Args:
        model: The network.
        weights: `"imagenet"` or a file. For the networks of the paper it is one of Keras',
            Caffe's or PyTorch's and includes the fully connected layers; for those of
            `keras.applications` one of Keras' without the classifier.

    Raises:
        ValueError: If the file does not exist or does not fit.
    """
    backbone = model.backbone
    is_foreign = Path(weights).suffix in READERS
    if isinstance(backbone, Application):
        _load_application(model, backbone, weights)
    elif isinstance(backbone, VGG) and not is_foreign:
        for suffix in model.streams:
            load_vgg_weights(model, type(backbone).constructor, weights, suffix)
    elif weights == "imagenet":
        card = find_card("imagenet", backbone=backbone.name)
        fill_network(model, open_weight_file(download(card)), card)
    elif is_foreign and Path(weights).is_file():
        load_weight_file(model, weights)
    else:
        raise ValueError(
            '`weights` of the backbone must be None, "imagenet" or an existing file; for '
            f"{backbone.name} one that ends in {', '.join(READERS)}. Received: {weights}."
        )


def _load_application(model: "FCN", backbone: Application, weights: str) -> None:
    source = backbone.tapped_model(3, weights)
    for target in (layer for layer in model.layers if isinstance(layer, keras.Model)):
        for old, new in zip(source.layers, target.layers, strict=True):
            new.set_weights(
                [
                    values if values.shape == weight.shape
                    else _for_channels(values, weight.shape[2], model)
                    for values, weight in zip(old.get_weights(), new.weights, strict=True)
                ]
            )  # fmt: skip


def load_vgg_weights(
    model: keras.Model,
    constructor: Callable[..., keras.Model],
    weights: str,
    suffix: str = "",
) -> list[str]:
    """Fills a VGG network of ours with the weights of the ImageNet classifier.

    Args:
        model: The network, with layers `block1_conv1` ... `fc7`.
        constructor: `keras.applications.VGG16` or `VGG19`.
        weights: `"imagenet"`, a file of the classifier's weights (with or without
            its top), or an `.npz` of arrays `<layer>_kernel` and `<layer>_bias`,
            which may contain a part of the layers.
        suffix: Of the names of the layers, in a network with two streams.

    Returns:
        The names of the layers that were filled.

    Raises:
        ValueError: If the file does not exist or does not fit.
    """
    if weights == "imagenet":
        return convolutionalize(constructor(weights="imagenet", include_top=True), model, suffix)
    path = Path(weights)
    if not path.is_file():
        raise ValueError(
            '`weights` of the backbone must be None, "imagenet" or an existing file. '
            f"Received: {weights}."
        )
    if path.suffix == ".npz":
        return _load_arrays(model, path, suffix)
    reasons = []
    for include_top in (True, False):
        try:
            with warnings.catch_warnings():
                # The attempt that does not fit may warn before it fails.
                warnings.simplefilter("ignore")
                classifier = constructor(weights=str(path), include_top=include_top)
        except (ValueError, OSError, KeyError) as error:
            reasons.append(first_line(error))
            continue
        return convolutionalize(classifier, model, suffix)
    raise ValueError(
        f"{path} does not contain the weights of {constructor.__name__}, with or without its top. "
        f"Keras says: {' / '.join(reasons)}"
    )


def convolutionalize(classifier: keras.Model, model: keras.Model, suffix: str = "") -> list[str]:
    """Copies a classifier into a fully convolutional network.

    A fully connected layer that takes a 7x7 map is a 7x7 convolution: its
    matrix `(7 * 7 * 512, filters)` is the kernel `(7, 7, 512, filters)`
    (paper, section 3.1). Both are flattened row, column, channel in Keras, so a
    reshape moves it. fc6 and fc7 keep their random weights where the network
    has another width than the classifier. A first convolution for further
    channels than colors is extended, see `load_backbone_weights`.

    Args:
        classifier: `keras.applications.VGG16` or `VGG19`, with or without its top.
        model: The network to fill.
        suffix: Of the names of its layers, in a network with two streams.

    Returns:
        The names of the layers that were filled.
    """
    filled = []
    names = {layer.name for layer in model.layers}
    for layer in classifier.layers:
        target_name = FULLY_CONNECTED.get(layer.name, layer.name) + suffix
        if not layer.weights or target_name not in names:
            continue
        kernel, bias = layer.get_weights()
        target = model.get_layer(target_name)
        if kernel.ndim == 4 and kernel.shape[2] == 3:
            kernel = _for_channels(kernel, target.kernel.shape[2], model)
        if kernel.size != np.prod(target.kernel.shape):
            continue
        target.set_weights([kernel.reshape(target.kernel.shape), bias])
        filled.append(target_name)
    return filled


def _for_channels(kernel: np.ndarray, num_channels: int, model: keras.Model) -> np.ndarray:
    """Returns a first convolution over colors for the images of a network."""
    backbone = getattr(model, "backbone", None)
    if backbone is not None and backbone.normalization == "standardize":
        return widen_to_bands(kernel, num_channels, backbone.trained_with)
    if num_channels <= kernel.shape[2]:
        return kernel
    return extend_input_channels(kernel, num_channels)


def _load_arrays(model: keras.Model, path: Path, suffix: str) -> list[str]:
    filled = []
    with np.load(path) as arrays:
        for layer in model.layers:
            name = layer.name.removesuffix(suffix)
            if not layer.name.endswith(suffix):
                continue
            kernel_name = f"{name}_kernel"
            bias_name = next((n for n in arrays if n.startswith(f"{name}_bias")), None)
            if kernel_name not in arrays or bias_name is None:
                continue
            kernel, bias = arrays[kernel_name], arrays[bias_name]
            if kernel.shape[2] == 3:
                kernel = _for_channels(kernel, layer.kernel.shape[2], model)
            expected = [tuple(w.shape) for w in layer.weights]
            if [kernel.shape, bias.shape] != expected:
                raise ValueError(
                    f"{path} must contain {layer.name} with the shapes {expected}. "
                    f"Received: {[kernel.shape, bias.shape]}."
                )
            layer.set_weights([kernel, bias])
            filled.append(layer.name)
    if not filled:
        raise ValueError(
            f"{path} must contain arrays such as `block1_conv1_kernel` and `block1_conv1_bias`. "
            "None fits a layer of the network."
        )
    return filled
