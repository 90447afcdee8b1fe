"""The graphs of functional models: which layers are called, and which call reads what."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import keras

# Layer -> what takes its place, by the `id` of the layer: layers of nested models share names.
Exchanges = dict[int, keras.layers.Layer]


def graph_of(operation: Any) -> Any:
    """Returns the functional model that a layer computes; None if it is no model, or another."""
    # Not where a subclass has a `call` of its own.
    if not hasattr(operation, "call") or not type(operation).call.__module__.startswith(
        "keras.src.models."
    ):
        return None
    if isinstance(operation, keras.Sequential):  # ConvNeXt's downsampling
        operation = operation._functional
    return operation if hasattr(operation, "_nodes_by_depth") else None


def nodes_of(graph: Any) -> list[Any]:
    """Returns the calls of layers in a functional model, in the order of computation."""
    by_depth = sorted(graph._nodes_by_depth.items(), reverse=True)
    return [node for _, nodes in by_depth for node in nodes if node.input_tensors]


class Calls:
    """Which calls of layers in a graph read the output of which."""

    def __init__(self, graph: Any) -> None:
        self._source: dict[int, Any] = {}
        self._readers: dict[int, list[Any]] = defaultdict(list)
        for node in nodes_of(graph):
            self._source |= {id(tensor): node for tensor in node.output_tensors}
            for tensor in node.input_tensors:
                self._readers[id(tensor)].append(node)
        for tensor in graph.outputs:
            self._readers[id(tensor)].append(None)

    def only_source(self, node: Any) -> Any:
        """Returns the call whose output this one reads, and nothing else reads; else None."""
        [tensor] = node.input_tensors
        return self._source.get(id(tensor)) if len(self._readers[id(tensor)]) == 1 else None

    def only_reader(self, node: Any) -> Any:
        """Returns the call that reads the output of this one, if nothing else does; else None."""
        [tensor] = node.output_tensors
        readers = self._readers[id(tensor)]
        return readers[0] if len(readers) == 1 else None


def graphs_in(model: keras.Model) -> list[Any]:
    """Returns the graph of a model, and those of the models that it contains, each once."""
    graphs = {id(graph): graph for graph in _nested(graph_of(model))}
    return list(graphs.values())


def _nested(graph: Any) -> Iterator[Any]:
    yield graph
    for node in nodes_of(graph):
        if nested := graph_of(node.operation):
            yield from _nested(nested)


def count_calls(graphs: list[Any]) -> Counter[int]:
    """Returns how often each layer is called; of a layer in another layer that is not known."""
    num_calls: Counter[int] = Counter()
    for graph in graphs:
        for node in nodes_of(graph):
            num_calls[id(node.operation)] += 1
            if isinstance(node.operation, keras.Layer) and not graph_of(node.operation):
                inner = node.operation._flatten_layers(include_self=False)
                num_calls.update(id(layer) for layer in inner for _ in range(2))
    return num_calls


def with_exchanges(model: keras.Model, exchanges: Exchanges) -> keras.Model:
    """Returns a model with other layers in the place of some; the rest is shared.

    Args:
        model: A functional model, which may contain others. It is not changed.
        exchanges: By the `id` of a layer the one that takes its place.

    Returns:
        The new model, or `model` itself if it contains none of these layers.
    """
    exchanges = dict(exchanges)
    for layer in model.layers:
        if graph_of(layer) and (copy := with_exchanges(layer, exchanges)) is not layer:
            exchanges[id(layer)] = copy
    if not any(id(layer) in exchanges for layer in model.layers):
        return model
    return keras.models.clone_model(
        model, clone_function=lambda layer: exchanges.get(id(layer), layer)
    )
