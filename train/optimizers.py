"""The optimizers and their schedules: the paper's SGD with momentum, and AdamW."""

from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from .config import OptimizerConfig


class LayerRates(keras.optimizers.Optimizer):
    """An optimizer whose learning rate has a factor for each variable.

    The factors, and the share of the time in the schedule, are variables of the optimizer: they
    are saved and restored with it, and on JAX a compiled step reads no others.
    """

    _factors: Any = None

    def build(self, variables: list[Any]) -> None:
        if not self.built and isinstance(self._learning_rate, WarmupPolynomialDecay):
            self._learning_rate.time_share = self.add_variable(
                shape=(), initializer="zeros", dtype="float32", name="time_share"
            )
        super().build(variables)

    def set_rate_factors(self, factors: Sequence[float]) -> None:
        """Sets the factors of the learning rate, after `build`, in the order of its variables."""
        self._factors = self.add_variable(
            shape=(len(factors),), initializer="ones", dtype="float32", name="rate_factors"
        )
        self._factors.assign(np.asarray(factors, "float32"))

    def _rate_of(self, variable: Any, learning_rate: Any) -> Any:
        """Returns the learning rate of a variable."""
        rate = ops.cast(learning_rate, variable.dtype)
        if self._factors is None:
            return rate
        factor = self._factors[self._get_variable_index(variable)]
        return rate * ops.cast(factor, variable.dtype)


@keras.saving.register_keras_serializable(package="keras_fcn")
class LayerRatesAdamW(LayerRates, keras.optimizers.AdamW):
    """AdamW whose learning rate has a factor for each variable, which its decay follows."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rate = self._rate_of(variable, learning_rate)
        if self._use_weight_decay(variable):
            decay = ops.cast(self.weight_decay, variable.dtype)
            self.assign_sub(variable, variable * decay * rate)
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        # Keras would apply one learning rate to all variables; `update_step` applies theirs.
        pass


@keras.saving.register_keras_serializable(package="keras_fcn")
class CaffeSGD(LayerRates):
    """SGD with momentum as in Caffe, which the paper used.

    For weights w with gradient g, learning rate r, momentum m and decay d, a
    step is `v = m * v - r * (g + d * w)`, then `w = w + v`. The decay goes
    through the momentum (L2 regularization), unlike the `weight_decay` of
    Keras' optimizers, which shrinks the weights beside it. The learning rate of biases is
    `bias_multiplier` times as high. Vectors (biases, and the scales and offsets of
    normalizations) do not decay. Biases of `kernel_like` layers do, and learn as fast as kernels,
    as in Caffe where a definition sets no multipliers.

    On TensorFlow a step makes no copies of the weights: it is one fused
    operation, or two with decay.

    Args:
        learning_rate: A float or a schedule.
        momentum: In [0, 1).
        weight_decay: Factor d of the L2 regularization, or `None`.
        bias_multiplier: Factor of the learning rate of biases.
        kernel_like: Names of the layers whose biases are treated as their kernels.
        **kwargs: As for any Keras optimizer, such as `global_clipnorm`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> optimizer = CaffeSGD(learning_rate=0.1, momentum=0.5)
        >>> kernel = keras.Variable([[1.0]], name="kernel")
        >>> for _ in range(2):  # v = -0.1, then 0.5 * -0.1 - 0.1 = -0.15
        ...     optimizer.apply([keras.ops.ones((1, 1))], [kernel])
        >>> round(float(kernel[0, 0]), 6)
        0.75

    Reference:
        Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic
        Segmentation", CVPR 2015, section 4.3.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-4,
        momentum: float = 0.9,
        weight_decay: float | None = None,
        bias_multiplier: float = 2.0,
        kernel_like: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **kwargs)
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be in [0, 1). Received: momentum={momentum}.")
        if weight_decay is not None and weight_decay < 0:
            raise ValueError(
                f"`weight_decay` must be None or at least 0. Received: weight_decay={weight_decay}."
            )
        self.momentum = momentum
        self.bias_multiplier = bias_multiplier
        self.kernel_like = tuple(kernel_like)

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        multipliers = [self._multipliers(variable) for variable in variables]
        self._bias_factors = [rate for rate, _ in multipliers]
        self._decays = [(self.weight_decay or 0.0) * decay for _, decay in multipliers]

    def _multipliers(self, variable: Any) -> tuple[float, float]:
        """Returns the factors of learning rate and decay: Caffe's lr_mult and decay_mult."""
        is_bias = variable.name == "bias"
        if len(variable.shape) > 1 or (is_bias and _layer_name(variable) in self.kernel_like):
            return 1.0, 1.0
        return self.bias_multiplier if is_bias else 1.0, 0.0

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        rate = self._rate_of(variable, learning_rate) * self._bias_factors[index]
        gradient = ops.cast(gradient, variable.dtype)
        step = _fused_step if _is_fused() else self._plain_step
        step(variable, self._velocities[index], gradient, rate, self.momentum, self._decays[index])

    def _plain_step(
        self, variable: Any, velocity: Any, gradient: Any, rate: Any, momentum: float, decay: float
    ) -> None:
        if decay:
            gradient = gradient + decay * variable
        self.assign(velocity, momentum * velocity - rate * gradient)
        self.assign_add(variable, velocity)

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        # Keras would shrink the weights here, decoupled from the momentum.
        pass

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "bias_multiplier": self.bias_multiplier,
            "kernel_like": list(self.kernel_like),
        }


def _layer_name(variable: Any) -> str:
    return variable.path.split("/")[-2] if "/" in variable.path else ""


def _is_fused() -> bool:
    return keras.backend.backend() == "tensorflow"


def _fused_step(
    variable: Any, velocity: Any, gradient: Any, rate: Any, momentum: float, decay: float
) -> None:
    import tensorflow as tf

    velocity = velocity.value if isinstance(velocity, keras.Variable) else velocity
    dtype = variable.dtype
    if decay:
        # m * (v - (r * d / m) * w) - r * g is the step with decay; the inner bracket is one
        # operation too. Without momentum the old velocity is not used, so it can be set.
        scale = rate * decay / (momentum or 1.0)
        if not momentum:
            velocity.assign(tf.zeros_like(velocity))
        tf.raw_ops.ResourceApplyGradientDescent(
            var=velocity.handle, alpha=scale, delta=tf.convert_to_tensor(variable)
        )
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=velocity.handle,
        lr=rate,
        grad=gradient,
        momentum=tf.constant(momentum or (1.0 if decay else 0.0), dtype),
        use_nesterov=False,
    )


@keras.saving.register_keras_serializable(package="keras_fcn")
class WarmupPolynomialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up to the learning rate, times a polynomial decay to zero.

    At step s the rate is `learning_rate * min(1, (s + 1) / warmup_steps) *
    (1 - s / total_steps) ** power`, so the first step is already above 0, and
    step `total_steps` would be 0. With `power=0` there is no decay.

    Where a training also has a limit of time, `s / total_steps` is replaced by `time_share` when
    that is larger: the share of the time that has passed, which the training sets.

    A step is an update of the weights. Where gradients are accumulated, an optimizer of Keras
    calls its schedule with the number of batches; give this one their number per update.

    Args:
        learning_rate: The rate after the warm-up, before the decay.
        total_steps: Number of steps of the whole training.
        power: Exponent of the decay; 0.9 is common in segmentation.
        warmup_steps: Number of steps of the warm-up.
        batches_per_step: The optimizer's `gradient_accumulation_steps`.

    Attributes:
        time_share: In [0, 1], a variable; once an optimizer is built with the schedule, one of the
            optimizer's.

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
        batches_per_step: int = 1,
        name: str | None = None,
    ) -> None:
        super().__init__()
        for argument, value in (
            ("total_steps", total_steps),
            ("batches_per_step", batches_per_step),
        ):
            if value < 1:
                raise ValueError(f"`{argument}` must be at least 1. Received: {argument}={value}.")
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                "`warmup_steps` must be less than the steps of the whole training. "
                f"Received: warmup_steps={warmup_steps}, total_steps={total_steps}."
                + (
                    f" (A step is an update, after {batches_per_step} batches.)"
                    if batches_per_step > 1
                    else ""
                )
            )
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.power = power
        self.warmup_steps = warmup_steps
        self.batches_per_step = batches_per_step
        self.name = name
        self.time_share = keras.Variable(0.0, trainable=False, name="time_share")

    def __call__(self, step: KerasTensor) -> KerasTensor:
        step = ops.cast(step // self.batches_per_step, "float32")
        rise = ops.minimum(1.0, (step + 1.0) / max(self.warmup_steps, 1))
        # Steps past the end keep the rate at 0 instead of a root of a negative number.
        progress = ops.maximum(step / self.total_steps, self.time_share)
        fall = ops.power(ops.maximum(1.0 - progress, 0.0), self.power)
        return self.learning_rate * rise * fall

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "power": self.power,
            "warmup_steps": self.warmup_steps,
            "batches_per_step": self.batches_per_step,
            "name": self.name,
        }


def build_optimizer(
    config: OptimizerConfig,
    num_batches: int,
    variables: list[Any],
    backbone: str = "",
    pretrained: Collection[int] = (),
) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a configuration, built for these variables.

    Args:
        config: The optimizer, its learning rate, schedule, momentum and decay.
        num_batches: Batches of the whole training, at whose end the learning rate is 0.
        variables: The trainable variables. Vectors among them (biases, scales and
            offsets of normalizations) do not decay.
        backbone: Name of the network's backbone: with SGD the biases of AlexNet get the learning
            rates of the reference.
        pretrained: Positions of the variables whose learning rate is multiplied by
            `config.pretrained_factor`.

    Raises:
        ValueError: If the training is shorter than the first update or the warm-up.
    """
    steps = config.gradient_accumulation_steps
    if num_batches < steps:
        raise ValueError(
            "`gradient_accumulation_steps` must be at most the steps of the whole training: the "
            f"weights change after each {steps} steps. Received: gradient_accumulation_steps="
            f"{steps}, {num_batches} steps."
        )
    learning_rate: Any = config.learning_rate
    if config.schedule == "polynomial" or config.warmup_steps:
        learning_rate = WarmupPolynomialDecay(
            config.learning_rate,
            num_batches // steps,
            power=config.power if config.schedule == "polynomial" else 0.0,
            warmup_steps=config.warmup_steps,
            batches_per_step=steps,
        )
    common = {
        "learning_rate": learning_rate,
        "weight_decay": config.weight_decay,
        "global_clipnorm": config.global_clipnorm,
        "gradient_accumulation_steps": steps if steps > 1 else None,
    }
    if config.name == "sgd":
        optimizer: LayerRates = CaffeSGD(
            momentum=config.momentum,
            kernel_like=_without_multipliers(backbone, variables),
            **common,
        )
    else:
        optimizer = LayerRatesAdamW(beta_1=config.momentum, **common)
        vectors = [variable for variable in variables if len(variable.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=vectors)
    optimizer.build(variables)
    if config.pretrained_factor != 1:
        factor = config.pretrained_factor
        count = len(variables)
        optimizer.set_rate_factors([factor if i in pretrained else 1.0 for i in range(count)])
    return optimizer


def _without_multipliers(backbone: str, variables: list[Any]) -> list[str]:
    """Returns the layers for which the reference's definition sets no multipliers.

    They are those of AlexNet, but not its score layer (voc-fcn-alexnet); every other network of
    the reference sets them everywhere.
    """
    if backbone != "alexnet":
        return []
    names = {_layer_name(variable) for variable in variables if variable.name == "bias"}
    return sorted(name for name in names if not name.startswith("score"))
