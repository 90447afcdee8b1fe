"""FCN-16s on PASCAL VOC 2012, from FCN-32s: the second stage of the paper.

As fcn32s_vgg16_voc, at a hundredth of its learning rate.

Run:       keras-fcn train --recipe fcn16s_vgg16_voc --source path/to/VOCdevkit
           --init runs/fcn32s_vgg16_voc/best.keras
BatchNorm: there is none.
"""

from . import fcn32s_vgg16_voc

NEEDS = {"init": "the FCN-32s to go on from, such as runs/fcn32s_vgg16_voc/best.keras."}

CONFIG = fcn32s_vgg16_voc.CONFIG.replace(
    variant="fcn16s",
    learning_rate=1e-12,
    workdir="runs/fcn16s_vgg16_voc",
)
