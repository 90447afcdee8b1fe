"""`keras-fcn predict`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

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
from .screen import progress, say


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
    type=click.Choice(["png", "labelme", "coco"]),
    default="png",
    show_default=True,
    help="Write palette PNG files, or polygons to correct in a labelling tool.",
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
@inference_options
@click.argument("inputs", metavar="IMAGE...", nargs=-1, required=True)
def command(
    model: Path,
    output_dir: Path,
    format_: Literal["png", "labelme", "coco"],
    overlay: bool,
    depth: Path | None,
    hha: Path | None,
    modalities: tuple[str, ...] | None,
    value_range: tuple[float, float] | None,
    page: int | None,
    overwrite: bool,
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
    given.

    With --format labelme, DIR/photo.json has the outlines of the classes and DIR/labels.txt their
    names; with --format coco, DIR/annotations.json has those of all photos. `keras-fcn datasets
    import` reads them back as the same predictions, pixel for pixel.
    """
    load_tensorflow()
    from keras_fcn.prediction import open_predictor
    from keras_fcn.prediction.image_files import FilePrediction, find_images, predict_files

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
    with progress("Predicting", len(paths)) as bar:

        def report(result: FilePrediction) -> None:
            if result.error:
                bar.console.print(
                    f"Left out: {result.error}", markup=False, highlight=False, soft_wrap=True
                )
            bar.advance(bar.task_ids[0])

        results = predict_files(
            predictor,
            paths,
            output_dir,
            folders=folders,
            modalities=modalities,
            image_reading=reading,
            with_overlay=overlay,
            polygons=None if format_ == "png" else format_,
            overwrite=overwrite,
            on_file=report,
        )
    num_failed = sum(result.error is not None for result in results)
    num_replaced = sum(result.replaced for result in results)
    replaced = "existing files" if overwrite else "files of an earlier run"
    say(
        f"{len(results) - num_failed} of {len(results)} images predicted, in {output_dir}"
        + (f"; {num_replaced} {replaced} replaced." if num_replaced else ".")
    )
    if num_failed:
        raise Failure(f"{num_failed} of {len(results)} images were left out (named above).")
