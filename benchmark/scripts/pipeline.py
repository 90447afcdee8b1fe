"""Images per second of the input pipeline, and of the network that it feeds.

Run:    python -m keras_fcn_benchmark.scripts.pipeline                 (the built-in sample set)
        python -m keras_fcn_benchmark.scripts.pipeline --source path/to/CamVid

Both are measured in one run, in turns: the pipeline alone, with decoded images in memory and with
every image decoded again; training steps on one batch; and training from the pipeline, where both
share the cores.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras

import keras_fcn
from keras_fcn.data.augmentation import Augmentation
from keras_fcn.data.dataset import SegmentationDataset
from keras_fcn.data.pipeline import training_batches
from keras_fcn.datasets import open_dataset

from ..timing import Spread, in_turns
from . import options_parser

Step = Callable[[], Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the images per second of each candidate."""
    parser = options_parser(__doc__)
    parser.add_argument("--source", help="CamVid's folder; the sample set without it")
    parser.add_argument("--crop", type=int, default=288, help="height and width in pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="per candidate and round")
    options = parser.parse_args(arguments)

    if options.source:
        dataset = open_dataset("camvid", source=options.source)
    else:
        dataset = open_dataset("sample")
    rates = measure(dataset, options.crop, options.batch, options.rounds, options.seconds)

    network = Spread.of(rates["training on one batch"]).median
    print(f"{dataset.name}, crops of {options.crop}x{options.crop}, batches of {options.batch}:")
    for name, values in rates.items():
        rate = Spread.of(values)
        times = f"{rate.median / network:.2f} x training"
        print(f"  {name:32} {rate.text('.1f'):>24} images/s  {times}")


def measure(
    dataset: SegmentationDataset, crop: int, batch_size: int, num_rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Returns the images per second of each candidate in each round."""
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "crop_size": (crop, crop),
        "augmentation": Augmentation(scale=(0.5, 2.0), hue=0.02, grayscale=0.1),
    }
    in_memory = iter(training_batches(dataset, **settings))
    decoded = iter(training_batches(dataset, cache_bytes=0, **settings))
    (spec,) = dataset.heads.values()
    backbone = keras_fcn.backbones.MobileNetV2(alpha=0.35)
    model = keras_fcn.FCN8s(spec.num_classes, backbone=backbone)
    model.compile(keras.optimizers.AdamW(1e-3), keras_fcn.losses.PixelwiseCrossentropy())
    batch = next(in_memory)
    steps: dict[str, Step] = {
        "pipeline, images in memory": lambda: next(in_memory),
        "pipeline, images decoded again": lambda: next(decoded),
        "training on one batch": lambda: model.train_on_batch(*batch),
        "training from the pipeline": lambda: model.train_on_batch(*next(in_memory)),
    }
    steps_per_second = in_turns(
        {name: partial(_steps_per_second, step, seconds) for name, step in steps.items()},
        num_rounds,
    )
    return {name: [batch_size * r for r in rates] for name, rates in steps_per_second.items()}


def _steps_per_second(step: Step, seconds: float) -> float:
    # First the batches that were prefetched while another candidate ran are used up.
    _repeat(step, seconds / 4)
    return _repeat(step, seconds)


def _repeat(step: Step, seconds: float) -> float:
    """Returns the calls per second, measured for that long."""
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < seconds:
        step()
        count += 1
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
