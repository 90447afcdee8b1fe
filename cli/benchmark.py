"""`keras-fcn benchmark`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import check_writable, dataset_options, size
from .quiet import load_tensorflow, quiet_stderr
from .screen import output, say

if TYPE_CHECKING:
    from keras_fcn_benchmark.report import BenchmarkReport

    from keras_fcn.datasets import SegmentationDataset

MIN_CALIBRATION_IMAGES = 100


@click.command(short_help="Measure speed, memory and agreement of every way to run a network.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A .keras file; may be given several times.",
)
@click.option(
    "--random",
    "backbones",
    multiple=True,
    metavar="BACKBONE",
    help="An FCN-8s for 21 classes with random weights, to measure its speed; may be given several "
    "times.",
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    default=["512x512"],
    type=size,
    metavar="HxW",
    help="Height and width of the images; may be given several times.  [default: 512x512]",
)
@click.option(
    "--threads",
    multiple=True,
    default=[1, 2],
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Threads of each candidate; may be given several times.",
)
@click.option(
    "--candidate",
    "names",
    multiple=True,
    metavar="NAME",
    help="Measure only this one beside the baseline; may be given several times.",
)
@click.option(
    "--rounds", type=click.IntRange(5), default=5, show_default=True, metavar="N",
    help="Each candidate runs once in each round.",
)  # fmt: skip
@dataset_options(required=False)
@click.option(
    "--images",
    "num_images",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    metavar="N",
    help="Validation images that the candidates' labels are compared on.",
)
@click.option(
    "--output",
    "output_dir",
    default="runs/benchmark",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of benchmark.txt, benchmark.json and benchmark.png. What it holds of other "
    "networks, sizes and threads stays.",
)
@click.option(
    "--artifacts",
    "artifacts_dir",
    default="runs/benchmark/artifacts",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the exported files; those that are there are not made again.",
)
def command(
    models: tuple[Path, ...],
    backbones: tuple[str, ...],
    sizes: tuple[tuple[int, int], ...],
    threads: tuple[int, ...],
    names: tuple[str, ...],
    rounds: int,
    dataset: str | None,
    source: Path | None,
    data_dir: Path | None,
    num_images: int,
    output_dir: Path,
    artifacts_dir: Path,
) -> None:
    """Measure how fast a network runs in every form, and whether it still answers the same.

    Latency, images a second, memory and size of Keras, SavedModel, TFLite, ONNX Runtime,
    OpenVINO and PyTorch, each in a process of its own, in turns; those that are not installed are
    left out. int8 is calibrated on training images of --dataset, by default the built-in sample,
    resized to --size; labels are compared on its validation images.
    """
    if not models and not backbones:
        raise click.UsageError("Give --model FILE or --random BACKBONE.")
    for model in models:
        if model.suffix != ".keras":
            raise click.UsageError(f"--model must be a .keras file. Received: {model}.")
    for folder in (output_dir, artifacts_dir):
        check_writable(folder)
    load_tensorflow()
    from keras_fcn_benchmark.machine import describe_machine
    from keras_fcn_benchmark.measurement import benchmark
    from keras_fcn_benchmark.random_network import random_network
    from keras_fcn_benchmark.report import BenchmarkReport
    from keras_fcn_benchmark.writing import write_report

    from keras_fcn.datasets import open_dataset

    candidates = _chosen(names)
    report = _continued(BenchmarkReport(describe_machine()), output_dir / "benchmark.json")
    data = open_dataset(dataset or "sample", source, data_dir)
    random_files = [random_network(backbone, artifacts_dir) for backbone in backbones]
    for model in (*models, *random_files):
        for image_size in sizes:
            artifacts, name, operations, comparison = _network(
                model, artifacts_dir, image_size, data, num_images
            )
            for num_threads in threads:
                with quiet_stderr():  # what converters say
                    section = benchmark(
                        artifacts,
                        name,
                        operations,
                        comparison,
                        num_threads=num_threads,
                        candidates=candidates,
                        num_rounds=rounds,
                        say=say,
                    )
                report.add(section)
                output.print(section)
                write_report(report, output_dir)
    say(f"Written: benchmark.txt, benchmark.json and benchmark.png in {output_dir}")


def _continued(report: "BenchmarkReport", path: Path) -> "BenchmarkReport":
    """Returns the report with the sections that were measured before, on the same machine."""
    if not path.exists():
        return report
    earlier = type(report).read(path)
    if earlier.machine != report.machine:
        raise click.UsageError(
            f"{path} was measured on another machine or with other versions. Give another --output."
        )
    return earlier


def _chosen(names: Sequence[str]) -> Any:
    from keras_fcn_benchmark.candidates import CANDIDATES

    known = [candidate.name for candidate in CANDIDATES]
    for name in names:
        if name not in known:
            raise click.UsageError(f"--candidate must be one of {', '.join(known)}. Got: {name}.")
    return [candidate for candidate in CANDIDATES if not names or candidate.name in names]


def _network(
    path: Path,
    folder: Path,
    image_size: tuple[int, int],
    data: "SegmentationDataset",
    num_images: int,
) -> tuple[Any, str, float, Any]:
    """Returns a network's files, its name, its operations, and images to compare on."""
    from keras_fcn_benchmark.artifacts import Artifacts
    from keras_fcn_benchmark.images import comparison_images
    from keras_fcn_export.model_info import labels_of
    from keras_fcn_export.sampling import spread_examples

    from keras_fcn.models.receptive_field import summarize
    from keras_fcn.prediction import open_predictor

    network: Any = open_predictor(path).model  # type: ignore[attr-defined]
    if network.input_shape[-1] != 3:
        raise click.UsageError(f"A benchmark is for RGB images; {path} takes other channels.")

    def calibration() -> list[Any]:
        return [e["image"] for e in spread_examples(data, "train", MIN_CALIBRATION_IMAGES)]

    calibration_name = re.sub(r"\W+", "-", data.name)
    artifacts = Artifacts(path, folder, image_size, calibration, calibration_name)
    operations = 2.0 * summarize(network, image_size).multiply_adds
    comparison = comparison_images(data, labels_of(network), image_size, num_images)
    name = f"{network.name}, {network.count_params() / 1e6:.1f} M parameters"
    return artifacts, name, operations, comparison
