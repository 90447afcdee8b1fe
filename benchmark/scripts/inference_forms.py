"""Times of a network as it is trained and in its inference form on the CPU.

Run:    python -m keras_fcn_benchmark.scripts.inference_forms          (VGG16 FCN-8s, 512x512)
        python -m keras_fcn_benchmark.scripts.inference_forms --model best.keras --size 256

From images to logits or predictions: as trained, or with BatchNorm and padding folded into
convolutions and upsampling that interpolates; the weights as variables or as constants (where
there are few enough, see `keras_fcn.prediction.graph`); the predictions by `argmax` or by `top_k`,
after the crop of the logits or before it; with and without XLA. The variants run in turns; each is
compared with the first in the same round.
"""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_fcn
from keras_fcn.models.optimize import fast_argmax, inference_model
from keras_fcn.prediction import load_model
from keras_fcn.prediction.graph import NetworkGraph
from keras_fcn.prediction.keras_model import heads_of

from ..network import randomize_logits
from ..timing import Spread, seconds_in_turns
from . import add_timing_options, options_parser

NUM_CLASSES = 21
_SHAPE = (None, None, None, 3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the time of each variant."""
    parser = options_parser(__doc__)
    parser.add_argument("--model", type=Path, help="a .keras file, in place of --backbone")
    parser.add_argument("--backbone", default="vgg16")
    add_timing_options(parser, size=512)
    options = parser.parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    if options.model:
        trained = load_model(options.model)
    else:
        trained = keras_fcn.FCN8s(NUM_CLASSES, backbone=options.backbone)
        randomize_logits(trained)
    faster = inference_model(trained)
    network = NetworkGraph(trained, heads_of(trained), tf.TensorSpec(_SHAPE, tf.uint8))
    variants = {
        "as trained": _graph(trained, None),
        "as trained, argmax": _graph(trained, _arg_max),
        "as trained, top_k": _graph(trained, fast_argmax),
        "inference form": _graph(faster, None),
        "inference form, argmax": _graph(faster, _arg_max),
        "inference form, top_k": _graph(faster, fast_argmax),
        "inference form, top_k, XLA": _graph(faster, fast_argmax, jit_compile=True),
        "constants": _of_network(network.logits),
        "constants, top_k before the crop": _of_network(network.predictions),
    }
    pixels = np.random.default_rng(0).integers(0, 256, (1, options.size, options.size, 3), "uint8")
    images = tf.constant(pixels)
    seconds = seconds_in_turns(
        {name: partial(run, images) for name, run in variants.items()}, options.rounds
    )

    print(
        f"{trained.name}, {options.size}x{options.size}, {options.threads} threads, "
        f"median of {options.rounds} rounds; time relative to the first (lowest-highest):"
    )
    first = next(iter(seconds.values()))
    for name, values in seconds.items():
        relative = Spread.of_ratios(values, first).text(".3f")
        print(f"  {name:34} {statistics.median(values) * 1e3:7.1f} ms  {relative}")


def _graph(
    model: keras.Model, predictions: Callable[[Any], Any] | None, *, jit_compile: bool = False
) -> Callable[[Any], Any]:
    @tf.function(jit_compile=jit_compile)
    def run(images: Any) -> Any:
        logits = model(images, training=False)
        return logits if predictions is None else predictions(logits)

    return lambda images: run(images).numpy()


def _of_network(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    run = tf.function(function, input_signature=[tf.TensorSpec(_SHAPE, tf.uint8)])
    return lambda images: [maps.numpy() for maps in run(images).values()]


def _arg_max(logits: Any) -> Any:
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)


if __name__ == "__main__":
    main()
