"""Fully convolutional networks: FCN-32s, FCN-16s and FCN-8s on any backbone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
from keras import KerasTensor, layers

from keras_fcn.backbones import Taps, application, tapped
from keras_fcn.backbones.blocks import classifier_block, convolution_block
from keras_fcn.labels import Heads, Labels, LabelSpec
from keras_fcn.layers import PadToStride
from keras_fcn.layers.normalization import NormalizationMode
from keras_fcn.modalities import Fusion
from keras_fcn.models import arguments
from keras_fcn.models.arguments import InputShape, NumClasses
from keras_fcn.models.decoder import Head, Upsampling
from keras_fcn.models.inputs import normalize
from keras_fcn.weights.convert import load_weight_file
from keras_fcn.weights.files import READERS
from keras_fcn.weights.imagenet import load_classifier
from keras_fcn.weights.published import NETWORK_DATASETS, download, find_card
from keras_fcn.weights.transfer import load_model_weights

MAX_STRIDE = 32
# Of pool4 and pool3 (voc-fcn8s-atonce).
AT_ONCE_SCALES = (0.01, 0.0001)


@keras.saving.register_keras_serializable(package="keras_fcn")
class FCN(keras.Model):
    """A fully convolutional network for semantic segmentation.

    Images of any size go in, scores of the same size come out: the backbone's
    features at stride 32 are scored by a 1x1 convolution, upsampled
    bilinearly, and summed with the scores of the features at strides 16 and 8.
    Use it through `FCN32s`, `FCN16s` and `FCN8s`, which only set `stride`.

    Args:
        num_classes: Number of classes, background included, 2 to 255; or for
            several heads on one trunk a number for each, such as
            `{"semantic": 33, "geometric": 3}`.
        stride: Stride of the finest features that are scored: 32, 16 or 8.
        backbone: A name from `keras_fcn.backbones.backbone_names()`, or a
            functional `keras.Model` of yours, together with `taps`.
        backbone_weights: `None` for random weights, `"imagenet"` for those that
            their authors published, or a file of them. For the networks of the
            paper they include the fully connected layers.
        weights: Weights of the whole network: `None`; a file of one like it,
            Keras', Caffe's or PyTorch's; or those that the reference published
            for `"voc"`, `"pascalcontext"`, `"nyud"` or `"siftflow"`, which are
            downloaded. `"imagenet"` is short for `backbone_weights="imagenet"`.
        input_shape: `(height, width, channels)`; `None` where the size may vary,
            which is the default.
        modalities: Kinds of the images, of `"rgb"`, `"hha"` and `"depth"`, one
            after the other along the channels; see `keras_fcn.modalities`. Empty
            for RGB or any other single kind.
        fusion: For several modalities: `"early"`, one backbone sees them all, or
            `"late"`, each has its own, and their scores are averaged.
        geometry: `"same"`: the image is padded to a multiple of 32, convolutions
            keep its size. `"reference"`, for the networks of the paper: exactly
            the reference implementation's, whose wide border costs time (twice
            the pixels at 500x500). The weights are the same.
        border: For `"reference"`: pixels of zeros around the image; 100 by default.
        skip_scales: Factors on pool4 and pool3 before they are scored; see
            `FCN8sAtOnce`.
        taps: For a `keras.Model` as backbone: the names of its layers at
            strides 8, 16 and 32, `None` for its output.
        normalization: `ImageNormalization` mode; by default the one that the
            backbone was trained with, `"none"` for a model of yours and for
            images that are neither RGB nor of known modalities.
        mean: For `normalization="caffe"` and depth: the mean of each channel,
            blue, green, red for colors. By default that of ImageNet, of
            NYUDv2 with `modalities`, or that of published `weights`.
        alpha: Width multiplier of the MobileNets, VGG, AlexNet and GoogLeNet.
        fc_filters: Width of the convolutions before the coarsest score: fc6
            and fc7 of VGG and AlexNet (4096 by default), one 3x3 convolution
            elsewhere (256 by default, 0 for none and for GoogLeNet).
        skip_filters: Width of a 3x3 convolution before the score of each skip.
            0, the default, is the paper's network: it scores the features themselves.
        dropout: Dropout before the coarsest score; by default 0.5 for VGG and
            AlexNet, 0.4 for GoogLeNet, else 0.1.
        upsampling: Which transposed convolutions are trained: none of them,
            `"fixed"`, as in the reference implementation; all but the last,
            `"inner"`, as in the paper; or all, `"learned"`.
        upsampling_kernel: Size of their kernels for a factor f: `"2f"`, or `"2f-1"`,
            the default for AlexNet and GoogLeNet.
        labels: Names, colors and ignored label of the classes, kept in the
            file; with several heads a dictionary of them.
        origin: What is known about where the weights come from, kept in the file.
        dtype: Dtype policy of the layers, such as `"mixed_bfloat16"`; by default
            the global one. Scores are float32 under every policy.
        name: Name of the model.

    Call arguments:
        inputs: Images, red, green, blue in 0..255, any dtype, shape `(batch,
            height, width, 3)`, of any height and width from 1 up. With a border
            below 100, VGG16 needs `195 - 2 * border` pixels at least.

    Returns:
        Scores (logits), float32, shape `(batch, height, width, num_classes)`; a
        dictionary of them if there are several heads.

    Raises:
        ValueError: If an argument is out of range; the text says what to do.

    Example:
        >>> model = FCN(3, stride=8, backbone="mobilenet_v2", alpha=0.35)
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
        backbone: str | keras.Model = "vgg16",
        backbone_weights: str | None = None,
        weights: str | None = None,
        input_shape: InputShape | None = None,
        modalities: Sequence[str] = (),
        fusion: Fusion = "early",
        geometry: str = "same",
        border: int | None = None,
        skip_scales: tuple[float, float] = (1.0, 1.0),
        taps: Taps | None = None,
        normalization: NormalizationMode | None = None,
        mean: Sequence[float] | None = None,
        alpha: float | None = None,
        fc_filters: int | None = None,
        skip_filters: int = 0,
        dropout: float | None = None,
        upsampling: Upsampling = "fixed",
        upsampling_kernel: str | None = None,
        labels: Labels | None = None,
        origin: dict[str, Any] | None = None,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        if weights == "imagenet":
            weights, backbone_weights = None, backbone_weights or "imagenet"
        card = None
        if weights in NETWORK_DATASETS:
            card = find_card(
                weights,
                backbone=backbone if isinstance(backbone, str) else backbone.name,
                stride=stride,
                at_once=tuple(skip_scales) == AT_ONCE_SCALES,
                inputs=tuple(modalities) or ("rgb",),
            )
            mean = mean or card.mean
        spec_by_head = arguments.labels_by_head(num_classes, labels)
        entry = arguments.find_backbone(backbone, taps, alpha, geometry=geometry)
        upsampling_kernel = upsampling_kernel or entry.upsampling_kernel
        arguments.check_choices(stride, upsampling, upsampling_kernel, fusion, modalities, backbone)
        pixels = arguments.checked_border(geometry, border, entry)
        shape = arguments.checked_input_shape(input_shape, modalities)
        has_mode = bool(normalization or modalities or shape[-1] == 3)
        arguments.check_backbone_weights(
            backbone_weights, backbone, entry, alpha, has_mode=has_mode
        )
        normalization = normalization or (entry.normalization if has_mode else "none")
        fc_filters = arguments.default(fc_filters, entry.fc_filters, "fc_filters")
        skip_filters = arguments.default(skip_filters, 0, "skip_filters")
        dropout = arguments.default(dropout, entry.dropout, "dropout")
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        def pad(x: KerasTensor, suffix: str) -> KerasTensor:
            if geometry == "reference":
                return layers.ZeroPadding2D(pixels, name=f"pad{suffix}")(x)
            return PadToStride(MAX_STRIDE, name=f"pad{suffix}")(x)

        def extract(x: KerasTensor, suffix: str) -> dict[str, KerasTensor]:
            if entry.layout:
                return entry.layout(
                    x,
                    padding="valid" if geometry == "reference" else "same",
                    alpha=alpha or 1.0,
                    fc_filters=fc_filters,
                    dropout=dropout,
                    suffix=suffix,
                )
            model = backbone
            if entry.constructor:
                model = application(
                    entry.constructor, alpha, backbone_weights, x.shape[-1], **entry.options
                )
            features = tapped(model, entry.taps, suffix)(x)
            coarse = classifier_block(features["P5"], fc_filters, dropout, suffix)
            return {**features, "P5": coarse}

        with _dtype_policy(policy):
            images = keras.Input(shape=shape, name="images")
            streams = {}
            for suffix, x in normalize(images, modalities, fusion, normalization, mean).items():
                features = extract(pad(x, suffix), suffix)
                streams[suffix] = _prepare_skips(features, skip_scales, skip_filters, suffix)
            scores = {
                head: Head(
                    spec.num_classes,
                    stride,
                    upsampling,
                    kernel_margin=1 if upsampling_kernel == "2f-1" else 0,
                    exact=geometry == "reference" or not entry.centerd,
                    suffix=f"_{head}" if head else "",
                )(streams, images)
                for head, spec in spec_by_head.items()
            }

        has_heads = isinstance(num_classes, Mapping)
        backbone_name = backbone if isinstance(backbone, str) else backbone.name
        super().__init__(
            inputs=images,
            outputs=scores if has_heads else scores[""],
            name=name or f"fcn{stride}s_{backbone_name}",
        )

        # === Configuration ===
        self.num_classes = dict(num_classes) if isinstance(num_classes, Mapping) else num_classes
        self.stride = stride
        self.backbone = backbone
        self._labels: Labels = spec_by_head if has_heads else spec_by_head[""]
        self._origin = dict(origin or {})
        self._settings = {
            "num_classes": self.num_classes,
            "stride": stride,
            "input_shape": list(shape),
            "modalities": list(modalities),
            "fusion": fusion,
            "geometry": geometry,
            "border": pixels or None,
            "skip_scales": list(skip_scales),
            "taps": None if taps is None else list(taps),
            "normalization": normalization,
            "mean": None if mean is None else list(mean),
            "alpha": alpha,
            "fc_filters": fc_filters,
            "skip_filters": skip_filters,
            "dropout": dropout,
            "upsampling": upsampling,
            "upsampling_kernel": upsampling_kernel,
            "dtype": keras.dtype_policies.serialize(policy),
        }

        # === Weights ===
        if entry.layout and backbone_weights:
            load_classifier(self, backbone, entry.constructor, backbone_weights, list(streams))
        if card:
            load_weight_file(self, download(card))
        elif weights and Path(weights).suffix in READERS:
            load_weight_file(self, weights)
        elif weights:
            load_model_weights(self, weights)

    @property
    def labels(self) -> Labels:
        """Names, colors and ignored label of the classes."""
        return self._labels

    @property
    def heads(self) -> Heads:
        """The heads by name; of a network with a single head a mapping of one."""
        return Heads(self._labels)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Kinds of the images; none for RGB or any other single kind."""
        return tuple(self._settings["modalities"])

    @property
    def origin(self) -> dict[str, Any]:
        """Where the weights come from: recipe, dataset, scores. Saved with the model."""
        return dict(self._origin)

    @origin.setter
    def origin(self, origin: dict[str, Any]) -> None:
        self._origin = dict(origin)

    def get_config(self) -> dict[str, Any]:
        backbone = self.backbone
        if not isinstance(backbone, str):
            backbone = keras.saving.serialize_keras_object(backbone)
        return {
            **self._settings,
            "backbone": backbone,
            "labels": (
                self._labels.to_dict()
                if isinstance(self._labels, LabelSpec)
                else {head: spec.to_dict() for head, spec in self._labels.items()}
            ),
            "origin": self.origin,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "FCN":
        config = dict(config)
        config["labels"] = (
            {head: LabelSpec.from_dict(spec) for head, spec in config["labels"].items()}
            if isinstance(config["num_classes"], Mapping)
            else LabelSpec.from_dict(config["labels"])
        )
        config["taps"] = config["taps"] and tuple(config["taps"])
        for key in ("backbone", "dtype"):
            if isinstance(config[key], dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        return cls(**config)


def FCN32s(num_classes: NumClasses, **kwargs: Any) -> FCN:
    """Returns the network that scores features at stride 32 only; arguments as for `FCN`.

    Example:
        >>> FCN32s(21, backbone="mobilenet_v2", alpha=0.35).name
        'fcn32s_mobilenet_v2'
    """
    return FCN(num_classes, stride=32, **kwargs)


def FCN16s(num_classes: NumClasses, **kwargs: Any) -> FCN:
    """Returns the network that adds the scores at stride 16; arguments as for `FCN`.

    Example:
        >>> FCN16s(21, backbone="mobilenet_v2", alpha=0.35).name
        'fcn16s_mobilenet_v2'
    """
    return FCN(num_classes, stride=16, **kwargs)


def FCN8s(num_classes: NumClasses, **kwargs: Any) -> FCN:
    """Returns the network that adds the scores at strides 16 and 8; arguments as for `FCN`.

    Example:
        >>> FCN8s(21, backbone="mobilenet_v2", alpha=0.35).name
        'fcn8s_mobilenet_v2'
    """
    return FCN(num_classes, stride=8, **kwargs)


def FCN8sAtOnce(num_classes: NumClasses, **kwargs: Any) -> FCN:
    """Returns an FCN-8s that is trained at once, not in stages; arguments as for `FCN`.

    Its pool4 and pool3 are scaled down before they are scored, so that their
    gradients do not outweigh those of the deeper, well-trained features.

    Example:
        >>> FCN8sAtOnce(21, alpha=0.25, fc_filters=8).get_layer("scale_pool4").scale
        0.01
    """
    return FCN(num_classes, stride=8, **{"skip_scales": AT_ONCE_SCALES, **kwargs})


VARIANTS: dict[str, Callable[..., FCN]] = {
    "fcn32s": FCN32s,
    "fcn16s": FCN16s,
    "fcn8s": FCN8s,
    "fcn8s_atonce": FCN8sAtOnce,
}


def _prepare_skips(
    features: Mapping[str, KerasTensor],
    scales: tuple[float, float],
    filters: int,
    suffix: str,
) -> dict[str, KerasTensor]:
    """Returns the features with what comes before the scores of pool4 and pool3."""
    prepared = dict(features)
    for level, pool, scale in zip(("P4", "P3"), ("pool4", "pool3"), scales, strict=True):
        x = features[level]
        if scale != 1.0:
            x = layers.Rescaling(scale, dtype="float32", name=f"scale_{pool}{suffix}")(x)
        prepared[level] = convolution_block(x, filters, f"skip_{pool}", suffix)
    return prepared


@contextmanager
def _dtype_policy(policy: Any) -> Iterator[None]:
    """Makes `policy` the global one, because keras.applications takes no dtype."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
