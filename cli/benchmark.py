"""`keras-fcn benchmark`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    check_output,
    check_writable,
    dataset_options,
    overwrite_option,
    size,
    written,
)
from .quiet import load_tensorflow
from .screen import output, say

if TYPE_CHECKING:
    from keras_fcn_benchmark.candidates import Candidate
    from keras_fcn_benchmark.report import BenchmarkReport


@click.command(short_help="Measure the speed and memory of a network in every format.")
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
    help="Measure only this candidate and the baseline; may be given several times.",
)
@click.option(
    "--rounds", type=click.IntRange(5), default=5, show_default=True, metavar="N",
    help="Number of rounds; each candidate runs once per round.",
)  # fmt: skip
@dataset_options(required=False, patterns=False)
@click.option(
    "--images",
    "num_images",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    metavar="N",
    help="Number of validation images on which predictions are compared.",
)
@click.option(
    "--output",
    "output_dir",
    default="runs/benchmark",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of benchmark.txt, benchmark.json and benchmark.png. Their earlier results for "
    "other networks, sizes and threads are kept.",
)
@click.option(
    "--artifacts",
    "artifacts_dir",
    default="runs/benchmark/artifacts",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the exported models; existing ones are not exported again.",
)
@overwrite_option
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
    overwrite: bool,
    folder: dict[str, Any],
) -> None:
    """Measure the speed of a network in every format, and whether its predictions stay the same.

    Latency, images per second, memory and size of Keras, SavedModel, TFLite, ONNX Runtime,
    OpenVINO and PyTorch, each in a process of its own, in turns; those that are not installed are
    left out. int8 is calibrated on training images of --dataset, by default the built-in sample,
    resized to --size; predictions are compared on its validation images.
    """
    if not models and not backbones:
        raise click.UsageError("Give --model FILE or --random BACKBONE.")
    for model in models:
        if model.suffix != ".keras":
            raise click.UsageError(f"--model must be a .keras file. Received: {model}.")
    candidates = _chosen(names)
    check_writable(artifacts_dir)
    files = [output_dir / f"benchmark.{suffix}" for suffix in ("json", "txt", "png")]
    check_output(*files, overwrite=overwrite)
    report = _continued(output_dir / "benchmark.json")
    load_tensorflow()
    from keras_fcn_benchmark.measurement import benchmark
    from keras_fcn_benchmark.network import open_network, random_network
    from keras_fcn_benchmark.presentation import section_table, write_report

    from keras_fcn.datasets import open_dataset

    data = open_dataset(dataset or "sample", source, data_dir, **folder)
    random_files = [random_network(backbone, artifacts_dir) for backbone in backbones]
    for model in (*models, *random_files):
        for image_size in sizes:
            network = open_network(model, artifacts_dir, image_size, data, num_images)
            for num_threads in threads:
                section = benchmark(
                    network,
                    num_threads=num_threads,
                    candidates=candidates,
                    num_rounds=rounds,
                    say=say,
                )
                report.add(section)
                output.print(section_table(section))
                write_report(report, output_dir)
                written(*files)
    say(f"Written: benchmark.txt, benchmark.json and benchmark.png in {output_dir}")


def _chosen(names: Sequence[str]) -> "list[Candidate]":
    from keras_fcn_benchmark.candidates import CANDIDATES

    known = [candidate.name for candidate in CANDIDATES]
    for name in names:
        if name not in known:
            raise click.UsageError(f"--candidate must be one of {', '.join(known)}. Got: {name}.")
    return [candidate for candidate in CANDIDATES if not names or candidate.name in names]


def _continued(path: Path) -> "BenchmarkReport":
    """Returns the report at a path, or an empty one if there is none that keras-fcn wrote."""
    from keras_fcn_benchmark.report import BenchmarkReport, describe_machine

    from keras_fcn.files import WrittenFiles

    machine = describe_machine()
    if not WrittenFiles().has(path):  # which --overwrite replaces
        return BenchmarkReport(machine)
    report = BenchmarkReport.read(path)
    if report.machine != machine:
        raise click.UsageError(
            f"{path} was measured on another machine or with other versions. Give another --output."
        )
    return report
