"""BatchNorm and padding folded into the convolutions that come before and after them.

At inference BatchNorm is a factor and a summand for each channel. Where a convolution's output is
read by BatchNorm only, the factors go into its kernel and the summands into its bias. Zeros around
the input of a convolution become its own padding where `padding="same"` adds as many. Whatever
cannot be shown to compute the same stays as it is.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers

from keras_fcn.layers import GroupedConv2D, PadToStride
from keras_fcn.models.geometry import window_of
from keras_fcn.models.graph import Calls, Exchanges, count_calls, graph_of, graphs_in, nodes_of
from keras_fcn.models.receptive_field import is_local

# Types, not their subclasses, which may compute anything.
_CONVOLUTIONS = (
    *(layers.Conv2D, GroupedConv2D, layers.DepthwiseConv2D),
    *(layers.SeparableConv2D, layers.Conv2DTranspose),
)


class Folded(layers.Layer):
    """Returns its input: the place of BatchNorm or padding that a convolution contains."""

    def call(self, inputs: KerasTensor, training: Any = None, mask: Any = None) -> KerasTensor:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def folded_layers(model: keras.Model) -> Exchanges:
    """Returns the convolutions with something folded into them, and `Folded` for what that is.

    Layers that are called more than once stay. So does BatchNorm with another dtype than float32,
    where the rounding would change.

    Args:
        model: A functional model, which may contain others. It is not changed.

    Returns:
        By the `id` of a layer the one that takes its place.

    Example:
        >>> images = keras.Input((None, None, 3))
        >>> x = layers.BatchNormalization()(layers.Conv2D(2, 3)(images))
        >>> [type(layer).__name__ for layer in folded_layers(keras.Model(images, x)).values()]
        ['Conv2D', 'Folded']
    """
    graphs = graphs_in(model)
    num_calls = count_calls(graphs)
    pads_as_same = _Paddings(model)
    exchanges: Exchanges = {}
    for graph in graphs:
        calls = Calls(graph)
        for node in nodes_of(graph):
            convolution = node.operation
            if not _is_plain_convolution(convolution) or num_calls[id(convolution)] > 1:
                continue
            settings: dict[str, Any] = {}
            weights, removed = None, []
            norm = calls.only_reader(node)
            if norm and num_calls[id(norm.operation)] == 1 and _scales_channels(norm, convolution):
                scaled = _scaled_weights(convolution, norm.operation)
                if all(np.isfinite(weight).all() for weight in scaled):
                    weights, settings["use_bias"] = scaled, True
                    removed.append(norm.operation)
            pad = calls.only_source(node)
            if pad and num_calls[id(pad.operation)] == 1 and pads_as_same[convolution]:
                settings["padding"] = "same"
                removed.append(pad.operation)
            if removed:
                copy = type(convolution).from_config({**convolution.get_config(), **settings})
                copy.build(node.input_tensors[0].shape)
                copy.set_weights(weights or convolution.get_weights())
                exchanges[id(convolution)] = copy
            for layer in removed:
                exchanges[id(layer)] = Folded(name=layer.name, dtype=layer.dtype_policy)
    return exchanges


class _Paddings:
    """Whether the input of a convolution is padded as `padding="same"` would, whatever its size.

    With a stride this depends on the size, of which a divisor is known: `PadToStride` makes height
    and width multiples of its stride.
    """

    def __init__(self, model: keras.Model) -> None:
        self._is_same: dict[int, bool] = {}
        sizes = [[size or 1 for size in tensor.shape[1:3]] for tensor in model.inputs]
        self._walk(graph_of(model), [math.gcd(*size) for size in sizes])

    def __getitem__(self, convolution: keras.layers.Layer) -> bool:
        return self._is_same.get(id(convolution), False)

    def _walk(self, graph: Any, divisors: list[int]) -> list[int]:
        """Returns for each output of a graph a number that divides its height and width."""
        of = {id(tensor): divisor for tensor, divisor in zip(graph.inputs, divisors, strict=True)}
        padded: dict[int, tuple[layers.ZeroPadding2D, int]] = {}
        for node in nodes_of(graph):
            layer, tensors = node.operation, node.input_tensors
            if nested := graph_of(layer):
                outputs = self._walk(nested, [of[id(tensor)] for tensor in tensors])
            else:
                # A map of one cell is spread over the others, as in squeeze-and-excitation.
                maps = [tensor for tensor in tensors if tuple(tensor.shape[1:3]) != (1, 1)]
                divisor = math.gcd(*(of[id(tensor)] for tensor in maps or tensors))
                if type(layer) is layers.ZeroPadding2D:
                    padded[id(node.output_tensors[0])] = layer, divisor
                padding = getattr(layer, "padding", None)
                if padding == "valid" and id(tensors[0]) in padded:
                    pad, divisor = padded[id(tensors[0])]
                    is_same = _is_same_padding(pad, layer, divisor)
                    # At every call, if there are several.
                    self._is_same[id(layer)] = is_same and self._is_same.get(id(layer), True)
                    padding = "same" if is_same else padding
                if not is_local(layer, node.arguments.args):
                    divisor = 1
                outputs = [_divisor_after(layer, padding, divisor)] * len(node.output_tensors)
            of |= {id(t): divisor for t, divisor in zip(node.output_tensors, outputs, strict=True)}
        return [of[id(tensor)] for tensor in graph.outputs]


def _divisor_after(layer: Any, padding: Any, divisor: int) -> int:
    """Returns a divisor of the output's height and width for one of the input's."""
    if isinstance(layer, PadToStride):
        return layer.stride
    windows = [window_of(layer, axis) for axis in (0, 1)]
    if all(window.size == window.stride == 1 and not window.padding for window in windows):
        return divisor
    strides = [window.stride for window in windows]
    if padding != "same" or any(stride < 1 or divisor % stride for stride in strides):
        return 1
    return math.gcd(*(divisor // int(stride) for stride in strides))


def _is_same_padding(pad: layers.ZeroPadding2D, layer: Any, divisor: int) -> bool:
    """Returns whether a layer with `padding="same"` pads as many zeros to sizes with a divisor."""
    if type(layer) not in _CONVOLUTIONS or isinstance(layer, layers.Conv2DTranspose):
        return False
    for axis in (0, 1):
        window = window_of(layer, axis)
        total = max(window.size - int(window.stride), 0)
        if divisor % window.stride or pad.padding[axis] != (total // 2, total - total // 2):
            return False
    return pad.data_format == layer.data_format == "channels_last"


def _is_plain_convolution(layer: Any) -> bool:
    """Returns whether a layer consists of a convolution, and a bias if it has one."""
    if type(layer) not in _CONVOLUTIONS or layer.data_format != "channels_last":
        return False
    num_kernels = 2 if isinstance(layer, layers.SeparableConv2D) else 1
    return len(layer.weights) == num_kernels + layer.use_bias  # more for LoRA


def _scales_channels(norm: Any, convolution: Any) -> bool:
    """Returns whether a call is of BatchNorm that only scales the output of a convolution."""
    layer, arguments = norm.operation, norm.arguments
    return (
        type(layer) is layers.BatchNormalization
        and layer.axis in (-1, 3)
        # With `training=True` the factors depend on the images.
        and len(arguments.args) == 1
        and not any(arguments.kwargs.values())
        and convolution.activation is keras.activations.linear
        and all(part.dtype_policy.name == "float32" for part in (layer, convolution))
    )


def _scaled_weights(convolution: Any, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """Returns kernels and bias of the convolution and BatchNorm in one."""

    def vector(weight: Any, default: float) -> Any:
        return default if weight is None else keras.ops.convert_to_numpy(weight).astype("float64")

    weights = convolution.get_weights()
    variance, mean = vector(norm.moving_variance, 1.0), vector(norm.moving_mean, 0.0)
    with np.errstate(all="ignore"):  # what is not finite stays as it is
        scale = vector(norm.gamma, 1.0) / np.sqrt(variance + norm.epsilon)
        bias = weights[-1] if convolution.use_bias else 0.0
        bias = (bias - mean) * scale + vector(norm.beta, 0.0)
        *others, kernel = weights[: len(weights) - convolution.use_bias]
        if isinstance(convolution, layers.DepthwiseConv2D):
            kernel = kernel * scale.reshape(kernel.shape[2:])
        elif isinstance(convolution, layers.Conv2DTranspose):
            kernel = kernel * scale[:, None]
        else:
            kernel = kernel * scale
        return [*others, kernel.astype("float32"), bias.astype("float32")]
