"""Trained networks in the form that predicts fastest, or that takes half the memory."""

from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from keras_fcn.initializers import Bilinear
from keras_fcn.layers import BilinearUpsampling, CropLike
from keras_fcn.models.fcn import FCN
from keras_fcn.models.folding import folded_layers
from keras_fcn.models.geometry import producer
from keras_fcn.models.graph import (
    Calls,
    Exchanges,
    count_calls,
    graph_of,
    graphs_in,
    nodes_of,
    with_exchanges,
)

Precision = Literal["float32", "bfloat16"]
# What Linux calls the instructions that multiply bfloat16: on Intel and AMD, and on ARM.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}


def inference_model(model: keras.Model) -> keras.Model:
    """Returns the inference form of a network: the same logits from fewer operations.

    BatchNorm is folded into the convolution before it, and padding into the one after it; see
    `keras_fcn.models.folding`. And upsampling interpolates directly: a transposed convolution
    multiplies every class with every class, although the bilinear kernel is zero except from a
    class to itself; with 21 classes, 420 of 441 products are with zero. Where a kernel is still
    that of `Bilinear`, interpolation of the map with zeros around it gives the same numbers.

    Args:
        model: The network. It is not changed, and may not be trained further: convolutions with
            something folded into them are copies, the other layers are shared.

    Returns:
        The faster model; or `model` itself if no layer can be replaced, or it is not functional.

    Example:
        >>> import keras_fcn
        >>> model = keras_fcn.FCN8s(3, backbone="mobilenet_v2")
        >>> type(inference_model(model).get_layer("upscore8")).__name__
        'BilinearUpsampling'
    """
    if not graph_of(model):
        return model
    return with_exchanges(model, {**_direct_upsampling(model), **folded_layers(model)})


def without_last_crop(model: keras.Model) -> tuple[keras.Model, Any]:
    """Returns a model without the crop of its logits to the size of the images.

    What is computed from each pixel's logits, such as the class of the highest, can then be
    computed before the crop, which copies fewer bytes after it.

    Args:
        model: A network, or its inference form. It is not changed.

    Returns:
        The model, and for each output the index of the image's first row and column in it; `None`
        for one that was not cropped. Both are structured as `model.output`.

    Example:
        >>> import keras_fcn
        >>> model = inference_model(keras_fcn.FCN8s(3, backbone="mobilenet_v2"))
        >>> uncropped, offset = without_last_crop(model)
        >>> offset, tuple(uncropped(keras.ops.zeros((1, 50, 37, 3))).shape)
        (8, (1, 80, 80, 3))
    """
    crops = {}
    for output in model.outputs if graph_of(model) else []:
        layer, inputs = producer(output)
        if type(layer) is CropLike and inputs[1] is model.inputs[0]:
            crops[id(output)] = inputs[0], layer.offset
    offsets = keras.tree.map_structure(lambda x: crops.get(id(x), (x, None))[1], model.output)
    if not crops:
        return model, offsets
    outputs = keras.tree.map_structure(lambda x: crops.get(id(x), (x, None))[0], model.output)
    return keras.Model(model.inputs, outputs, name=model.name), offsets


def fast_argmax(logits: KerasTensor) -> KerasTensor:
    """Returns the class with the highest logit, uint8, shape `(batch, height, width)`.

    Of equal logits the first is taken, as with `argmax`, which takes three times longer
    in TensorFlow on the CPU.

    Args:
        logits: Shape `(batch, height, width, num_classes)`.

    Example:
        >>> fast_argmax(keras.ops.array([[[[1.0, 3.0, 3.0]]]])).numpy().tolist()
        [[[1]]]
    """
    _, classes = ops.top_k(logits, 1, sorted=False)
    return ops.cast(ops.squeeze(classes, -1), "uint8")


def with_precision(model: FCN, precision: Precision) -> FCN:
    """Returns the network with weights and features in another precision; logits stay float32.

    Sums of scores and the normalization of images are in float32 whatever the
    precision, so that rounding does not change the highest of nearly equal logits. In
    bfloat16 the weights take half the memory and, unlike with `mixed_bfloat16`, are not
    cast at every call: this is twice as fast as float32 on a processor with bfloat16
    instructions, and as fast as float32 on others.

    Args:
        model: The network. It is not changed.
        precision: `"float32"` or `"bfloat16"`.

    Returns:
        The network, to predict with: `fit` would lose small steps in bfloat16.

    Raises:
        ValueError: If `precision` is neither, or the model is not an `FCN`.

    Example:
        >>> import keras_fcn
        >>> model = keras_fcn.FCN8s(3, backbone="mobilenet_v2")
        >>> with_precision(model, "bfloat16").weights[0].dtype
        'bfloat16'
    """
    if precision not in get_args(Precision):
        raise ValueError(
            f'`precision` must be "float32" or "bfloat16". Received: precision={precision!r}.'
        )
    if not isinstance(model, FCN):
        raise ValueError(
            "Only an `FCN` can be rebuilt in another precision. Received: "
            f"{getattr(model, 'name', model)!r}, a {type(model).__name__}."
        )
    config = {**model.get_config(), "dtype": precision}
    config["backbone"] = _in_precision(config["backbone"], precision)
    copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def has_bfloat16_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Returns whether the processor has bfloat16 instructions; None if that is not known."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    flags = {flag for line in lines if line.lower().startswith(("flags", "features"))
             for flag in line.split()}  # fmt: skip
    return bool(flags & _BFLOAT16_FLAGS) if flags else None


def _direct_upsampling(model: keras.Model) -> Exchanges:
    """Returns interpolation for transposed convolutions that are bilinear, by their `id`.

    The interpolated map is cut once, by the crop that reads it, if there is one.
    """
    graph = graph_of(model)
    calls, num_calls = Calls(graph), count_calls(graphs_in(model))
    exchanges: Exchanges = {}
    for node in nodes_of(graph):
        layer = node.operation
        if not isinstance(layer, layers.Conv2DTranspose) or not _is_bilinear(layer):
            continue
        options = {"dtype": layer.dtype_policy, "name": layer.name}
        upsampling = BilinearUpsampling(layer.strides[0], layer.padding, **options)
        reader = calls.only_reader(node)
        if reader and num_calls[id(layer)] == num_calls[id(reader.operation)] == 1:
            crop = reader.operation
            if type(crop) is CropLike and reader.input_tensors[0] is node.output_tensors[0]:
                exchanges[id(crop)] = CropLike(
                    crop.offset + upsampling.border, name=crop.name, dtype=crop.dtype_policy
                )
                upsampling = BilinearUpsampling(layer.strides[0], "full", **options)
        exchanges[id(layer)] = upsampling
    return exchanges


def _is_bilinear(layer: layers.Conv2DTranspose) -> bool:
    factor, size = layer.strides[0], layer.kernel_size[0]
    filters, channels = layer.kernel.shape[-2:]
    if (
        layer.strides != (factor, factor)
        or layer.kernel_size != (2 * factor, 2 * factor)
        or factor % 2
        or filters != channels
        or layer.use_bias
        or layer.activation is not keras.activations.linear
        or layer.dilation_rate != (1, 1)
        or layer.output_padding is not None
        or layer.data_format != "channels_last"
    ):
        return False
    kernel = ops.convert_to_numpy(layer.kernel)
    return np.array_equal(kernel, ops.convert_to_numpy(Bilinear()((size, size, filters, filters))))


def _in_precision(config: Any, precision: Precision) -> Any:
    """Returns a serialized backbone with another dtype policy for the layers of a TappedModel."""
    if isinstance(config, list):
        return [_in_precision(part, precision) for part in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return {**config, "config": {**config["config"], "name": precision}}
    return {name: _in_precision(part, precision) for name, part in config.items()}
