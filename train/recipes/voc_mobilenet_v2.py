"""FCN-8s on MobileNetV2-0.35 on PASCAL VOC 2012 with SBD's masks, from ImageNet weights.

Run:       keras-fcn train --recipe voc_mobilenet_v2 --source path/to/VOCdevkit
           (--backbone-weights FILE where Keras cannot download them)
BatchNorm: trained with the rest.
Result:    0.511 mean IoU over background, cat, cow, dog, horse, person and sheep on the 150
           validation images of a part of the set (860 training images, mostly of these
           classes; all others are near 0), after 20 epochs; one seed, 2026-11-21. A step
           of 8 took 0.6 to 0.8 s on two busy cores.
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
    data=DataConfig(dataset="voc2012_aug", batch_size=8, crop_size=(288, 288)),
    model=ModelConfig(variant="fcn8s"),
    backbone=BackboneConfig("mobilenet_v2", weights="imagenet", alpha=0.35),
    augmentation=AugmentationConfig(scale=(0.6, 1.4)),
    optimizer=OptimizerConfig(
        "adamw", learning_rate=5e-4, weight_decay=1e-4, warmup_steps=100, ema_decay=0.99
    ),
    run=RunConfig(epochs=20, validate_every=5, workdir="runs/voc_mobilenet_v2"),
)
