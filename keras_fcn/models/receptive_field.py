"""Parameters, layers, receptive fields and multiply-adds of a network: the paper's Table 1."""

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import KerasTensor, layers

from keras_fcn.layers import CropLike
from keras_fcn.models.geometry import window_of

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_GLOBAL_POOLING = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)


@dataclass(frozen=True)
class ScoreSummary:
    """The receptive field of a score layer.

    Args:
        name: Name of the score layer.
        stride: Pixels from one score to the next.
        receptive_field: Height and width, in pixels, of the part of the image that a score
            depends on, without squeeze-and-excitation blocks, which use the whole image.
        convolutions: Convolution layers on the longest path from the image.
    """

    name: str
    stride: int
    receptive_field: int
    convolutions: int


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
    image = _At(KerasTensor((1, *size, model.inputs[0].shape[-1])))
    walk = _Walk()
    walk.through(model, [image])
    if not walk.scores:
        raise ValueError(
            "The model must be a network of keras_fcn, with convolutions named score_fr, "
            f"score_pool4 or score_pool3. Received: {model.name!r}, which has none."
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
    for networks that use the whole image, such as those with squeeze-and-excitation blocks.

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
    image = _At(KerasTensor((1, 512, 512, model.inputs[0].shape[-1])))
    reach = max(max(at.before, at.after) for at in _Walk().through(model, [image]))
    return reach if math.isinf(reach) else math.ceil(reach)


@dataclass(frozen=True)
class _At:
    """A tensor of the graph, for one image, and the part of the image that its cells depend on.

    Cell `i` depends on the pixels from `i * stride - before` to `i * stride + after`.
    """

    tensor: KerasTensor
    stride: float = 1
    receptive_field: float = 1
    convolutions: int = 0
    before: float = 0
    after: float = 0


class _Walk:
    """Walks a graph from the image on, and through models inside it."""

    def __init__(self) -> None:
        self.multiply_adds = 0
        self.scores: list[ScoreSummary] = []
        self.transposed: list[Any] = []

    def through(self, model: keras.Model, inputs: list[_At]) -> list[_At]:
        """Returns the places of a model's outputs."""
        if isinstance(model, keras.Sequential):  # ConvNeXt's downsampling
            model = model._functional
        places = {id(tensor): at for tensor, at in zip(model.inputs, inputs, strict=True)}
        for operation in model.operations:  # in the order of computation
            for node in operation._inbound_nodes:
                tensors = node.input_tensors
                if not tensors or any(id(tensor) not in places for tensor in tensors):
                    continue
                outputs = self._step(operation, node, [places[id(tensor)] for tensor in tensors])
                places.update(
                    {id(t): at for t, at in zip(node.output_tensors, outputs, strict=True)}
                )
        return [places[id(tensor)] for tensor in model.outputs]

    def _step(self, operation: Any, node: Any, inputs: list[_At]) -> list[_At]:
        if isinstance(operation, keras.Model):
            return self.through(operation, inputs)
        by_id = {id(t): at.tensor for t, at in zip(node.input_tensors, inputs, strict=True)}
        args, kwargs = node.arguments.fill_in(by_id)
        outputs = keras.tree.flatten(operation.compute_output_spec(*args, **kwargs))
        self._count(operation, inputs[0].tensor, outputs[0])

        if isinstance(operation, CropLike):
            inputs = inputs[:1]  # only the size of the other one matters
        # Where paths meet: the largest receptive field, and the longest path.
        seen = max(inputs, key=lambda at: at.receptive_field)
        convolutions = max(at.convolutions for at in inputs)
        convolutions += isinstance(operation, _CONVOLUTIONS)
        stride, receptive_field = seen.stride, seen.receptive_field
        before, after = max(at.before for at in inputs), max(at.after for at in inputs)
        window = window_of(operation)
        if isinstance(operation, layers.Conv2DTranspose):
            stride *= window.stride
            before += (window.size - 1 - window.padding) * stride
            after += window.padding * stride
        else:
            receptive_field += (window.size - 1) * stride
            before += window.padding * stride
            after += (window.size - 1 - window.padding) * stride
            stride *= window.stride
        if isinstance(operation, _GLOBAL_POOLING):
            before = after = math.inf
        if operation.name.startswith("score_") and isinstance(operation, layers.Conv2D):
            self.scores.append(
                ScoreSummary(operation.name, int(stride), int(receptive_field), convolutions)
            )
        return [
            _At(output, stride, receptive_field, convolutions, before, after) for output in outputs
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
