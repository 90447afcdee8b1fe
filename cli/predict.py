"""`keras-fcn predict`."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .errors import Failure
from .options import (
    NETWORK_FILE,
    inference_options,
    model_option,
    names,
    overwrite_option,
    reading_options,
    with_inference_options,
)
from .quiet import load_tensorflow, quiet_stderr
from .screen import errors, progress, say

if TYPE_CHECKING:
    from keras_fcn.modalities import ImageReading
    from keras_fcn.prediction import Predictor
    from keras_fcn.prediction.bulk import BulkPrediction
    from keras_fcn.prediction.image_files import FilePrediction
    from keras_fcn.prediction.output_files import OutputFormat

# Failures that are printed of millions of files; all are in the table.
_NUM_LISTED = 20


def _reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(reading_options("Other than in the training: ")):
        function = option(function)
    return function


@click.command(short_help="Write the predictions for images.")
@model_option(NETWORK_FILE)
@click.option(
    "--output",
    "output_dir",
    required=True,
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder to write to; created if it does not exist.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["png", "tiff", "npz", "labelme", "coco"]),
    default="png",
    show_default=True,
    help="Write palette PNG files; TIFF files, with those of the probabilities; the logits as "
    "arrays of NumPy; or polygons to correct in a labelling tool.",
)
@click.option(
    "--overlay/--no-overlay",
    default=None,
    help="Write overlays.  [default: yes; with --engine ray none are written]",
)
@click.option(
    "--depth",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="For a network that takes depth: folder of depth maps, named like the images.",
)
@click.option(
    "--hha",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="For a network that takes HHA: folder of HHA images, named like the images.",
)
@click.option(
    "--modalities",
    type=names,
    metavar="A,B,...",
    help="Modalities that the network takes, in its order, from rgb, hha and depth. Needed only "
    "if its file does not name them.",
)
@_reading_options
@overwrite_option
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Leave out images whose predictions are in DIR, so that an interrupted run goes on.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="What runs the network: this process, or workers of Ray Data, on one machine or many.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="With --engine ray: processes that predict.  [default: 1]",
)
@click.option(
    "--gpus",
    type=click.FloatRange(0),
    metavar="SHARE",
    help="With --engine ray: GPUs of each worker, such as 0.5 for two on one.  [default: none]",
)
@inference_options
@click.argument("inputs", metavar="IMAGE...", nargs=-1, required=True)
def command(
    model: Path,
    output_dir: str,
    format_: "OutputFormat",
    overlay: bool | None,
    depth: Path | None,
    hha: Path | None,
    modalities: tuple[str, ...] | None,
    value_range: tuple[float, float] | None,
    page: int | None,
    overwrite: bool,
    skip_existing: bool,
    engine: str,
    workers: int | None,
    gpus: float | None,
    inputs: tuple[str, ...],
    **inference: Any,
) -> None:
    """Predict the class of each pixel of images, and draw the classes over the images.

    IMAGE is a file, a folder, or a pattern such as 'photos/**/*.jpg'. For photo.jpg the
    predictions are written to DIR/photo.png, a palette PNG of the photo's size, and the overlay to
    DIR/photo_overlay.jpg. For a GeoTIFF they are written to DIR/photo.tif, with its georeference.
    Images that cannot be read, or whose files cannot be written, are listed and left out, and the
    exit status is 1.

    Of a folder, the images of all formats are taken that training reads, but not what an earlier
    run wrote there; what is left out is counted. Files of an earlier run are replaced. Others,
    and those that were changed since, stop the command before it predicts, unless --overwrite is
    given. After an interruption the same command with --skip-existing goes on.

    With --format tiff, DIR/photo.tif has the predictions with their colors, and
    DIR/photo_confidence.tif the probability of each, float32; both keep the georeference of a
    GeoTIFF. With --format npz, DIR/photo.npz has the arrays `logits`, float32, of shape (height,
    width, classes), not compressed, and `class_names`. Exported models need logits for both.

    With --format labelme, DIR/photo.json has the outlines of the classes and DIR/labels.txt their
    names; with --format coco, DIR/annotations.json has those of all photos. `keras-fcn datasets
    import` reads them back as the same predictions, pixel for pixel.

    With --engine ray, N processes predict millions of files, of which IMAGE and DIR may also be
    URLs, such as s3://bucket/photos or 'gs://bucket/photos/**/*.jpg': all storages that pyarrow or
    fsspec know. The model is a SavedModel. The masks are those of --engine local, without
    overlays; TIFF files are left out. What is in DIR under the name of a mask is never replaced,
    so that the same command goes on after an interruption, or with more images. The files that
    failed are in DIR/keras_fcn_failures.csv. RAY_ADDRESS, or `ray start`, names a cluster; without
    one the processes run on this machine. See docs/scale.md.
    """
    is_bulk = engine == "ray"
    _check_engine(is_bulk, inputs, output_dir)
    if is_bulk:
        _predict_in_bulk(model, inputs, output_dir, (value_range, page), workers or 1, gpus or 0)
        return
    output = Path(output_dir)
    load_tensorflow()
    from keras_fcn.prediction import open_predictor
    from keras_fcn.prediction.image_files import predict_files
    from keras_fcn.prediction.image_paths import find_images

    with quiet_stderr():  # TFLite prints the names of its kernels there
        predictor = with_inference_options(open_predictor(model), **inference)
    paths = find_images(
        inputs,
        with_arrays=predictor.num_channels != 3,
        on_left_out=lambda text: say(f"Note: {text}"),
    )
    for note in predictor.notes:
        say(f"Note: {note}")
    reading = _reading(predictor, value_range, page)
    folders = {name: path for name, path in (("depth", depth), ("hha", hha)) if path}
    results: list[FilePrediction] = []
    try:
        with progress("Predicting", len(paths)) as bar:

            def report(result: "FilePrediction") -> None:
                results.append(result)
                if result.skipped:  # neither the rate nor the time left is about it
                    bar.update(bar.task_ids[0], total=(bar.tasks[0].total or 0) - 1)
                else:
                    bar.advance(bar.task_ids[0])

            predict_files(
                predictor,
                paths,
                output,
                folders=folders,
                modalities=modalities,
                image_reading=reading,
                with_overlay=overlay is not False,
                output_format=format_,
                overwrite=overwrite,
                skip_existing=skip_existing,
                on_file=report,
            )
    except BaseException:
        if results:
            _report(results, len(paths), output, overwrite=overwrite)
            if format_ != "coco":
                say("Interrupted: the same command with --skip-existing goes on.")
        raise
    num_failed = _report(results, len(paths), output, overwrite=overwrite)
    if num_failed:
        raise Failure(f"{num_failed} of {len(results)} images were left out (named above).")


def _reading(
    predictor: "Predictor", value_range: tuple[float, float] | None, page: int | None
) -> "ImageReading":
    """Returns how images are read: as in the training, unless options say otherwise."""
    reading = predictor.image_reading
    return replace(
        reading, value_range=value_range or reading.value_range, page=page or reading.page
    )


# Options that only one of the engines has, by their parameters.
_LOCAL = (
    *("format_", "depth", "hha", "modalities", "overwrite", "precision", "flip", "scales"),
    *("tile", "tile_size", "overlap"),
)
_BULK = ("workers", "gpus")


def _check_engine(is_bulk: bool, inputs: Sequence[str], output: str) -> None:
    """Raises UsageError for options and URLs that the engine does not take."""
    context = click.get_current_context()
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in (_LOCAL if is_bulk else _BULK)
        and context.get_parameter_source(parameter.name) != ParameterSource.DEFAULT
    ]
    if is_bulk and context.params["overlay"]:
        given.append("--overlay")
    if given:
        cause = (
            "--engine ray writes the predictions of a SavedModel as PNG files, as it was exported, "
            "and replaces none. It takes no"
            if is_bulk
            else "--engine ray takes"
        )
        raise click.UsageError(f"{cause} {', '.join(given)}.")
    urls = [text for text in (*inputs, output) if "://" in text]
    if urls and not is_bulk:
        raise click.UsageError(f"URLs, such as {urls[0]}, are read and written by --engine ray.")


def _predict_in_bulk(
    model: Path,
    inputs: Sequence[str],
    output: str,
    reading: tuple[tuple[float, float] | None, int | None],
    num_workers: int,
    gpus_per_worker: float,
) -> None:
    load_tensorflow()
    import tensorflow as tf

    from keras_fcn.prediction import open_predictor
    from keras_fcn.prediction.bulk import BulkPrediction, import_ray

    import_ray()  # what is missing is said first
    tf.config.set_visible_devices([], "GPU")  # this process leaves them to the workers
    with quiet_stderr():
        predictor = open_predictor(model)
    job = BulkPrediction(
        predictor,
        inputs,
        output,
        image_reading=_reading(predictor, *reading),
        on_left_out=lambda text: say(f"Note: {text}"),
    )
    for note in predictor.notes:
        say(f"Note: {note}")
    failed: list[FilePrediction] = []
    num_done = 0
    try:
        with (
            closing(job.run(num_workers, gpus_per_worker)) as results,
            progress("Predicting", len(job.remaining)) as bar,
        ):
            for result in results:
                num_done += 1
                if result.error:
                    failed.append(result)
                bar.advance(bar.task_ids[0])
    except BaseException as error:
        if num_done or not isinstance(error, Exception):
            say(
                f"Interrupted after {num_done} results. What is written in {output} stays, and "
                "the same command goes on."
            )
        raise
    _report_bulk(job, failed, num_done, output)
    if failed:
        raise Failure(
            f"{len(failed)} of {len(job.remaining)} images were left out (named in {job.table})."
        )


def _report_bulk(
    job: "BulkPrediction", failed: Sequence["FilePrediction"], num_done: int, output: str
) -> None:
    for result in failed[:_NUM_LISTED]:
        _print_error(result)
    num_skipped = job.num_images - len(job.remaining)
    text = f"{num_done - len(failed)} of {job.num_images} images predicted, in {output}"
    if num_skipped:
        text += f"; {num_skipped} skipped, whose predictions were there"
    say(f"{text}.")


def _report(
    results: Sequence["FilePrediction"], num_images: int, output_dir: Path, *, overwrite: bool
) -> int:
    """Lists the images that were left out, and what was done; returns their number."""
    failed = [result for result in results if result.error]
    for result in failed:
        _print_error(result)
    num_skipped = sum(result.skipped for result in results)
    num_replaced = sum(result.replaced for result in results)
    num_predicted = len(results) - num_skipped - len(failed)
    text = f"{num_predicted} of {num_images} images predicted, in {output_dir}"
    if num_skipped:
        text += f"; {num_skipped} skipped, whose predictions were there"
    if num_replaced:
        replaced = "existing files" if overwrite else "files of an earlier run"
        text += f"; {num_replaced} {replaced} replaced"
    say(f"{text}.")
    return len(failed)


def _print_error(result: "FilePrediction") -> None:
    errors.print(f"Left out: {result.error}", markup=False, highlight=False, soft_wrap=True)
