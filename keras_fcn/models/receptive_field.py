"""Parameters, layers, receptive fields and multiply-adds of a network: the paper's Table 1."""

import math
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import keras
from keras import KerasTensor, layers

from keras_fcn.layers import (
    CropLike,
    GroupedConv2D,
    ImageNormalization,
    LocalResponseNormalization,
    PadToStride,
)
from keras_fcn.models.geometry import Window, window_of
from keras_fcn.models.graph import graph_of, nodes_of
from keras_fcn.models.inputs import MAX_STRIDE

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)

# Layers of which a cell depends on a window of cells. Types, not their subclasses, which may
# compute anything.
_WINDOWS = (
    *_CONVOLUTIONS,
    *(layers.Conv2DTranspose, layers.AveragePooling2D, layers.MaxPooling2D),
    *(layers.ZeroPadding2D, GroupedConv2D, CropLike, PadToStride),
)
# Layers of which a cell depends on the same cell. `axis` and `activation` are looked at, too.
_CELLWISE = (
    *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Softmax),
    *(layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum),
    *(layers.Minimum, layers.Concatenate, layers.Dense, layers.Identity, layers.Rescaling),
    *(layers.Dropout, layers.SpatialDropout2D, layers.BatchNormalization),
    *(layers.LayerNormalization, layers.UnitNormalization),
    *(ImageNormalization, LocalResponseNormalization),
)
# Those of ConvNeXt, which are no public names of Keras.
_CELLWISE_BY_NAME = {
    f"keras.src.applications.convnext.{n}" for n in ("LayerScale", "StochasticDepth")
}
# Operations on tensors, by the names of Keras' classes.
_CELLWISE_OPS = frozenset(
    (
        *("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Negative"),
        *("Absolute", "Abs", "Square", "Sqrt", "Exp", "Log", "Clip", "Cast", "Relu", "Relu6"),
        *("LeakyRelu", "Elu", "Selu", "Gelu", "Silu", "Sigmoid", "HardSigmoid", "HardSilu"),
        *("Tanh", "Softplus"),
    )
)


@dataclass(frozen=True)
class ScoreSummary:
    """The receptive field of a score layer.

    Args:
        name: Name of the score layer.
        stride: Pixels from one score to the next.
        receptive_field: Height and width, in pixels, of the part of the image that a score
            depends on through windows of convolution and pooling.
        convolutions: Convolution layers on the longest path from the image.
        is_global: Whether the score also depends on the rest of the image, as with
            squeeze-and-excitation blocks, or may do so, as with layers that are not known here.
    """

    name: str
    stride: int
    receptive_field: int
    convolutions: int
    is_global: bool = False


@dataclass(frozen=True)
class Summary:
    """Parameters, layers, receptive fields and multiply-adds of a network.

    Args:
        name: Name of the network.
        size: Height and width of the image that the multiply-adds are for.
        parameters: Number of weights without the upsampling.
        upsampling_parameters: Number of weights of the transposed convolutions.
        multiply_adds: Multiplications of convolutions for one image.
        scores: The scores, coarsest first.
        paper_receptive_field: The coarsest score's with the pooling that the
            paper counts although its network leaves it out, or None.
    """

    name: str
    size: tuple[int, int]
    parameters: int
    upsampling_parameters: int
    multiply_adds: int
    scores: tuple[ScoreSummary, ...]
    paper_receptive_field: int | None = None

    @property
    def convolutions(self) -> int:
        """Convolution layers on the longest path to a score."""
        return max(score.convolutions for score in self.scores)


def summarize(model: keras.Model, size: tuple[int, int] = (500, 500)) -> Summary:
    """Returns the parameters, layers, receptive fields and multiply-adds of a network.

    Args:
        model: An `FCN`.
        size: Height and width of an image; the paper's are 500x500.

    Raises:
        ValueError: If the model has no scores by the names of the reference.

    Example:
        >>> from keras_fcn import FCN32s
        >>> from keras_fcn.backbones import VGG16
        >>> [score] = summarize(FCN32s(21, backbone=VGG16(alpha=0.05, fc_filters=4))).scores
        >>> score.receptive_field, score.stride, score.convolutions
        (404, 32, 16)

    Reference:
        Long, Shelhamer and Darrell, CVPR 2015, Table 1.
    """
    walk = _Walk()
    walk.through(model, [_At(KerasTensor((1, *size, model.inputs[0].shape[-1])))])
    if not walk.scores:
        raise ValueError(
            "The model must be a network of keras_fcn, with convolutions named score_fr, "
            f"score_pool4, score_pool3 or score_pool2. Received: {model.name!r}, which has none."
        )
    upsampling = sum(layer.count_params() for layer in walk.transposed)
    scores = sorted(walk.scores, key=lambda score: -score.stride)
    removed = getattr(getattr(model, "backbone", None), "removed_pooling", 0)
    coarsest = scores[0]
    return Summary(
        model.name,
        (size[0], size[1]),
        model.count_params() - upsampling,
        upsampling,
        walk.multiply_adds,
        tuple(scores),
        coarsest.receptive_field + (removed - 1) * coarsest.stride if removed else None,
    )


def reach_of(model: keras.Model) -> float:
    """Returns the largest distance, in pixels, at which the image changes a pixel's logits.

    It is half the receptive field of the coarsest score and what the upsampling adds. Infinite
    for networks that use the whole image, such as those with squeeze-and-excitation blocks, with
    means over the image, or with normalization by them, and for those of which it is not known:
    with layers that are not listed in this file, or whose logits depend on where an image begins
    or on its size.

    Args:
        model: An `FCN`.

    Example:
        >>> from keras_fcn import FCN8s
        >>> from keras_fcn.backbones import VGG16
        >>> reach_of(FCN8s(21, backbone=VGG16(alpha=0.05, fc_filters=4)))
        245
        >>> reach_of(FCN8s(21, backbone="mobilenet_v3_small"))
        inf
    """
    if not graph_of(model):
        return math.inf
    image = KerasTensor((1, 512, 512, model.inputs[0].shape[-1]))
    outputs = [at for axis in (0, 1) for at in _Walk(axis).through(model, [_At(image)])]
    reach = max(max(at.before, at.after) for at in outputs)
    return reach if math.isinf(reach) else math.ceil(reach)


@dataclass(frozen=True)
class _At:
    """A tensor of the graph, for one image, and the part of the image that its cells depend on.

    Cell `i` depends on the pixels from `i * stride - before` to `i * stride + after`. For an image
    of any size, the number of cells is `rest` modulo `modulus`.
    """

    tensor: KerasTensor
    stride: float = 1
    receptive_field: float = 1
    convolutions: int = 0
    before: float = 0
    after: float = 0
    modulus: int = 1
    rest: int = 0


class _Walk:
    """Walks a graph from the image on, and through models inside it.

    Args:
        axis: The axis of the image that is looked at: 0 for the height, 1 for the width.
    """

    def __init__(self, axis: int = 0) -> None:
        self.multiply_adds = 0
        self.scores: list[ScoreSummary] = []
        self.transposed: list[Any] = []
        self._axis = axis

    def through(self, model: keras.Model, inputs: list[_At]) -> list[_At]:
        """Returns the places of a model's outputs."""
        graph = graph_of(model)
        places = {id(tensor): at for tensor, at in zip(graph.inputs, inputs, strict=True)}
        for node in nodes_of(graph):
            given = [places[id(tensor)] for tensor in node.input_tensors]
            outputs = self._step(node.operation, node, given)
            places.update({id(t): at for t, at in zip(node.output_tensors, outputs, strict=True)})
        return [places[id(tensor)] for tensor in graph.outputs]

    def _step(self, operation: Any, node: Any, inputs: list[_At]) -> list[_At]:
        if graph_of(operation):
            return self.through(operation, inputs)
        by_id = {id(t): at.tensor for t, at in zip(node.input_tensors, inputs, strict=True)}
        args, kwargs = node.arguments.fill_in(by_id)
        outputs = keras.tree.flatten(operation.compute_output_spec(*args, **kwargs))
        self._count(operation, inputs[0].tensor, outputs[0])

        sized = inputs[-1]  # has the size of the output, but for a window
        if isinstance(operation, CropLike):
            inputs = inputs[:1]  # only the size of the other one matters
        # Where paths meet: the largest receptive field, and the longest path.
        seen = max(inputs, key=lambda at: at.receptive_field)
        convolutions = max(at.convolutions for at in inputs)
        convolutions += isinstance(operation, _CONVOLUTIONS)
        stride, receptive_field = seen.stride, seen.receptive_field
        before, after = max(at.before for at in inputs), max(at.after for at in inputs)
        window = window_of(operation, self._axis)
        if isinstance(operation, layers.Conv2DTranspose):
            stride *= window.stride
            before += (window.size - 1 - window.padding) * stride
            after += window.padding * stride
        else:
            largest = max(window_of(operation, axis).size for axis in (0, 1))
            receptive_field += (largest - 1) * stride
            before += window.padding * stride
            after += (window.size - 1 - window.padding) * stride
            stride *= window.stride
        if not (
            is_local(operation, args)
            and _begins_alike(operation, window, sized)
            and (MAX_STRIDE / stride).is_integer()
        ):
            before = after = math.inf
        if operation.name.startswith("score_") and isinstance(operation, layers.Conv2D):
            self.scores.append(
                ScoreSummary(
                    operation.name,
                    int(stride),
                    int(receptive_field),
                    convolutions,
                    is_global=math.isinf(before),
                )
            )
        size = _size_after(operation, window, sized, self._axis)
        return [
            _At(output, stride, receptive_field, convolutions, before, after, *size)
            for output in outputs
        ]

    def _count(self, operation: Any, image: KerasTensor, output: KerasTensor) -> None:
        weights = getattr(operation, "weights", [])
        kernels = [weight for weight in weights if "kernel" in weight.name]
        if isinstance(operation, layers.Conv2DTranspose):
            self.transposed.append(operation)
            output = image  # each cell of its input meets the whole kernel
        if kernels:
            cells = math.prod(output.shape[1:-1])
            self.multiply_adds += cells * sum(math.prod(kernel.shape) for kernel in kernels)


def is_local(operation: Any, args: Any) -> bool:
    """Returns whether a cell depends on the cells of the operation's window only.

    Only what is listed here does: any other layer or operation, one of the user's too, may use
    the whole image.
    """
    if type(operation).__module__.startswith("keras.src.ops."):
        name = type(operation).__name__
        return name in _CELLWISE_OPS or (name == "GetItem" and _keeps_the_cells(args[1]))
    kind = type(operation)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind not in (*_WINDOWS, *_CELLWISE) and name not in _CELLWISE_BY_NAME:
        return False
    return (
        getattr(operation, "data_format", "channels_last") == "channels_last"
        and getattr(operation, "output_padding", None) is None
        and _is_of_channels(getattr(operation, "axis", -1))
        and _is_known(getattr(operation, "activation", None))
    )


def _is_of_channels(axis: Any) -> bool:
    """Returns whether an axis, or each of several, is the last of four."""
    several = axis if isinstance(axis, list | tuple) else [axis]
    return all(one in (-1, 3) for one in several)


def _is_known(activation: Any) -> bool:
    """Returns whether an activation is one of Keras' functions, all of which are cellwise."""
    return activation is None or (
        isinstance(activation, FunctionType)
        and activation.__module__.startswith("keras.src.activations.")
    )


def _keeps_the_cells(key: Any) -> bool:
    """Returns whether an index selects channels only."""
    rest = key[:-1] if isinstance(key, tuple) else ()
    return rest in ((...,), (slice(None),) * 3)


def _begins_alike(operation: Any, window: Window, at: _At) -> bool:
    """Returns whether the first window begins at the same cell, whatever the image's size.

    With "same" padding and a stride, that is only so if the number of cells is known to be a
    multiple of the stride, or if the padding happens to be equal for all possible rests.
    """
    stride = window.stride
    if stride <= 1 or getattr(operation, "padding", None) != "same":
        return True
    step = math.gcd(at.modulus, int(stride))
    rests = {rest for rest in range(int(stride)) if rest % step == at.rest % step}
    paddings = {max(window.size - (rest or stride), 0) // 2 for rest in rests}
    return paddings == {window.padding}


def _size_after(operation: Any, window: Window, at: _At, axis: int) -> tuple[int, int]:
    """Returns `modulus` and `rest` of the number of cells behind an operation."""
    modulus, rest = at.modulus, at.rest
    if isinstance(operation, PadToStride):
        return operation.stride, 0
    if isinstance(operation, layers.ZeroPadding2D):
        return modulus, (rest + sum(operation.padding[axis])) % modulus
    if isinstance(operation, CropLike) or window == Window():
        return modulus, rest
    is_same = operation.padding == "same"
    if isinstance(operation, layers.Conv2DTranspose):
        stride = round(1 / window.stride)
        more = 0 if is_same else max(window.size - stride, 0)
        return modulus * stride, (rest * stride + more) % (modulus * stride)
    stride = int(window.stride)
    if modulus % stride:
        return 1, 0
    count = -(-rest // stride) if is_same else (rest - window.size) // stride + 1
    return modulus // stride, count % (modulus // stride)
