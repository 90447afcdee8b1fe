"""The same network in PyTorch, from its description; needs PyTorch, but not Keras."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Step = dict[str, Any]
Weights = dict[str, Tensor]

_TORCH_MEAN = (0.485, 0.456, 0.406)
_TORCH_STD = (0.229, 0.224, 0.225)


class TorchNetwork:
    """Images, uint8 `(batch, height, width, 3)`, to float32 logits of that size.

    Activations and kernels are channels-last in memory. The score layers are in float32, as in the
    Keras network, the others in `dtype`.
    """

    def __init__(
        self, steps: list[Step], output: str, weights: dict[str, Any], dtype: torch.dtype
    ) -> None:
        self._output = output
        self._last_use = {name: index for index, step in enumerate(steps)
                          for name in step["inputs"]}  # fmt: skip
        self._steps = [(step, self._compiled(step, weights, dtype)) for step in steps]

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.float32) -> "TorchNetwork":
        """Reads what `describe_network` wrote."""
        network = json.loads((folder / "network.json").read_text())
        with np.load(folder / "weights.npz") as weights:
            return cls(network["steps"], network["output"], weights, dtype)

    def __call__(self, images: Tensor) -> Tensor:
        """Returns the logits, float32, shape `(batch, height, width, num_classes)`."""
        values = {"images": images.permute(0, 3, 1, 2)}
        for index, (step, run) in enumerate(self._steps):
            values[step["name"]] = run(*[values[name] for name in step["inputs"]])
            for name in step["inputs"]:
                if self._last_use[name] == index and name != self._output:
                    values.pop(name, None)
        return values[self._output].permute(0, 2, 3, 1).float()

    def _compiled(
        self, step: Step, weights: dict[str, Any], dtype: torch.dtype
    ) -> Callable[..., Tensor]:
        if step["kind"] not in _RULES:
            raise NotImplementedError(f"There is no rule for {step['kind']} in PyTorch.")
        prefix = step["name"] + "/"
        own = {
            name.removeprefix(prefix): torch.from_numpy(weights[name])
            for name in weights
            if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
        }
        is_score = step["name"].split("/")[-1].startswith(("score", "upscore"))
        return _RULES[step["kind"]](step, own, torch.float32 if is_score else dtype)


def _convolution(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    # (height, width, in, out) -> (out, in, height, width)
    kernel = _channels_last(weights["kernel"].permute(3, 2, 0, 1), dtype)
    return _strided(step, kernel, weights.get("bias"), dtype, step["groups"])


def _depthwise(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    # (height, width, channels, 1) -> (channels, 1, height, width)
    kernel = _channels_last(weights["kernel"].permute(2, 3, 0, 1), dtype)
    return _strided(step, kernel, weights.get("bias"), dtype, kernel.shape[0])


def _strided(
    step: Step, kernel: Tensor, bias: Tensor | None, dtype: torch.dtype, groups: int
) -> Callable[..., Tensor]:
    bias = None if bias is None else bias.to(dtype)
    strides, dilation = step["strides"], step["dilation"]

    def run(x: Tensor) -> Tensor:
        x, padding = x.to(dtype), (0, 0)
        if step["padding"] == "same":
            spans = [d * (k - 1) + 1 for k, d in zip(kernel.shape[2:], dilation, strict=True)]
            x, padding = _padded_same(x, spans, strides, 0.0)
        return functional.conv2d(x, kernel, bias, strides, padding, dilation, groups)

    return run


def _transposed(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    # (height, width, out, in) -> (in, out, height, width)
    kernel = _channels_last(weights["kernel"].permute(3, 2, 0, 1), dtype)
    strides = step["strides"]
    extra = [size - stride for size, stride in zip(kernel.shape[2:], strides, strict=True)]
    if step["padding"] == "same" and any(number % 2 for number in extra):
        raise NotImplementedError("Odd kernels of transposed convolutions are not rebuilt.")
    cut = [number // 2 for number in extra] if step["padding"] == "same" else [0, 0]
    return lambda x: functional.conv_transpose2d(x.to(dtype), kernel, None, strides, cut)


def _max_pooling(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    def run(x: Tensor) -> Tensor:
        padding = (0, 0)
        if step["padding"] == "same":
            x, padding = _padded_same(x, step["size"], step["strides"], float("-inf"))
        return functional.max_pool2d(x, step["size"], step["strides"], padding)

    return run


def _batch_normalization(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    deviation = torch.sqrt(weights["moving_variance"] + step["epsilon"])
    scale = weights.get("gamma", torch.ones_like(deviation)) / deviation
    offset = weights.get("beta", torch.zeros_like(deviation)) - weights["moving_mean"] * scale
    scale, offset = (value.to(dtype)[:, None, None] for value in (scale, offset))
    return lambda x: torch.addcmul(offset, x, scale)


def _normalization(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    mean = torch.tensor(step["mean"])[:, None, None]
    torch_mean, torch_std = (torch.tensor(v)[:, None, None] for v in (_TORCH_MEAN, _TORCH_STD))

    def run(images: Tensor) -> Tensor:
        x = images.float()
        if step["mode"] == "caffe":
            x = (x.flip(1) if step["flip"] else x) - mean
        elif step["mode"] == "tf":
            x = x / 127.5 - 1.0
        elif step["mode"] == "torch":
            x = (x / 255.0 - torch_mean) / torch_std
        elif step["mode"] != "none":
            raise NotImplementedError(f"Normalization {step['mode']!r} is not rebuilt.")
        return x.to(dtype).contiguous(memory_format=torch.channels_last)

    return run


def _pad_to_stride(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    stride = step["stride"]
    return lambda x: functional.pad(x, (0, -x.shape[3] % stride, 0, -x.shape[2] % stride))


def _zero_padding(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    (top, bottom), (left, right) = step["pixels"]
    return lambda x: functional.pad(x, (left, right, top, bottom))


def _crop_like(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    start = step["offset"]

    def run(x: Tensor, reference: Tensor) -> Tensor:
        height, width = reference.shape[2:]
        return x[:, :, start : start + height, start : start + width]

    return run


def _relu(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    highest = step.get("max_value")
    if highest is None:
        return functional.relu
    return lambda x: torch.clamp(x, 0.0, highest)


def _rescaling(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    return lambda x: x.float() * step["scale"] + step["offset"]


def _add(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    return torch.add


def _identity(step: Step, weights: Weights, dtype: torch.dtype) -> Callable[..., Tensor]:
    return lambda x: x


_RULES: dict[str, Callable[[Step, Weights, torch.dtype], Callable[..., Tensor]]] = {
    "ImageNormalization": _normalization,
    "PadToStride": _pad_to_stride,
    "ZeroPadding2D": _zero_padding,
    "CropLike": _crop_like,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "Conv2DTranspose": _transposed,
    "MaxPooling2D": _max_pooling,
    "BatchNormalization": _batch_normalization,
    "ReLU": _relu,
    "relu": _relu,
    "Rescaling": _rescaling,
    "Add": _add,
    "Identity": _identity,
}


def _padded_same(
    x: Tensor, spans: list[int], strides: list[int], value: float
) -> tuple[Tensor, tuple[int, int]]:
    """Pads as Keras' "same" does; returns the padding that is left to the operation."""
    sides = []
    for size, span, stride in zip(x.shape[2:], spans, strides, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + span - size)
        sides.append((total // 2, total - total // 2))
    (top, bottom), (left, right) = sides
    if top == bottom and left == right:
        return x, (top, left)
    return functional.pad(x, (left, right, top, bottom), value=value), (0, 0)


def _channels_last(kernel: Tensor, dtype: torch.dtype) -> Tensor:
    return kernel.to(dtype).contiguous(memory_format=torch.channels_last)
