"""The operations per second of a training step, relative to a matrix product's.

Run:    python -m keras_fcn_benchmark.scripts.training_step            (VGG16 FCN-8s, 512x512)
        python -m keras_fcn_benchmark.scripts.training_step --size 256 --threads 1

In each round every candidate runs once: large matrix products, as a reference for the operations
per second; the forward and backward pass; and the whole step with the optimizer. Loss and
optimizer are those of this package. In float32 and in mixed bfloat16.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras_fcn_train import CaffeSGD

import keras_fcn
from keras_fcn.models.receptive_field import summarize

from ..matmul import OPERATIONS, tensorflow_matmul
from ..timing import Spread, seconds_in_turns
from . import add_timing_options, options_parser

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
NUM_CLASSES = 21
# A single one takes less time than waking up waiting threads.
NUM_PRODUCTS = 10

# Operations of a call, and the function.
Candidate = tuple[float, Callable[[], Any]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints seconds, operations per second and their ratio to the matrix product's."""
    parser = options_parser(__doc__)
    add_timing_options(parser, size=512)
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument(
        "--precisions", nargs="+", choices=POLICIES, default=list(POLICIES),
        help="bfloat16 takes minutes on processors that only emulate it",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)

    candidates: dict[str, Candidate] = {}
    for precision in options.precisions:
        candidates[f"{precision} matmul"] = _matmul(precision)
        model = keras_fcn.FCN8s(NUM_CLASSES, backbone=options.backbone, dtype=POLICIES[precision])
        passes, step = _training(model, options.size, options.batch)
        candidates[f"{precision} forward and backward"] = passes
        candidates[f"{precision} step with optimizer"] = step
    seconds = seconds_in_turns({name: run for name, (_, run) in candidates.items()}, options.rounds)

    print(
        f"FCN-8s {options.backbone}, {options.batch} of {options.size}x{options.size}, "
        f"{options.threads} threads, median of {options.rounds} rounds (lowest-highest):"
    )
    rates = {
        name: [operations / value / 1e9 for value in seconds[name]]
        for name, (operations, _) in candidates.items()
    }
    for name, values in rates.items():
        relative = Spread.of_ratios(values, rates[f"{name.split()[0]} matmul"])
        print(
            f"  {name:32} {Spread.of(seconds[name]).median:7.3f} s "
            f"{Spread.of(values).median:6.0f} GFLOP/s  {relative.text('.0%')} relative to matmul"
        )


def _matmul(precision: str) -> Candidate:
    product = tensorflow_matmul(precision)
    return NUM_PRODUCTS * OPERATIONS, lambda: [product.predict(None) for _ in range(NUM_PRODUCTS)]


def _training(model: keras_fcn.FCN, size: int, batch_size: int) -> tuple[Candidate, Candidate]:
    """Returns the forward and backward pass, and the whole step with the optimizer."""
    model.compile(
        CaffeSGD(1e-10, momentum=0.99, weight_decay=5e-4),
        keras_fcn.losses.PixelwiseCrossentropy(),
    )
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (batch_size, size, size, 3)).astype("uint8"))
    labels = tf.constant(random.integers(0, NUM_CLASSES, (batch_size, size, size)).astype("uint8"))

    @tf.function
    def passes() -> Any:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(y=labels, y_pred=model(images, training=True))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        return [tf.reduce_max(gradient) for gradient in gradients]

    # The backward pass has two convolutions per convolution of the forward pass.
    operations = 3.0 * 2 * batch_size * summarize(model, (size, size)).multiply_adds
    return (
        (operations, lambda: passes()[0].numpy()),
        (operations, lambda: model.train_on_batch(images, labels)),
    )


if __name__ == "__main__":
    main()
