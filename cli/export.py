"""`keras-fcn export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import Failure
from .options import (
    check_output,
    check_writable,
    dataset_options,
    folder_of_training,
    model_option,
    overwrite_option,
    size,
    written,
)
from .quiet import load_tensorflow, quiet_stderr
from .screen import output, say

if TYPE_CHECKING:
    import numpy as np

    from keras_fcn.datasets import SegmentationDataset

QUANTIZE = ("none", "float16", "dynamic", "int8")


def _size_or_dynamic(text: str) -> tuple[int, int] | None:
    return None if text == "dynamic" else size(text)


@click.command(short_help="Export to TF Serving, TFLite or ONNX, and compare.")
@model_option("The .keras file.")
@click.option(
    "--format",
    "kind",
    required=True,
    type=click.Choice(["savedmodel", "tflite", "onnx"]),
    help="TF Serving, TFLite, or ONNX (needs the extra `onnx`).",
)
@click.option(
    "--output",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="savedmodel: the folder of its versions, where the next free number is written. "
    "tflite, onnx: the file to write.",
)
@click.option(
    "--quantize",
    type=click.Choice(QUANTIZE),
    default="none",
    show_default=True,
    help="tflite: type of weights and activations; int8 needs --calibration.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="savedmodel: precision of weights and features. bfloat16 takes half the space, and "
    "half the time on a processor with bfloat16 instructions; logits stay float32.",
)
@click.option(
    "--size",
    "input_size",
    type=_size_or_dynamic,
    default="dynamic",
    metavar="HxW|dynamic",
    help="Fixed size of the network's input. A dynamic .tflite is for LiteRT's Interpreter, which "
    "resizes it to any size and batch.  [default: dynamic]",
)
@click.option(
    "--output-type",
    type=click.Choice(["predictions", "logits"]),
    help="tflite: the output. The other formats have both outputs.  [default: predictions; logits "
    "for MediaPipe]",
)
@click.option(
    "--for",
    "reader",
    type=click.Choice(["litert", "mediapipe"]),
    default="litert",
    show_default=True,
    help="tflite: what opens the file. MediaPipe's image segmenter needs --size, logits, and "
    "metadata with the classes (needs the extra `mediapipe`); LiteRT opens that file, too.",
)
@click.option(
    "--flip", is_flag=True, help="savedmodel: average the logits with those of the mirrored image."
)
@click.option(
    "--confidence", is_flag=True, help="savedmodel: also output the probability of each prediction."
)
@click.option(
    "--probabilities",
    is_flag=True,
    help="savedmodel: return probabilities from the signature `logits`.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="N",
    help="savedmodel: largest height x width of an image.  [default: 4194304]",
)
@click.option(
    "--version",
    type=click.IntRange(1),
    metavar="N",
    help="savedmodel: number of the version.  [default: the next free one]",
)
@click.option(
    "--calibration",
    metavar="NAME",
    help="int8: dataset whose training images determine the range of every tensor.",
)
@click.option(
    "--calibration-images",
    type=click.IntRange(100),
    default=200,
    show_default=True,
    metavar="N",
    help="int8: number of these images.",
)
@dataset_options(required=False, patterns=False)
@click.option(
    "--split", default="val", show_default=True, metavar="NAME", help="Split to compare on."
)
@click.option(
    "--images",
    "max_images",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    metavar="N",
    help="Number of images to compare on.",
)
@click.option("--verify/--no-verify", default=True, help="Compare with the model.  [default: yes]")
@overwrite_option
def command(
    model: Path,
    kind: str,
    path: Path,
    quantize: Any,
    precision: Any,
    input_size: tuple[int, int] | None,
    output_type: Any,
    reader: Any,
    flip: bool,
    confidence: bool,
    probabilities: bool,
    max_pixels: int | None,
    version: int | None,
    calibration: str | None,
    calibration_images: int,
    dataset: str | None,
    source: Path | None,
    data_dir: Path | None,
    split: str,
    max_images: int,
    verify: bool,
    overwrite: bool,
    folder: dict[str, Any],
) -> None:
    """Export a network to TensorFlow Serving, TFLite or ONNX, and compare it with the model.

    The comparison uses images of --dataset, by default of the training dataset if it can be
    opened, else of the built-in sample. The exit status is 1 if too many predictions differ.
    --source and --data-dir apply to --dataset and --calibration.
    """
    for_phones = (quantize != "none", calibration, output_type, reader != "litert")
    if kind != "tflite" and any(for_phones):
        raise click.UsageError(
            "--quantize, --calibration, --output-type and --for are for --format tflite."
        )
    if reader == "mediapipe" and (input_size is None or output_type == "predictions"):
        raise click.UsageError(
            "--for mediapipe needs --size HxW and outputs logits: MediaPipe reads a dynamic size "
            "as 1x1, and the width of predictions as the number of classes."
        )
    for_servers = (flip, confidence, probabilities, max_pixels, version, precision != "float32")
    if kind != "savedmodel" and any(for_servers):
        raise click.UsageError(
            "--flip, --confidence, --probabilities, --max-pixels, --version and --precision are "
            "for --format savedmodel."
        )
    if (quantize == "int8") != (calibration is not None):
        raise click.UsageError("--quantize int8 needs --calibration NAME, and nothing else does.")
    if model.suffix != ".keras":
        raise click.UsageError(f"--model must be a .keras file. Received: {model}.")
    if kind == "savedmodel":  # which is a new folder
        check_writable(path)
    else:
        check_output(path, overwrite=overwrite)

    load_tensorflow()
    from keras_fcn_export import MAX_PIXELS, export_onnx, export_savedmodel, export_tflite
    from keras_fcn_export import verify as compare

    from keras_fcn.data.dataset import IMAGE_KEYS, spread_examples
    from keras_fcn.datasets import open_dataset
    from keras_fcn.prediction import load_model

    network: Any = load_model(model)
    if verify:
        data = _comparison_dataset(network, dataset or calibration, source, data_dir, folder)
    if kind == "savedmodel":
        exported = export_savedmodel(
            network,
            path,
            version=version,
            size=input_size,
            flip=flip,
            confidence=confidence,
            probabilities=probabilities,
            max_pixels=max_pixels or MAX_PIXELS,
            precision=precision,
        )
    elif kind == "onnx":
        exported = export_onnx(network, path, size=input_size)
    else:
        # int8 is for three channels: RGB, or one other modality.
        image_key = IMAGE_KEYS[(*getattr(network, "modalities", ()), "rgb")[0]]
        images = calibration and [
            example[image_key]
            for example in spread_examples(
                open_dataset(
                    calibration,
                    source,
                    data_dir,
                    **folder_of_training(network, calibration, folder),
                ),
                "train",
                calibration_images,
            )
        ]
        exported = export_tflite(
            network,
            path,
            quantize=quantize,
            size=input_size,
            output_type=output_type,
            reader=reader,
            calibration=images or None,
        )
    written(exported)
    say(f"Written: {exported}")
    if kind == "tflite":
        _say_operators(exported, quantize)
    if not verify:
        return
    with quiet_stderr():  # TFLite prints the names of its kernels there
        report = compare(
            exported, network, data, split=_known_split(data, split), max_images=max_images
        )
    output.print(report)
    if not report.passed:
        raise Failure(f"{exported} differs from its model: see the table above.")


def _say_operators(path: Path, quantize: str) -> None:
    from keras_fcn_export.operators import describe_operators, list_operators

    text = describe_operators(list_operators(path), mark_float=quantize == "int8")
    say(f"Operators: {text}")


def _comparison_dataset(
    network: Any,
    name: str | None,
    source: Path | None,
    data_dir: Path | None,
    folder: dict[str, Any],
) -> "SegmentationDataset | list[np.ndarray]":
    """Returns the dataset that was named, else the network's own, else the sample.

    For bands without names, of which there is no sample, images of noise.
    """
    from keras_fcn.datasets import open_dataset

    modalities = getattr(network, "modalities", ())
    num_channels = network.input_shape[-1]
    if name:
        data = open_dataset(name, source, data_dir, **folder_of_training(network, name, folder))
        data.check_modalities(modalities)
        return data
    origin = getattr(network, "origin", {})
    settings = origin.get("config", {}).get("data", {})
    try:
        return open_dataset(
            origin["dataset"],
            source or settings.get("source"),
            data_dir or settings.get("data_dir"),
            **folder_of_training(network, origin["dataset"], folder),
        )
    except (KeyError, ValueError, OSError):
        note = "Note: the dataset of the training cannot be opened; compared on"
        if num_channels != 3 and not modalities:
            say(f"{note} noise.")
            return _noise(network)
        say(f"{note} the built-in sample.")
        return open_dataset("sample_rgbd" if modalities else "sample")


def _noise(network: Any) -> "list[np.ndarray]":
    """Returns images of noise with the mean and the deviation of the network's bands."""
    import numpy as np

    backbone = getattr(network, "backbone", None)
    draws = np.random.default_rng(0)
    height, width = (
        size or default for size, default in zip(network.input_shape[1:3], (192, 256), strict=True)
    )
    shape = (height, width, network.input_shape[-1])
    mean = getattr(backbone, "mean", None) or (0.0,)
    deviation = getattr(backbone, "deviation", None) or (1.0,)
    return [draws.normal(mean, deviation, shape).astype("float32") for _ in range(4)]


def _known_split(data: "SegmentationDataset | list[np.ndarray]", split: str) -> str:
    """Returns the split, or another one if the dataset has no split of that name."""
    if isinstance(data, list):
        return split
    return split if split in data.splits else next(iter(data.splits))
