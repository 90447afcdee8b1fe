"""Fully convolutional networks: FCN-32s, FCN-16s, FCN-8s and FCN-4s on any backbone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import keras

from keras_fcn import backbones
from keras_fcn.backbones import Backbone
from keras_fcn.labels import Heads, Labels, LabelSpec, check_num_classes
from keras_fcn.modalities import Fusion
from keras_fcn.models.decoder import Head, Upsampling, prepare_skips
from keras_fcn.models.fit_data import check_class_weight, warn_of_batch, watched
from keras_fcn.models.inputs import (
    InputShape,
    check_fusion,
    complete_shape,
    normalize,
    pad,
    set_mean,
)

NumClasses = int | Mapping[str, int]
# Of pool4 and pool3 (voc-fcn8s-atonce).
AT_ONCE_SCALES = (0.01, 0.0001)


@keras.saving.register_keras_serializable(package="keras_fcn")
class FCN(keras.Model):
    """A fully convolutional network for semantic segmentation.

    It takes images of any size and returns logits of the same size: the
    backbone's features at stride 32 are scored by a 1x1 convolution, upsampled
    bilinearly, and summed with the scores of the features at strides 16 and 8,
    and 4 on request. Use it through `FCN32s`, `FCN16s`, `FCN8s` and `FCN4s`, which
    only set `stride`.

    Args:
        num_classes: Number of classes, background included, 2 to 255; or for
            several heads on one trunk a number per head, such as
            `{"semantic": 33, "geometric": 3}`.
        stride: Stride of the finest features that are scored: 32, 16, 8 or 4.
        backbone: A backbone with its settings, such as
            `keras_fcn.backbones.MobileNetV2(alpha=0.35, weights="imagenet")`; or a name from
            `keras_fcn.backbones.backbone_names()`, for that backbone with its defaults. For a
            `keras.Model` of yours: `keras_fcn.backbones.TappedModel`.
        weights: Weights of the whole network: `None`; a file of a network like it,
            Keras', Caffe's or PyTorch's; or those that the reference published
            for `"voc"`, `"pascalcontext"`, `"nyud"` or `"siftflow"`, which are
            downloaded. `"imagenet"` is short for a backbone with `weights="imagenet"`.
            See `keras_fcn.weights.load`.
        input_shape: `(height, width, channels)`; `None` where the size may vary,
            which is the default.
        modalities: Modalities of the images, of `"rgb"`, `"hha"` and `"depth"`, one
            after the other along the channels; see `keras_fcn.modalities`. Empty
            for RGB or any other single modality.
        fusion: For several modalities: `"early"`, one backbone takes them all, or
            `"late"`, each has its own, and their scores are averaged.
        skip_filters: Width of a 3x3 convolution before the score layer of each skip.
            0, the default, is the paper's network: it scores the features themselves.
        skip_scales: Factors on pool4 and pool3 before they are scored; see
            `FCN8sAtOnce`.
        upsampling: Which transposed convolutions are trained: none of them,
            `"fixed"`, as in the reference implementation; all but the last,
            `"inner"`, as in the paper; or all, `"learned"`.
        upsampling_kernel: Size of their kernels for a factor f: `"2f"`, or `"2f-1"`,
            the default for AlexNet and GoogLeNet.
        labels: Names, colors and ignored label of the classes, saved with the
            model; with several heads a dictionary of them.
        origin: What is known about where the weights come from, saved with the model.
        dtype: Dtype policy of the layers, such as `"mixed_bfloat16"`; by default
            the global one. Logits are float32 under every policy.
        name: Name of the model.

    Call arguments:
        inputs: Images, red, green, blue in 0..255, any dtype, shape `(batch,
            height, width, 3)`, of any height and width from 1 up. With a border
            below 100, VGG16 needs `195 - 2 * border` pixels at least.

    Returns:
        Logits, float32, shape `(batch, height, width, num_classes)`; a
        dictionary of them if there are several heads.

    Raises:
        ValueError: If an argument is out of range; the message states what to do.

    Example:
        >>> from keras_fcn.backbones import MobileNetV2
        >>> model = FCN(3, stride=8, backbone=MobileNetV2(alpha=0.35))
        >>> tuple(model(keras.ops.zeros((1, 50, 37, 3), "uint8")).shape)
        (1, 50, 37, 3)

    Reference:
        Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic
        Segmentation", CVPR 2015 and PAMI 2016.
    """

    def __init__(
        self,
        num_classes: NumClasses,
        *,
        stride: int = 8,
        backbone: Backbone | str = "vgg16",
        weights: str | Path | None = None,
        input_shape: InputShape | None = None,
        modalities: Sequence[str] = (),
        fusion: Fusion = "early",
        skip_filters: int = 0,
        skip_scales: tuple[float, float] = (1.0, 1.0),
        upsampling: Upsampling = "fixed",
        upsampling_kernel: str | None = None,
        labels: Labels | None = None,
        origin: dict[str, Any] | None = None,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        # === Arguments ===
        heads = _heads(num_classes, labels)
        backbone = backbone if isinstance(backbone, Backbone) else backbones.create(backbone)
        if weights == "imagenet":
            backbone = backbone.replace(weights=backbone.weights or "imagenet")
            weights = None
        check_fusion(fusion, modalities, backbone)
        shape = complete_shape(input_shape, modalities)
        if skip_filters < 0:
            raise ValueError(
                f"`skip_filters` must be in [0, inf). Received: skip_filters={skip_filters}."
            )
        upsampling_kernel = upsampling_kernel or backbone.upsampling_kernel
        decoders = {
            head: Head(
                spec.num_classes,
                stride,
                upsampling,
                upsampling_kernel,
                is_aligned=backbone.is_aligned,
                suffix=heads.suffix(head),
            )
            for head, spec in heads.items()
        }
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        # === Images -> features per stream -> logits per head ===
        # Files of whole networks replace every kernel, so none is drawn.
        build_features = backbone.with_zeros() if weights else backbone
        with _dtype_policy(policy):
            images = keras.Input(shape=shape, name="images")
            streams = {}
            for suffix, x in normalize(images, modalities, fusion, backbone).items():
                x = pad(x, backbone.border_width, suffix)
                features = build_features(x, suffix)
                _check_has_stride(features, stride, backbone)
                streams[suffix] = prepare_skips(features, skip_scales, skip_filters, suffix)
            logits = {head: decode(streams, images) for head, decode in decoders.items()}
        super().__init__(
            inputs=images,
            outputs=heads.unwrapped(logits),
            name=name or f"fcn{stride}s_{backbone.name}",
        )

        # === Configuration ===
        self.heads = heads
        self.stride = stride
        self.backbone = backbone
        self.modalities = tuple(modalities)
        self.fusion = fusion
        self.skip_filters = skip_filters
        self.skip_scales = tuple(skip_scales)
        self.upsampling = upsampling
        self.upsampling_kernel = upsampling_kernel
        self._policy = policy
        self.origin = origin or {}

        # === Weights ===
        if weights or backbone.weights:
            from keras_fcn.weights import load  # the only use of weights/ in models

            load(self, weights)

    @property
    def labels(self) -> Labels:
        """Names, colors and ignored label of the classes; with several heads a dictionary."""
        return self.heads.labels

    @property
    def num_classes(self) -> int | dict[str, int]:
        """Number of classes; with several heads a dictionary."""
        return self.heads.unwrapped({head: spec.num_classes for head, spec in self.heads.items()})

    @property
    def streams(self) -> tuple[str, ...]:
        """Suffixes of the names of each backbone's layers: `""` if there is a single one."""
        return self.modalities if self.fusion == "late" else ("",)

    @property
    def origin(self) -> dict[str, Any]:
        """Where the weights come from: recipe, dataset, metrics. Saved with the model."""
        return dict(self._origin)

    @origin.setter
    def origin(self, origin: dict[str, Any]) -> None:
        self._origin = dict(origin)

    def fit(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Trains the network, as `fit` of every Keras model, whose arguments these are.

        The first batch is looked at. There is a warning if its images are divided by 255 already,
        or if of two classes only one is left beside the ignored label.

        Raises:
            ValueError: If `class_weight` is given: that is an argument of the loss.
        """
        check_class_weight(kwargs)
        mode = self.backbone.normalization or self.backbone.trained_with
        is_rgb = self.inputs[0].shape[-1] == 3 and self.modalities in ((), ("rgb",))
        look = partial(warn_of_batch, heads=self.heads, expects_bytes=is_rgb and mode != "none")
        x, y = watched(x, y, batch_size, look)
        return super().fit(x, y, batch_size, *args, **kwargs)

    def set_mean(self, mean: Sequence[float]) -> None:
        """Changes the mean that is subtracted from the images.

        Args:
            mean: Mean of each channel, blue, green, red for RGB.
        """
        set_mean(self, self.modalities, mean)
        self.backbone = self.backbone.replace(mean=tuple(mean))
        # Compiled functions contain the old one.
        self.train_function = self.test_function = self.predict_function = None

    def get_config(self) -> dict[str, Any]:
        return {
            "num_classes": self.num_classes,
            "stride": self.stride,
            # The file contains the weights of all layers: nothing to load when it is opened.
            "backbone": keras.saving.serialize_keras_object(self.backbone.replace(weights=None)),
            "input_shape": list(self.inputs[0].shape[1:]),
            "modalities": list(self.modalities),
            "fusion": self.fusion,
            "skip_filters": self.skip_filters,
            "skip_scales": list(self.skip_scales),
            "upsampling": self.upsampling,
            "upsampling_kernel": self.upsampling_kernel,
            "labels": self.heads.to_dict(),
            "origin": self.origin,
            "dtype": keras.dtype_policies.serialize(self._policy),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "FCN":
        config = {**config, "labels": Heads.from_dict(config["labels"]).labels}
        for key in ("backbone", "dtype"):
            if isinstance(config[key], dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        return cls(**config)


def FCN32s(num_classes: NumClasses, **kwargs: Any) -> FCN:
    """Returns the network that scores features at stride 32 only; arguments as for `FCN`.

    Example:
        >>> FCN32s(21, backbone="mobilenet_v2").name
        'fcn32s_mobilenet_v2'
    """
    return FCN(num_classes, stride=32, **kwargs)


def FCN16s(num_classes: NumClasses, **kwargs: Any) -> FCN:
    """Returns the network that adds the scores at stride 16; arguments as for `FCN`.

    Example:
        >>> FCN16s(21, backbone="mobilenet_v2").name
        'fcn16s_mobilenet_v2'
    """
    return FCN(num_classes, stride=16, **kwargs)


def FCN8s(num_classes: NumClasses, **kwargs: Any) -> FCN:
    """Returns the network that adds the scores at strides 16 and 8; arguments as for `FCN`.

    Example:
        >>> FCN8s(21, backbone="mobilenet_v2").name
        'fcn8s_mobilenet_v2'
    """
    return FCN(num_classes, stride=8, **kwargs)


def FCN4s(num_classes: NumClasses, **kwargs: Any) -> FCN:
    """Returns the network that adds the scores at strides 16, 8 and 4; arguments as for `FCN`.

    It is not in the paper, which stops at FCN-8s: it found that finer layers add little. They do
    for regions of a few pixels, such as the poles and signs of CamVid. AlexNet and GoogLeNet have
    no features for it.

    Example:
        >>> FCN4s(21, backbone="mobilenet_v2").name
        'fcn4s_mobilenet_v2'
    """
    return FCN(num_classes, stride=4, **kwargs)


def FCN8sAtOnce(num_classes: NumClasses, **kwargs: Any) -> FCN:
    """Returns an FCN-8s that is trained at once, not in stages; arguments as for `FCN`.

    Its pool4 and pool3 are scaled down before they are scored, so that their
    gradients do not outweigh those of the deeper, well-trained features.

    Example:
        >>> from keras_fcn.backbones import VGG16
        >>> FCN8sAtOnce(21, backbone=VGG16(alpha=0.25)).get_layer("scale_pool4").scale
        0.01
    """
    return FCN(num_classes, stride=8, **{"skip_scales": AT_ONCE_SCALES, **kwargs})


VARIANTS: dict[str, Callable[..., FCN]] = {
    "fcn32s": FCN32s,
    "fcn16s": FCN16s,
    "fcn8s": FCN8s,
    "fcn8s_atonce": FCN8sAtOnce,
    "fcn4s": FCN4s,
}


def _check_has_stride(
    features: Mapping[str, keras.KerasTensor], stride: int, backbone: Backbone
) -> None:
    if stride == 4 and "P2" not in features:
        raise ValueError(
            f"`stride` must be 8, 16 or 32 for {backbone.name!r}, which returns no features at "
            "stride 4. Received: stride=4. (A TappedModel does if it has four `taps`.)"
        )


def _heads(num_classes: NumClasses, labels: Labels | None) -> Heads:
    """Returns the labels of each head, by default numbered ones."""
    if not isinstance(num_classes, Mapping):
        return Heads(_checked_labels(num_classes, labels, "`labels`"))
    if not num_classes or not all(str(name).isidentifier() for name in num_classes):
        raise ValueError(
            "The heads in `num_classes` must have names of letters, digits and _, such as "
            f'{{"semantic": 33, "geometric": 3}}. Received: num_classes={dict(num_classes)}.'
        )
    given = dict.fromkeys(num_classes) if labels is None else labels
    if not isinstance(given, Mapping) or set(given) != set(num_classes):
        raise ValueError(
            f"`labels` must be a dictionary with the heads {', '.join(num_classes)}. "
            f"Received: {', '.join(given) if isinstance(given, Mapping) else given}."
        )
    return Heads(
        {
            name: _checked_labels(number, given[name], f"`labels` of {name!r}")
            for name, number in num_classes.items()
        }
    )


def _checked_labels(num_classes: int, labels: Any, argument: str) -> LabelSpec:
    check_num_classes(num_classes)
    if labels is None:
        return LabelSpec.numbered(num_classes)
    if not isinstance(labels, LabelSpec):
        raise ValueError(f"{argument} must be a LabelSpec. Received: {labels!r}.")
    if labels.num_classes != num_classes:
        raise ValueError(
            f"{argument} must name {num_classes} classes (`num_classes`). "
            f"Received: {labels.num_classes} names."
        )
    return labels


@contextmanager
def _dtype_policy(policy: Any) -> Iterator[None]:
    """Makes `policy` the global one, because keras.applications takes no dtype."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
