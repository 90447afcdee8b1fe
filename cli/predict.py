"""`keras-fcn predict`."""

from pathlib import Path
from typing import Any

import click

from .errors import Failure
from .options import inference_options, model_option, with_inference_options
from .quiet import load_tensorflow, quiet_stderr
from .screen import progress, say


@click.command(short_help="Write the label maps of images.")
@model_option("A .keras file, the folder of a SavedModel, or a .tflite file.")
@click.option(
    "--output",
    "output_dir",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder to write to; made if need be.",
)
@click.option("--overlay/--no-overlay", default=True, help="Write overlays.  [default: yes]")
@click.option(
    "--depth",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="For a network that takes depth: folder of depth maps with the names of the images.",
)
@click.option(
    "--hha",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="For a network that takes HHA: folder of such images with the names of the images.",
)
@inference_options
@click.argument("inputs", metavar="IMAGE...", nargs=-1, required=True)
def command(
    model: Path,
    output_dir: Path,
    overlay: bool,
    depth: Path | None,
    hha: Path | None,
    inputs: tuple[str, ...],
    **inference: Any,
) -> None:
    """Write the label map of each image, and an overlay of both.

    IMAGE is a file, a folder, or a pattern such as 'photos/**/*.jpg'. For photo.jpg the labels
    are DIR/photo.png, a palette PNG of the photo's size, and the overlay is
    DIR/photo_overlay.jpg. Files that cannot be read are named and left out, and make the exit
    status 1.
    """
    load_tensorflow()
    from keras_fcn.prediction import open_predictor
    from keras_fcn.prediction.image_files import FilePrediction, find_images, predict_files

    paths = find_images(inputs)
    with quiet_stderr():  # TFLite says there which kernels it takes
        predictor = with_inference_options(open_predictor(model), **inference)
    for note in predictor.notes:
        say(f"Note: {note}")
    folders = {name: path for name, path in (("depth", depth), ("hha", hha)) if path}
    with progress("Predicting", len(paths)) as bar:

        def report(result: FilePrediction) -> None:
            if result.error:
                bar.console.print(
                    f"Left out: {result.error}", markup=False, highlight=False, soft_wrap=True
                )
            bar.advance(bar.task_ids[0])

        results = predict_files(
            predictor, paths, output_dir, folders=folders, with_overlay=overlay, on_file=report
        )
    num_failed = sum(result.error is not None for result in results)
    num_replaced = sum(result.replaced for result in results)
    say(
        f"{len(results) - num_failed} of {len(results)} images predicted, in {output_dir}"
        + (f"; {num_replaced} files of an earlier run replaced." if num_replaced else ".")
    )
    if num_failed:
        raise Failure(f"{num_failed} of {len(results)} images could not be read (named above).")
