"""A training of seconds, to see that a recipe runs at all."""

from .config import Config


def smoke_config(config: Config) -> Config:
    """Returns the configuration with everything tiny, on the built-in sample set.

    Network, loss, optimizer, schedule and precision stay; data, sizes and
    initial weights go, so that it runs anywhere and needs no download.
    """
    return config.replace(
        dataset="sample",
        source=None,
        data_dir=None,
        train_split="train",
        validation_split=config.validation_split and "val",
        limit=4,
        validation_limit=2,
        crop=(64, 64),
        batch_size=2,
        accumulate=1,
        epochs=1,
        warmup=0,
        backbone_weights=None,
        init=None,
        fc_filters=8,
    )
