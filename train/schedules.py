"""Learning rates that change with the step."""

from typing import Any

import keras
from keras import KerasTensor, ops


@keras.saving.register_keras_serializable(package="keras_fcn")
class WarmupPolynomialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to the learning rate, times a polynomial fall to zero.

    At step s the rate is `learning_rate * min(1, (s + 1) / warmup_steps) *
    (1 - s / total_steps) ** power`, so the first step is already above 0, and
    step `total_steps` would be 0. With `power=0` it does not fall.

    Args:
        learning_rate: The rate after the warm-up, before the fall.
        total_steps: Number of steps of the whole training.
        power: Exponent of the fall; 0.9 is common in segmentation.
        warmup_steps: Number of steps of the rise.

    Example:
        >>> schedule = WarmupPolynomialDecay(0.1, total_steps=10, power=1.0, warmup_steps=2)
        >>> [round(float(schedule(step)), 4) for step in (0, 1, 5, 10)]
        [0.05, 0.09, 0.05, 0.0]
    """

    def __init__(
        self,
        learning_rate: float,
        total_steps: int,
        power: float = 0.9,
        warmup_steps: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if total_steps < 1:
            raise ValueError(
                f"`total_steps` must be at least 1. Received: total_steps={total_steps}."
            )
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                "`warmup_steps` must be less than the steps of the whole training. "
                f"Received: warmup_steps={warmup_steps}, total_steps={total_steps}."
            )
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.power = power
        self.warmup_steps = warmup_steps
        self.name = name

    def __call__(self, step: KerasTensor) -> KerasTensor:
        step = ops.cast(step, "float32")
        rise = ops.minimum(1.0, (step + 1.0) / max(self.warmup_steps, 1))
        # Steps past the end keep the rate at 0 instead of a root of a negative number.
        fall = ops.power(ops.maximum(1.0 - step / self.total_steps, 0.0), self.power)
        return self.learning_rate * rise * fall

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "power": self.power,
            "warmup_steps": self.warmup_steps,
            "name": self.name,
        }
