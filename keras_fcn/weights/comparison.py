"""What two networks compute differently although the same weights may fit both.

Weights alone do not determine what a network computes: the settings listed here change it too,
and most of them without changing the shape of any weight. `compare` is asked wherever weights
move from one network to another.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_fcn.labels import Heads
from keras_fcn.layers import ImageNormalization
from keras_fcn.weights.classes import is_numbered

if TYPE_CHECKING:
    from keras_fcn.models import FCN

# Settings that place the same features otherwise; files of the reference fit networks with either.
PLACEMENT = ("geometry", "border")
# What `normalizations_of` calls channels that have no names.
UNNAMED = "channels"
# Settings of a backbone that change training only, and those that are compared by the layers.
_NOT_COMPARED = (
    *("weights", "dropout", "kernel_initializer", "model"),
    *("normalization", "mean", "deviation"),
)
# Parts of the configuration of a layer that do not change what it computes.
_INERT = (
    *("name", "dtype", "trainable", "batch_shape", "batch_input_shape", "build_config", "seed"),
    *("rate", "momentum", "inbound_nodes", "input_layers", "output_layers", "registered_name"),
)
_POOLS = {"pool4": 16, "pool3": 8, "pool2": 4}  # the coarsest stride of a network that scores it


@dataclass(frozen=True)
class Difference:
    """A setting in which two networks differ.

    Args:
        setting: Its name, an argument of `FCN` or of the backbone.
        source: Its value in the network that the weights come from.
        target: Its value in the network that they are for.
        of_backbone: Whether it is an argument of the backbone.
    """

    setting: str
    source: Any
    target: Any
    of_backbone: bool = False

    @property
    def name(self) -> str:
        """The argument: `mean` where the setting is `mean of rgb`."""
        return re.split("[ ,]", self.setting)[0]

    def __str__(self) -> str:
        return f"{self.setting}: {self.source!r} there, {self.target!r} here"


def compare(source: keras.Model, target: keras.Model) -> list[Difference]:
    """Returns the settings in which two networks differ, of all that change what they compute.

    These are the classes, the stride, the skips, the upsampling kernels, the modalities and
    their fusion, the normalization, the mean and the deviation of each modality, and the backbone
    with its settings. Initializers, dropout, the precision and which weights are trained are not
    among them.

    Args:
        source: The network that weights come from.
        target: The network that they are for. Models that are no `FCN` have no settings to
            compare.
    """
    from keras_fcn.models import FCN  # which imports this package

    if not (isinstance(source, FCN) and isinstance(target, FCN)):
        return []
    pairs = [
        Difference("num_classes", source.num_classes, target.num_classes),
        *_classes(source.heads, target.heads),
        Difference("stride", source.stride, target.stride),
        *_skips(source, target),
        Difference("upsampling_kernel", source.upsampling_kernel, target.upsampling_kernel),
        *_inputs(source, target),
        *_backbones(source, target),
        *_normalizations(source, target),
    ]
    return [pair for pair in pairs if not _equal(pair.source, pair.target)]


def check_same(
    source: keras.Model,
    target: keras.Model,
    *,
    allowed: Collection[str],
    refusal: str,
    way_out: str = "",
) -> list[Difference]:
    """Raises ValueError if two networks differ in other settings than those that are allowed.

    Args:
        source: The network that weights come from.
        target: The network that they are for. One whose backbone names no mean may get that of the
            source, so that a difference in the mean is none.
        allowed: Names of settings that may differ.
        refusal: What must be the same, for the message.
        way_out: What to do, for the message; `{names!r}` in it are the settings that differ.

    Returns:
        The differences that are allowed.
    """
    names_mean = getattr(getattr(target, "backbone", None), "mean", None) is not None
    differences = [d for d in compare(source, target) if names_mean or d.name != "mean"]
    if refused := [d for d in differences if d.name not in allowed]:
        names = tuple(dict.fromkeys(d.name for d in refused))
        lines = "\n".join(f"  {difference}" for difference in refused)
        arguments = ", ".join(
            f"{d.setting}={d.source!r}{' in its backbone' if d.of_backbone else ''}"
            for d in refused
        )
        raise ValueError(
            f"{refusal} They differ in:\n{lines}\nThe network that fits has {arguments}."
            + f" {way_out}".rstrip().format(names=names)
        )
    return differences


def normalizations_of(model: "FCN") -> dict[str, ImageNormalization]:
    """Returns the layer that normalizes each modality; three channels without a name are RGB."""
    layers = [layer for layer in model.layers if isinstance(layer, ImageNormalization)]
    names = model.modalities or ("rgb" if model.input_shape[-1] == 3 else UNNAMED,)
    return dict(zip(names, layers, strict=True))


def has_skip(model: "FCN", pool: str) -> bool:
    """Returns whether a network scores `"pool4"`, `"pool3"` or `"pool2"`."""
    return model.stride <= _POOLS[pool]


def _classes(source: Heads, target: Heads) -> list[Difference]:
    """Returns the class names of the heads that both networks have, where both have names."""
    return [
        Difference(
            f"labels of {head!r}" if target.is_named else "labels",
            _Names(source[head].class_names),
            _Names(spec.class_names),
        )
        for head, spec in target.items()
        if head in source and not is_numbered(spec) and not is_numbered(source[head])
    ]


class _Names(tuple[str, ...]):
    """Class names, of which a message shows the first ones."""

    def __repr__(self) -> str:
        return f"({', '.join(self[:8])}{', ...' if len(self) > 8 else ''})"


def _skips(source: "FCN", target: "FCN") -> list[Difference]:
    """Returns how the skips that both networks have are scored."""
    common = [pool for pool in _POOLS if has_skip(source, pool) and has_skip(target, pool)]
    if not common:
        return []
    number = len(common)
    return [
        Difference("skip_filters", source.skip_filters, target.skip_filters),
        *(
            []
            if source.skip_scales[:number] == target.skip_scales[:number]
            else [Difference("skip_scales", source.skip_scales, target.skip_scales)]
        ),
    ]


def _inputs(source: "FCN", target: "FCN") -> list[Difference]:
    ours, theirs = (tuple(normalizations_of(model)) for model in (source, target))
    is_unnamed = UNNAMED in (*ours, *theirs)
    pairs = [Difference("modalities", source.modalities, target.modalities)]
    if not is_unnamed:
        pairs = [Difference("modalities", ours, theirs)]
    if is_unnamed or ours == theirs:
        old, new = ((None, None, model.input_shape[-1]) for model in (source, target))
        pairs.append(Difference("input_shape", old, new))
    if len(ours) > 1 and len(theirs) > 1:
        pairs.append(Difference("fusion", source.fusion, target.fusion))
    return pairs


def _backbones(source: "FCN", target: "FCN") -> list[Difference]:
    ours, theirs = source.backbone, target.backbone
    if type(ours) is not type(theirs):
        return [Difference("backbone", ours.name, theirs.name)]
    names = [field.name for field in fields(ours) if field.name not in _NOT_COMPARED]
    settings = [{name: getattr(backbone, name) for name in names} for backbone in (ours, theirs)]
    if "taps" in names and (source.stride, target.stride) != (4, 4):
        for values in settings:  # without the tap at stride 4, which one of them does not use
            values["taps"] = values["taps"][-3:]
    pairs = [Difference(n, settings[0][n], settings[1][n], of_backbone=True) for n in names]
    models = [getattr(backbone, "model", None) for backbone in (ours, theirs)]
    if isinstance(models[0], keras.Model) and isinstance(models[1], keras.Model):
        pairs += _layers(*models)
    return pairs


def _layers(source: keras.Model, target: keras.Model) -> list[Difference]:
    """Returns the layers in which two models of a user differ."""
    if len(source.layers) != len(target.layers):
        old, new = (f"{len(model.layers)} layers" for model in (source, target))
        return [Difference("model", old, new, of_backbone=True)]
    pairs = zip(
        source.layers, target.layers, _connections(source), _connections(target), strict=True
    )
    return [
        Difference(f"model, layer {new.name!r}", _computed_by(old), _computed_by(new), True)
        if _computed_by(old) != _computed_by(new)
        else Difference(f"model, inputs of layer {new.name!r}", before, after, True)
        for old, new, before, after in pairs
    ]


def _computed_by(layer: Any) -> str:
    return f"{type(layer).__name__} {json.dumps(_essential(layer.get_config()), default=str)}"


def _connections(model: keras.Model) -> list[str]:
    """Returns for each layer which layers it takes, by their numbers, since names are inert."""
    numbers = {layer.name: number for number, layer in enumerate(model.layers)}

    def histories(value: Any) -> list[str]:
        if isinstance(value, Mapping):
            if "keras_history" in value:
                name, node, tensor = value["keras_history"]
                return [f"{numbers.get(name, name)}:{node}:{tensor}"]
            value = list(value.values())
        if isinstance(value, list | tuple):
            return [found for item in value for found in histories(item)]
        return []

    layers = model.get_config().get("layers", [])
    by_name = {entry["config"]["name"]: histories(entry.get("inbound_nodes")) for entry in layers}
    return [f"layers {', '.join(by_name.get(layer.name, []))}" for layer in model.layers]


def _essential(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {
            key: _essential(value)
            for key, value in config.items()
            if key not in _INERT and not key.endswith(("initializer", "regularizer", "constraint"))
        }
    return [_essential(value) for value in config] if isinstance(config, list | tuple) else config


def _normalizations(source: "FCN", target: "FCN") -> list[Difference]:
    """Returns the normalization of each modality that both networks take."""
    ours, theirs = normalizations_of(source), normalizations_of(target)
    if UNNAMED in (*ours, *theirs) and len(ours) == len(theirs) == 1:
        ours = dict(zip(theirs, ours.values(), strict=True))
    pairs = []
    for name in ours.keys() & theirs.keys():
        old, new = ours[name], theirs[name]
        of_name = f" of {name}" if len(theirs) > 1 else ""
        pairs.append(Difference(f"normalization{of_name}", old.mode, new.mode, of_backbone=True))
        if old.mode == new.mode and old.mode in ("caffe", "log", "standardize"):
            pairs.append(Difference(f"mean{of_name}", old.mean, new.mean, of_backbone=True))
        if old.mode == new.mode == "standardize":
            pairs.append(Difference("deviation", old.deviation, new.deviation, of_backbone=True))
    return pairs


def _equal(source: Any, target: Any) -> bool:
    if isinstance(source, tuple) and all(isinstance(value, float) for value in source):
        return len(source) == len(target) and np.allclose(source, target, rtol=1e-6, atol=0)
    return bool(source == target)
