"""Learning rates and weight decays that suit the reduction of the loss."""

from .config import OptimizerConfig

# Bounds of rate / (1 - momentum) on the mean over the pixels: how far a constant gradient moves a
# weight. The first stages of the paper and the reference are between 5e-4 and 1e-2.
LARGEST_STEP = 1.0
SMALLEST_STEP = 1e-6


def convert_rates(
    learning_rate: float,
    weight_decay: float,
    *,
    before: str,
    after: str,
    pixels: int,
    batch_size: int = 1,
) -> tuple[float, float]:
    """Returns the learning rate and weight decay for the same training with another reduction.

    A loss divided by n times as much has gradients n times as small. SGD with
    momentum and a decay that is added to the gradient (`CaffeSGD`) then makes the same
    steps with n times the learning rate and an n-th of the decay. That is
    exact where all images have `pixels` valid pixels, and nearly so where they
    have that many on average. Steps over which gradients are averaged
    (`gradient_accumulation_steps`) change nothing. AdamW's steps do not depend on
    the divisor: its rates are not changed.

    Args:
        learning_rate: The current learning rate.
        weight_decay: The current weight decay.
        before: What its loss is divided by: `"mean"`, `"per_image"` or `"sum"`.
        after: What the new loss is divided by.
        pixels: Valid pixels of an image.
        batch_size: Images of a step.

    Raises:
        ValueError: If a reduction is unknown, or a number is below 1.

    Example:
        >>> rate, decay = convert_rates(
        ...     1e-10, 5e-4, before="per_image", after="mean", pixels=200_000
        ... )  # of voc-fcn32s
        >>> print(f"{rate:.1e} {decay:.1e}")
        2.0e-05 2.5e-09
    """
    for name, value in (("pixels", pixels), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}.")
    divisors = {"mean": pixels * batch_size, "per_image": batch_size, "sum": 1}
    for name, mode in (("before", before), ("after", after)):
        if mode not in divisors:
            raise ValueError(
                f"`{name}` must be one of {', '.join(divisors)}. Received: {name}={mode!r}."
            )
    factor = divisors[after] / divisors[before]
    return learning_rate * factor, weight_decay / factor


def rate_warning(
    config: OptimizerConfig, reduction: str, *, batch_size: int, pixels: int
) -> str | None:
    """Returns a warning if the learning rate does not suit the reduction, else None.

    Args:
        config: Only SGD is checked: the steps of AdamW, and those of clipped gradients, do not
            grow with the loss.
        reduction: That of the loss.
        batch_size: Images per step.
        pixels: Pixels of a training image.
    """
    if config.name != "sgd":
        return None

    def converted(before: str, after: str) -> float:
        return convert_rates(
            config.learning_rate,
            config.weight_decay,
            before=before,
            after=after,
            pixels=pixels,
            batch_size=batch_size,
        )[0]

    on_mean = converted(reduction, "mean")
    step = on_mean / (1 - config.momentum)
    if reduction != "mean" and step > LARGEST_STEP and config.global_clipnorm is None:
        return (
            f"learning_rate={config.learning_rate:g} fits the mean over the pixels, but "
            f"reduction={reduction!r} adds them up: with {pixels:,} pixels per image "
            f"it acts as {on_mean:.2g} would on the mean, and the training is likely to diverge. "
            f"Use --reduction mean, or --learning-rate {converted('mean', reduction):.1e} for "
            f"the same steps as {config.learning_rate:g} on the mean."
        )
    if reduction == "mean" and step < SMALLEST_STEP:
        return (
            f"learning_rate={config.learning_rate:g} fits a loss that is added up over the pixels, "
            "but reduction='mean' takes their mean: the training will hardly progress. Use "
            f"--reduction per_image, or --learning-rate {converted('per_image', 'mean'):.1e} for "
            f"the same steps as {config.learning_rate:g} on the sum of {pixels:,} pixels per image."
        )
    return None
