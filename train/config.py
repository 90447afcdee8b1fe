"""The settings of a training."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def _setting(default: Any, description: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": description, "metavar": metavar})


@dataclass(frozen=True)
class Config:
    """The settings of a training; each is an option of `keras-fcn train`.

    Values are checked when it is made. Lists become tuples, so that a
    configuration read from JSON equals the one that was written.

    Raises:
        TypeError: If a value has another type than its setting.
        ValueError: If a value is out of range.

    Example:
        >>> config = Config(dataset="camvid", crop=(288, 288))
        >>> config.replace(epochs=5).epochs
        5
        >>> config.replace(learnig_rate=0.1)
        Traceback (most recent call last):
        ValueError: Unknown setting 'learnig_rate'. Did you mean 'learning_rate'?
    """

    # --- Data ---
    recipe: str | None = _setting(
        None, "Recipe that the other settings start from: a name, or a .py file.", "NAME"
    )
    dataset: str = _setting(
        "sample", "One of those that `keras-fcn datasets list` shows, or folder:PATH.", "NAME"
    )
    source: str | None = _setting(
        None, "Folder of the dataset's files as published; prepared when needed.", "PATH"
    )
    data_dir: str | None = _setting(
        None, "Where prepared datasets lie; ~/tensorflow_datasets by default.", "DIR"
    )
    train_split: str = _setting("train", "Split to train on.", "SPLIT")
    validation_split: str | None = _setting(
        "val", "Split that chooses best.keras; 'none' trains without.", "SPLIT"
    )
    limit: int | None = _setting(
        None, "Train on the first N examples only; with few, a network should overfit them.", "N"
    )
    validation_limit: int | None = _setting(
        None, "Validate on the first N examples of the split only.", "N"
    )

    # --- Network ---
    variant: Literal["fcn32s", "fcn16s", "fcn8s", "fcn8s_atonce"] = _setting(
        "fcn8s", "Stride of the finest features that are scored; at-once scales the skips down."
    )
    backbone: str = _setting("mobilenet_v2", "Feature extractor, such as vgg16.", "NAME")
    modalities: tuple[str, ...] | None = _setting(
        None,
        "Kinds of images, of color, hha and depth, that are seen together; RGB by default.",
        "LIST",
    )
    fusion: Literal["early", "late"] = _setting(
        "early", "Whether one backbone sees all modalities, or each has its own."
    )
    geometry: Literal["same", "reference"] = _setting(
        "same", "How sizes are kept: by padding, or for the paper's networks exactly as in Caffe."
    )
    mean: tuple[float, ...] | None = _setting(
        None,
        "Mean of each channel, blue, green, red for colors, where a Caffe-trained backbone "
        "or depth needs another than the default.",
        "LIST",
    )
    alpha: float | None = _setting(
        None, "Width multiplier of the MobileNets and the paper's networks.", "A"
    )
    backbone_weights: str | None = _setting(
        None, "Weights of the backbone: 'none', 'imagenet' (downloaded) or a file.", "FILE"
    )
    fc_filters: int | None = _setting(
        None, "Width before the coarsest score: 4096 for VGG, else 256, by default.", "N"
    )
    skip_filters: int = _setting(
        0, "Width of a 3x3 convolution before the score of each skip; 0 for none.", "N"
    )
    dropout: float | None = _setting(
        None, "Dropout before the coarsest score: 0.5 for VGG, else 0.1, by default.", "RATE"
    )
    upsampling: Literal["fixed", "inner", "learned"] = _setting(
        "fixed", "Which upsamplings are trained: none, all but the last, or all."
    )
    init: str | None = _setting(
        None,
        "Start from the weights of this .keras file: a coarser variant, or one of other classes.",
        "FILE",
    )
    init_streams: tuple[str, ...] | None = _setting(
        None,
        "Start the streams of a late fusion from these .keras files, one for each modality.",
        "FILES",
    )
    freeze_batchnorm: bool = _setting(
        False, "Keep the backbone's BatchNorm layers as they were pretrained."
    )
    batchnorm_momentum: float | None = _setting(
        0.99,
        "Momentum of BatchNorm's moving statistics; 'none' keeps the backbone's, often 0.999, "
        "which lags behind a short training.",
        "M",
    )

    # --- Batches ---
    epochs: int = _setting(50, "Passes over the training split.", "N")
    batch_size: int = _setting(8, "Images a step, over all devices together.", "N")
    crop: tuple[int, int] | None = _setting(
        None, "Height and width of the training crops; 'none' trains at native size.", "HxW"
    )
    augment: bool = _setting(True, "Scale, flip and recolor the training images.")
    scale: tuple[float, float] = _setting(
        (0.5, 2.0), "Range of the random scale; equal ends switch it off.", "LOW,HIGH"
    )
    aspect: tuple[float, float] = _setting(
        (1.0, 1.0), "Range of the random change of width over height.", "LOW,HIGH"
    )
    rotation: float = _setting(0.0, "Largest random rotation either way.", "DEGREES")
    flip: bool = _setting(True, "Flip half of the images left to right.")
    brightness: float = _setting(0.1, "Largest random change of brightness, in [0, 1].", "X")
    contrast: float = _setting(0.2, "Largest random change of contrast, in [0, 1].", "X")
    saturation: float = _setting(0.2, "Largest random change of saturation, in [0, 1].", "X")
    hue: float = _setting(0.0, "Largest random turn of the hue, in [0, 0.5].", "TURNS")
    grayscale: float = _setting(0.0, "Share of the images that lose their color.", "SHARE")
    autocontrast: float = _setting(0.0, "Share of the images that are autocontrasted.", "SHARE")
    equalize: float = _setting(0.0, "Share of the images that are equalized.", "SHARE")
    replacement: bool = _setting(
        False, "Draw images at random with replacement, as the reference, not once an epoch."
    )
    accumulate: int = _setting(1, "Steps whose gradients are averaged into one update.", "N")

    # --- Optimizer ---
    optimizer: Literal["adamw", "sgd"] = _setting(
        "adamw", "AdamW, or the paper's SGD with momentum (biases twice as fast, no decay)."
    )
    learning_rate: float = _setting(1e-3, "Learning rate after the warm-up.", "R")
    schedule: Literal["polynomial", "constant"] = _setting(
        "polynomial", "Whether the learning rate falls to zero, as (1 - progress) ** power."
    )
    power: float = _setting(0.9, "Power of the polynomial schedule.", "P")
    warmup: int = _setting(0, "Steps over which the learning rate rises from zero.", "STEPS")
    momentum: float = _setting(0.9, "Momentum of SGD; the first beta of AdamW.", "M")
    weight_decay: float = _setting(
        1e-4, "Weight decay of kernels: decoupled in AdamW, added to the gradient in SGD.", "D"
    )
    clip_norm: float | None = _setting(
        None, "Largest norm of all gradients together; larger ones are scaled down.", "NORM"
    )
    ema: float | None = _setting(
        None,
        "Decay of a moving average of the weights, such as 0.999, that is validated and saved.",
        "DECAY",
    )
    batchnorm_batches: int = _setting(
        0,
        "Training batches on which BatchNorm's statistics are measured before each validation, "
        "for --ema; 0 takes the moving ones.",
        "N",
    )

    # --- Loss ---
    normalization: Literal["valid", "batch", "sum"] = _setting(
        "valid", "Divide the summed loss by the valid pixels, the images, or nothing."
    )
    class_weights: Literal["none", "balanced"] = _setting(
        "none", "Weigh rare classes up, by their share of the training pixels."
    )
    class_weight_exponent: float = _setting(
        0.5, "Balanced weights are share ** -EXPONENT: 0 for none, 1 for all classes alike.", "E"
    )

    loss_share: float = _setting(
        1.0,
        "Share of the cells of the finest scores (32, 16 or 8 pixels wide) that count in the "
        "loss, drawn for each image: the paper's patch sampling.",
        "SHARE",
    )

    # --- Machine ---
    precision: Literal["float32", "mixed_bfloat16"] = _setting(
        "float32", "Precision of the layers; weights and scores stay float32."
    )
    jit_compile: bool = _setting(
        False, "Compile the step with XLA; once for each image size, so use it with crops."
    )
    deterministic: bool = _setting(
        False, "Take only kernels that always give the same bits, on GPUs too; slower."
    )
    devices: tuple[str, ...] | None = _setting(
        None, "Devices to train on, such as GPU:0,GPU:1; by default all GPUs.", "LIST"
    )
    seed: int = _setting(0, "Seed of weights, shuffling, augmentation and dropout.", "S")

    # --- Run ---
    workdir: str = _setting(
        "runs/default", "Folder of checkpoints, logs and the state to resume from.", "DIR"
    )
    resume: bool = _setting(False, "Go on with the training in the workdir.")
    save_every: int | None = _setting(
        None, "Save the state to resume from every N steps, not only after epochs.", "N"
    )
    validate_every: int = _setting(1, "Validate every N epochs, and after the last.", "N")
    smoke: bool = _setting(
        False, "Try the recipe in seconds: a few steps of tiny crops of the sample set."
    )

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name, value in self.to_dict().items():
            object.__setattr__(self, name, _checked(name, value, hints[name]))
        _check_ranges(self)

    def to_dict(self) -> dict[str, Any]:
        """Returns all settings by name."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}

    def to_json(self) -> str:
        """Returns the text of `config.json`, which `from_json` reads back."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Returns the configuration that `to_json` wrote."""
        return cls.from_settings(json.loads(text))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Config":
        """Returns a configuration with these settings and the defaults for all others.

        Raises:
            ValueError: If a setting is unknown; the text names those that are nearest.
        """
        check_names(settings)
        return cls(**settings)

    def replace(self, **settings: Any) -> "Config":
        """Returns a copy in which these settings have other values."""
        check_names(settings)
        return replace(self, **settings)


def setting_names() -> tuple[str, ...]:
    """Returns the names of all settings."""
    return tuple(setting.name for setting in fields(Config))


def check_names(settings: Iterable[str]) -> None:
    """Raises ValueError if a name is no setting, and says which settings are nearest."""
    known = setting_names()
    for name in settings:
        if name in known:
            continue
        nearest = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(repr(match) for match in nearest)}?" if nearest else ""
        raise ValueError(
            f"Unknown setting {name!r}.{hint or ' Expected one of: ' + ', '.join(known) + '.'}"
        )


def _checked(name: str, value: Any, hint: Any) -> Any:
    """Returns `value` as the type of its setting, or raises TypeError or ValueError."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and NoneType in options:
        return None
    (kind,) = [option for option in options if option is not NoneType]
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(
                f"`{name}` must be one of {', '.join(get_args(kind))}. Received: {name}={value!r}."
            )
        return value
    if get_origin(kind) is tuple:
        return _checked_tuple(name, value, get_args(kind))
    if isinstance(value, Path) and kind is str:
        return str(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(
            f"`{name}` must be {_ARTICLES[kind]}"
            f"{' or None' if NoneType in options else ''}. Received: {name}={value!r}."
        )
    return value


_ARTICLES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _checked_tuple(name: str, value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    any_length = kinds[-1] is Ellipsis
    expected = "several values" if any_length else f"{len(kinds)} values"
    if not isinstance(value, list | tuple) or not (any_length or len(value) == len(kinds)):
        raise TypeError(f"`{name}` must be {expected}. Received: {name}={value!r}.")
    return tuple(_checked(name, item, kinds[0]) for item in value)


def _check_ranges(config: Config) -> None:
    for name in ("epochs", "batch_size", "accumulate", "validate_every"):
        _require(config, name, getattr(config, name) >= 1, "at least 1")
    for name in ("limit", "validation_limit", "save_every"):
        value = getattr(config, name)
        _require(config, name, value is None or value >= 1, "at least 1, or None")
    for name in ("warmup", "weight_decay", "class_weight_exponent", "seed", "batchnorm_batches"):
        _require(config, name, getattr(config, name) >= 0, "0 or more")
    for name in ("learning_rate", "power"):
        _require(config, name, getattr(config, name) > 0, "above 0")
    _require(config, "loss_share", 0 < config.loss_share <= 1, "in (0, 1]")
    _require(config, "momentum", 0 <= config.momentum < 1, "in [0, 1)")
    _require(
        config,
        "batchnorm_momentum",
        config.batchnorm_momentum is None or 0 < config.batchnorm_momentum < 1,
        "in (0, 1), or None",
    )
    _require(config, "ema", config.ema is None or 0 < config.ema < 1, "in (0, 1), or None")
    _require(
        config,
        "batchnorm_batches",
        not (config.freeze_batchnorm and config.batchnorm_batches),
        "0 where `freeze_batchnorm` keeps the pretrained statistics",
    )
    streams = config.init_streams
    _require(
        config,
        "init_streams",
        streams is None or (config.fusion == "late" and config.init is None),
        'None without `fusion="late"`, and where `init` is given',
    )
    _require(
        config,
        "init_streams",
        streams is None or len(streams) == len(config.modalities or ()),
        f"one file for each modality ({', '.join(config.modalities or ())})",
    )
    crop = config.crop
    _require(config, "crop", crop is None or min(crop) >= 1, "a height and a width above 0")
    _require(config, "devices", config.devices != (), "at least one device, or None")


def _require(config: Config, name: str, holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(
            f"`{name}` must be {expected}. Received: {name}={getattr(config, name)!r}."
        )
