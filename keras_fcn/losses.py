"""The losses of logits against a label map: cross-entropy, focal loss, Dice, and their sums."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, ops

from keras_fcn.label_tensors import is_class, label_values
from keras_fcn.labels import check_ignore_class

REDUCTIONS = ("mean", "per_image", "sum")


class SegmentationLoss(keras.losses.Loss):
    """What the losses share: labels, ignored pixels, class weights, division over replicas.

    A loss is a sum of terms, such as one per pixel, divided by a number. Under
    `tf.distribute.MirroredStrategy` both are summed over the replicas, so the value and the
    gradients are those of one device with the whole batch.
    """

    def __init__(
        self,
        ignore_class: int | None,
        reduction: str,
        class_weights: Sequence[float] | None,
        name: str,
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"`reduction` must be one of {REDUCTIONS}. Received: reduction={reduction!r}."
            )
        check_ignore_class(ignore_class)
        # float32 under every dtype policy: a sum over pixels needs more than 8 bits.
        super().__init__(name=name, reduction="sum", dtype="float32")
        self.reduction = reduction  # read by `__call__` below only, which replaces that of Keras
        self.ignore_class = None if ignore_class is None else int(ignore_class)  # of NumPy's
        self.class_weights = _checked_weights(class_weights)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> KerasTensor:
        with keras.name_scope(self.name):
            y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
            total, count = self.total_and_count(y_true, y_pred, sample_weight)
            divisor = {
                "mean": count,
                "per_image": ops.cast(ops.shape(y_pred)[0], self.dtype),
                "sum": None,
            }[self.reduction]
            return _divide_over_replicas(total, divisor)

    def total_and_count(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> tuple[KerasTensor, KerasTensor]:
        """Returns the sum of the terms, and the number that `reduction="mean"` divides it by.

        Both may be added up over batches; the arguments are those of the loss itself.
        """
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        total = ops.sum(self._terms(y_true, y_pred, sample_weight))
        return total, ops.sum(ops.cast(self._counted(y_true, y_pred), self.dtype))

    def sums(self, y_true: Any, y_pred: Any) -> tuple[KerasTensor, ...]:
        """Returns the sums over pixels that the loss is computed from.

        Those of blocks of rows of the same images may be added up, so that large images need no
        memory for what is computed of all their pixels.
        """
        return self.total_and_count(y_true, y_pred)

    def total_and_count_of(self, sums: Sequence[KerasTensor]) -> tuple[KerasTensor, KerasTensor]:
        """Returns `total_and_count` of the pixels that these are the sums of."""
        total, count = sums
        return total, count

    def call(self, y_true: Any, y_pred: Any) -> KerasTensor:
        """Returns the weighted terms: of each pixel, `(b, h, w)`, or of each image, `(b,)`."""
        return self._terms(y_true, y_pred)

    def _terms(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> KerasTensor:
        raise NotImplementedError

    def _counted(self, y_true: Any, y_pred: Any) -> KerasTensor:
        """Returns which of the terms count, booleans."""
        return is_class(label_values(y_true, y_pred), y_pred.shape[-1])

    def _classes(self, y_true: Any, y_pred: Any) -> tuple[KerasTensor, KerasTensor]:
        """Returns the class of each pixel, and which pixels have one; others get class 0."""
        num_classes = y_pred.shape[-1]
        check_ignore_class(self.ignore_class, num_classes)
        labels = label_values(y_true, y_pred)
        counted = is_class(labels, num_classes)
        return ops.cast(ops.where(counted, labels, 0.0), "int32"), counted

    def _factors(self, num_classes: int) -> KerasTensor | None:
        """Returns the weight of each class, `(num_classes,)`."""
        if self.class_weights is None:
            return None
        if len(self.class_weights) != num_classes:
            raise ValueError(
                f"`class_weights` must contain one factor for each of the {num_classes} "
                f"classes of the logits. Received: {len(self.class_weights)} factors."
            )
        return ops.convert_to_tensor(self.class_weights, dtype=self.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ignore_class": self.ignore_class,
            "reduction": self.reduction,
            "class_weights": self.class_weights,
        }


@keras.saving.register_keras_serializable(package="keras_fcn")
class PixelwiseCrossentropy(SegmentationLoss):
    """Softmax cross-entropy of every pixel's logits with its label.

    Pixels labeled `ignore_class` add nothing to the loss, whatever their logits (infinite ones
    and NaN too), and are not counted in the mean. A batch without a counted pixel has the loss 0
    and gradients of 0. Under `tf.distribute.MirroredStrategy` the mean is over the pixels of all
    replicas, which may have different numbers of valid pixels: the value and the gradients are
    those of one device with the whole batch.

    Weights (of classes and of samples) scale a pixel's loss and do not change the divisor, as in
    the losses of Keras: doubled weights double the loss. (The weighted mean of PyTorch divides by
    the sum of the weights instead.) So a pixel of weight 0 still counts in the mean; label it
    `ignore_class` to leave it out.

    Labels outside the classes other than `ignore_class` are errors in the data. A loss cannot
    stop a compiled training step, so it leaves them out; compile with
    `keras_fcn.metrics.SegmentationMetrics`, which counts them and raises an error.

    Args:
        ignore_class: Label of the pixels to leave out, such as 255 at the outlines of objects in
            VOC. `None` if there is none.
        reduction: What the sum over the pixels is divided by: `"mean"`, the
            number of valid pixels (those labeled with a class); `"per_image"`,
            the number of images, as the reference FCN trains (Caffe's
            BATCH_SIZE; its learning rates fit only this choice); `"sum"`,
            nothing. These replace the reductions of other Keras losses:
            `"sum_over_batch_size"`, which would count ignored pixels, and
            `None` do not exist here.
        class_weights: One factor per class, at least 0, or `None` for 1 everywhere.
            Use this and not `fit(class_weight=...)`, which Keras cannot
            apply to label maps.
        name: Name of the loss.

    Call arguments:
        y_true: Labels, any integer or float dtype, shape
            `(batch, height, width)` or `(batch, height, width, 1)`.
        y_pred: Logits, any float dtype, shape
            `(batch, height, width, num_classes)`. Converted to float32.
        sample_weight: Optional factors, shape `(batch,)` for whole images, or
            `(batch, height, width)` or `(batch, height, width, 1)` for pixels.

    Returns:
        The loss, a float32 scalar. `fit` and `evaluate` of a Keras model average it over the
        batches, which for `"mean"` is not the mean over the pixels of all batches unless they
        have equally many valid ones.

    Raises:
        ValueError: If an argument or a shape is not as above, or `ignore_class`
            is one of the classes.

    Example:
        >>> loss = PixelwiseCrossentropy(ignore_class=255)
        >>> labels = [[[0, 1, 255]]]
        >>> logits = keras.ops.zeros((1, 1, 3, 4))
        >>> round(float(loss(labels, logits)), 4)  # log(4), the mean of two pixels
        1.3863

    Reference:
        Long, Shelhamer and Darrell, "Fully Convolutional Networks for
        Semantic Segmentation", CVPR 2015, section 4.
    """

    def __init__(
        self,
        ignore_class: int | None = 255,
        reduction: str = "mean",
        class_weights: Sequence[float] | None = None,
        name: str = "pixelwise_crossentropy",
    ) -> None:
        super().__init__(ignore_class, reduction, class_weights, name)

    def _terms(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> KerasTensor:
        classes, counted = self._classes(y_true, y_pred)
        weights = ops.cast(counted, self.dtype)
        factors = self._factors(y_pred.shape[-1])
        if factors is not None:
            weights = weights * ops.take(factors, classes)
        if sample_weight is not None:
            pixel_weights = _weights_of_pixels(sample_weight, tuple(weights.shape))
            weights = ops.where(counted, weights * pixel_weights, 0.0)
        # Before the multiplication: 0 times the loss of an infinite logit would be NaN.
        logits = ops.where(ops.not_equal(weights, 0.0)[..., None], y_pred, 0.0)
        return weights * self._of_pixels(classes, logits)

    def _of_pixels(self, classes: KerasTensor, logits: KerasTensor) -> KerasTensor:
        return _crossentropy(classes, logits)


@keras.saving.register_keras_serializable(package="keras_fcn")
class Focal(PixelwiseCrossentropy):
    """Cross-entropy of every pixel, times `(1 - p) ** gamma`, for p the label's probability.

    Pixels that are right already count little, so that the many easy ones do not outweigh the
    few hard ones. Everything else is as in `PixelwiseCrossentropy`: ignored pixels, reductions,
    weights, several replicas. With `gamma=0` it is `PixelwiseCrossentropy`.

    Args:
        gamma: At least 0; 2 in the paper.
        ignore_class: As for `PixelwiseCrossentropy`.
        reduction: As for `PixelwiseCrossentropy`; `"mean"` divides by the number of valid
            pixels, not by the sum of the factors.
        class_weights: As for `PixelwiseCrossentropy`: the paper's alpha, for each class.
        name: Name of the loss.

    Call arguments:
        y_true: As for `PixelwiseCrossentropy`.
        y_pred: As for `PixelwiseCrossentropy`.
        sample_weight: As for `PixelwiseCrossentropy`.

    Raises:
        ValueError: As for `PixelwiseCrossentropy`, or if `gamma` is negative or not finite.

    Example:
        >>> loss = Focal(gamma=2.0)
        >>> logits = keras.ops.zeros((1, 1, 3, 4))
        >>> round(float(loss([[[0, 1, 255]]], logits)), 4)  # 0.75 ** 2 * log(4)
        0.7798

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, section 3.2.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        ignore_class: int | None = 255,
        reduction: str = "mean",
        class_weights: Sequence[float] | None = None,
        name: str = "focal",
    ) -> None:
        super().__init__(ignore_class, reduction, class_weights, name)
        if not 0 <= gamma < math.inf:
            raise ValueError(f"`gamma` must be at least 0 and finite. Received: gamma={gamma}.")
        self.gamma = float(gamma)

    def _of_pixels(self, classes: KerasTensor, logits: KerasTensor) -> KerasTensor:
        crossentropy = _crossentropy(classes, logits)
        # The bound keeps the gradient finite at p = 1, where a gamma below 1 has none.
        missing = ops.maximum(-ops.expm1(-crossentropy), 1e-12)
        return ops.power(missing, self.gamma) * crossentropy

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}


@keras.saving.register_keras_serializable(package="keras_fcn")
class Dice(SegmentationLoss):
    """1 minus the Dice coefficient of each class, averaged over the classes in each image.

    For a class c, with the softmax p of the logits and y = 1 where the label is c, the
    coefficient is `2 * sum(p * y) / (sum(p) + sum(y))`. The sums are over the valid pixels of
    *one image*, and the mean is over the classes that its labels contain, so small classes count
    as much as large ones. Classes that the labels of an image lack have no term: where they are
    predicted, the probabilities of the others are too low. The loss of a batch is the mean over
    its images that have a valid pixel.

    Sums over a whole batch would make the loss of an image depend on the images beside it, and
    that of a replica on the images of the others. As it is, the value and the gradients on
    several replicas are those of one device.

    Ignored pixels and labels outside the classes are treated as in `PixelwiseCrossentropy`.

    Args:
        ignore_class: As for `PixelwiseCrossentropy`.
        reduction: What the sum over the images is divided by: `"mean"`, the number of images with
            a valid pixel; `"per_image"`, the number of images; `"sum"`, nothing.
        class_weights: One factor per class, at least 0, of the class's term, or `None` for 1
            everywhere. They do not change the divisor, the number of classes in the image.
        name: Name of the loss.

    Call arguments:
        y_true: As for `PixelwiseCrossentropy`.
        y_pred: As for `PixelwiseCrossentropy`.
        sample_weight: Optional, at least 0. Of shape `(batch,)`: factors of the terms of the
            images. Of shape `(batch, height, width)` or `(batch, height, width, 1)`: factors of
            the pixels in all sums. A class whose pixels all have the weight 0 counts as absent.

    Returns:
        The loss, a float32 scalar.

    Raises:
        ValueError: As for `PixelwiseCrossentropy`.

    Example:
        >>> logits = keras.ops.zeros((1, 1, 2, 2))  # every probability is 1/2
        >>> float(Dice()([[[0, 0]]], logits))  # 1 - 2 * (1/2 + 1/2) / (1 + 2)
        0.3333333...

    Reference:
        Milletari et al., "V-Net", 3DV 2016, section 3.
    """

    def __init__(
        self,
        ignore_class: int | None = 255,
        reduction: str = "mean",
        class_weights: Sequence[float] | None = None,
        name: str = "dice",
    ) -> None:
        super().__init__(ignore_class, reduction, class_weights, name)

    def _terms(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> KerasTensor:
        classes, counted = self._classes(y_true, y_pred)
        weights = ops.cast(counted, self.dtype)
        image_weights = None
        if sample_weight is not None:
            factors = _weights_of_pixels(sample_weight, tuple(weights.shape))
            if len(ops.convert_to_tensor(sample_weight).shape) == 1:
                image_weights = ops.reshape(factors, (-1,))
            else:
                weights = ops.where(counted, weights * factors, 0.0)
        terms, has_term = self._terms_of(*self._class_sums(classes, weights, y_pred))
        if image_weights is None:
            return terms
        # Where there is no term, a weight may be anything.
        return ops.where(has_term, terms * image_weights, 0.0)

    def sums(self, y_true: Any, y_pred: Any) -> tuple[KerasTensor, ...]:
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        classes, counted = self._classes(y_true, y_pred)
        weights = ops.cast(counted, self.dtype)
        return *self._class_sums(classes, weights, y_pred), ops.sum(weights, (1, 2))

    def total_and_count_of(self, sums: Sequence[KerasTensor]) -> tuple[KerasTensor, KerasTensor]:
        *class_sums, num_counted = sums
        terms, _ = self._terms_of(*class_sums)
        return ops.sum(terms), ops.sum(ops.cast(num_counted > 0, self.dtype))

    def _class_sums(
        self, classes: KerasTensor, weights: KerasTensor, logits: KerasTensor
    ) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """Returns `sum(p * y)`, `sum(y)` and `sum(p)`, shape `(b, num_classes)`."""
        has_weight = ops.not_equal(weights, 0.0)[..., None]
        # Before the multiplication, as in the cross-entropy.
        probabilities = ops.softmax(ops.where(has_weight, logits, 0.0), axis=-1)
        of_class = ops.equal(classes[..., None], ops.arange(logits.shape[-1], dtype="int32"))
        weights = weights[..., None]
        truth = ops.where(of_class, weights, 0.0)
        pixels = (1, 2)
        hits = ops.sum(truth * probabilities, pixels)
        return hits, ops.sum(truth, pixels), ops.sum(weights * probabilities, pixels)

    def _terms_of(
        self, hits: KerasTensor, present: KerasTensor, predicted: KerasTensor
    ) -> tuple[KerasTensor, KerasTensor]:
        """Returns the term of each image, and whether it has one."""
        is_present = ops.cast(present > 0, self.dtype)
        both = ops.where(present > 0, predicted + present, 1.0)
        losses = is_present * (1.0 - 2.0 * hits / both)
        num_present = ops.sum(is_present, axis=-1)
        factors = self._factors(present.shape[-1])
        if factors is not None:
            losses = losses * factors
        return ops.sum(losses, axis=-1) / ops.maximum(num_present, 1.0), num_present > 0

    def _counted(self, y_true: Any, y_pred: Any) -> KerasTensor:
        return ops.any(super()._counted(y_true, y_pred), axis=(1, 2))


@keras.saving.register_keras_serializable(package="keras_fcn")
class SumOfLosses(keras.losses.Loss):
    """The sum of several losses of the same logits, such as cross-entropy and Dice.

    Each divides its own terms, so that the sum is exact over several replicas if they are.

    Args:
        losses: The losses, at least one.
        name: Name of the loss.

    Example:
        >>> loss = SumOfLosses([PixelwiseCrossentropy(), Dice()])
        >>> round(float(loss([[[0, 0]]], keras.ops.zeros((1, 1, 2, 2)))), 4)  # log(2) + 1/3
        1.0265
    """

    def __init__(self, losses: Sequence[SegmentationLoss], name: str = "sum_of_losses") -> None:
        super().__init__(name=name, reduction="sum", dtype="float32")
        if not losses:
            raise ValueError("`losses` must contain at least one loss. Received: [].")
        self.losses = list(losses)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> KerasTensor:
        with keras.name_scope(self.name):
            values = [loss(y_true, y_pred, sample_weight) for loss in self.losses]
            return sum(values[1:], values[0])

    def get_config(self) -> dict[str, Any]:
        losses = [keras.losses.serialize(loss) for loss in self.losses]
        return {"name": self.name, "losses": losses}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SumOfLosses":
        losses = [keras.losses.deserialize(loss) for loss in config["losses"]]
        return cls(losses, config["name"])


# The losses by the name that `create` takes.
LOSSES: dict[str, type[SegmentationLoss]] = {
    "crossentropy": PixelwiseCrossentropy,
    "focal": Focal,
    "dice": Dice,
}


def check_name(name: str) -> None:
    """Raises ValueError unless `create` takes this name."""
    parts = name.split("+")
    if not all(part in LOSSES for part in parts) or len(set(parts)) < len(parts):
        raise ValueError(
            f"`loss` must be {', '.join(LOSSES)}, or several of them joined by '+', such as "
            f"crossentropy+dice. Received: loss={name!r}."
        )


def create(name: str, **arguments: Any) -> SegmentationLoss | SumOfLosses:
    """Returns a loss by its name, or the sum of several.

    Args:
        name: `"crossentropy"`, `"focal"`, `"dice"`, or several joined by `+`.
        **arguments: `ignore_class`, `reduction` and `class_weights`, for each of them.

    Raises:
        ValueError: If there is no such loss.

    Example:
        >>> [part.name for part in parts_of(create("crossentropy+dice", ignore_class=0))]
        ['pixelwise_crossentropy', 'dice']
    """
    check_name(name)
    losses = [LOSSES[part](**arguments) for part in name.split("+")]
    return losses[0] if len(losses) == 1 else SumOfLosses(losses)


def parts_of(loss: SegmentationLoss | SumOfLosses) -> tuple[SegmentationLoss, ...]:
    """Returns the losses that are added up: those of a sum, else the loss itself."""
    return tuple(loss.losses) if isinstance(loss, SumOfLosses) else (loss,)


def _crossentropy(classes: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Returns `-log softmax(logits)[class]` for each pixel.

    Plain operations, because on a CPU they take less than half the time of
    TensorFlow's fused operation, which prints the whole batch if a label is out of range.
    """
    shifted = logits - ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    of_class = ops.equal(classes[..., None], ops.arange(logits.shape[-1], dtype="int32"))
    log_total = ops.log(ops.sum(ops.exp(shifted), axis=-1))
    # Not a product: a class that a network excludes may have the logit -inf.
    return log_total - ops.sum(ops.where(of_class, shifted, 0.0), axis=-1)


def _weights_of_pixels(sample_weight: Any, shape: tuple[int | None, ...]) -> KerasTensor:
    """Returns the weights in a shape that multiplies losses of `(batch, height, width)`."""
    weights = ops.convert_to_tensor(sample_weight, dtype="float32")
    received = tuple(weights.shape)
    if len(received) == 4 and received[-1] == 1:
        weights = ops.squeeze(weights, axis=-1)
    elif len(received) == 1:
        weights = ops.reshape(weights, (-1, 1, 1))
    if len(weights.shape) != 3 or any(
        a not in (None, 1, b) for a, b in zip(weights.shape, shape, strict=True) if b is not None
    ):
        raise ValueError(
            "`sample_weight` must have the shape (batch,) for images or (batch, height, width) "
            f"for pixels, with the sizes of the labels, {shape}. Received: shape {received}."
        )
    return weights


def _divide_over_replicas(total: KerasTensor, divisor: KerasTensor | None) -> KerasTensor:
    """Returns the sum of `total` over all replicas divided by that of `divisor`.

    Keras' TensorFlow trainer adds up the replicas' gradients, and logs a loss
    multiplied by their number. So the gradient is that of this replica's share
    of the global loss, and the value is the global loss divided by the number of replicas.
    """
    context = _replica_context()
    if context is None:
        return total if divisor is None else total / ops.maximum(divisor, 1.0)
    import tensorflow as tf

    local_sums = tf.stop_gradient(tf.stack([total, total if divisor is None else divisor]))
    sums = context.all_reduce(tf.distribute.ReduceOp.SUM, local_sums)
    divisor = tf.ones(()) if divisor is None else tf.maximum(sums[1], 1.0)
    share = total / divisor
    value = sums[0] / divisor / context.num_replicas_in_sync
    return share + tf.stop_gradient(value - share)


def _replica_context() -> Any:
    """Returns TensorFlow's replica context where several replicas compute, else None."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context


def _checked_weights(class_weights: Sequence[float] | None) -> list[float] | None:
    if class_weights is None:
        return None
    if isinstance(class_weights, dict):
        raise ValueError(
            "`class_weights` must be a sequence with one factor per class, not a dictionary. "
            f"Received: class_weights={class_weights}."
        )
    weights = [float(weight) for weight in class_weights]
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise ValueError(
            "`class_weights` must be finite, at least 0, and not all 0. "
            f"Received: class_weights={weights}."
        )
    return weights
