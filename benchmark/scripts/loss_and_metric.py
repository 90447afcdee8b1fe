"""Times of the loss (with its gradient) and the metric in one training step, and of Keras' own.

Run:    python -m keras_fcn_benchmark.scripts.loss_and_metric [--jit]  (KERAS_BACKEND=jax for JAX)
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_fcn.losses import PixelwiseCrossentropy
from keras_fcn.metrics import SegmentationMetrics

from ..timing import Spread, seconds_in_turns
from . import options_parser

# Takes labels and logits.
Function = Callable[[Any, Any], Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the time of each function."""
    parser = options_parser(__doc__)
    parser.add_argument("--jit", action="store_true", help="compile with XLA (TensorFlow)")
    parser.add_argument(
        "--shape", type=int, nargs=4, default=[8, 288, 288, 11],
        metavar=("BATCH", "HEIGHT", "WIDTH", "CLASSES"),
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(arguments)

    random = np.random.default_rng(0)
    *size, num_classes = options.shape
    pixels = random.integers(0, num_classes, size).astype("uint8")
    pixels[random.uniform(size=size) < 0.1] = 255
    labels = keras.ops.convert_to_tensor(pixels)
    logits = keras.ops.convert_to_tensor(random.normal(size=options.shape).astype("float32"))
    theirs = _compiled(
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255),
        keras.metrics.MeanIoU(num_classes, ignore_class=255, sparse_y_pred=False),
        options.jit,
    )
    ours = _compiled(PixelwiseCrossentropy(), SegmentationMetrics(num_classes), options.jit)
    names = ("Keras loss", "Keras metric", "loss", "metric")
    functions = dict(zip(names, (*theirs, *ours), strict=True))
    seconds = seconds_in_turns(
        {name: partial(function, labels, logits) for name, function in functions.items()},
        options.rounds,
    )

    for name, values in seconds.items():
        milliseconds = Spread.of(values).scaled(1e3).text(".1f")
        print(f"{name:13s} {milliseconds} ms, median of {options.rounds} rounds (lowest-highest)")


def _compiled(
    loss: keras.losses.Loss, metric: keras.metrics.Metric, jit: bool
) -> tuple[Function, Function]:
    """Returns the loss with its gradient, and the update of the metric, compiled."""
    if keras.backend.backend() == "jax":
        import jax

        wait: Any = jax.block_until_ready
        gradient = jax.jit(jax.value_and_grad(lambda logits, labels: loss(labels, logits)))
        update = jax.jit(metric.stateless_update_state)
        state = [variable.value for variable in metric.variables]
        return (
            lambda labels, logits: wait(gradient(logits, labels)),
            lambda labels, logits: wait(update(state, labels, logits)),
        )
    import tensorflow as tf

    @tf.function(jit_compile=jit)
    def loss_gradient(labels: Any, logits: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(labels, logits)
        return tape.gradient(value, logits)

    return loss_gradient, tf.function(metric.update_state, jit_compile=jit)


if __name__ == "__main__":
    main()
