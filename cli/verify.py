"""`keras-fcn verify`."""

from pathlib import Path
from typing import Any

import click

from .errors import Failure
from .options import (
    check_output,
    dataset_options,
    folder_of_training,
    overwrite_option,
    written,
)
from .quiet import load_tensorflow, quiet_stderr
from .screen import output, say


@click.command(short_help="Compare exported models with their model.")
@click.option(
    "--artifact",
    "exported",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The folder of a SavedModel, a .tflite or a .onnx file; may be given several times.",
)
@click.option(
    "--against",
    "model",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The .keras file that they were exported from.",
)
@dataset_options(patterns=False)
@click.option(
    "--split", default="val", show_default=True, metavar="NAME", help="Split to compare on."
)
@click.option(
    "--images",
    "max_images",
    type=click.IntRange(1),
    metavar="N",
    help="Number of images to compare on.  [default: all]",
)
@click.option(
    "--min-equal-predictions",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Share of the predictions that must be equal to the model's.  [default: 0.999; 0.99 "
    "for float16, 0.98 for bfloat16, 0.9 for int8 and dynamic]",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the numbers to this file: a list with an entry per exported model.",
)
@overwrite_option
def command(
    exported: tuple[Path, ...],
    model: Path,
    dataset: str,
    source: Path | None,
    data_dir: Path | None,
    split: str,
    max_images: int | None,
    min_equal_predictions: float | None,
    json_path: Path | None,
    overwrite: bool,
    folder: dict[str, Any],
) -> None:
    """Compare exported models with the model they were exported from.

    For each one it prints the share of equal predictions, the largest difference of logits, the
    mean IoU of both, and the size; for a .tflite with and without the XNNPACK delegate. The exit
    status is 1 if one has too few equal predictions.
    """
    if model.suffix != ".keras":
        raise click.UsageError(f"--against must be a .keras file. Received: {model}.")
    if json_path is not None:
        check_output(json_path, overwrite=overwrite, option="--json")

    load_tensorflow()
    from keras_fcn_export import verify

    from keras_fcn.datasets import open_dataset
    from keras_fcn.files import write_json
    from keras_fcn.prediction import load_model

    network = load_model(model)
    folder = folder_of_training(network, dataset, folder)
    data = open_dataset(dataset, source, data_dir, **folder)
    data.check_split(split)
    reports = []
    for path in exported:
        with quiet_stderr():  # TFLite prints the names of its kernels there
            report = verify(
                path,
                network,
                data,
                split=split,
                max_images=max_images,
                min_equal_predictions=min_equal_predictions,
            )
        output.print(report)
        reports.append(report)
    if json_path is not None:
        write_json(json_path, [report.to_dict() for report in reports])
        written(json_path)
        say(f"Figures: {json_path}")
    failed = [report.exported for report in reports if not report.passed]
    if failed:
        raise Failure(
            f"These differ from the model: {', '.join(failed)}. See the table"
            f"{'s' if len(reports) > 1 else ''} above."
        )
