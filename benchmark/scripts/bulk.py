"""Images per second of `keras-fcn predict`, of one process and of several workers of Ray Data.

Run:    python -m keras_fcn_benchmark.scripts.bulk --model serving --photos DIR --workers 2

Photographs are made of those in a folder. One process, by plain `predict`, and the workers predict
all of them in turns. What it takes to start the workers is not part of their rate: a long run does
it once. The sizes of the files and the processor's seconds per image are those from which the page
docs/scale.md computes what many photographs take.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_fcn.prediction import Predictor, open_predictor
from keras_fcn.prediction.bulk import BATCH, BulkPrediction, start_ray
from keras_fcn.prediction.image_files import predict_files
from keras_fcn.prediction.image_paths import find_images

from ..report import describe_machine
from ..timing import Spread, in_turns
from . import options_parser
from .prediction import make_photographs, stage_seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints what a photograph takes, and the images per second of each way."""
    parser = options_parser(__doc__)
    parser.add_argument("--model", required=True, help="folder of a SavedModel")
    parser.add_argument("--photos", required=True, help="folder of photographs")
    parser.add_argument("--count", type=int, default=400, help="number of photographs to make")
    parser.add_argument("--largest", type=float, default=1, help="in megapixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)

    predictor = open_predictor(options.model)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_photographs(
            find_images([options.photos]), Path(folder) / "in", options.count, options.largest
        )
        measure(predictor, paths, Path(folder), options)


def measure(predictor: Predictor, paths: Sequence[Path], folder: Path, options: Any) -> None:
    """Prints what `main` does, of images that exist."""

    def one_process() -> float:
        output = tempfile.mkdtemp(dir=folder)
        start = time.perf_counter()
        predict_files(predictor, paths, output, with_overlay=False)
        return len(paths) / (time.perf_counter() - start)

    def workers() -> tuple[float, float]:
        """Returns the seconds until the first result, and the images per second after it."""
        job = BulkPrediction(predictor, list(map(str, paths)), tempfile.mkdtemp(dir=folder))
        start = time.perf_counter()
        times = [time.perf_counter() - start for _ in job.run(options.workers)]
        return times[0], (len(paths) - BATCH) / (times[-1] - times[0])

    predict_files(predictor, paths[:2], folder / "warm-up", with_overlay=False)
    stages = stage_seconds(predictor, paths[:50], folder / "stages", with_overlay=False)
    ray = start_ray()
    results: dict[str, list[Any]] = in_turns(
        {"one process": one_process, "workers": workers}, options.rounds, num_warm_up=0
    )
    ray.shutdown()

    machine = describe_machine()
    print(f"{machine['processor']}; instructions: {machine['instructions']}")
    print(f"{options.model}, {len(paths)} JPEG files of up to {options.largest:g} megapixels:")
    masks = list((folder / "stages").glob("*.png"))
    for kind, files in (("photograph", paths), ("mask", masks)):
        size = sum(file.stat().st_size for file in files) / len(files)
        print(f"  {size / 1000:10.1f} kB per {kind}")
    for stage, seconds in stages.items():
        print(f"  {seconds:10.3f} processor seconds per image: {stage}")
    starts, rates = zip(*results["workers"], strict=True)
    print(f"  one process: {Spread.of(results['one process']).text('.3g')} images/s")
    print(
        f"  {options.workers} workers: {Spread.of(rates).text('.3g')} images/s, after "
        f"{Spread.of(starts).text('.1f')} s until the first result"
    )


if __name__ == "__main__":
    main()
