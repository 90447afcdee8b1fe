"""From an ImageNet classifier to convolutions."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_fcn.weights.convert import load_weight_file
from keras_fcn.weights.files import READERS
from keras_fcn.weights.published import download, find_card
from keras_fcn.weights.streams import extend_input_channels

# Classifier layer -> layer of the fully convolutional network.
FULLY_CONNECTED = {"fc1": "fc6", "fc2": "fc7"}


def load_classifier(
    model: keras.Model,
    backbone: str,
    constructor: Callable[..., keras.Model] | None,
    weights: str,
    suffixes: Sequence[str] = ("",),
) -> None:
    """Fills a network of the paper with the ImageNet classifier that it extends.

    Args:
        model: The network.
        backbone: Its name.
        constructor: The classifier in `keras.applications`, if it is there.
        weights: `"imagenet"` or a file: Keras', Caffe's or PyTorch's.
        suffixes: Of the names of its layers, one for each backbone in it.

    Raises:
        ValueError: If the file does not exist or does not fit.
    """
    is_foreign = Path(weights).suffix in READERS
    if constructor is not None and not is_foreign:
        for suffix in suffixes:
            load_vgg_weights(model, constructor, weights, suffix)
    elif weights == "imagenet":
        load_weight_file(model, download(find_card("imagenet", backbone=backbone)))
    elif is_foreign and Path(weights).is_file():
        load_weight_file(model, weights)
    else:
        raise ValueError(
            f'`backbone_weights` must be None, "imagenet" or an existing file; for {backbone} one '
            f"that ends in {', '.join(READERS)}. Received: {weights}."
        )


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
            which may hold a part of the layers.
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
            f'`backbone_weights` must be None, "imagenet" or an existing file. Received: {weights}.'
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
            reasons.append(str(error).splitlines()[0])
            continue
        return convolutionalize(classifier, model, suffix)
    raise ValueError(
        f"{path} does not hold the weights of {constructor.__name__}, with or without its top. "
        f"Keras says: {' / '.join(reasons)}"
    )


def convolutionalize(classifier: keras.Model, model: keras.Model, suffix: str = "") -> list[str]:
    """Copies a classifier into a fully convolutional network.

    A fully connected layer that sees a 7x7 map is a 7x7 convolution: its
    matrix `(7 * 7 * 512, filters)` is the kernel `(7, 7, 512, filters)`
    (paper, section 3.1). Both are flattened row, column, channel in Keras, so a
    reshape moves it. fc6 and fc7 keep their random weights where the network
    has another width than the classifier. A first convolution for further
    channels than colors is extended, see `extend_input_channels`.

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
        if kernel.ndim == 4 and kernel.shape[2] < target.kernel.shape[2]:
            kernel = extend_input_channels(kernel, target.kernel.shape[2])
        if kernel.size != np.prod(target.kernel.shape):
            continue
        target.set_weights([kernel.reshape(target.kernel.shape), bias])
        filled.append(target_name)
    return filled


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
            if kernel.shape[2] < layer.kernel.shape[2]:
                kernel = extend_input_channels(kernel, layer.kernel.shape[2])
            expected = [tuple(w.shape) for w in layer.weights]
            if [kernel.shape, bias.shape] != expected:
                raise ValueError(
                    f"{path} must hold {layer.name} with the shapes {expected}. "
                    f"Received: {[kernel.shape, bias.shape]}."
                )
            layer.set_weights([kernel, bias])
            filled.append(layer.name)
    if not filled:
        raise ValueError(
            f"{path} must hold arrays such as `block1_conv1_kernel` and `block1_conv1_bias`. "
            "None fits a layer of the network."
        )
    return filled
