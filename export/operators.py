"""The contents of a TFLite file."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

_NAMES = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)
}
# These connect integers and floats, and are not computations in float.
_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE", "CAST"}


@dataclass(frozen=True)
class Operator:
    """A type of operator in a TFLite file.

    Args:
        name: Name in the TFLite schema, such as `CONV_2D`, or that of a custom operator.
        count: How often it occurs.
        in_float: Whether it computes in float in this file.
        is_builtin: False for custom operators and TensorFlow ("Flex") ones,
            which the plain runtime lacks.
    """

    name: str
    count: int
    in_float: bool
    is_builtin: bool


def list_operators(path: str | Path) -> list[Operator]:
    """Returns the operators of a TFLite file, the most frequent first."""
    model = schema.Model.GetRootAs(Path(path).read_bytes(), 0)
    kinds: Counter[tuple[str, bool, bool]] = Counter()
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        for position in range(graph.OperatorsLength()):
            operator = graph.Operators(position)
            name, is_builtin = _name(model.OperatorCodes(operator.OpcodeIndex()))
            in_float = name not in _CONVERSIONS and _touches_float(graph, operator)
            kinds[name, in_float, is_builtin] += 1
    return [
        Operator(name, count, in_float, is_builtin)
        for (name, in_float, is_builtin), count in kinds.most_common()
    ]


def tensor_types(path: str | Path) -> set[str]:
    """Returns the types of the numbers in a TFLite file, such as `{"FLOAT32", "INT8"}`."""
    model = schema.Model.GetRootAs(Path(path).read_bytes(), 0)
    graphs = [model.Subgraphs(index) for index in range(model.SubgraphsLength())]
    types = {
        graph.Tensors(position).Type()
        for graph in graphs
        for position in range(graph.TensorsLength())
    }
    return {name for name, value in vars(schema.TensorType).items() if value in types}


def float_islands(operators: list[Operator]) -> list[str]:
    """Returns the names of operators that compute in float, where integers are wanted."""
    return sorted({operator.name for operator in operators if operator.in_float})


def describe_operators(operators: list[Operator], *, mark_float: bool) -> str:
    """Returns one line of text, such as `CONV_2D 39, ADD 12, ARG_MAX 1`.

    Args:
        operators: From `list_operators`.
        mark_float: Whether to add `(float)` to those that compute in float.
    """
    return ", ".join(
        f"{operator.name} {operator.count}" + " (float)" * (mark_float and operator.in_float)
        for operator in operators
    )


def _name(code: Any) -> tuple[str, bool]:
    # Operators below 127 are also in the older, one byte wide field, which old files use alone.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return code.CustomCode().decode(), False
    return _NAMES[number], True


def _touches_float(graph: Any, operator: Any) -> bool:
    inputs = [operator.Inputs(i) for i in range(operator.InputsLength())]
    outputs = [operator.Outputs(i) for i in range(operator.OutputsLength())]
    floats = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
    # -1 stands for an input that is left out, such as a missing bias.
    return any(graph.Tensors(i).Type() in floats for i in inputs + outputs if i >= 0)
