"""FCN-8s on VGG16 on CamVid (11 classes), with narrow fully connected layers.

A short training on two processor cores, to have a network of this size whose
quantization and speed can be measured: far from what it would reach.

Run:       keras-fcn train --recipe camvid_vgg16 --source path/to/CamVid
           (--backbone-weights FILE where Keras cannot download them)
BatchNorm: there is none.
Result:    0.441 mean IoU on the 101 validation images after 3 epochs, one seed, 2026-11-21;
           15 minutes of training and 2 of validation on two cores (115 GFLOP/s together). Only
           the first two of the five blocks were pretrained; the others began at random.
"""

from ..config import Config

CONFIG = Config(
    dataset="camvid",
    variant="fcn8s",
    backbone="vgg16",
    backbone_weights="imagenet",
    fc_filters=256,
    epochs=3,
    batch_size=2,
    crop=(192, 192),
    scale=(0.7, 1.5),
    optimizer="adamw",
    learning_rate=2e-4,
    warmup=50,
    clip_norm=1.0,
    validate_every=3,
    workdir="runs/camvid_vgg16",
)
