"""A network to measure the speed of, when there is no trained one."""

from pathlib import Path

import keras

from keras_fcn import FCN8s
from keras_fcn.files import replacing

NUM_CLASSES = 21  # as PASCAL VOC


def random_network(backbone: str, folder: Path) -> Path:
    """Returns a `.keras` file of an FCN-8s for 21 classes, made if it is not in the folder.

    All weights are random, those of the scores included, so that every class occurs.

    Raises:
        ValueError: If there is no backbone of that name.
    """
    path = folder / f"random_{backbone}.keras"
    if not path.exists():
        keras.utils.set_random_seed(0)
        model = FCN8s(NUM_CLASSES, backbone=backbone)
        for layer in model.layers:
            if layer.name.startswith("score_"):
                layer.kernel.assign(keras.initializers.HeNormal(seed=0)(layer.kernel.shape))
        with replacing(path) as temporary:
            model.save(temporary)
    return path
