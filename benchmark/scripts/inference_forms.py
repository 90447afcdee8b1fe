"""Times of variants of a network's last operations on the CPU, and of the whole network.

Run:    python -m keras_fcn_benchmark.scripts.inference_forms          (VGG16 FCN-8s, 512x512)
        python -m keras_fcn_benchmark.scripts.inference_forms --size 256 --threads 1

From images to logits or predictions, with the upsampling as trained (a transposed convolution) or
by interpolation, the predictions by `argmax` or by `top_k`, with and without XLA. The variants run
in turns; each is compared with the first in the same round.
"""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_fcn
from keras_fcn.models.optimize import fast_argmax, inference_model

from ..network import randomize_logits
from ..timing import Spread, seconds_in_turns
from . import add_timing_options, options_parser

NUM_CLASSES = 21


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the time of each variant."""
    parser = options_parser(__doc__)
    parser.add_argument("--backbone", default="vgg16")
    add_timing_options(parser, size=512)
    options = parser.parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    trained = keras_fcn.FCN8s(NUM_CLASSES, backbone=options.backbone)
    randomize_logits(trained)
    faster = inference_model(trained)
    variants = {
        "transposed convolution": _graph(trained, None),
        "transposed convolution, argmax": _graph(trained, _arg_max),
        "transposed convolution, top_k": _graph(trained, fast_argmax),
        "interpolation": _graph(faster, None),
        "interpolation, argmax": _graph(faster, _arg_max),
        "interpolation, top_k": _graph(faster, fast_argmax),
        "interpolation, top_k, XLA": _graph(faster, fast_argmax, jit_compile=True),
    }
    pixels = np.random.default_rng(0).integers(0, 256, (1, options.size, options.size, 3), "uint8")
    images = tf.constant(pixels)
    seconds = seconds_in_turns(
        {name: partial(run, images) for name, run in variants.items()}, options.rounds
    )

    print(
        f"FCN-8s {options.backbone}, {options.size}x{options.size}, {options.threads} threads, "
        f"median of {options.rounds} rounds; time relative to the first (lowest-highest):"
    )
    first = next(iter(seconds.values()))
    for name, values in seconds.items():
        relative = Spread.of_ratios(values, first).text(".3f")
        print(f"  {name:32} {statistics.median(values) * 1e3:7.1f} ms  {relative}")


def _graph(
    model: keras.Model, predictions: Callable[[Any], Any] | None, *, jit_compile: bool = False
) -> Callable[[Any], Any]:
    @tf.function(jit_compile=jit_compile)
    def run(images: Any) -> Any:
        logits = model(images, training=False)
        return logits if predictions is None else predictions(logits)

    return lambda images: run(images).numpy()


def _arg_max(logits: Any) -> Any:
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)


if __name__ == "__main__":
    main()
