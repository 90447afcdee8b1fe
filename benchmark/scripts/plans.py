"""Trains by the plan and in other ways for the same time, and prints a table of the mean IoUs.

Run:    python -m keras_fcn_benchmark.scripts.plans --camvid CamVid --voc VOCdevkit --nyud NYUDv2 \
            --weights-dir weights --output runs/plans [--only camvid] [--seeds 3]
        python -m keras_fcn_benchmark.scripts.plans --output runs/plans --table

Each training is a `keras-fcn train --time`, and a `keras-fcn evaluate --json` of its best.keras on
the split that chose it, so that all ways have the same advantage. `--time` does not include what
precedes the first step; the seconds of the table do, such as making the plan. A finished training
is not run again. An interrupted one starts again: its time is only comparable in one piece.

Rows, and what is written into the output folder for them:

camvid  30 minutes, one seed.
voc     A part of VOC 2012 with SBD's masks; the mean of the classes that are in it. 10 minutes, one
        seed.
bands   Five bands of 16 bits of NYUDv2: red, green, blue, depth, and the height above the ground
        of HHA; 13 classes, 0 is ignored. The two frames of the kitchen are for validation, the six
        of other rooms for training. 10 minutes.
binary  Masks of 0 and 255: 255 are animals and persons. The first 100 and 40 images of VOC's lists
        of which they are 5% or more. VOC's void is 128 in the masks, and ignored. 3 minutes.
nyu40   NYUDv2's frames with 40 classes, one left out for validation in each of five folds; the
        metrics of their summed confusion matrices. 1 minute each.
photos  4000x3000 pixels: 32 and 8 images of VOC, upscaled. 3 minutes; the plan only. Its memory is
        what matters.

Columns:

plan    A dataset, the time, and where the weights are.
0.1.0   What `keras-fcn train --dataset D` did in 0.1.0: MobileNetV2 1.0 from random weights,
        images of native size, batches of 8, 50 epochs. (Its reading of images is today's: 0.1.0
        could not read five bands.)
recipe  The recipe for the dataset, where there is one.
smp     The settings of segmentation_models.pytorch's example of several classes
        (examples/camvid_segmentation_multiclass.ipynb), from the weights of the plan: Dice, Adam,
        2e-4, batches of 32 crops of 320x320, scales of 0.5 to 1.5, 50 epochs. Not retyped, because
        there are no such options: its encoder and decoder (ours are MobileNetV2-0.35 and FCN-8s),
        shifts, noise, perspective, CLAHE, gamma, sharpening and blur; colors that change in some
        images only (here in all); Dice of the whole batch (ours is of each image); a cosine down to
        1e-5 (here a line down to 0). It has no validation that chooses a network: here it has.
smp+    The same for as many epochs as the time allows, where 50 are over sooner.
"""

import csv
import json
import shutil
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from keras_fcn.files import replacing, write_json

from ..small_sets import write_bands, write_binary, write_nyu40, write_photos
from . import options_parser
from .program import run_program

# The defaults of 0.1.0 by name, so that the column stays when defaults change.
DEFAULTS_0_1_0 = (
    "--no-plan --variant fcn8s --backbone mobilenet_v2 --alpha 1.0 --backbone-weights none "
    "--skip-filters 0 --upsampling fixed --batchnorm-momentum 0.99 --crop none --batch-size 8 "
    "--scale 0.5,2.0 --brightness 0.1 --contrast 0.2 --saturation 0.2 --hue 0 --loss crossentropy "
    "--optimizer adamw --learning-rate 1e-3 --weight-decay 1e-4 --schedule polynomial --power 0.9 "
    "--warmup-steps 0 --ema-decay none --class-weights none --epochs 50 --validate-every 1"
)
_SMP = (
    "--no-plan --variant fcn8s --backbone mobilenet_v2 --alpha 0.35 --backbone-weights imagenet "
    # 0.1 in PyTorch, which weights the other term.
    "--batchnorm-momentum 0.9 --crop 320x320 --scale 0.5,1.5 --brightness 0.2 --contrast 0.2 "
    "--saturation 0.1 --hue 0.1 --loss dice --optimizer adamw --weight-decay 0 "
    "--learning-rate 2e-4 --schedule polynomial --power 1"
)
_SMP_BATCH = 32
# For the time, a validation after each epoch of one step would take most of it.
_SMP_EPOCHS = {"smp": "--epochs 50 --validate-every 1", "smp+": "--epochs 9999 --validate-every 20"}
COLUMNS = ("plan", "0.1.0", "recipe", "smp", "smp+")


@dataclass(frozen=True)
class Row:
    """A dataset of the table, and how it is trained on.

    Args:
        minutes: Time of a training.
        columns: Ways to train.
        source: The option that names the folder of the published files.
        dataset: A dataset with that source.
        write: Writes a folder from these files, if there is no such dataset.
        folds: Number of folders in it, each of which is a dataset; 0 if it is one itself.
        channels: Bands of the images.
        recipe: The recipe, if there is one.
        seeds: Most seeds; 0 for as many as are wanted.
        classes: Classes whose mean counts; all by default.
    """

    minutes: float
    columns: tuple[str, ...]
    source: str
    dataset: str = ""
    write: Callable[[Path, Path], None] | None = None
    folds: int = 0
    channels: int = 3
    recipe: str = ""
    seeds: int = 0
    classes: tuple[str, ...] = ()


_THREE = ("plan", "0.1.0", "smp")
_VOC_PART = ("background", "cat", "cow", "dog", "horse", "person", "sheep")
ROWS = {
    "camvid": Row(
        30, (*_THREE, "recipe"), "camvid", "camvid", recipe="camvid_mobilenet_v2", seeds=1
    ),
    "voc": Row(
        10,
        (*_THREE, "recipe"),
        "voc",
        "voc2012_aug",
        recipe="voc_mobilenet_v2",
        seeds=1,
        classes=_VOC_PART,
    ),
    "bands": Row(10, (*_THREE, "smp+"), "nyud", write=write_bands, channels=5),
    "binary": Row(3, _THREE, "voc", write=write_binary),
    "nyu40": Row(1, (*_THREE, "smp+"), "nyud", write=write_nyu40, folds=5),
    "photos": Row(3, ("plan",), "voc", write=write_photos, seeds=1),
}


@dataclass(frozen=True)
class Training:
    """A training of the table.

    Args:
        row: Name of the row.
        column: Name of the column.
        seed: Its seed.
        folder: Where everything is kept.
        train: Arguments of `keras-fcn` that train.
        evaluate: Arguments that then write `metrics`.
    """

    row: str
    column: str
    seed: int
    folder: Path
    train: list[str]
    evaluate: list[str]

    @property
    def record(self) -> Path:
        """Command, epochs, seconds and memory of the training, once it is complete."""
        return self.folder / "training.json"

    @property
    def metrics(self) -> Path:
        """The metrics of its network, once it is evaluated."""
        return self.folder / "metrics.json"

    @property
    def is_finished(self) -> bool:
        """Whether both files are there."""
        return self.record.is_file() and self.metrics.is_file()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is not finished, and prints the table."""
    parser = options_parser(__doc__)
    parser.add_argument("--camvid", type=Path, help="CamVid's folder")
    parser.add_argument("--voc", type=Path, help="VOCdevkit")
    parser.add_argument("--nyud", type=Path, help="folder of NYUDv2's frames")
    parser.add_argument("--weights-dir", type=Path, help="folder of ImageNet weights")
    parser.add_argument("--output", type=Path, required=True, help="folder of all trainings")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument(
        "--columns", nargs="+", choices=COLUMNS, default=list(COLUMNS), metavar="COLUMN"
    )
    parser.add_argument("--seeds", type=int, default=3, help="of the small sets")
    parser.add_argument("--minutes-scale", type=float, default=1.0, help="below 1 for a short try")
    parser.add_argument("--table", action="store_true", help="print the table only")
    options = parser.parse_args(arguments)
    for name in ("camvid", "voc", "nyud", "weights_dir", "output"):
        if path := getattr(options, name):
            setattr(options, name, path.resolve())
    failed = []
    for name in [] if options.table else options.only:
        _make_data(name, options)
        for training in _trainings(name, options):
            if not _is_ready(training) and not _run(training):
                failed.append(str(training.folder))
    print("\n".join(_table(options)))
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}")


# === The table ===


def _table(options: Namespace) -> Iterator[str]:
    """Yields the lines of the table of what is finished."""
    yield "| data | trained by | mean IoU (lowest to highest) | epochs | seconds | GiB |"
    yield "|---|---|---|---|---|---|"
    for name in options.only:
        trainings = list(_trainings(name, options))
        for column in COLUMNS:
            by_seed = [
                [one for one in trainings if (one.column, one.seed) == (column, seed)]
                for seed in _seeds(name, options)
            ]
            finished = [folds for folds in by_seed if folds and all(f.is_finished for f in folds)]
            if finished:
                yield f"| {name} | {column} | {_cells(finished, len(by_seed))} |"


def _cells(by_seed: list[list[Training]], num_seeds: int) -> str:
    values = [mean_iou([json.loads(one.metrics.read_text()) for one in folds]) for folds in by_seed]
    records = [json.loads(one.record.read_text()) for folds in by_seed for one in folds]
    text = f"{mean(values):.3f}"
    if len(values) > 1:
        text += f" ({min(values):.3f} to {max(values):.3f})"
    if len(values) < num_seeds:
        text += f", {len(values)} of {num_seeds} seeds"
    epochs, seconds = (mean(record[key] for record in records) for key in ("epochs", "seconds"))
    gib = max(record["peak_gib"] for record in records)
    return f"{text} | {epochs:.0f} | {seconds:.0f} | {gib:.1f}"


def mean_iou(folds: Sequence[dict[str, Any]]) -> float:
    """Returns the mean IoU of the metrics of a training, or of the summed counts of its folds.

    The mean is over the classes that are labeled or predicted, or those that were chosen.

    >>> folds = [{"confusion_matrix": [[2, 0], [1, 1]]}, {"confusion_matrix": [[0, 0], [0, 1]]}]
    >>> round(mean_iou(folds), 4)  # 2 of 3 pixels for either class
    0.6667
    """
    if len(folds) == 1:
        (metrics,) = folds
        return float(metrics.get("mean_iou_of_classes", metrics["mean_iou"]))
    counts = np.sum([fold["confusion_matrix"] for fold in folds], axis=0)
    hits = counts.diagonal()
    unions = counts.sum(0) + counts.sum(1) - hits
    return float((hits[unions > 0] / unions[unions > 0]).mean())


# === Trainings ===


def _seeds(name: str, options: Namespace) -> range:
    return range(min(options.seeds, ROWS[name].seeds or options.seeds))


def _trainings(name: str, options: Namespace) -> Iterator[Training]:
    """Yields the trainings of a row: all columns of a seed before the next seed."""
    row = ROWS[name]
    seconds = max(1, round(60 * row.minutes * options.minutes_scale))
    limit = f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
    weights = ["--weights-dir", str(options.weights_dir)] if options.weights_dir else []
    classes = ["--classes", ",".join(row.classes)] if row.classes else []
    for seed in _seeds(name, options):
        for column in (one for one in row.columns if one in options.columns):
            for fold, data in _datasets(name, options):
                folder = options.output / name / column / f"seed{seed}" / fold
                run = folder / "run"
                training = Training(
                    name,
                    column,
                    seed,
                    folder,
                    ["train", *_way(row, column, data), *data, *weights, "--time", limit,
                     "--seed", str(seed), "--workdir", str(run)],
                    ["evaluate", "--model", str(run / "best.keras"), *data, *classes],
                )  # fmt: skip
                training.evaluate.extend(["--json", str(training.metrics), "--overwrite"])
                yield training


def _way(row: Row, column: str, data: Sequence[str]) -> list[str]:
    """Returns the options of a way to train."""
    if column == "recipe":
        return ["--recipe", row.recipe]
    if column == "0.1.0":
        return DEFAULTS_0_1_0.split()
    if column == "plan":
        return []
    batch = _SMP_BATCH
    if data[1].startswith("folder:"):
        # All images, if they are fewer: PyTorch's batches repeat none.
        batch = min(batch, len(list(Path(data[1].removeprefix("folder:")).glob("train/images/*"))))
    return [*_SMP.split(), "--batch-size", str(batch), *_SMP_EPOCHS[column].split()]


def _is_ready(training: Training) -> bool:
    """Returns whether a training is finished, by the same command.

    Raises:
        SystemExit: If it was another command.
    """
    if training.record.is_file():
        stored = json.loads(training.record.read_text())["command"]
        if stored != training.train:
            raise SystemExit(
                f"{training.folder} was trained by another command: keras-fcn {' '.join(stored)}. "
                "Choose another --output, or remove the folder."
            )
    return training.is_finished


def _run(training: Training) -> bool:
    """Trains if it is not trained, evaluates, and returns whether both succeeded."""
    if not training.record.is_file():
        print(f"keras-fcn {' '.join(training.train)}", flush=True)
        run = training.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        seconds, peak_gib = run_program(training.train, training.folder / "train.log")
        if not seconds:
            return False
        with (run / "log.csv").open(newline="") as file:
            epochs = len(list(csv.DictReader(file)))
        write_json(
            training.record,
            {"command": training.train, "epochs": epochs, "seconds": round(seconds, 1),
             "peak_gib": round(peak_gib, 2)},
        )  # fmt: skip
    seconds, _ = run_program(training.evaluate, training.folder / "evaluate.log")
    return bool(seconds)


# === Data ===


def _datasets(name: str, options: Namespace) -> Iterator[tuple[str, list[str]]]:
    """Yields the folds of a row, and the options that name their data."""
    row, folder = ROWS[name], options.output / "data"
    if row.dataset:
        source = getattr(options, row.source)
        yield "", ["--dataset", row.dataset, "--source", str(source), "--data-dir", str(folder)]
        return
    channels = [] if row.channels == 3 else ["--channels", str(row.channels)]
    for fold in [f"fold{number}" for number in range(row.folds)] or [""]:
        yield fold, ["--dataset", f"folder:{folder / name / fold}", *channels]


def _make_data(name: str, options: Namespace) -> None:
    """Prepares the dataset of a row, or writes its folder, unless it is there."""
    row, folder = ROWS[name], options.output / "data" / name
    source = getattr(options, row.source)
    if source is None:
        raise SystemExit(f"The row {name} needs --{row.source}.")
    if row.write:
        if not folder.is_dir():
            with replacing(folder) as temporary:
                row.write(source, temporary)
        return
    # Before the trainings, whose time it would be.
    ((_, data),) = _datasets(name, options)
    seconds, _ = run_program(["datasets", "prepare", *data], options.output / "prepare.log")
    if not seconds:
        raise SystemExit(f"The row {name} has no data.")


if __name__ == "__main__":
    # So that a training ends with the script.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
