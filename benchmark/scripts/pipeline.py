"""Images a second of the input pipeline, beside those of the network that it feeds.

    python benchmark/scripts/pipeline.py                        (the built-in sample set)
    python benchmark/scripts/pipeline.py --source path/to/CamVid

Both are measured in one run, in turns: the pipeline alone, with decoded
images in memory and with every image decoded again; training steps on one
batch; and training from the pipeline, where both share the cores.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_fcn
from keras_fcn.data.augmentation import Augmentation
from keras_fcn.data.pipeline import training_batches
from keras_fcn.datasets import SegmentationDataset, open_dataset

Step = Callable[[], Any]


def main() -> None:
    options = _options()
    if options.source:
        dataset = open_dataset("camvid", source=options.source)
    else:
        dataset = open_dataset("sample")
    rates = measure(dataset, options.crop, options.batch, options.rounds, options.seconds)
    network = statistics.median(rates["training on one batch"])
    print(f"{dataset.name}, crops of {options.crop}x{options.crop}, batches of {options.batch}:")
    for name, values in rates.items():
        middle = statistics.median(values)
        print(
            f"  {name:32} {middle:8.1f} images/s  ({min(values):.1f} to {max(values):.1f})"
            f"  {middle / network:6.2f} x training"
        )


def measure(
    dataset: SegmentationDataset, crop: int, batch_size: int, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Returns the images a second of each candidate in each round."""
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "crop_size": (crop, crop),
        "augmentation": Augmentation(scale=(0.5, 2.0), hue=0.02, grayscale=0.1),
    }
    held = iter(training_batches(dataset, **settings))
    decoded = iter(training_batches(dataset, cache_bytes=0, **settings))
    model = keras_fcn.FCN8s(
        dataset.labels.num_classes, backbone=keras_fcn.backbones.MobileNetV2(alpha=0.35)
    )
    model.compile(keras.optimizers.AdamW(1e-3), keras_fcn.losses.PixelwiseCrossentropy())
    batch = next(held)
    candidates: dict[str, Step] = {
        "pipeline, images in memory": lambda: next(held),
        "pipeline, images decoded again": lambda: next(decoded),
        "training on one batch": lambda: model.train_on_batch(*batch),
        "training from the pipeline": lambda: model.train_on_batch(*next(held)),
    }
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for round_number in range(rounds + 1):
        for name, step in candidates.items():
            rate = batch_size * _steps_per_second(step, seconds)
            if round_number:  # the first warms up: graphs, threads, buffers
                rates[name].append(rate)
    return rates


def _steps_per_second(step: Step, seconds: float) -> float:
    # First what was prefetched while another candidate ran is used up.
    _repeat(step, seconds / 4)
    return _repeat(step, seconds)


def _repeat(step: Step, seconds: float) -> float:
    """Returns the calls a second, called for that long."""
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < seconds:
        step()
        count += 1
    return count / (time.perf_counter() - start)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", help="CamVid's folder; the sample set without it")
    parser.add_argument("--crop", type=int, default=288)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="per candidate and round")
    return parser.parse_args()


if __name__ == "__main__":
    main()
