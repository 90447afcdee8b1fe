"""`keras-fcn quickstart`."""

import time
from pathlib import Path
from typing import Any

import click

from .errors import Failure
from .options import check_output, overwrite_option, written
from .quiet import load_tensorflow, quiet_stderr
from .screen import output, progress, say

NUM_SHOWN = 8
# What is written beside the files of the training and `savedmodel`, whose versions are new.
_FILES = ("metrics.json", "confusion_matrix.png", "gallery.png", "model.tflite")


@click.command(short_help="Run all steps once, in a few minutes.")
@click.option(
    "--workdir",
    type=click.Path(path_type=Path, file_okay=False),
    default="runs/quickstart",
    show_default=True,
    metavar="DIR",
    help="Folder for all files. An interrupted quickstart continues there.",
)
@click.option("--smoke", is_flag=True, help="Run every step, but train for seconds only.")
@overwrite_option
def command(workdir: Path, smoke: bool, overwrite: bool) -> None:
    """Train, evaluate, predict and export a small network in a few minutes.

    The dataset is generated: shapes over textures, whose colors do not depend on the class.
    Nothing is downloaded.
    """
    files = [workdir / name for name in _FILES]
    check_output(*files, overwrite=overwrite, option="--workdir")
    load_tensorflow()
    from keras_fcn.datasets import open_dataset
    from keras_fcn.prediction import KerasPredictor, load_model

    start = time.monotonic()
    say("1. Train FCN-8s on a small network from random weights, on the sample set", style="bold")
    best = _train(workdir, smoke)

    say("2. Evaluate it on validation images", style="bold")
    dataset = open_dataset("sample")
    model = load_model(best)
    predictor = KerasPredictor(model, best)
    mean_iou = _evaluate(predictor, dataset, workdir)
    _save_predictions(predictor, dataset, workdir / "gallery.png")

    say("3. Export it, and compare the exported models with the network", style="bold")
    _export(model, dataset, workdir)

    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    say(f"\nDone in {minutes} min {seconds} s; mean IoU {mean_iou:.3f}.", style="bold")
    say(_what_lies_where(workdir))


def _train(workdir: Path, smoke: bool) -> Path:
    from keras_fcn_train import TrainingInterrupted, TrainingStopped, fit

    try:
        return fit(_settings(workdir, smoke)).best
    except TrainingInterrupted as error:
        raise Failure("The quickstart was stopped. Run it again to continue.") from error
    except TrainingStopped as error:
        raise Failure(str(error)) from error


def _settings(workdir: Path, smoke: bool) -> Any:
    """Returns the settings of the training, which goes on if it was interrupted.

    Raises:
        Failure: If the folder has other files. The errors of `fit` name options of `train`.
    """
    from keras_fcn_train import Config, load_recipe
    from keras_fcn_train.workdir import open_workdir

    config = load_recipe("sample_quickstart").replace(workdir=str(workdir), smoke=smoke)
    stored = workdir / "config.json"
    if not stored.is_file():
        try:
            open_workdir(config)
        except ValueError as error:
            raise Failure(
                f"The workdir {workdir} is not empty, and was not changed. Choose another "
                "--workdir."
            ) from error
        return config
    before = Config.from_file(stored).run
    if before.recipe != config.run.recipe:
        raise Failure(
            f"The workdir {workdir} is that of another training, and was not changed. Choose "
            "another --workdir."
        )
    if before.smoke != smoke:
        made = "with" if before.smoke else "without"
        raise Failure(
            f"The workdir {workdir} is that of a quickstart {made} --smoke, and was not changed. "
            f"Continue it {made} --smoke, or choose another --workdir."
        )
    return config.replace(resume=True)


def _evaluate(predictor: Any, dataset: Any, workdir: Path) -> float:
    from keras_fcn.evaluation import evaluate, save_json
    from keras_fcn.labels import Heads

    with progress("Evaluating", dataset.splits["val"]) as bar:
        result = evaluate(
            predictor,
            dataset,
            batch_size=8,
            on_image=lambda *_: bar.advance(bar.task_ids[0]),
        )
    output.print(result)
    save_json({Heads.ONLY: result}, workdir / "metrics.json")
    result.save_confusion_matrix(workdir / "confusion_matrix.png")
    written(workdir / "metrics.json", workdir / "confusion_matrix.png")
    return result.metrics.mean_iou


def _save_predictions(predictor: Any, dataset: Any, path: Path) -> None:
    from keras_fcn.visualization import save_gallery

    rows: list[Any] = []
    captions = []
    for example in _pairs_of_one_shape(dataset, NUM_SHOWN):
        image, labels = example["image"], example["label"]
        prediction = predictor.predict(image[None])[0]
        counted = labels != dataset.labels.ignore_class
        accuracy = (prediction == labels)[counted].mean()
        rows.append((image, labels, prediction))
        captions.append(f"{example['id'].decode()}: {accuracy:.1%} of the pixels right")
    specs = list(dataset.heads.values()) * 2
    save_gallery(path, rows, specs, captions=captions, examples_per_line=2, cell_width=224)
    written(path)


def _pairs_of_one_shape(dataset: Any, count: int) -> list[Any]:
    """Returns pairs of examples of equal size, which fit beside each other without a gap."""
    chosen: list[Any] = []
    waiting: dict[Any, Any] = {}
    for example in dataset.examples("val").as_numpy_iterator():
        shape = example["label"].shape
        if shape in waiting:
            chosen += [waiting.pop(shape), example]
        else:
            waiting[shape] = example
        if len(chosen) >= count:
            break
    return chosen


def _export(network: Any, dataset: Any, workdir: Path) -> None:
    from keras_fcn_export import export_savedmodel, export_tflite, verify

    for exported in (
        export_savedmodel(network, workdir / "savedmodel"),
        export_tflite(network, workdir / "model.tflite"),
    ):
        with quiet_stderr():  # TFLite prints the names of its kernels there
            report = verify(exported, network, dataset)
        written(exported)
        output.print(report, "")
        if not report.passed:
            raise Failure(f"{exported} differs from the network (see above).")


def _what_lies_where(workdir: Path) -> str:
    version = max((workdir / "savedmodel").iterdir(), key=lambda path: int(path.name)).name
    return f"""\
In {workdir}:
  best.keras             the network
  log.csv, curves.png    loss and mean IoU of each epoch
  metrics.json           the table above, and confusion_matrix.png
  gallery.png            images, their labels, and the predictions
  savedmodel/{version}           for TensorFlow Serving
  model.tflite           for phones and small machines

Next:
  keras-fcn predict --model {workdir}/best.keras --output predictions IMAGE...
  keras-fcn datasets check --dataset folder:PATH      (your own images/ and masks/)
  keras-fcn train --dataset folder:PATH --workdir runs/mine"""
