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
    epochs=50,
    batch_size=4,
    crop=(256, 256),
    scale=(0.7, 1.5),
    optimizer="adamw",
    learning_rate=1e-4,
    warmup=200,
    clip_norm=1.0,
    validate_every=5,
    workdir="runs/camvid_vgg16",
)
