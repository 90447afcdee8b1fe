"""The images that a benchmark runs on."""

import numpy as np
from keras_fcn_export.model_info import Size
from keras_fcn_export.sampling import spread_examples
from PIL import Image

from keras_fcn.data.dataset import SegmentationDataset
from keras_fcn.labels import Labels, LabelSpec

from .measurement import Comparison


def comparison_images(
    data: SegmentationDataset, labels: Labels, size: Size, num_images: int
) -> Comparison:
    """Returns validation images resized to one size, and labels where the classes are the model's.

    Args:
        data: The dataset; its `val` split, or the first where it has none.
        labels: Classes of the model.
        size: Height and width.
        num_images: At most so many, from all over the split.

    Raises:
        ValueError: If the model has several heads.
    """
    if not isinstance(labels, LabelSpec):
        raise ValueError("A benchmark is for networks with one head. Received: one with several.")
    height, width = size
    images, maps = [], []
    for example in spread_examples(data, "val", num_images):
        image = Image.fromarray(example["image"])
        images.append(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)))
        maps.append(example["label"])
    is_scored = isinstance(data.labels, LabelSpec) and data.labels.class_names == labels.class_names
    return Comparison(
        images=np.stack(images),
        labels=maps if is_scored else None,
        num_classes=labels.num_classes,
        ignore_class=labels.ignore_class,
        source=data.name,
    )
