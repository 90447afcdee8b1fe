"""FCN-8s on a small residual network, from random weights, on the built-in sample set.

Needs no download, and takes minutes on two CPU cores.

Run:       keras-fcn train --recipe sample_quickstart --workdir runs/quickstart
BatchNorm: trained, since nothing was pretrained.
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
    data=DataConfig(dataset="sample", batch_size=8, crop_size=(96, 96)),
    model=ModelConfig(variant="fcn8s"),
    backbone=BackboneConfig("small_resnet", weights=None),
    augmentation=AugmentationConfig(scale=(0.9, 1.1), brightness=0.0, contrast=0.0, saturation=0.0),
    optimizer=OptimizerConfig("adamw", learning_rate=4e-3, warmup_steps=100, ema_decay=0.99),
    run=RunConfig(epochs=20, validate_every=2, workdir="runs/quickstart"),
)
