"""Backbones that are Keras models with taps: those of keras.applications, and the user's own."""

import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import keras
from keras import KerasTensor

from keras_fcn.backbones.backbone import Backbone, Features
from keras_fcn.backbones.blocks import classifier_block
from keras_fcn.files import first_line
from keras_fcn.layers.normalization import NormalizationMode

STRIDES = {"P2": 4, "P3": 8, "P4": 16, "P5": 32}
# The first of four, or of three the missing one, is at stride 4.
Taps = tuple[str | None, ...]
Constructor = Callable[..., keras.Model]


@dataclass(frozen=True, kw_only=True)
class ModelBackbone(Backbone):
    """A backbone that is a Keras model, of which some layers are tapped.

    Args:
        taps: Names of the layers whose outputs are the features at strides 4, 8, 16 and 32, or
            at strides 8, 16 and 32, with which there is no FCN-4s; `None` is the output of the
            model.
        **kwargs: As for every `Backbone`.
    """

    taps: Taps = (None, None, None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.taps) not in (3, 4):
            raise ValueError(
                "`taps` must name the layers of the backbone at strides 8, 16 and 32, such as "
                'taps=("block3", "block4", "block5"), or at strides 4, 8, 16 and 32. '
                f"Received: taps={self.taps}."
            )
        object.__setattr__(self, "taps", tuple(self.taps))  # a list, from JSON

    def __call__(self, images: KerasTensor, suffix: str = "") -> Features:
        features = self.tapped_model(images.shape[-1], suffix=suffix)(images)
        coarse = classifier_block(features["P5"], self.fc_filters, self.dropout, suffix)
        return {**features, "P5": coarse}

    def network(self, num_channels: int, weights: str | None = None) -> keras.Model:
        """Returns the model without taps, for images of any size.

        Args:
            num_channels: Number of channels of the images.
            weights: What to fill it with: `None`, `"imagenet"` or a file.
        """
        raise NotImplementedError

    def tapped_model(
        self, num_channels: int, weights: str | None = None, suffix: str = ""
    ) -> keras.Model:
        """Returns the model with the outputs `"P3"`, `"P4"` and `"P5"`, and `"P2"` if tapped.

        Args:
            num_channels: Number of channels of the images.
            weights: What to fill it with: `None`, `"imagenet"` or a file.
            suffix: Appended to the name of the model.

        Raises:
            ValueError: If a tap does not exist, or has another stride.
        """
        model = self.network(num_channels, weights)
        outputs = {
            level: model.output if tap is None else _layer_output(model, tap)
            for level, tap in zip(_levels(self.taps), self.taps, strict=True)
        }
        features = keras.Model(model.input, outputs, name=model.name + suffix)
        _check_strides(features, self.taps)
        return features


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True)
class TappedModel(ModelBackbone):
    """A functional Keras model of yours as backbone.

    Args:
        model: The model, images in, any outputs. Its layers become part of the network, so it
            fits into one network, and not into late fusion.
        taps: Names of its layers at strides 8, 16 and 32, or 4, 8, 16 and 32; `None` for its
            output.
        normalization: `ImageNormalization` mode of the images; `"none"` by default.
        mean: For `normalization="caffe"` and for depth: the mean of each channel.
        fc_filters: Width of a 3x3 convolution before the coarsest score layer; 0 for none.
        dropout: Dropout before the coarsest score layer.

    Raises:
        ValueError: If `taps` are not three or four, `weights` is given, or the model takes images
            of another size than the network gives it.

    Example:
        >>> import keras_fcn
        >>> images = keras.Input((None, None, 3))
        >>> x = s8 = keras.layers.Conv2D(8, 8, strides=8, padding="same", name="s8")(images)
        >>> x = keras.layers.Conv2D(16, 3, strides=2, padding="same", name="s16")(x)
        >>> x = keras.layers.Conv2D(32, 3, strides=2, padding="same", name="s32")(x)
        >>> backbone = TappedModel(keras.Model(images, x), taps=("s8", "s16", "s32"))
        >>> keras_fcn.FCN8s(3, backbone=backbone).output_shape
        (None, None, None, 3)
    """

    model: keras.Model
    _: KW_ONLY
    taps: Taps = ()  # refused: there is no default

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights is not None:
            raise ValueError(
                f"`weights` is for backbones by name. Load the weights of {self.name!r} yourself "
                f"before you pass it. Received: {self.weights!r}."
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the model."""
        return self.model.name

    def __call__(self, images: KerasTensor, suffix: str = "") -> Features:
        _check_takes(self.model, images)
        return super().__call__(images, suffix)

    def network(self, num_channels: int, weights: str | None = None) -> keras.Model:
        return self.model

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "model": keras.saving.serialize_keras_object(self.model)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        model = config["model"]
        if isinstance(model, dict):
            model = keras.saving.deserialize_keras_object(model)
        return cls(**{**config, "model": model})


@dataclass(frozen=True, kw_only=True)
class Application(ModelBackbone):
    """A network of `keras.applications` without its classifier, or one that is built alike.

    Its arguments are those of every `ModelBackbone`: `weights`, `normalization`, `mean`,
    `fc_filters`, `dropout` and `taps`.
    """

    constructor: ClassVar[Constructor]
    # Further arguments of the constructor.
    options: ClassVar[dict[str, Any]] = {}

    def network(self, num_channels: int, weights: str | None = None) -> keras.Model:
        options = {**self.options, **self._width()}
        if weights not in (None, "imagenet") and not Path(weights).is_file():
            raise ValueError(
                '`weights` of the backbone must be None, "imagenet" or an existing file. '
                f"Received: {weights}."
            )
        constructor = type(self).constructor
        try:
            with warnings.catch_warnings():
                # The MobileNets remark that they take their weights for 224x224 for any size.
                warnings.filterwarnings("ignore", ".*`input_shape` is undefined or non-square")
                warnings.filterwarnings("ignore", ".*usually expects 1 or 3 input channels")
                return constructor(
                    include_top=False,
                    weights=weights,
                    input_shape=(None, None, num_channels),
                    **options,
                )
        except (ValueError, OSError, KeyError) as error:
            if weights in (None, "imagenet"):
                raise
            raise ValueError(
                f"{weights} does not contain the weights of {constructor.__name__} without its top"
                f"{''.join(f' at {name}={value}' for name, value in self._width().items())}. "
                f"Keras says: {first_line(error)}"
            ) from error

    def _width(self) -> dict[str, float]:
        """Returns the width multiplier, as an argument of the constructor, if there is one."""
        return {}


@dataclass(frozen=True, kw_only=True)
class ScalableApplication(Application):
    """A network of any width.

    Args:
        alpha: Width multiplier. Published weights are for some values of it only.
        **kwargs: As for every `ModelBackbone`.
    """

    alpha: float = 1.0

    def _width(self) -> dict[str, float]:
        return {"alpha": self.alpha}


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class ResNet50(Application):
    """ResNet50 (He et al., CVPR 2016)."""

    taps: Taps = (
        "conv2_block3_out",
        "conv3_block4_out",
        "conv4_block6_out",
        "conv5_block3_out",
    )

    name: ClassVar[str] = "resnet50"
    trained_with: ClassVar[NormalizationMode] = "caffe"
    constructor: ClassVar[Constructor] = staticmethod(keras.applications.ResNet50)


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class MobileNet(ScalableApplication):
    """MobileNet (Howard et al., 2017); `alpha` is its width multiplier."""

    taps: Taps = ("conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu")

    name: ClassVar[str] = "mobilenet"
    trained_with: ClassVar[NormalizationMode] = "tf"
    constructor: ClassVar[Constructor] = staticmethod(keras.applications.MobileNet)


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class MobileNetV2(ScalableApplication):
    """MobileNetV2 (Sandler et al., CVPR 2018).

    Args:
        alpha: Width multiplier; weights were published for 0.35, 0.5, 0.75, 1.0, 1.3 and 1.4.
        **kwargs: As for every `ModelBackbone`: `weights`, `normalization`, `mean`, `fc_filters`,
            `dropout` and `taps`.

    Example:
        >>> import keras_fcn
        >>> keras_fcn.FCN8s(21, backbone=MobileNetV2(alpha=0.35, dropout=0.2)).name
        'fcn8s_mobilenet_v2'
    """

    taps: Taps = (
        "block_3_expand_relu",
        "block_6_expand_relu",
        "block_13_expand_relu",
        "out_relu",
    )

    name: ClassVar[str] = "mobilenet_v2"
    trained_with: ClassVar[NormalizationMode] = "tf"
    constructor: ClassVar[Constructor] = staticmethod(keras.applications.MobileNetV2)


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class MobileNetV3Small(ScalableApplication):
    """MobileNetV3, small (Howard et al., ICCV 2019); `alpha` is its width multiplier."""

    taps: Taps = (
        "expanded_conv_project_bn",
        "expanded_conv_2_add",
        "expanded_conv_7_add",
        None,
    )

    name: ClassVar[str] = "mobilenet_v3_small"
    trained_with: ClassVar[NormalizationMode] = "tf"
    constructor: ClassVar[Constructor] = staticmethod(keras.applications.MobileNetV3Small)
    options: ClassVar[dict[str, Any]] = {"include_preprocessing": False}


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class MobileNetV3Large(ScalableApplication):
    """MobileNetV3, large (Howard et al., ICCV 2019); `alpha` is its width multiplier."""

    taps: Taps = ("expanded_conv_2_add", "expanded_conv_5_add", "expanded_conv_11_add", None)

    name: ClassVar[str] = "mobilenet_v3_large"
    trained_with: ClassVar[NormalizationMode] = "tf"
    constructor: ClassVar[Constructor] = staticmethod(keras.applications.MobileNetV3Large)
    options: ClassVar[dict[str, Any]] = {"include_preprocessing": False}


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class EfficientNetV2B0(Application):
    """EfficientNetV2-B0 (Tan and Le, ICML 2021)."""

    taps: Taps = (
        "block2b_add",
        "block4a_expand_activation",
        "block6a_expand_activation",
        "top_activation",
    )

    name: ClassVar[str] = "efficientnet_v2_b0"
    trained_with: ClassVar[NormalizationMode] = "torch"
    constructor: ClassVar[Constructor] = staticmethod(keras.applications.EfficientNetV2B0)
    options: ClassVar[dict[str, Any]] = {"include_preprocessing": False}


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class ConvNeXtTiny(Application):
    """ConvNeXt-Tiny (Liu et al., CVPR 2022)."""

    taps: Taps = (
        "convnext_tiny_stage_0_block_2_identity",
        "convnext_tiny_stage_1_block_2_identity",
        "convnext_tiny_stage_2_block_8_identity",
        None,
    )

    name: ClassVar[str] = "convnext_tiny"
    trained_with: ClassVar[NormalizationMode] = "torch"
    constructor: ClassVar[Constructor] = staticmethod(keras.applications.ConvNeXtTiny)
    options: ClassVar[dict[str, Any]] = {"include_preprocessing": False}


@keras.saving.register_keras_serializable(package="keras_fcn")
@dataclass(frozen=True, kw_only=True)
class DenseNet121(Application):
    """DenseNet121 (Huang et al., CVPR 2017)."""

    taps: Taps = ("pool2_relu", "pool3_relu", "pool4_relu", "relu")

    name: ClassVar[str] = "densenet121"
    trained_with: ClassVar[NormalizationMode] = "torch"
    constructor: ClassVar[Constructor] = staticmethod(keras.applications.DenseNet121)


def _levels(taps: Taps) -> list[str]:
    """Returns the names of the features of three or four taps."""
    return list(STRIDES)[-len(taps) :]


def _layer_output(model: keras.Model, name: str) -> KerasTensor:
    names = [layer.name for layer in model.layers]
    if name not in names:
        close = [n for n in names if any(part in n for part in name.split("_"))] or names
        raise ValueError(
            f"`taps` names the layer {name!r}, which {model.name!r} does not have. "
            f"Some that it has: {', '.join(close[-12:])}."
        )
    return model.get_layer(name).output


def _check_takes(model: keras.Model, images: KerasTensor) -> None:
    """Raises ValueError if a model is built for images of another size than these."""
    _, *wanted, channels = model.inputs[0].shape
    given = list(images.shape[1:3])
    if any(size not in (None, other) for size, other in zip(wanted, given, strict=True)):
        height, width = (size or "any" for size in wanted)
        raise ValueError(
            f"The model {model.name!r} of the backbone must take images of any size. It is built "
            f"for {height}x{width} only. Build it with the input shape (None, None, {channels}), "
            f"such as `keras.Input((None, None, {channels}))` or, in `keras.applications`, "
            f"`include_top=False, input_shape=(None, None, {channels})`; the weights fit: "
            "`larger.set_weights(model.get_weights())`. (Where it must have this size, give "
            f"`input_shape=({height}, {width}, {channels})` to the network, if both are multiples "
            "of 32.)"
        )


def _check_strides(features: keras.Model, taps: Taps) -> None:
    _, height, width, channels = features.inputs[0].shape
    size = (height or 64, width or 64)
    shapes = features.compute_output_shape((1, *size, channels))
    for level, tap in zip(_levels(taps), taps, strict=True):
        stride = STRIDES[level]
        expected = (size[0] // stride, size[1] // stride)
        if tuple(shapes[level][1:3]) != expected:
            raise ValueError(
                f"The tap {tap or 'output'!r} for {level} must have stride {stride}: a "
                f"{size[0]}x{size[1]} image should give {expected[0]}x{expected[1]} features, "
                'padded as with `padding="same"`. '
                f"Received: {shapes[level][1]}x{shapes[level][2]}."
            )
