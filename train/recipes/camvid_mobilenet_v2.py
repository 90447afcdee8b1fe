"""FCN-8s on MobileNetV2-0.35 on CamVid (11 classes), from ImageNet weights.

Run:       keras-fcn train --recipe camvid_mobilenet_v2 --source path/to/CamVid
           (--backbone-weights FILE where Keras cannot download them)
BatchNorm: trained with the rest, measured anew for the averaged weights.
Result:    0.6904 mean IoU on the 101 validation images (best epoch 70 of 80), one seed,
           2026-11-21; 3,274 s of processor time, which is 27 minutes of two cores.
"""

from ..config import Config

CONFIG = Config(
    dataset="camvid",
    variant="fcn8s",
    backbone="mobilenet_v2",
    alpha=0.35,
    backbone_weights="imagenet",
    # Poles and signs are a few pixels wide: details that bilinear interpolation smears.
    skip_filters=64,
    upsampling="learned",
    epochs=80,
    batch_size=8,
    crop=(288, 288),
    scale=(0.7, 1.7),
    optimizer="adamw",
    learning_rate=1e-3,
    weight_decay=1e-4,
    warmup=100,
    ema=0.99,
    batchnorm_batches=16,
    class_weights="balanced",
    # Larger exponents find more of the poles and signs, and call more else so: 0.5 cost a point.
    class_weight_exponent=0.2,
    validate_every=5,
    workdir="runs/camvid_mobilenet_v2",
)
