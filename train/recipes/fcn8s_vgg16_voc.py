"""FCN-8s on PASCAL VOC 2012, from FCN-16s: the third stage of the paper.

As fcn16s_vgg16_voc, at a hundredth of its learning rate.

Run:       keras-fcn train --recipe fcn8s_vgg16_voc --source path/to/VOCdevkit
           --init runs/fcn16s_vgg16_voc/best.keras
BatchNorm: there is none.
"""

from . import fcn32s_vgg16_voc

NEEDS = {"init": "the FCN-16s to go on from, such as runs/fcn16s_vgg16_voc/best.keras."}

CONFIG = fcn32s_vgg16_voc.CONFIG.replace(
    variant="fcn8s",
    learning_rate=1e-14,
    workdir="runs/fcn8s_vgg16_voc",
)
