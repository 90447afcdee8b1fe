"""Learning rates and weight decays that fit what the loss is divided by."""

from typing import Literal

from .config import Config

Normalization = Literal["valid", "batch", "sum"]

# Bounds of rate / (1 - momentum) on the mean over the pixels: how far a lasting gradient moves a
# weight. The first stages of the paper and the reference lie between 5e-4 and 1e-2.
LARGEST_STEP = 1.0
SMALLEST_STEP = 1e-6


def convert_rates(
    learning_rate: float,
    weight_decay: float,
    *,
    before: Normalization,
    after: Normalization,
    pixels: int,
    batch_size: int = 1,
) -> tuple[float, float]:
    """Returns the learning rate and weight decay that train alike under another normalization.

    A loss divided by n times as much has gradients n times as small. SGD with
    momentum and a decay that is added to the gradient (`CaffeSGD`) then makes the same
    steps with n times the learning rate and an n-th of the decay. That is
    exact where all images have `pixels` valid pixels, and nearly so where they
    have that many on average. Steps over which gradients are averaged
    (`accumulate`) change nothing. AdamW's steps do not depend on
    the divisor: its rates stay as they are.

    Args:
        learning_rate: That of the training as it is.
        weight_decay: The same.
        before: What its loss is divided by: `"valid"`, `"batch"` or `"sum"`.
        after: What the loss shall be divided by.
        pixels: Valid pixels of an image.
        batch_size: Images of a step.

    Raises:
        ValueError: If a normalization is unknown, or a number is below 1.

    Example:
        >>> rate, decay = convert_rates(
        ...     1e-10, 5e-4, before="batch", after="valid", pixels=200_000
        ... )  # of voc-fcn32s
        >>> print(f"{rate:.1e} {decay:.1e}")
        2.0e-05 2.5e-09
    """
    for name, value in (("pixels", pixels), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}.")
    divisors = {"valid": pixels * batch_size, "batch": batch_size, "sum": 1}
    for name, mode in (("before", before), ("after", after)):
        if mode not in divisors:
            raise ValueError(
                f"`{name}` must be one of {', '.join(divisors)}. Received: {name}={mode!r}."
            )
    factor = divisors[after] / divisors[before]
    return learning_rate * factor, weight_decay / factor


def rate_warning(config: Config, pixels: int) -> str | None:
    """Returns what to say where learning rate and normalization do not fit, else None.

    Args:
        config: Only trainings by SGD can be told: the steps of AdamW, and those whose
            gradients are clipped, do not grow with the loss.
        pixels: Pixels of a training image.
    """
    if config.optimizer != "sgd":
        return None

    def converted(before: Normalization, after: Normalization) -> float:
        return convert_rates(
            config.learning_rate,
            config.weight_decay,
            before=before,
            after=after,
            pixels=pixels,
            batch_size=config.batch_size,
        )[0]

    on_mean = converted(config.normalization, "valid")
    step = on_mean / (1 - config.momentum)
    if config.normalization != "valid" and step > LARGEST_STEP and config.clip_norm is None:
        return (
            f"learning_rate={config.learning_rate:g} fits the mean over the pixels, but "
            f"normalization={config.normalization!r} adds them up: with {pixels:,} pixels an image "
            f"it acts as {on_mean:.2g} would on the mean, and the training is likely to diverge. "
            f"Take --normalization valid, or --learning-rate "
            f"{converted('valid', config.normalization):.1e} for the same steps as "
            f"{config.learning_rate:g} on the mean."
        )
    if config.normalization == "valid" and step < SMALLEST_STEP:
        return (
            f"learning_rate={config.learning_rate:g} fits a loss that is added up over the pixels, "
            "but normalization='valid' takes their mean: the training will hardly move. Take "
            f"--normalization batch, or --learning-rate {converted('batch', 'valid'):.1e} for the "
            f"same steps as {config.learning_rate:g} on the sum of {pixels:,} pixels an image."
        )
    return None
