"""What the training does differently on TensorFlow and on JAX, the backends of Keras."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

BACKENDS = ("tensorflow", "jax")


def check_backend(*, several_hosts: bool = False) -> None:
    """Raises ValueError if a training does not run on the backend of Keras."""
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise ValueError(
            f"A training runs on {' or '.join(BACKENDS)}; Keras runs on {backend!r} here. Set "
            "KERAS_BACKEND=tensorflow (or jax) in the environment before the program starts."
        )
    if several_hosts and backend != "jax":
        raise ValueError(
            f"A training on several hosts runs on jax; Keras runs on {backend!r} here. Set "
            "KERAS_BACKEND=jax in the environment before the program starts."
        )


def is_jax() -> bool:
    """Returns whether Keras runs on JAX."""
    return keras.backend.backend() == "jax"


def compiled(
    function: Callable[..., Any], variables: list[Any], input_signature: Any = None
) -> Callable[..., Any]:
    """Returns a function as one graph that is built at its first call.

    On TensorFlow it is built once for all sizes of images, on JAX once for each size.

    Args:
        function: A function of arrays in Keras operations.
        variables: The variables that it reads or assigns to. JAX needs them: they become arguments
            and results there.
        input_signature: For TensorFlow, the specs of the arguments.
    """
    if not is_jax():
        import tensorflow as tf

        return tf.function(function, input_signature, reduce_retracing=True)
    import jax

    @jax.jit
    def pure(values: list[Any], arguments: tuple[Any, ...]) -> tuple[Any, dict[int, Any]]:
        scope = keras.StatelessScope(list(zip(variables, values, strict=True)))
        before = [scope.get_current_value(variable) for variable in variables]
        with scope:
            outputs = function(*arguments)
        after = [scope.get_current_value(variable) for variable in variables]
        return outputs, {i: new for i, new in enumerate(after) if new is not before[i]}

    def run(*arguments: Any) -> Any:
        outputs, assigned = pure([variable.value for variable in variables], arguments)
        for index, value in assigned.items():
            variables[index].assign(value)
        return outputs

    return run


def in_sequence(
    condition: Callable[..., Any], body: Callable[..., Any], values: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Returns `keras.ops.while_loop`, whose rounds do not run at once, which takes memory."""
    if is_jax():
        return keras.ops.while_loop(condition, body, values)
    import tensorflow as tf

    return tf.while_loop(condition, body, values, parallel_iterations=1)


def subtract(variable: Any, change: Any) -> None:
    """Subtracts from a variable; on TensorFlow in place, unlike `assign_sub` of Keras."""
    (variable if is_jax() else variable.value).assign_sub(change)


def copy_values(sources: Iterable[Any], targets: Iterable[Any]) -> None:
    """Assigns the values of variables to others.

    On JAX through the host: otherwise both would share arrays, whose memory `fit` gives up.
    """
    for source, target in zip(sources, targets, strict=True):
        target.assign(np.array(source) if is_jax() else source)
