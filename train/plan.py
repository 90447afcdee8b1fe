"""The plan of a training: every setting that data and machine decide, each with its reason."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_fcn.datasets import SegmentationDataset
from keras_fcn.files import write_text
from keras_fcn.weights.location import locate, look_for

from .config import Config, RunConfig
from .fingerprint import Fingerprint, fingerprint_of, rounded
from .model import build_backbone
from .probe import Probe, Trial, probe_machine, try_config

# Backbones by preference. On a CPU those that train in minutes come first.
_ON_CPU: tuple[tuple[str, float | None], ...] = (
    *(("mobilenet_v2", alpha) for alpha in (0.35, 0.5, 0.75, 1.0)),
    *(("mobilenet", alpha) for alpha in (0.25, 0.5, 0.75, 1.0)),
    ("mobilenet_v3_small", 1.0),
    ("mobilenet_v3_large", 1.0),
    ("efficientnet_v2_b0", None),
    ("resnet50", None),
    ("densenet121", None),
    ("vgg16", None),
)
_ON_GPU: tuple[tuple[str, float | None], ...] = (
    ("resnet50", None),
    *(("mobilenet_v2", alpha) for alpha in (1.4, 1.3, 1.0, 0.75, 0.5, 0.35)),
    ("mobilenet_v3_large", 1.0),
    ("densenet121", None),
    ("vgg16", None),
    *(("mobilenet", alpha) for alpha in (1.0, 0.75, 0.5, 0.25)),
)
_PREFERRED = {"CPU": _ON_CPU, "GPU": _ON_GPU}

# Largest side of a crop, and the batch that is tried first: of images, and of large ones, whose
# crops hold more context. Both steps have about as many pixels.
_CROP = {"CPU": (288, 416), "GPU": (512, 768)}
_BATCH = {"CPU": (8, 4), "GPU": (16, 8)}
_LARGE = 1024
_SMALLEST_CROP = 96
# Regions thinner than this at stride 8 have fewer than four cells across.
_THIN = 32
# Images that a training takes, repeated, where nothing limits its time: 80 epochs of CamVid.
_IMAGES = 30_000
_EPOCHS = (20, 300)
_FEWEST_UPDATES = 300
_RARE = 0.02
# The share of a limited time that is for steps; the rest is for validation, reading and saving.
_TRAINING_SHARE = 0.8
# The reason of a setting that the user chose.
_GIVEN = "given by you"
# Settings of a single run.
_NOT_PLANNED = ("workdir", "resume", "recipe", "smoke")
_SIDES = re.compile(r"(?:^|[^a-z])(left|right)(?:$|[^a-z])")


@dataclass(frozen=True)
class Choice:
    """The value of a setting, and why."""

    value: Any
    reason: str


@dataclass(frozen=True)
class Plan:
    """The settings that data and machine decide, and what they were decided from.

    Args:
        choices: The choices by the name of the setting, in the order in which they were made.
        fingerprint: The data.
        probe: The machine.
        warnings: What the plan cannot solve, a sentence each.
    """

    choices: Mapping[str, Choice]
    fingerprint: Fingerprint
    probe: Probe
    warnings: tuple[str, ...] = ()

    def apply(self, config: Config) -> Config:
        """Returns a configuration with the values of the plan."""
        return config.replace(**{name: choice.value for name, choice in self.choices.items()})

    def with_given(self, given: Mapping[str, Any]) -> "Plan":
        """Returns the plan with the settings that the user gave in place of its own."""
        own = {name: value for name, value in given.items() if name not in _NOT_PLANNED}
        choices = {name: Choice(value, _GIVEN) for name, value in own.items()}
        return replace(self, choices={**self.choices, **choices})

    def to_json(self) -> str:
        """Returns the text of `plan.json`, which `from_json` reads back."""
        values = {
            "settings": {
                name: {"value": choice.value, "reason": choice.reason}
                for name, choice in self.choices.items()
            },
            "warnings": list(self.warnings),
            "fingerprint": self.fingerprint.to_dict(),
            "probe": self.probe.to_dict(),
        }
        return json.dumps(values, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Returns the plan that `to_json` wrote, perhaps with values that were edited since.

        Raises:
            ValueError: If it is no plan, or has a setting that does not exist.
        """
        try:
            values = json.loads(text)
            choices = {
                name: Choice(choice["value"], choice["reason"])
                for name, choice in values["settings"].items()
            }
            plan = cls(
                choices,
                Fingerprint.from_dict(values["fingerprint"]),
                Probe.from_dict(values["probe"]),
                tuple(values["warnings"]),
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                "A plan must be the JSON that `keras-fcn plan` writes, with a value and a reason "
                f"for each setting. Received: {type(error).__name__}: {error}."
            ) from error
        plan.apply(Config())
        return plan

    def save(self, path: str | Path) -> None:
        """Writes `plan.json`."""
        write_text(Path(path), self.to_json())


def make_plan(
    base: Config,
    given: Mapping[str, Any],
    dataset: SegmentationDataset,
    memory_gib: float | None = None,
    say: Callable[[str], None] = print,
) -> Plan:
    """Returns the plan for a dataset on this machine.

    Args:
        base: Names the dataset and its splits.
        given: Settings that the user chose, which the plan keeps and explains the others by.
        dataset: The dataset.
        memory_gib: Memory that a training may take, in GiB; by default 80% of what is free.
        say: Prints what is being done.

    Raises:
        ValueError: If the weights to start from are not found, or not even the smallest training
            fits the memory.
    """
    machine = probe_machine(memory_gib)
    machine = replace(machine, backbones=_available(base.replace(**given), machine.device, given))
    say(f"Plan: looking at {base.data.dataset} ...")
    fingerprint = fingerprint_of(
        dataset,
        base.data.train_split,
        base.data.validation_split,
        base.data.limit,
        base.model.modalities or (),
        base.data.validation_limit,
    )
    probe = machine
    while order := next_trial(fingerprint, probe, given):
        batch_size, crop = order
        say(f"Plan: trying a step of {batch_size} crops of {crop[0]}x{crop[1]} ...")
        config = (
            _network(fingerprint, probe, given)
            .config(base)
            .replace(batch_size=batch_size, crop_size=crop)
        )
        trials = try_config(
            config,
            {head: len(classes) for head, classes in fingerprint.classes.items()},
            fingerprint.channels,
            fingerprint.largest if fingerprint.num_validation else None,
            probe.limit_gib,
        )
        probe = replace(probe, trials=(*probe.trials, *trials))
    return choose(fingerprint, probe, given)


def _available(
    config: Config, device: str, given: Mapping[str, Any]
) -> tuple[tuple[str, float | None], ...]:
    """Returns the backbones whose ImageNet weights are here, or can be fetched.

    Raises:
        ValueError: If there are none.
    """
    starts_otherwise = config.model.init or config.model.init_streams
    if starts_otherwise or config.backbone.weights != "imagenet":
        return ()
    preferred = _PREFERRED[device]
    if "backbone" in given or "alpha" in given:
        name, alpha = config.backbone.name, config.backbone.alpha
        of_name = tuple((n, a) for n, a in preferred if n == name and alpha in (None, a))
        preferred = of_name or ((name, alpha),)
    found = []
    for name, alpha in preferred:
        backbone = build_backbone(config.replace(backbone=name, alpha=alpha).backbone)
        if look_for(backbone, config.backbone.weights_dir):
            found.append((name, alpha))
    if not found:
        name, alpha = preferred[0]
        backbone = build_backbone(config.replace(backbone=name, alpha=alpha).backbone)
        locate(backbone, config.backbone.weights_dir)
        found.append((name, alpha))
    return tuple(found)


def next_trial(
    fingerprint: Fingerprint, probe: Probe, given: Mapping[str, Any]
) -> tuple[int, tuple[int, int]] | None:
    """Returns the next batch and crop to try; None if the last trial fits, or all have failed."""
    done = probe.trials_of("train")
    if done and not done[-1].failure:
        return None
    orders = list(_orders(fingerprint, probe, given))
    return orders[len(done)] if len(done) < len(orders) else None


def _orders(
    fingerprint: Fingerprint, probe: Probe, given: Mapping[str, Any]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yields batches and crops from the largest to the smallest."""
    crop, _ = _largest_crop(fingerprint, probe, given)
    while True:
        batch, _ = _largest_batch(fingerprint, probe, given)
        while batch >= 1:
            yield batch, crop
            if "batch_size" in given:
                break
            batch //= 4
        smaller = (crop[0] // 2 // 32 * 32, crop[1] // 2 // 32 * 32)
        if "crop_size" in given or min(smaller) < _SMALLEST_CROP:
            return
        crop = smaller


def choose(fingerprint: Fingerprint, probe: Probe, given: Mapping[str, Any]) -> Plan:
    """Returns the plan that follows from data and machine, always the same for the same.

    Args:
        fingerprint: The data.
        probe: The machine, with its trials.
        given: Settings that the user chose.

    Raises:
        ValueError: If all trials have failed.
    """
    choices = _network(fingerprint, probe, given)
    trial = _fitting(probe)
    _choose_batch(choices, fingerprint, probe, trial)
    _choose_augmentation(choices, fingerprint)
    _choose_length(choices, fingerprint, probe, trial)
    _choose_optimizer(choices, fingerprint, trial)
    for name in given:
        if name not in (*choices.made, *_NOT_PLANNED):
            choices.pick(name, None, "")
    warnings = _warnings(fingerprint, probe)
    return Plan(choices.made, fingerprint, probe, warnings)


@dataclass
class _Choices:
    """The choices so far. What the user gave is kept."""

    given: Mapping[str, Any]
    made: dict[str, Choice] = field(default_factory=dict)

    def pick(self, name: str, value: Any, reason: str) -> Any:
        """Adds a choice, unless the user made it, and returns its value."""
        if name in self.given:
            value, reason = self.given[name], _GIVEN
        self.made[name] = Choice(value, reason)
        return value

    def __getitem__(self, name: str) -> Any:
        return self.made[name].value

    def config(self, base: Config) -> Config:
        return base.replace(**{name: choice.value for name, choice in self.made.items()})


def _network(fingerprint: Fingerprint, probe: Probe, given: Mapping[str, Any]) -> _Choices:
    """Chooses what a trial needs: the network, its input, its optimizer, its loss."""
    choices = _Choices(given)
    name, alpha, reason = _backbone(probe, given)
    choices.pick("backbone", name, reason)
    if alpha is not None or "alpha" in given:
        choices.pick("alpha", alpha, "the width whose weights were chosen")
    if "backbone_weights" in given:
        choices.pick("backbone_weights", None, "")
    thin = _thinnest(fingerprint)
    choices.pick(
        "variant",
        "fcn8s",
        f"features at stride 8 are the finest, and a quarter of {thin.name!r} is in regions "
        f"thinner than {thin.thin_width:g} pixels"
        if thin
        else "features at stride 8 are the finest",
    )
    is_thin = thin is not None and thin.thin_width < _THIN
    choices.pick(
        "skip_filters",
        64 if is_thin else 0,
        f"regions thinner than {_THIN} pixels are less than four cells wide at stride 8: a "
        "convolution before their scores looks at the neighbors"
        if is_thin
        else "no class is in regions that are thin at stride 8",
    )
    choices.pick(
        "upsampling",
        "learned" if is_thin else "fixed",
        "bilinear interpolation would blur thin regions"
        if is_thin
        else "bilinear interpolation is enough for wide regions",
    )
    _choose_loss(choices, fingerprint)
    return choices


def _backbone(probe: Probe, given: Mapping[str, Any]) -> tuple[str, float | None, str]:
    if probe.backbones:
        name, alpha = probe.backbones[0]
        others = len(probe.backbones) - 1
        return (
            name,
            alpha,
            f"first in the order for a {probe.device} of those with ImageNet weights here "
            f"({others} other{'s' if others != 1 else ''})",
        )
    name, alpha = _PREFERRED[probe.device][0]
    if "backbone" in given:
        return given["backbone"], given.get("alpha"), _GIVEN
    return name, alpha, f"first in the order for a {probe.device}"


def _thinnest(fingerprint: Fingerprint) -> Any:
    return min(fingerprint.every_class, key=lambda one: one.thin_width, default=None)


def _largest_crop(
    fingerprint: Fingerprint, probe: Probe, given: Mapping[str, Any]
) -> tuple[tuple[int, int], str]:
    if "crop_size" in given:
        # Without crops, a step is tried on the largest images.
        return given["crop_size"] or fingerprint.largest, _GIVEN
    most = _CROP[probe.device][_is_large(fingerprint)]
    height, width = (max(32, min(most, side // 32 * 32)) for side in fingerprint.size)
    medians = "x".join(map(str, fingerprint.size))
    of = "of such large images " if _is_large(fingerprint) else ""
    return (height, width), (
        f"the median image is {medians}; crops {of}are at most {most} pixels a side on a "
        f"{probe.device}, and multiples of 32"
    )


def _is_large(fingerprint: Fingerprint) -> bool:
    return min(fingerprint.size) >= _LARGE


def _largest_batch(
    fingerprint: Fingerprint, probe: Probe, given: Mapping[str, Any]
) -> tuple[int, str]:
    if "batch_size" in given:
        return given["batch_size"], _GIVEN
    most = _BATCH[probe.device][_is_large(fingerprint)]
    fits = 2 ** int(math.log2(fingerprint.num_images))
    if fits < most:
        return fits, f"the largest power of two among {fingerprint.num_images} images"
    of = "large crops" if _is_large(fingerprint) else "crops"
    return most, f"the batch of {of} for a {probe.device}"


def _fitting(probe: Probe) -> Trial:
    trials = probe.trials_of("train")
    if trials and not trials[-1].failure:
        return trials[-1]
    tried = "; ".join(
        f"{one.batch_size} of {one.size[0]}x{one.size[1]}: {one.failure}" for one in trials
    )
    raise ValueError(
        f"No training fits the memory of {probe.limit_gib:g} GiB. Tried: {tried or 'nothing'}. "
        "Free memory, give more by --memory, or take a smaller --backbone, --crop or --batch-size."
    )


def _choose_batch(choices: _Choices, fingerprint: Fingerprint, probe: Probe, trial: Trial) -> None:
    failed = probe.trials_of("train")[:-1]
    crop, crop_reason = _largest_crop(fingerprint, probe, choices.given)
    _, batch_reason = _largest_batch(fingerprint, probe, choices.given)
    smaller = "".join(
        f"; {one.batch_size} of {one.size[0]}x{one.size[1]} failed ({one.failure})"
        for one in failed
    )
    measured = f"a step takes {trial.seconds:g} s and {trial.gib:g} GiB of {probe.limit_gib:g}"
    choices.pick("crop_size", trial.size, crop_reason + (smaller if trial.size != crop else ""))
    choices.pick("batch_size", trial.batch_size, f"{batch_reason}; {measured}{smaller}")
    # An update is of as many images whatever the crops.
    update = min(_BATCH[probe.device][0], 2 ** int(math.log2(fingerprint.num_images)))
    steps = max(1, update // choices["batch_size"])
    choices.pick(
        "gradient_accumulation_steps",
        steps,
        "a batch is an update"
        if steps == 1
        else f"{steps} steps of {choices['batch_size']} make an update of {update} images",
    )
    is_small = choices["batch_size"] < 4
    choices.pick(
        "freeze_batchnorm",
        is_small and bool(probe.backbones),
        "a batch of fewer than 4 images has no reliable statistics: the pretrained ones stay"
        if is_small and probe.backbones
        else "the statistics of the batches are those of the data",
    )


def _choose_augmentation(choices: _Choices, fingerprint: Fingerprint) -> None:
    thin = _thinnest(fingerprint)
    width = thin.thin_width if thin else _THIN
    # At the smallest scale, thin regions keep a quarter of a cell at stride 8.
    low = 0.5 if width >= 16 else 0.7
    high = 2.0 if low == 0.5 else 1.7
    choices.pick(
        "scale",
        (low, high),
        f"regions of {width:g} pixels keep {width * low:.2g} at the smallest scale"
        if thin
        else "the usual range",
    )
    sides = [one.name for one in fingerprint.every_class if _SIDES.search(one.name.lower())]
    choices.pick(
        "flip",
        not sides,
        f"the class {sides[0]!r} names a side, which a mirrored image would exchange"
        if sides
        else "no class names a side",
    )
    if fingerprint.channels != 3:
        for name in ("brightness", "contrast", "saturation"):
            choices.pick(name, 0.0, f"the images have {fingerprint.channels} channels, no colors")


def _choose_loss(choices: _Choices, fingerprint: Fingerprint) -> None:
    rarest = min(fingerprint.every_class, key=lambda one: one.share)
    is_rare = rarest.share < _RARE
    share = f"{100 * rarest.share:.2g}% of the pixels"
    choices.pick(
        "loss",
        "crossentropy+dice" if is_rare else "crossentropy",
        f"{rarest.name!r} has {share}: Dice counts each class of an image alike"
        if is_rare
        else f"no class is rare: {rarest.name!r}, the smallest, has {share}",
    )
    choices.pick(
        "class_weights",
        "balanced" if is_rare else "none",
        f"{rarest.name!r} has {share}" if is_rare else "no class is rare",
    )
    choices.pick(
        "class_weight_exponent",
        0.2,
        "on CamVid 0.2 was better than 0.5, which found more false regions of rare classes",
    )


def _choose_length(choices: _Choices, fingerprint: Fingerprint, probe: Probe, trial: Trial) -> None:
    count = fingerprint.num_images
    batch, accumulated = choices["batch_size"], choices["gradient_accumulation_steps"]
    steps = max(1, count // batch)
    by_images = min(max(_IMAGES / count, _EPOCHS[0]), _EPOCHS[1])
    by_updates = _FEWEST_UPDATES * accumulated / steps
    epochs = int(rounded(max(by_images, by_updates), 2))
    reason = f"{epochs} passes over {count} images are {epochs * steps:,} steps"
    epoch_seconds = steps * trial.seconds
    budget = RunConfig(time=choices.given.get("time")).seconds
    validation = [one for one in probe.trials_of("validate") if not one.failure]
    pixels = fingerprint.size[0] * fingerprint.size[1]
    if validation and fingerprint.num_validation:
        largest = fingerprint.largest[0] * fingerprint.largest[1]
        per_image = validation[-1].seconds * pixels / largest
        validation_seconds = fingerprint.num_validation * per_image
    else:
        validation_seconds = 0.0
    if budget and epoch_seconds:
        fitting = int(rounded(max(1.0, _TRAINING_SHARE * budget / epoch_seconds), 2))
        if fitting < epochs:
            epochs = fitting
            reason = (
                f"about as many as fit {choices.given['time']} at {rounded(epoch_seconds):g} s each"
            )
    epochs = choices.pick("epochs", epochs, reason)
    if "time" in choices.given:
        choices.pick("time", None, "")
    if not fingerprint.num_validation:
        return
    share = validation_seconds / max(0.2 * epoch_seconds, 1e-6) if epoch_seconds else 1
    every = max(1, math.ceil(share), epochs // 40)
    every = min(2 ** math.ceil(math.log2(every)), epochs)
    every = choices.pick(
        "validate_every",
        every,
        f"a validation takes about {rounded(validation_seconds):g} s, an epoch "
        f"{rounded(epoch_seconds):g} s"
        if validation_seconds
        else "the time of a validation is not known",
    )
    patience = max(10, -(-epochs // 3), 3 * every)
    choices.pick(
        "patience",
        int(patience) if patience < epochs else None,
        f"a third of {epochs} epochs without a better network are an end"
        if patience < epochs
        else f"{epochs} epochs are too few to stop early",
    )


def _pretrained_factor(given: Mapping[str, Any], num_images: int) -> tuple[float, str]:
    if given.get("backbone_weights") == "none" and not (
        given.get("init") or given.get("init_streams")
    ):
        return 1.0, "no layer is pretrained"
    if num_images < 300:
        return 0.3, f"{num_images} images are few: pretrained features should change less"
    return 1.0, f"{num_images} images are enough to train all layers alike"


def _choose_optimizer(choices: _Choices, fingerprint: Fingerprint, trial: Trial) -> None:
    choices.pick("optimizer", "adamw", "its steps do not depend on the scale of the loss")
    update = choices["batch_size"] * choices["gradient_accumulation_steps"]
    choices.pick(
        "learning_rate",
        rounded(1e-3 * math.sqrt(update / 8)),
        f"1e-3 for updates of 8 images, and as the root of their number: {update}",
    )
    choices.pick("pretrained_factor", *_pretrained_factor(choices.given, fingerprint.num_images))
    updates = _updates(choices, fingerprint, trial)
    warmup = int(rounded(min(100, updates // 20)))
    choices.pick("warmup_steps", warmup, f"a twentieth of {updates:,} updates, at most 100")
    has_average = updates >= 200
    choices.pick(
        "ema_decay",
        0.99 if has_average else None,
        "the average of about 100 updates is usually better than the last"
        if has_average
        else f"{updates} updates are too few for an average",
    )
    measures = has_average and not choices["freeze_batchnorm"]
    choices.pick(
        "batchnorm_batches",
        16 if measures else 0,
        "averaged weights need statistics of their own"
        if measures
        else "there is nothing to measure",
    )


def _updates(choices: _Choices, fingerprint: Fingerprint, trial: Trial) -> int:
    """Returns the updates of the whole training, or those that fit its time."""
    steps = choices["epochs"] * max(1, fingerprint.num_images // choices["batch_size"])
    budget = RunConfig(time=choices.given.get("time")).seconds
    if budget and trial.seconds:
        steps = min(steps, math.ceil(_TRAINING_SHARE * budget / trial.seconds))
    return int(max(1, steps // choices["gradient_accumulation_steps"]))


def _warnings(fingerprint: Fingerprint, probe: Probe) -> tuple[str, ...]:
    found = []
    if fingerprint.num_duplicates:
        found.append(
            f"{fingerprint.num_duplicates} of {fingerprint.num_read} training images that were "
            "looked at are copies of others."
        )
    failed = [one for one in probe.trials_of("validate") if one.failure]
    if failed and failed[-1] is probe.trials_of("validate")[-1]:
        height, width = failed[-1].size
        found.append(
            f"An image of {height}x{width} pixels, the largest, does not fit the memory in one "
            f"piece ({failed[-1].failure}): validation will fail. Make the images smaller, or give "
            "more by --memory."
        )
    absent = [one.name for ones in fingerprint.classes.values() for one in ones if not one.share]
    if absent:
        found.append(f"No training image that was looked at contains {', '.join(absent)}.")
    return tuple(found)
