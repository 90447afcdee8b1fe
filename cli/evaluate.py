"""`keras-fcn evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    NETWORK_FILE,
    check_output,
    dataset_options,
    folder_of_training,
    inference_options,
    model_option,
    names,
    overwrite_option,
    with_inference_options,
    written,
)
from .quiet import load_tensorflow, quiet_stderr
from .screen import output, progress, say

if TYPE_CHECKING:
    from keras_fcn.labels import Heads


@click.command()
@model_option(NETWORK_FILE)
@dataset_options()
@click.option(
    "--split", default="val", show_default=True, metavar="NAME", help="Split to evaluate on."
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the metrics to this file, those of each image included, and a picture of the "
    "confusion matrix beside it.",
)
@click.option(
    "--report",
    "report_path",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write a page, DIR/index.html, that shows where the network is wrong: intervals, "
    "confusions, boundaries, calibration, the worst images, suspected label errors.",
)
@click.option(
    "--confusion-matrix",
    "matrix_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PNG",
    help="File of that picture.  [default: FILE_confusion_matrix.png beside --json]",
)
@click.option(
    "--classes",
    type=names,
    default="",
    metavar="A,B,...",
    help="Report the mean IoU of these classes as well.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Images per batch; does not change the metrics.",
)
@click.option(
    "--modalities",
    type=names,
    metavar="A,B,...",
    help="Modalities that the network takes, from rgb, hha and depth. Needed only if its file "
    "does not name them.",
)
@overwrite_option
@inference_options
def command(
    model: Path,
    dataset: str,
    source: Path | None,
    data_dir: Path | None,
    split: str,
    json_path: Path | None,
    report_path: Path | None,
    matrix_path: Path | None,
    classes: tuple[str, ...],
    batch_size: int,
    modalities: tuple[str, ...] | None,
    overwrite: bool,
    folder: dict[str, Any],
    **inference: Any,
) -> None:
    """Evaluate a network on a dataset.

    Images are evaluated at their own size. The table contains the IoU per class and the four
    metrics of the FCN paper, computed in the same way for every format.
    """
    load_tensorflow()
    from keras_fcn_report import Report

    from keras_fcn.datasets import open_dataset
    from keras_fcn.evaluation import EvaluatedImage, evaluate_heads, save_json
    from keras_fcn.prediction import open_predictor

    with quiet_stderr():  # TFLite prints the names of its kernels there
        network = open_predictor(model)
        predictor = with_inference_options(network, **inference)
    if json_path is not None:
        check_output(json_path, overwrite=overwrite, option="--json")
        matrix_path = matrix_path or json_path.with_name(f"{json_path.stem}_confusion_matrix.png")
    matrices = {} if matrix_path is None else _matrix_paths(matrix_path, predictor.heads)
    check_output(*matrices.values(), overwrite=overwrite, option="--confusion-matrix")
    folder = folder_of_training(network, dataset, folder)
    data = open_dataset(dataset, source, data_dir, **folder)
    data.check_split(split)
    if report_path is not None:
        check_output(report_path / "index.html", overwrite=overwrite, option="--report")
    needs_details = json_path is not None or report_path is not None
    specs = {head: spec for head, spec in data.heads.items() if head in predictor.heads}
    report = Report(specs, predictor.origin, pictures=report_path is not None)
    with progress("Evaluating", data.splits[split]) as bar:

        def on_image(image: EvaluatedImage) -> None:
            if needs_details:
                report.add(image)
            bar.advance(bar.task_ids[0])

        results = evaluate_heads(
            predictor,
            data,
            split,
            classes=classes,
            batch_size=batch_size,
            modalities=modalities,
            on_image=on_image,
            confidences=needs_details,
        )
    for result in results.values():
        output.print(result)
    details = report.details(results) if needs_details else {}
    if json_path is not None:
        say(f"Metrics: {save_json(results, json_path, details)}")
        written(json_path)
    for head, path in matrices.items():
        say(f"Confusion matrix: {results[head].save_confusion_matrix(path)}")
        written(path)
    if report_path is not None:
        path = report.save(report_path, results, details)
        say(f"Report: {path}")
        written(path)


def _matrix_paths(path: Path, heads: "Heads") -> dict[str, Path]:
    """Returns the file of the confusion matrix of each head."""
    return {head: path.with_stem(path.stem + heads.suffix(head)) for head in heads}
