"""A dataset and settings with which a training takes a second.

The settings name a backbone of `helpers.py`, which the fixture `tiny_backbones` makes known.
"""

from typing import Any

import numpy as np
from keras_fcn_train import Config

from keras_fcn import LabelSpec
from keras_fcn.datasets import from_arrays

SPEC = LabelSpec(("ground", "stripe", "box"))
HEADS = {"thing": SPEC, "light": LabelSpec(("dark", "bright"))}


def tiny_dataset(name: str = "tiny", *, num_train: int = 12) -> Any:
    """Returns noisy images, 40x48 and 36x48, whose class is brightness, with void pixels.

    The set "tiny_heads" has a second label map: whether a pixel is bright.
    """
    has_heads = name == "tiny_heads"
    random = np.random.default_rng(0)

    def example(height: int) -> dict[str, Any]:
        label = np.repeat(random.integers(0, 3, (height // 4, 12)), 4, axis=0).repeat(4, axis=1)
        image = 90 * label[..., None] + random.integers(0, 60, (height, 48, 3))
        bright = (label > 0).astype("uint8")
        label[:2] = SPEC.ignore_class
        label = label.astype("uint8")
        both = {"thing": label, "light": bright}
        return {"image": image.astype("uint8"), "label": both if has_heads else label}

    splits = {
        "train": [example(40 - 4 * (i % 2)) for i in range(num_train)],
        "val": [example(40 - 4 * (i % 2)) for i in range(3)],
    }
    return from_arrays(name, HEADS if has_heads else SPEC, splits)


def tiny_config(**settings: Any) -> Config:
    """Returns settings that use shuffle, augmentation, dropout and an average."""
    return Config().replace(
        **{
            "dataset": "tiny",
            "backbone": "tiny_batchnorm",
            "backbone_weights": None,
            "fc_filters": 8,
            "dropout": 0.5,
            "crop_size": (32, 32),
            "batch_size": 4,
            "epochs": 3,
            "learning_rate": 0.01,
            "ema_decay": 0.9,
            **settings,
        }
    )
