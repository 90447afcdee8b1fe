"""Weights that are no numbers: a network that has them predicts one class everywhere."""

import keras
import numpy as np


def not_finite(model: keras.Model) -> list[str]:
    """Returns the paths of the weights that contain NaN or infinity, with how many numbers do.

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, name="last")])
    >>> model.layers[0].set_weights([np.array([[1.0, np.nan]]), np.zeros(2)])
    >>> [path.split("/", 1)[1] for path in not_finite(model)]
    ['last/kernel (1 of 2)']
    """
    found = []
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight.value)
        # A sum is finite if all numbers are, but for overflow; it takes no further memory.
        if values.dtype.kind not in "biu" and not np.isfinite(np.sum(values, dtype="float64")):
            number = int(np.sum(~np.isfinite(values.astype("float64"))))
            if number:
                found.append(f"{weight.path} ({number} of {values.size})")
    return found


def described(paths: list[str]) -> str:
    """Returns the first ones of what `not_finite` returns, for a message.

    >>> described(["a (1 of 2)", "b (2 of 2)", "c (1 of 1)", "d (1 of 1)"])
    'a (1 of 2), b (2 of 2), c (1 of 1) and 1 more'
    """
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f"{', '.join(paths[:3])}{more}"


def check_finite(model: keras.Model, origin: str) -> None:
    """Raises ValueError if a network has weights that are no numbers.

    Args:
        model: The network.
        origin: Where it is from, for the message.
    """
    if paths := not_finite(model):
        raise ValueError(
            f"{origin} must have weights that are numbers. Received: NaN or infinity in "
            f"{described(paths)}. Its training diverged: use an earlier checkpoint, or train "
            "again with a lower learning rate."
        )
