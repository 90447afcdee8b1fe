"""Times the loss (with its gradient) and the metric of one training step beside those of Keras.

Run:    python benchmark/scripts/loss_and_metric.py [--jit] (add KERAS_BACKEND=jax for JAX)
"""

import argparse
import time

import keras
import numpy as np

from keras_fcn.losses import PixelwiseCrossentropy
from keras_fcn.metrics import SegmentationMetrics


def compiled(loss, metric, jit):
    """Returns two compiled functions of (labels, scores): loss with gradient, and the metric."""
    if keras.backend.backend() == "jax":
        import jax

        gradient = jax.jit(jax.value_and_grad(lambda scores, labels: loss(labels, scores)))
        update = jax.jit(metric.stateless_update_state)
        state = [variable.value for variable in metric.variables]
        return (
            lambda labels, scores: jax.block_until_ready(gradient(scores, labels)),
            lambda labels, scores: jax.block_until_ready(update(state, labels, scores)),
        )
    import tensorflow as tf

    @tf.function(jit_compile=jit)
    def gradient(labels, scores):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = loss(labels, scores)
        return tape.gradient(value, scores)

    return gradient, tf.function(metric.update_state, jit_compile=jit)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jit", action="store_true", help="compile with XLA (TensorFlow)")
    parser.add_argument("--shape", type=int, nargs=4, default=[8, 288, 288, 11])
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    *size, num_classes = arguments.shape
    labels = random.integers(0, num_classes, size).astype("uint8")
    labels[random.uniform(size=size) < 0.1] = 255
    scores = keras.ops.convert_to_tensor(random.normal(size=arguments.shape).astype("float32"))
    labels = keras.ops.convert_to_tensor(labels)

    theirs = compiled(
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255),
        keras.metrics.MeanIoU(num_classes, ignore_class=255, sparse_y_pred=False),
        arguments.jit,
    )
    ours = compiled(PixelwiseCrossentropy(), SegmentationMetrics(num_classes), arguments.jit)
    functions = dict(
        zip(("Keras loss", "Keras metric", "loss", "metric"), theirs + ours, strict=True)
    )
    seconds = {name: [] for name in functions}
    for function in functions.values():
        function(labels, scores)
    # Alternating, so that a busy machine slows all alike.
    for _ in range(arguments.repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function(labels, scores)
            seconds[name].append(time.perf_counter() - start)

    for name, values in seconds.items():
        print(f"{name:13s} {1000 * np.median(values):7.1f} ms (least {1000 * min(values):.1f})")


if __name__ == "__main__":
    main()
