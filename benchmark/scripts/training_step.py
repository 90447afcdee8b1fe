"""A training step's share of what the machine can compute at best.

    python benchmark/scripts/training_step.py              (VGG16 FCN-8s, one image of 512x512)
    python benchmark/scripts/training_step.py --size 256 --threads 1

In each round every candidate runs once: a large matrix product, whose rate is
the peak; the forward and backward pass; and the whole step of `keras_fcn`'s
loss, metric and optimizer. In float32 and in mixed bfloat16.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from keras_fcn_train.optimizers import CaffeSGD

import keras_fcn
from keras_fcn.models.receptive_field import summarize

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
NUM_CLASSES = 21


def main() -> None:
    options = _options()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    candidates: dict[str, tuple[float, Callable[[], Any]]] = {}
    for dtype in options.precisions:
        policy = PRECISIONS[dtype]
        candidates[f"{dtype} peak"] = _matrix_product(dtype)
        passes, step = _training(policy, options.size, options.batch)
        candidates[f"{dtype} forward and backward"] = passes
        candidates[f"{dtype} step with optimizer"] = step
    seconds = _measure({name: run for name, (_, run) in candidates.items()}, options.rounds)
    print(
        f"VGG16 FCN-8s, {options.batch} of {options.size}x{options.size}, "
        f"{options.threads} threads, median of {options.rounds} rounds:"
    )
    rates = {
        name: [flops / time / 1e9 for time in seconds[name]]
        for name, (flops, _) in candidates.items()
    }
    for name, values in rates.items():
        peaks = rates[f"{name.split()[0]} peak"]
        shares = [value / peak for value, peak in zip(values, peaks, strict=True)]
        print(
            f"  {name:32} {statistics.median(seconds[name]):7.3f} s "
            f"{statistics.median(values):6.0f} GFLOP/s  {statistics.median(shares):4.0%} of the "
            f"peak ({min(shares):.0%} to {max(shares):.0%})"
        )


def _matrix_product(dtype: str, size: int = 2048) -> tuple[float, Callable[[], Any]]:
    """Returns the floating-point operations of ten products, and the function that does them."""
    matrix = tf.cast(tf.random.stateless_normal((size, size), (0, 0)), dtype)

    @tf.function
    def product() -> Any:
        result = matrix
        for _ in range(10):
            result = tf.matmul(matrix, result) * tf.cast(1 / size, dtype)
        return result

    return 10 * 2 * size**3, lambda: product().numpy()


def _training(
    policy: str, size: int, batch_size: int
) -> tuple[tuple[float, Callable[[], Any]], tuple[float, Callable[[], Any]]]:
    """Returns operations and functions of the passes without, and the step with the optimizer."""
    model = keras_fcn.FCN8s(NUM_CLASSES, dtype=policy)
    model.compile(
        CaffeSGD(1e-10, momentum=0.99, weight_decay=5e-4),
        keras_fcn.losses.PixelwiseCrossentropy(),
    )
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (batch_size, size, size, 3)).astype("uint8"))
    labels = random.integers(0, NUM_CLASSES, (batch_size, size, size)).astype("uint8")
    labels = tf.constant(labels)

    @tf.function
    def passes() -> Any:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(y=labels, y_pred=model(images, training=True))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        return [tf.reduce_max(gradient) for gradient in gradients]

    # The backward pass is two convolutions for each one of the forward pass.
    flops = 3.0 * 2 * batch_size * summarize(model, (size, size)).multiply_adds
    return (flops, lambda: passes()[0].numpy()), (
        flops,
        lambda: model.train_on_batch(images, labels),
    )


def _measure(candidates: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of each candidate in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for round_number in range(rounds + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if round_number:  # the first traces the graphs
                seconds[name].append(time.perf_counter() - start)
    return seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS),
        help="bfloat16 takes minutes on processors that only emulate it",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    main()
