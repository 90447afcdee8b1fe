"""A training of a few seconds, to check that a recipe runs."""

from .config import Config

_WITH_TWO_LABEL_MAPS = ("siftflow", "sample_geometric")
# The paper's networks, in which nearly all parameters would be too many.
_WIDE = ("vgg", "alexnet", "googlenet")


def smoke_config(config: Config) -> Config:
    """Returns the configuration with all sizes minimal, on the built-in sample set.

    Network, loss, optimizer, schedule and precision stay; data, sizes and initial weights are
    replaced, so that it runs anywhere and needs no download.
    """
    backbone = config.backbone
    return config.replace(
        dataset=_sample_like(config),
        source=None,
        data_dir=None,
        image_files=None,
        mask_files=None,
        ignore=None,
        num_classes=None,
        write_classes=False,
        channels=None,
        value_range=None,
        page=None,
        exif=None,
        train_split="train",
        validation_split=config.data.validation_split and "val",
        limit=4,
        validation_limit=2,
        crop_size=(64, 64),
        batch_size=2,
        gradient_accumulation_steps=1,
        epochs=1,
        warmup_steps=0,
        backbone_weights=None,
        init=None,
        init_streams=None,
        fc_filters=8,
        alpha=0.125 if backbone.name.startswith(_WIDE) else backbone.alpha,
    )


def _sample_like(config: Config) -> str:
    """Returns the variant of the sample set with the inputs and heads of a configuration."""
    if config.model.modalities:
        return "sample_rgbd"
    return "sample_geometric" if config.data.dataset in _WITH_TWO_LABEL_MAPS else "sample"
