"""FCN-8s on VGG16 on CamVid (11 classes), with narrow fully connected layers.

A short training on two processor cores, for a network of this size whose quantization and speed
can be measured. It is far from convergence.

Run:       keras-fcn train --recipe camvid_vgg16 --source path/to/CamVid
           (--backbone-weights FILE where Keras cannot download them)
BatchNorm: there is none.
Result:    0.441 mean IoU on the 101 validation images after 3 epochs, one seed, 2026-11-21;
           15 minutes of training and 2 of validation on two cores (115 GFLOP/s together). Only
           the first two of the five blocks were pretrained; the others had random initial weights.
"""

from ..config import (
    AugmentationConfig,
    BackboneConfig,
    Config,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
)

CONFIG = Config(
    data=DataConfig(dataset="camvid", batch_size=2, crop_size=(192, 192)),
    model=ModelConfig(variant="fcn8s"),
    backbone=BackboneConfig("vgg16", weights="imagenet", fc_filters=256),
    augmentation=AugmentationConfig(scale=(0.7, 1.5)),
    optimizer=OptimizerConfig("adamw", learning_rate=2e-4, warmup_steps=50, global_clipnorm=1.0),
    run=RunConfig(epochs=3, validate_every=3, workdir="runs/camvid_vgg16"),
)
