"""`keras-fcn predict`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
    from keras_fcn.prediction.image_files import FilePrediction
    from keras_fcn.prediction.output_files import OutputFormat


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
    type=click.Path(path_type=Path, file_okay=False),
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
@click.option("--overlay/--no-overlay", default=True, help="Write overlays.  [default: yes]")
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
@inference_options
@click.argument("inputs", metavar="IMAGE...", nargs=-1, required=True)
def command(
    model: Path,
    output_dir: Path,
    format_: "OutputFormat",
    overlay: bool,
    depth: Path | None,
    hha: Path | None,
    modalities: tuple[str, ...] | None,
    value_range: tuple[float, float] | None,
    page: int | None,
    overwrite: bool,
    skip_existing: bool,
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
    """
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
    reading = predictor.image_reading
    if value_range or page:
        reading = replace(
            reading, value_range=value_range or reading.value_range, page=page or reading.page
        )
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
                output_dir,
                folders=folders,
                modalities=modalities,
                image_reading=reading,
                with_overlay=overlay,
                output_format=format_,
                overwrite=overwrite,
                skip_existing=skip_existing,
                on_file=report,
            )
    except BaseException:
        if results:
            _report(results, len(paths), output_dir, overwrite=overwrite)
            if format_ != "coco":
                say("Interrupted: the same command with --skip-existing goes on.")
        raise
    num_failed = _report(results, len(paths), output_dir, overwrite=overwrite)
    if num_failed:
        raise Failure(f"{num_failed} of {len(results)} images were left out (named above).")


def _report(
    results: Sequence["FilePrediction"], num_images: int, output_dir: Path, *, overwrite: bool
) -> int:
    """Lists the images that were left out, and what was done; returns their number."""
    failed = [result for result in results if result.error]
    for result in failed:
        errors.print(f"Left out: {result.error}", markup=False, highlight=False, soft_wrap=True)
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
