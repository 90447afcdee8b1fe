"""The share of what the cores could do that `keras-fcn predict` reaches on photographs.

Run:    python -m keras_fcn_benchmark.scripts.prediction --model best.keras --photos DIR
        python -m keras_fcn_benchmark.scripts.prediction --overlay --model best.keras --photos DIR

Photographs of 1 to 12 megapixels are made of those in a folder. Of each stage (decoding, the
network, drawing and encoding) the processor's seconds per image are measured on its own; all cores
together could do cores / (their sum) images per second. The pipeline, and a loop with one stage
after the other, are timed in turns. With `--tflite`, a loop of Pillow and LiteRT is, too.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_fcn.data.image_io import read_image
from keras_fcn.prediction import Predictor, open_predictor
from keras_fcn.prediction.image_files import predict_files
from keras_fcn.prediction.image_paths import find_images
from keras_fcn.prediction.output_files import ImagePrediction, OutputFiles, Target

from ..timing import Spread, in_turns, seconds_of
from . import options_parser

MEGAPIXELS = (1, 12)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints processor time per stage, images per second, and the share of the cores."""
    parser = options_parser(__doc__)
    parser.add_argument("--model", required=True, help="any format that `predict` takes")
    parser.add_argument("--photos", required=True, help="folder of photographs")
    parser.add_argument("--count", type=int, default=50, help="number of photographs to make")
    parser.add_argument("--largest", type=float, default=MEGAPIXELS[1], help="in megapixels")
    parser.add_argument("--overlay", action="store_true", help="also draw overlays")
    parser.add_argument("--tflite", help="the same network as .tflite, for a loop with LiteRT")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)

    predictor = open_predictor(options.model)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_photographs(
            find_images([options.photos]), Path(folder) / "in", options.count, options.largest
        )
        measure(predictor, paths, Path(folder), options)


def make_photographs(
    photos: Sequence[Path], folder: Path, count: int, largest: float
) -> list[Path]:
    """Writes JPEG files of different sizes, from the smallest to the largest, in no order."""
    folder.mkdir()
    paths = []
    megapixels = np.linspace(min(MEGAPIXELS[0], largest), largest, count)
    np.random.default_rng(0).shuffle(megapixels)
    for number, size in enumerate(megapixels):
        with Image.open(photos[number % len(photos)]) as photo:
            factor = (size * 1e6 / (photo.width * photo.height)) ** 0.5
            sides = (round(photo.width * factor), round(photo.height * factor))
            paths.append(folder / f"{number:04}.jpg")
            photo.convert("RGB").resize(sides).save(paths[-1], quality=90)
    return paths


def measure(predictor: Predictor, paths: Sequence[Path], folder: Path, options: Any) -> None:
    """Prints what `main` does, of images that exist."""
    run_files = {"output_dir": folder / "pipeline", "with_overlay": options.overlay}
    predict_files(predictor, paths[:2], **run_files)
    stages = stage_seconds(predictor, paths, folder / "stages", options.overlay)
    cores, total = os.cpu_count() or 1, sum(stages.values())
    candidates: dict[str, Callable[[], Any]] = {
        "keras-fcn predict": lambda: predict_files(predictor, paths, **run_files),
        "one stage after the other": lambda: stage_seconds(
            predictor, paths, folder / "stages", options.overlay
        ),
    }
    if options.tflite:
        candidates["Pillow and LiteRT in a loop"] = lambda: litert_loop(
            options.tflite, paths, folder / "litert"
        )
    timed = {name: partial(seconds_of, run) for name, run in candidates.items()}
    seconds = in_turns(timed, options.rounds, num_warm_up=0)

    pixels = [np.prod(Image.open(path).size) / 1e6 for path in paths]
    print(
        f"{options.model}, {len(paths)} JPEG files of {min(pixels):.1f} to {max(pixels):.1f} "
        f"megapixels, {cores} cores, overlays {'on' if options.overlay else 'off'}:"
    )
    for stage, value in stages.items():
        print(f"  {stage:10} {value:7.3f} processor seconds per image")
    print(f"  {'all cores':10} {cores / total:7.3f} images/s, at most")
    for name, of_rounds in seconds.items():
        rates = [len(paths) / value for value in of_rounds]
        share = Spread.of(rate * total / cores for rate in rates)
        print(f"  {name:28} {Spread.of(rates).text('.3f')} images/s, {share.text('.0%')}")


def stage_seconds(
    predictor: Predictor, paths: Sequence[Path], folder: Path, with_overlay: bool
) -> dict[str, float]:
    """Runs one stage after the other; returns the processor's seconds per image of each."""
    outputs = OutputFiles("png", predictor.heads, folder, paths, with_overlay)
    seconds = dict.fromkeys(("decode", "network", "encode"), 0.0)

    def timed(stage: str, function: Callable[..., Any], *arguments: Any) -> Any:
        before = time.process_time()
        result = function(*arguments)
        seconds[stage] += time.process_time() - before
        return result

    for path in paths:
        image = timed("decode", read_image, path)
        maps = timed("network", predictor.predictions_by_head, image[None])
        of_image = {head: values[0] for head, values in maps.items()}
        result = ImagePrediction(of_image, {}, {}, None, image, ())
        timed("encode", outputs.write, Target(path, folder / path.stem), result)
    return {stage: value / len(paths) for stage, value in seconds.items()}


def litert_loop(model: str, paths: Sequence[Path], folder: Path) -> None:
    """What one would write without this package: labels as gray PNG files, in a plain loop."""
    from ai_edge_litert.interpreter import Interpreter

    folder.mkdir(exist_ok=True)
    interpreter = Interpreter(model_path=model, num_threads=os.cpu_count())
    given, returned = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    for path in paths:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))[None].astype(given["dtype"])
        interpreter.resize_tensor_input(given["index"], pixels.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], pixels)
        interpreter.invoke()
        labels = interpreter.get_tensor(returned["index"])[0]
        Image.fromarray(labels.astype("uint8")).save(folder / f"{path.stem}.png")


if __name__ == "__main__":
    main()
