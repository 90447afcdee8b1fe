"""FCN-8s on a small residual network, from random weights, on the built-in sample set.

Needs no download: it shows the whole chain in minutes on two CPU cores.

Run:       keras-fcn train --recipe sample_quickstart --workdir runs/quickstart
BatchNorm: trained, since nothing was pretrained.
"""

from ..config import Config

CONFIG = Config(
    dataset="sample",
    variant="fcn8s",
    backbone="small_resnet",
    epochs=20,
    batch_size=8,
    crop=(96, 96),
    scale=(0.9, 1.1),
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    optimizer="adamw",
    learning_rate=4e-3,
    warmup=100,
    ema=0.99,
    validate_every=2,
    workdir="runs/quickstart",
)
