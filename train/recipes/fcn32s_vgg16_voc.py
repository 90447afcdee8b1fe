"""FCN-32s on PASCAL VOC 2012 with SBD's masks, as the reference trains it (PAMI 2016, "heavy").

The first of three stages: fcn16s_vgg16_voc and fcn8s_vgg16_voc go on from it.
One image a step at native size, drawn with replacement, no augmentation, a
momentum of 0.99, and a loss summed over the pixels, hence the learning rate.
Ten epochs of train_aug are 105,820 steps; the reference takes 100,000.

Run:       keras-fcn train --recipe fcn32s_vgg16_voc --source path/to/VOCdevkit
BatchNorm: there is none.
"""

from ..config import Config

CONFIG = Config(
    dataset="voc2012_aug",
    variant="fcn32s",
    backbone="vgg16",
    backbone_weights="imagenet",
    upsampling="fixed",
    epochs=10,
    batch_size=1,
    crop=None,
    augment=False,
    replacement=True,
    optimizer="sgd",
    learning_rate=1e-10,
    schedule="constant",
    momentum=0.99,
    weight_decay=5e-4,
    normalization="batch",
    save_every=1000,
    workdir="runs/fcn32s_vgg16_voc",
)
