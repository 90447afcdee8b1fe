"""A network to measure: its exported models, its operations, and images to compare it on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras_fcn_export.calibration import MIN_IMAGES

from keras_fcn import FCN8s
from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.data.dataset import SegmentationDataset, spread_examples
from keras_fcn.data.resizing import resized_images, resized_labels
from keras_fcn.files import replacing
from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.models.receptive_field import summarize
from keras_fcn.prediction import KerasPredictor, load_model

from .exported_models import ExportedModels, Size

Array = np.ndarray[Any, Any]

_NUM_RANDOM_CLASSES = 21  # as PASCAL VOC


@dataclass(frozen=True)
class Comparison:
    """Images on which the predictions of the candidates are compared.

    Attributes:
        images: uint8, shape `(num, height, width, 3)`; the first one is timed.
        labels: uint8, of each image at its own size; None if there are none.
        spec: The classes.
        source: Description of where the images are from.
    """

    images: Array
    labels: Sequence[Array] | None
    spec: LabelSpec
    source: str

    def mean_iou(self, predictions: Array) -> float | None:
        """Returns the mean IoU of predictions for the images; None if there are no labels."""
        if self.labels is None:
            return None
        matrix = ConfusionMatrix.of(self.spec)
        for predicted, labels in zip(predictions, self.labels, strict=True):
            matrix.update(labels, resized_labels(predicted[None], labels.shape)[0])
        return float(matrix.metrics().mean_iou)


@dataclass(frozen=True)
class Network:
    """A network to measure on images of one size.

    Attributes:
        name: For the table.
        exported_models: The exported models that the candidates run.
        operations: Multiplications and additions of the convolutions, per image.
        comparison: Images to compare its predictions on.
    """

    name: str
    exported_models: ExportedModels
    operations: float
    comparison: Comparison


def open_network(
    path: Path, folder: Path, size: Size, data: SegmentationDataset, num_images: int
) -> Network:
    """Returns the network of a `.keras` file.

    Args:
        path: The file.
        folder: Folder of the exported models.
        size: Height and width of the images.
        data: Its training images calibrate int8; predictions are compared on validation images,
            and their mean IoU is measured where the classes are those of the network.
        num_images: Largest number of images to compare predictions on.

    Raises:
        ValueError: If the network has several heads, or is not for RGB images.
    """
    model: Any = load_model(path)
    predictor = KerasPredictor(model, path)
    if predictor.heads.is_named:
        raise ValueError(
            f"A benchmark is for networks with one head. Received: {path} with "
            f"{', '.join(predictor.heads)}."
        )
    if predictor.num_channels != 3:
        raise ValueError(
            f"A benchmark is for RGB images. Received: {path}, which takes "
            f"{predictor.num_channels} channels."
        )

    def calibration() -> list[Array]:
        return [example["image"] for example in spread_examples(data, "train", MIN_IMAGES)]

    (spec,) = predictor.heads.values()
    return Network(
        name=f"{model.name}, {model.count_params() / 1e6:.1f} M parameters",
        exported_models=ExportedModels(
            path, folder, size, calibration, re.sub(r"\W+", "-", data.name)
        ),
        operations=2.0 * summarize(model, size).multiply_adds,
        comparison=_comparison(data, spec, size, num_images),
    )


def random_network(backbone: str, folder: Path) -> Path:
    """Returns a `.keras` file of an FCN-8s for 21 classes, created if it is not in the folder.

    To measure its speed without a trained network. All weights are random, those of the score
    layers included, so that every class occurs.

    Raises:
        ValueError: If there is no backbone of that name.
    """
    path = folder / f"random_{backbone}.keras"
    if not path.exists():
        keras.utils.set_random_seed(0)
        model = FCN8s(_NUM_RANDOM_CLASSES, backbone=backbone)
        randomize_logits(model)
        with replacing(path) as unfinished:
            model.save(unfinished)
    return path


def randomize_logits(model: keras.Model) -> None:
    """Gives random weights to the score layers, which start at zero."""
    for layer in model.layers:
        if layer.name.startswith("score_"):
            layer.kernel.assign(keras.initializers.HeNormal(seed=0)(layer.kernel.shape))


def _comparison(
    data: SegmentationDataset, spec: LabelSpec, size: Size, num_images: int
) -> Comparison:
    examples = spread_examples(data, "val", num_images)
    known = data.heads.get(Heads.ONLY)
    has_classes = known is not None and known.class_names == spec.class_names
    return Comparison(
        images=np.concatenate([resized_images(e["image"][None], size) for e in examples]),
        labels=[example["label"] for example in examples] if has_classes else None,
        spec=spec,
        source=data.name,
    )
