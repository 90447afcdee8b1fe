"""The settings of a training, in sections that are the arguments of what they configure."""

import dataclasses
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints


def _setting(
    default: Any,
    description: str,
    metavar: str | None = None,
    *,
    name: str | None = None,
    option: str | None = None,
) -> Any:
    """Returns the field of a setting.

    Args:
        default: Its default.
        description: What `keras-fcn train --help` shows.
        metavar: What the help shows for the value.
        name: Its name outside its section, where that of the field is not unique.
        option: Its name on the command line, if it is another.
    """
    metadata = {"help": description, "metavar": metavar, "name": name, "option": option}
    return field(default=default, metadata=metadata)


# Those of `keras_fcn.losses.LOSSES`, for which `keras-fcn train --help` does not wait.
LOSS_NAMES = ("crossentropy", "focal", "dice")


class Section:
    """A part of the settings. Types and ranges are checked when it is made."""

    title: ClassVar[str]  # of the section in `Config`

    def __new__(cls, *_: Any, **settings: Any) -> Self:
        # Before `__init__`, whose error would not name the setting that was meant.
        _check_names(cls, settings)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, setting in _settings_of(self.title).items():
            value = _checked(setting.name, getattr(self, name), setting.type)
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        """Raises ValueError if a value is out of range."""

    def _require(self, name: str, holds: bool, expected: str) -> None:
        _require(_settings_of(self.title)[name].name, getattr(self, name), holds, expected)


@dataclass(frozen=True)
class DataConfig(Section):
    """The datasets and the batches: `open_dataset`, `training_batches`, `evaluation_batches`."""

    title: ClassVar[str] = "data"

    dataset: str = _setting(
        "sample", "A dataset that `keras-fcn datasets list` shows, or folder:PATH.", "NAME"
    )
    source: str | None = _setting(
        None,
        "Folder of the dataset's files as published; the dataset is prepared if necessary.",
        "PATH",
    )
    data_dir: str | None = _setting(
        None, "Folder of prepared datasets; ~/tensorflow_datasets by default.", "DIR"
    )
    image_files: str | None = _setting(
        None,
        "folder:PATH: the images, such as 'photos/**/*.jpg', where they are not found.",
        "GLOB",
        option="images",
    )
    mask_files: str | None = _setting(
        None, "folder:PATH: the masks, likewise.", "GLOB", option="masks"
    )
    ignore: tuple[int, ...] | None = _setting(
        None, "folder:PATH: numbers in the masks that are ignored, such as 0.", "N,..."
    )
    num_classes: int | None = _setting(
        None,
        "folder:PATH without a table of classes: the numbers in the masks are 0 to N - 1.",
        "N",
    )
    write_classes: bool = _setting(
        False, "folder:PATH: write a table of the values that occur in the masks."
    )
    channels: int | None = _setting(
        None,
        "folder:PATH: bands of the images, where they are not RGB; 3 takes the first three of "
        "more as red, green and blue.",
        "N",
    )
    value_range: tuple[float, float] | None = _setting(
        None,
        "folder:PATH: the values that become black and white, for RGB of 16 bits or floats.",
        "LOW,HIGH",
    )
    page: int | None = _setting(
        None, "folder:PATH: the page of images with several pages or frames, from 1.", "N"
    )
    exif: Literal["apply", "ignore"] | None = _setting(
        None,
        "folder:PATH: whether images are turned by an EXIF orientation that their masks lack; by "
        "default the sizes decide.",
    )
    train_split: str = _setting("train", "Split to train on.", "SPLIT")
    validation_split: str | None = _setting(
        "val", "Split to validate on, which selects best.keras; 'none' for no validation.", "SPLIT"
    )
    limit: int | None = _setting(
        None,
        "Train on the first N examples only, for example to check that a network overfits them.",
        "N",
    )
    validation_limit: int | None = _setting(
        None, "Validate on the first N examples of the split only.", "N"
    )
    batch_size: int = _setting(8, "Images per step, over all devices together.", "N")
    crop_size: tuple[int, int] | None = _setting(
        None,
        "Height and width of the training crops; 'none' trains at native size.",
        "HxW",
        option="crop",
    )
    augment: bool = _setting(True, "Scale, flip and recolor the training images.")
    replacement: bool = _setting(
        False,
        "Draw images at random with replacement, as in the reference, instead of once per epoch.",
    )
    loss_share: float = _setting(
        1.0,
        "Share of the cells of the finest logits (32, 16, 8 or 4 pixels wide) that count in the "
        "loss, drawn for each image: the paper's patch sampling.",
        "SHARE",
    )

    @property
    def folder(self) -> dict[str, Any]:
        """What `open_dataset` takes for folder:PATH, as far as it is given."""
        names = (
            *("image_files", "mask_files", "ignore", "num_classes", "write_classes"),
            *("channels", "value_range", "page", "exif"),
        )
        return {name: value for name in names if (value := getattr(self, name))}

    def _check(self) -> None:
        for name in ("limit", "validation_limit"):
            value = getattr(self, name)
            self._require(name, value is None or value >= 1, "at least 1, or None")
        if (self.channels, self.value_range, self.page) != (None, None, None):
            # Imports Keras, for which `keras-fcn train --help` does not wait.
            from keras_fcn.modalities import ImageReading

            ImageReading(self.channels, self.value_range, self.page)  # checks their ranges
        self._require("batch_size", self.batch_size >= 1, "at least 1")
        crop = self.crop_size
        self._require("crop_size", crop is None or min(crop) >= 1, "a height and a width above 0")
        self._require("loss_share", 0 < self.loss_share <= 1, "in (0, 1]")


@dataclass(frozen=True)
class ModelConfig(Section):
    """The network around its backbone, and what it starts from: `build_network`."""

    title: ClassVar[str] = "model"

    variant: Literal["fcn32s", "fcn16s", "fcn8s", "fcn8s_atonce", "fcn4s"] = _setting(
        "fcn8s",
        "Stride of the finest features in use: 32, 16, 8 or 4; at-once scales the skips down.",
    )
    modalities: tuple[str, ...] | None = _setting(
        None,
        "Modalities of the input, from rgb, hha and depth; RGB by default.",
        "LIST",
    )
    fusion: Literal["early", "late"] = _setting(
        "early", "One backbone for all modalities (early), or one per modality (late)."
    )
    skip_filters: int = _setting(
        0, "Width of a 3x3 convolution before the score layer of each skip; 0 for none.", "N"
    )
    upsampling: Literal["fixed", "inner", "learned"] = _setting(
        "fixed", "Upsampling layers that are trained: none, all but the last, or all."
    )
    init: str | None = _setting(
        None,
        "Start from the weights of this .keras file: a coarser variant, or a network for other "
        "classes.",
        "FILE",
    )
    init_streams: tuple[str, ...] | None = _setting(
        None,
        "Start the streams of a late fusion from these .keras files, one per modality.",
        "FILES",
    )
    freeze_batchnorm: bool = _setting(
        False, "Keep the pretrained state of the backbone's BatchNorm layers."
    )
    batchnorm_momentum: float | None = _setting(
        0.99,
        "Momentum of BatchNorm's moving statistics; 'none' keeps the backbone's, often 0.999, "
        "which is too slow for a short training.",
        "M",
    )
    precision: Literal["float32", "mixed_bfloat16"] = _setting(
        "float32", "Precision of the layers; weights and logits stay float32."
    )

    def _check(self) -> None:
        momentum = self.batchnorm_momentum
        self._require(
            "batchnorm_momentum", momentum is None or 0 < momentum < 1, "in (0, 1), or None"
        )
        streams, modalities = self.init_streams, self.modalities or ()
        self._require(
            "init_streams",
            streams is None or (self.fusion == "late" and self.init is None),
            'None without `fusion="late"`, and where `init` is given',
        )
        self._require(
            "init_streams",
            streams is None or len(streams) == len(modalities),
            f"one file per modality ({', '.join(modalities)})",
        )


@dataclass(frozen=True)
class BackboneConfig(Section):
    """The backbone, by its name, and its arguments."""

    title: ClassVar[str] = "backbone"

    name: str = _setting(
        "mobilenet_v2", "Feature extractor, such as vgg16.", "NAME", name="backbone"
    )
    weights: str | None = _setting(
        "imagenet",
        "Weights that the backbone starts from: 'imagenet', a file, or 'none' for random ones.",
        "FILE",
        name="backbone_weights",
    )
    weights_dir: str | None = _setting(
        None,
        "Folder to look for ImageNet weights in; then come that of $KERAS_FCN_WEIGHTS, Keras' "
        "cache, and the download.",
        "DIR",
    )
    alpha: float | None = _setting(
        None, "Width multiplier of the MobileNets and the paper's networks.", "A"
    )
    fc_filters: int | None = _setting(
        None,
        "Width of the convolutions before the coarsest score layer; the backbone's own by default.",
        "N",
    )
    dropout: float | None = _setting(
        None, "Dropout before the coarsest score layer; the backbone's own by default.", "RATE"
    )
    geometry: Literal["same", "reference"] = _setting(
        "same",
        "Padding to the size of the image, or exactly as in Caffe (the paper's networks only).",
    )
    mean: tuple[float, ...] | None = _setting(
        None,
        "Mean of each channel (blue, green, red for RGB), if a Caffe-trained backbone or depth "
        "needs another than the default.",
        "LIST",
    )


@dataclass(frozen=True)
class AugmentationConfig(Section):
    """The fields of `keras_fcn.data.augmentation.Augmentation`, which checks their ranges.

    It is a class of its own because that module imports TensorFlow, for which `keras-fcn train
    --help` does not wait. A test compares the two.
    """

    title: ClassVar[str] = "augmentation"

    scale: tuple[float, float] = _setting(
        (0.5, 2.0), "Range of the random scale; two equal values disable it.", "LOW,HIGH"
    )
    aspect: tuple[float, float] = _setting(
        (1.0, 1.0), "Range of the random change of width over height.", "LOW,HIGH"
    )
    rotation: float = _setting(0.0, "Largest random rotation in either direction.", "DEGREES")
    flip: bool = _setting(True, "Flip half of the images left to right.")
    brightness: float = _setting(0.1, "Largest random change of brightness, in [0, 1].", "X")
    contrast: float = _setting(0.2, "Largest random change of contrast, in [0, 1].", "X")
    saturation: float = _setting(0.2, "Largest random change of saturation, in [0, 1].", "X")
    hue: float = _setting(0.0, "Largest random rotation of the hue, in [0, 0.5].", "TURNS")
    grayscale: float = _setting(0.0, "Share of the images that are converted to gray.", "SHARE")
    autocontrast: float = _setting(0.0, "Share of the images that are autocontrasted.", "SHARE")
    equalize: float = _setting(0.0, "Share of the images that are equalized.", "SHARE")


@dataclass(frozen=True)
class OptimizerConfig(Section):
    """The optimizer, its schedule, and the moving average of the weights that it updates."""

    title: ClassVar[str] = "optimizer"

    name: Literal["adamw", "sgd"] = _setting(
        "adamw",
        "AdamW, or the paper's SGD with momentum (biases: twice the learning rate, no decay).",
        name="optimizer",
    )
    learning_rate: float = _setting(1e-3, "Learning rate after the warm-up.", "R")
    pretrained_factor: float = _setting(
        1.0,
        "Factor of the learning rate for the pretrained layers of the backbone, such as 0.1; "
        "the new layers (scores, skips, upsampling) keep the learning rate.",
        "F",
    )
    schedule: Literal["polynomial", "constant"] = _setting(
        "polynomial", "Decay of the learning rate to zero, as (1 - progress) ** power, or no decay."
    )
    power: float = _setting(0.9, "Power of the polynomial schedule.", "P")
    warmup_steps: int = _setting(0, "Updates over which the learning rate rises from zero.", "N")
    momentum: float = _setting(0.9, "Momentum of SGD; the first beta of AdamW.", "M")
    weight_decay: float = _setting(
        1e-4, "Weight decay of kernels: decoupled in AdamW, added to the gradient in SGD.", "D"
    )
    global_clipnorm: float | None = _setting(
        None, "Largest norm of all gradients together; larger ones are scaled down.", "NORM"
    )
    gradient_accumulation_steps: int = _setting(
        1, "Steps (batches) whose gradients are averaged into one update.", "N"
    )
    ema_decay: float | None = _setting(
        None,
        "Decay per update of a moving average of the weights, such as 0.999, that is validated and "
        "saved.",
        "DECAY",
    )
    batchnorm_batches: int = _setting(
        0,
        "Training batches on which BatchNorm's statistics are measured before each validation, "
        "for --ema-decay; 0 uses the moving ones.",
        "N",
    )

    def _check(self) -> None:
        for name in ("learning_rate", "pretrained_factor", "power"):
            self._require(name, getattr(self, name) > 0, "above 0")
        for name in ("warmup_steps", "weight_decay", "batchnorm_batches"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        self._require("momentum", 0 <= self.momentum < 1, "in [0, 1)")
        steps = self.gradient_accumulation_steps
        self._require("gradient_accumulation_steps", steps >= 1, "at least 1")
        decay = self.ema_decay
        self._require("ema_decay", decay is None or 0 < decay < 1, "in (0, 1), or None")


@dataclass(frozen=True)
class LossConfig(Section):
    """The loss: `keras_fcn.losses.create`, and how its class weights are found."""

    title: ClassVar[str] = "loss"

    name: str = _setting(
        "crossentropy",
        "Loss: crossentropy, focal or dice, or several joined by +, such as crossentropy+dice.",
        "NAME",
        name="loss",
    )
    reduction: Literal["mean", "per_image", "sum"] = _setting(
        "mean", "Divide the summed loss by the valid pixels, the images, or nothing."
    )
    class_weights: Literal["none", "balanced"] = _setting(
        "none",
        "Weights of the classes: none, or larger for rare ones, from their share of the "
        "training pixels.",
    )
    class_weight_exponent: float = _setting(
        0.5,
        "Balanced weights are share ** -EXPONENT: 0 for equal weights, 1 for weights "
        "inverse to the share.",
        "E",
    )

    def _check(self) -> None:
        parts = self.name.split("+")
        known = set(parts) <= set(LOSS_NAMES) and len(set(parts)) == len(parts)
        self._require("name", known, f"{', '.join(LOSS_NAMES)}, or several joined by '+'")
        self._require(
            "reduction",
            "dice" not in parts or self.reduction == "mean",
            "'mean' where `loss` contains dice, whose terms are images and not pixels",
        )
        self._require("class_weight_exponent", self.class_weight_exponent >= 0, "0 or more")


@dataclass(frozen=True)
class RunConfig(Section):
    """The run: how long, where it is written, and the machine."""

    title: ClassVar[str] = "run"

    recipe: str | None = _setting(
        None, "Recipe with the defaults of the other settings: a name, or a .py file.", "NAME"
    )
    workdir: str = _setting(
        "runs/default", "Folder of checkpoints, logs and the state to resume from.", "DIR"
    )
    resume: bool = _setting(False, "Continue the training in the workdir.")
    accept_changed_data: bool = _setting(
        False,
        "With --resume, go on although images, masks or classes changed: from the next whole "
        "epoch, with the validation scored anew.",
    )
    epochs: int = _setting(50, "Passes over the training split, at most.", "N")
    patience: int | None = _setting(
        None, "Stop after N epochs without a better validation mean IoU.", "N"
    )
    time: str | None = _setting(
        None,
        "Stop after this long, such as 30m or 1h30m, if the epochs do not end before; the "
        "learning rate decays to zero by then.",
        "TIME",
    )
    save_every: int | None = _setting(
        None, "Save the state to resume from every N steps, not only after epochs.", "N"
    )
    validate_every: int = _setting(1, "Validate every N epochs, and after the last.", "N")
    seed: int = _setting(0, "Seed of weights, shuffling, augmentation and dropout.", "S")
    smoke: bool = _setting(
        False, "Check the recipe in seconds: a few steps on small crops of the sample set."
    )
    devices: tuple[str, ...] | None = _setting(
        None, "Devices to train on, such as GPU:0,GPU:1; by default all GPUs.", "LIST"
    )
    jit_compile: bool = _setting(
        False, "Compile the step with XLA; once for each image size, so use it with crops."
    )
    deterministic: bool = _setting(
        False, "Use only kernels with reproducible results, on GPUs too; slower."
    )

    def _check(self) -> None:
        for name in ("epochs", "validate_every"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        patience = self.patience
        self._require("patience", patience is None or patience >= 1, "at least 1, or None")
        self._require(
            "time", self.time is None or bool(self.seconds), "such as 30m, 1h30m or 90s, or None"
        )
        accept = self.accept_changed_data
        self._require("accept_changed_data", self.resume or not accept, "false without `resume`")
        every = self.save_every
        self._require("save_every", every is None or every >= 1, "at least 1, or None")
        self._require("seed", self.seed >= 0, "0 or more")
        self._require("devices", self.devices != (), "at least one device, or None")

    @property
    def seconds(self) -> float | None:
        """The seconds of `time`.

        >>> RunConfig(time="1h30m").seconds
        5400.0
        """
        match = _TIME.fullmatch(self.time or "none")
        if not match:
            return None
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return 3600 * hours + 60 * minutes + seconds


_TIME = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


@dataclass(frozen=True)
class Config:
    """The settings of a training; each is an option of `keras-fcn train`.

    Values are checked when a section is made. Lists become tuples, so that a
    configuration read from JSON equals the one that was written.

    Outside its section a setting has a name of its own (`setting_names`): that of its field,
    but `backbone` and `backbone_weights` for `backbone.name` and `backbone.weights`, and
    `optimizer` and `loss` for `optimizer.name` and `loss.name`.

    Raises:
        TypeError: If a value has another type than its setting.
        ValueError: If a setting is unknown (the text names those that are nearest), or a value is
            out of range.

    Example:
        >>> config = Config(data=DataConfig(dataset="camvid", crop_size=(288, 288)))
        >>> config.replace(epochs=5, optimizer="sgd").run.epochs
        5
        >>> config.replace(learnig_rate=0.1)
        Traceback (most recent call last):
        ValueError: Unknown setting 'learnig_rate'. Did you mean 'learning_rate'?
        >>> DataConfig(epochs=5)
        Traceback (most recent call last):
        ValueError: Unknown setting 'epochs' in the section 'data'. It is in the section 'run'.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        for name, kind in SECTIONS.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise TypeError(
                    f"`{name}` must be a {kind.__name__}. Received: {name}={value!r}. From nested "
                    "dictionaries, make a configuration by Config.from_dict."
                )
        _require(
            "batchnorm_batches",
            self.optimizer.batchnorm_batches,
            not (self.model.freeze_batchnorm and self.optimizer.batchnorm_batches),
            "0 where `freeze_batchnorm` keeps the pretrained statistics",
        )

    def to_flat(self) -> dict[str, Any]:
        """Returns the values of all settings by name."""
        return {
            name: getattr(getattr(self, setting.section), setting.field)
            for name, setting in settings().items()
        }

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns the values of all settings by section and field."""
        return asdict(self)

    @classmethod
    def from_dict(cls, sections: Mapping[str, Mapping[str, Any]]) -> "Config":
        """Returns a configuration with these values, and the defaults for all others.

        Args:
            sections: The values by section and field.

        Example:
            >>> Config.from_dict({"loss": {"reduction": "sum"}}).loss.reduction
            'sum'
        """
        if not isinstance(sections, Mapping):
            raise TypeError(f"The settings must be sections by name. Received: {sections!r:.80}.")
        for name, values in sections.items():
            if name not in SECTIONS:
                raise ValueError(_unknown_section(name))
            if not isinstance(values, Mapping):
                raise TypeError(
                    f"The section {name!r} must be settings by name. Received: {values!r}."
                )
        made: dict[str, Any] = {name: SECTIONS[name](**sections[name]) for name in sections}
        return cls(**made)

    def to_json(self) -> str:
        """Returns the text of `config.json`, which `from_json` reads back."""
        return json.dumps(self.to_dict(), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Returns the configuration that `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_file(cls, path: Path) -> "Config":
        """Returns the configuration in a `config.json`, which is data: nothing is executed.

        Raises:
            ValueError: If the file is damaged. The text has its path.
        """
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (ValueError, TypeError, RecursionError) as error:  # a bad encoding is a ValueError
            last = path.with_name("last.keras")
            continued = f", from its weights: --init {last}" if last.is_file() else ""
            raise ValueError(
                f"{path} cannot be read as the settings of a training: it is damaged, or another "
                f"version of the package wrote it. ({str(error).splitlines()[0].rstrip('.')}.) "
                f"Restore it, or start a new training with another --workdir{continued}."
            ) from error

    def replace(self, **changes: Any) -> "Config":
        """Returns a copy with other values.

        Args:
            **changes: Settings by name, or whole sections.
        """
        sections: dict[str, Any] = {
            name: value for name, value in changes.items() if isinstance(value, Section)
        }
        fields_by_section: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            if name not in sections:
                setting = _find(name)
                fields_by_section.setdefault(setting.section, {})[setting.field] = value
        for name, values in fields_by_section.items():
            section = sections.get(name, getattr(self, name))
            sections[name] = dataclasses.replace(section, **values)
        return dataclasses.replace(self, **sections)


SECTIONS: dict[str, type[Section]] = {
    kind.title: kind
    for kind in (
        DataConfig,
        ModelConfig,
        BackboneConfig,
        AugmentationConfig,
        OptimizerConfig,
        LossConfig,
        RunConfig,
    )
}


@dataclass(frozen=True)
class Setting:
    """A setting.

    Args:
        name: Its name outside its section, such as `backbone_weights`.
        section: Its section, such as `backbone`.
        field: Its name in the section, such as `weights`.
        type: The type of its values.
        help: What it means.
        metavar: What the help shows for its value.
        option: Its name on the command line, with underscores.
    """

    name: str
    section: str
    field: str
    type: Any
    help: str
    metavar: str | None
    option: str


@cache
def settings() -> dict[str, Setting]:
    """Returns all settings by name, in the order of the sections.

    >>> settings()["backbone_weights"].field
    'weights'
    """
    every = [s for title in SECTIONS for s in _settings_of(title).values()]
    return {setting.name: setting for setting in every}


@cache
def _settings_of(title: str) -> dict[str, Setting]:
    """Returns the settings of a section by field."""
    kind = SECTIONS[title]
    hints = get_type_hints(kind)
    found = {}
    for part in fields(kind):  # type: ignore[arg-type]
        name = part.metadata["name"] or part.name
        found[part.name] = Setting(
            name,
            title,
            part.name,
            hints[part.name],
            part.metadata["help"],
            part.metadata["metavar"],
            part.metadata["option"] or name,
        )
    return found


def _find(name: str) -> Setting:
    if name not in settings():
        raise ValueError(f"Unknown setting {name!r}.{_hint(name, settings())}")
    return settings()[name]


def _check_names(kind: type[Section], names: Iterable[str]) -> None:
    """Raises ValueError if a name is not a setting of a section, with the right section."""
    own = _settings_of(kind.title)
    for name in names:
        if name in own:
            continue
        text = f"Unknown setting {name!r} in the section {kind.title!r}."
        elsewhere = [s for s in settings().values() if name in (s.name, s.field)]
        if not elsewhere:
            raise ValueError(text + _hint(name, own))
        setting = elsewhere[0]
        if setting.section == kind.title:
            raise ValueError(f"{text} Did you mean {setting.field!r}?")
        alias = "" if setting.field == name else f", as {setting.field!r}"
        raise ValueError(f"{text} It is in the section {setting.section!r}{alias}.")


def _unknown_section(name: str) -> str:
    if name in settings():
        setting = settings()[name]
        return (
            f"The setting {name!r} must be in the section {setting.section!r}, as "
            f'{{"{setting.section}": {{"{setting.field}": ...}}}}.'
        )
    return f"Unknown section {name!r}.{_hint(name, SECTIONS)}"


def _hint(name: str, known: Iterable[str]) -> str:
    if nearest := difflib.get_close_matches(name, known, n=3):
        return f" Did you mean {' or '.join(repr(match) for match in nearest)}?"
    if nearest := difflib.get_close_matches(name, settings(), n=1):
        setting = settings()[nearest[0]]
        return f" Did you mean {setting.field!r} in the section {setting.section!r}?"
    return f" Expected one of: {', '.join(known)}."


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


def _require(name: str, value: Any, holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}.")
