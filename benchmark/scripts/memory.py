"""The largest memory of each command on VGG16, in a table.

Run:    python -m keras_fcn_benchmark.scripts.memory --caffemodel FILE --output DIR

Each command runs in a process of its own, on FCN-8s with the whole VGG16 (134 million weights,
538 MB) and images of one size, which are noise. The memory is that of the process and its
children, libraries included. Commands that have networks of their own (`quickstart`, `study`) or
none (`datasets`) are left out; so are int8, which is not calibrated on noise, and `benchmark`,
which prints the memory of each of its candidates.
"""

import shutil
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from . import options_parser
from .program import run_program

_IMAGES = {"train": 4, "val": 2}
_CLASSES = 21


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the commands one after the other, and prints a line of each."""
    parser = options_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--caffemodel", required=True, help="voc-fcn8s, or a file with layers of its shapes"
    )
    parser.add_argument("--size", type=int, default=512, help="height and width of the images")
    parser.add_argument("--only", help="names of rows, separated by commas")
    options = parser.parse_args(arguments)
    write_images(options.output / "images", options.size)
    rows = dict(commands(options))
    chosen = options.only.split(",") if options.only else list(rows)
    print("| command | GiB | seconds |\n|---|---|---|", flush=True)
    for name in chosen:
        shutil.rmtree(options.output / "train", ignore_errors=True)  # not to be continued
        seconds, gib = run_program(rows[name], options.output / f"{name}.log")
        result = f"{gib:.2f} | {seconds:.0f}" if seconds else "failed | "
        print(f"| `keras-fcn {' '.join(rows[name])}` | {result} |", flush=True)


def write_images(folder: Path, size: int) -> None:
    """Writes a dataset of noise, unless it is there."""
    generator = np.random.default_rng(0)
    for split, count in _IMAGES.items():
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = generator.integers(0, 256, (size, size, 3), dtype="uint8")
            mask = generator.integers(0, _CLASSES, (size, size), dtype="uint8")
            Image.fromarray(image).save(folder / split / "images" / f"{number}.jpg")
            Image.fromarray(mask).save(folder / split / "masks" / f"{number}.png")
    names = [f"class{number}" for number in range(_CLASSES)]
    (folder / "classes.txt").write_text("\n".join(names) + "\n")


def commands(options: Namespace) -> Iterator[tuple[str, list[str]]]:
    """Yields a name and the arguments of each command; later ones read what earlier ones wrote."""
    out = options.output
    model, size = str(out / "vgg16.keras"), f"{options.size}x{options.size}"
    data = ["--dataset", f"folder:{out / 'images'}"]
    images = str(out / "images" / "val" / "images")
    overwrite = ["--overwrite"]
    yield "convert", [
        "convert", "--from", options.caffemodel, "--variant", "fcn8s", "--output", model, *overwrite
    ]  # fmt: skip
    yield "summary", ["summary", "--model", model]
    yield "predict", ["predict", "--model", model, "--output", str(out / "masks"), images]
    yield "evaluate", ["evaluate", "--model", model, *data]
    exported = {
        "savedmodel": ("savedmodel", ["--format", "savedmodel"]),
        "tflite": ("tflite.tflite", ["--format", "tflite"]),
        "float16": ("float16.tflite", ["--format", "tflite", "--quantize", "float16"]),
        "onnx": ("model.onnx", ["--format", "onnx"]),
    }  # fmt: skip
    for name, (file, settings) in exported.items():
        yield f"export-{name}", [
            "export", "--model", model, *settings, "--output", str(out / file), *overwrite
        ]  # fmt: skip
    for name, (file, _) in exported.items():
        yield f"predict-{name}", [
            "predict", "--model", str(out / file), "--output", str(out / f"masks-{name}"), images
        ]  # fmt: skip
    yield "verify", [
        "verify", "--artifact", str(out / "tflite.tflite"), "--against", model, *data
    ]  # fmt: skip
    yield "train", [
        "train", *data, "--no-plan", "--backbone", "vgg16", "--backbone-weights", "none", "--crop",
        size, "--batch-size", "1", "--epochs", "1", "--workdir", str(out / "train"),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
