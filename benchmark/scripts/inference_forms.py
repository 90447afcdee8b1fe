"""What makes a network's last steps, and all of it, faster on the CPU, and what does not.

    python benchmark/scripts/inference_forms.py             (VGG16 FCN-8s, one image of 512x512)
    python benchmark/scripts/inference_forms.py --size 256 --threads 1

Images to scores or labels, with the upsampling as trained (a transposed convolution) or by
interpolation, the label by `argmax` or by `top_k`, with and without XLA. The forms run in
turns; each is compared with the first in the same round.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_fcn
from keras_fcn.models.optimize import highest_label, inference_model

NUM_CLASSES = 21


def main() -> None:
    options = _options()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    trained = keras_fcn.FCN8s(NUM_CLASSES, backbone=options.backbone)
    for name in ("score_fr", "score_pool4", "score_pool3"):
        kernel, _ = trained.get_layer(name).weights
        kernel.assign(keras.initializers.HeNormal(seed=0)(kernel.shape))
    faster = inference_model(trained)
    forms = {
        "transposed convolution": _graph(trained, None),
        "transposed convolution, argmax": _graph(trained, _arg_max),
        "transposed convolution, top_k": _graph(trained, highest_label),
        "interpolation": _graph(faster, None),
        "interpolation, argmax": _graph(faster, _arg_max),
        "interpolation, top_k": _graph(faster, highest_label),
        "interpolation, top_k, XLA": _graph(faster, highest_label, jit_compile=True),
    }
    pixels = np.random.default_rng(0).integers(0, 256, (1, options.size, options.size, 3), "uint8")
    images = tf.constant(pixels)
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for round_number in range(options.rounds + 1):
        for name, form in forms.items():
            start = time.perf_counter()
            form(images).numpy()
            if round_number:  # the first traces the graph
                seconds[name].append(time.perf_counter() - start)
    print(
        f"FCN-8s {options.backbone}, {options.size}x{options.size}, {options.threads} threads, "
        f"median of {options.rounds} rounds; time relative to the first (lowest to highest):"
    )
    first = next(iter(seconds.values()))
    for name, values in seconds.items():
        ratios = [value / base for value, base in zip(values, first, strict=True)]
        print(
            f"  {name:32} {statistics.median(values) * 1e3:7.1f} ms  "
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        )


def _graph(
    model: keras.Model, labels: Callable[[Any], Any] | None, *, jit_compile: bool = False
) -> Callable[[Any], Any]:
    @tf.function(jit_compile=jit_compile)
    def run(images: Any) -> Any:
        scores = model(images, training=False)
        return scores if labels is None else labels(scores)

    return run


def _arg_max(scores: Any) -> Any:
    return tf.cast(tf.argmax(scores, axis=-1, output_type=tf.int32), tf.uint8)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
