"""FCN-8s on VGG16 on CamVid (11 classes), with narrow fully connected layers.

Run:       keras-fcn train --recipe camvid_vgg16 --source path/to/CamVid
           (--backbone-weights FILE where Keras cannot download them)
BatchNorm: there is none.
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
