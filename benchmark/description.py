"""The description of a network for another framework: steps in order, and weights by name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_fcn.layers import CropLike, ImageNormalization, PadToStride

Step = dict[str, Any]


def describe_network(model: keras.Model, folder: Path) -> Path:
    """Writes `network.json` and `weights.npz`, from which another framework rebuilds the network.

    Raises:
        NotImplementedError: If a layer is not supported.
    """
    writer = _Writer()
    outputs = writer.add_model(model, ["images"])
    if len(outputs) != 1:
        raise NotImplementedError("A network with several heads is not rebuilt elsewhere.")
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "weights.npz", **writer.weights)  # type: ignore[arg-type]
    (folder / "network.json").write_text(
        json.dumps({"steps": writer.steps, "output": outputs[0]}, indent=1)
    )
    return folder


class _Writer:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.weights: dict[str, np.ndarray[Any, Any]] = {}

    def add_model(self, model: keras.Model, inputs: list[str], prefix: str = "") -> list[str]:
        """Adds the layers of a functional model; returns the names of its outputs."""
        names: dict[int, str] = {
            id(tensor): name for tensor, name in zip(model.inputs, inputs, strict=True)
        }
        for node in _nodes_in_order(model):
            layer = node.operation
            node_inputs = [names[id(tensor)] for tensor in node.input_tensors]
            if isinstance(layer, keras.Model):
                node_outputs = self.add_model(layer, node_inputs, f"{prefix}{layer.name}/")
            else:
                node_outputs = [self._add_layer(layer, node_inputs, prefix)]
            for tensor, name in zip(node.outputs, node_outputs, strict=True):
                names[id(tensor)] = name
        return [names[id(tensor)] for tensor in model.outputs]

    def _add_layer(self, layer: Any, inputs: list[str], prefix: str) -> str:
        name = prefix + layer.name
        kind, settings = _settings(layer)
        self.steps.append({"name": name, "kind": kind, "inputs": inputs, **settings})
        for weight in layer.weights:
            values = keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32"))
            self.weights[f"{name}/{weight.name}"] = values
        if getattr(layer, "activation", None) not in (None, keras.activations.linear):
            activation = keras.activations.serialize(layer.activation)
            self.steps.append({"name": f"{name}:a", "kind": activation, "inputs": [name]})
            return f"{name}:a"
        return name


def _nodes_in_order(model: keras.Model) -> Iterator[Any]:
    """Yields the calls of layers that make up the model, inputs before outputs."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                yield node


def _settings(layer: Any) -> tuple[str, Step]:
    """Returns the type of a layer and the arguments of its computation."""
    kind = type(layer).__name__
    if isinstance(layer, layers.Conv2DTranspose | layers.Conv2D | layers.DepthwiseConv2D):
        return kind, {
            "strides": list(layer.strides),
            "padding": layer.padding,
            "dilation": list(layer.dilation_rate),
            "groups": getattr(layer, "groups", 1),
        }
    if isinstance(layer, layers.MaxPooling2D):
        return kind, {
            "size": list(layer.pool_size),
            "strides": list(layer.strides),
            "padding": layer.padding,
        }
    if isinstance(layer, layers.BatchNormalization):
        return kind, {"epsilon": layer.epsilon}
    if isinstance(layer, layers.ZeroPadding2D):
        return kind, {"pixels": [list(sides) for sides in layer.padding]}
    if isinstance(layer, layers.ReLU):
        return kind, {"max_value": layer.max_value}
    if isinstance(layer, layers.Rescaling):
        return kind, {"scale": float(layer.scale), "offset": float(layer.offset)}
    if isinstance(layer, ImageNormalization):
        return kind, {"mode": layer.mode, "mean": list(layer.mean), "flip": layer.flip}
    if isinstance(layer, PadToStride):
        return kind, {"stride": layer.stride}
    if isinstance(layer, CropLike):
        return kind, {"offset": layer.offset}
    if isinstance(layer, layers.Activation | layers.Add):
        return kind, {}
    if isinstance(layer, layers.Dropout):
        return "Identity", {}
    raise NotImplementedError(
        f"There is no rule to rebuild the layer {layer.name!r}, a {kind}, in another framework."
    )
