"""What the studies train by default: a small network on the built-in sample set, in minutes."""

from ..config import Config
from ..recipes.sample_quickstart import CONFIG as QUICKSTART

_BASE = QUICKSTART.replace(
    alpha=0.5, batch_size=4, learning_rate=3e-3, warmup_steps=50, ema_decay=0.98, validate_every=1
)

# Settings by study.
DEFAULTS: dict[str, Config] = {
    "networks": _BASE.replace(epochs=3, validate_every=3, workdir="runs/study_networks"),
    "upsampling": _BASE.replace(epochs=8, workdir="runs/study_upsampling"),
    "patch-sampling": _BASE.replace(epochs=6, limit=512, workdir="runs/study_patch_sampling"),
    "masking": _BASE.replace(epochs=6, validate_every=3, workdir="runs/study_masking"),
}

# What a study is about, which is not for the user to set.
CHOSEN: dict[str, tuple[str, ...]] = {
    "networks": ("variant",),
    "upsampling": ("upsampling",),
    "patch-sampling": ("loss_share", "validate_every"),
    "masking": (),
}
