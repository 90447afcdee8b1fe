"""From one network's weights to another's: 32s to 16s to 8s, to other classes, to more channels."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_fcn.labels import Heads
from keras_fcn.weights.adapt import extend_input_channels, widen_to_bands
from keras_fcn.weights.classes import (
    ClassMatch,
    match_heads,
    match_of_layer,
    merge_classes,
)
from keras_fcn.weights.comparison import (
    PLACEMENT,
    UNNAMED,
    check_same,
    has_skip,
    normalizations_of,
)
from keras_fcn.weights.finite import check_finite

# What `transfer` is for: settings of the source that the target need not have.
_CHANGED_ON_PURPOSE = ("num_classes", "labels", "stride")


@dataclass(frozen=True)
class TransferReport:
    """What `transfer` did, in names of the target's layers.

    Args:
        copied: Layers that got all their weights.
        adapted: Layers that got those of the classes both networks have, that were extended for
            further channels, or that contain the factor by which the source scales the skip.
        new: Layers that kept their own weights; skips start at zero.
        unused: Layers of the source that have no counterpart.
        classes: Head to its classes, which are kept or new, for heads whose classes differ.
        changes: What the target computes differently, on purpose.
    """

    copied: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    classes: Mapping[str, ClassMatch] = field(default_factory=dict)
    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{len(self.copied)} layers copied"]
        for label in ("adapted", "new", "unused"):
            names = getattr(self, label)
            if names:
                parts.append(f"{label}: {', '.join(names)}")
        for head, classes in self.classes.items():
            of_head = "" if head == Heads.ONLY else f" of {head}"
            parts.append(f"classes{of_head}: {classes}")
        parts += self.changes
        return "; ".join(parts)


def transfer(
    source: keras.Model, target: keras.Model, *, changes: Collection[str] = ()
) -> TransferReport:
    """Copies weights from `source` to `target` wherever layers have the same name and shape.

    Between the stages of the paper nothing else is needed: the score layers of
    the new skips are zero, and new upsampling is bilinear, so FCN-16s starts as
    the FCN-32s it came from. Where both networks name their classes, score layers keep those
    that both have, by name, else by number; new classes keep the target's initial weights. A
    network for further channels, such as depth, starts with their mean over the colors,
    see `extend_input_channels`; one for standardized bands, from colors, with what
    `widen_to_bands` makes of them. Where only one of two networks scales its skips, as FCN-8s
    at-once does, their score layers are multiplied by the factor.

    A target whose backbone names no mean gets that of the source. Standardized bands keep the
    mean and deviation of the target. In all other settings that change what a network computes
    the two must agree, see `keras_fcn.weights.comparison`.

    Args:
        source: A trained network.
        target: The network to fill.
        changes: Settings that may differ all the same, for training to make up for it, such as
            `("normalization",)`.

    Returns:
        What was copied and what was not, and in which settings the two differ.

    Raises:
        ValueError: If no layer fits, a layer other than a score layer has another shape, the
            two compute something else, or a weight of the source is NaN or infinite.

    Reference:
        Long, Shelhamer and Darrell, CVPR 2015, section 4.2; `transplant` and
        `expand_score` of its code.
    """
    check_finite(source, f"The network {source.name!r} to start from")
    changed = _changed_on_purpose(source, target, changes)
    matches = match_heads(source, target)
    _check_shapes(source, target, matches)
    changed += adopt_means([source], target)
    sources = dict(_layers_with_weights(source))
    targets = dict(_layers_with_weights(target))
    factors = _skip_factors(source, target)
    copied: list[str] = []
    adapted: list[str] = []
    for name, layer in targets.items():
        if name not in sources:
            continue
        old, new = sources[name].get_weights(), layer.get_weights()
        classes = match_of_layer(name, matches, target)
        if name in factors:
            old = [old[0] * factors[name], *old[1:]]
        if classes and not classes.is_identity:
            layer.set_weights(
                [merge_classes(name, o, n, classes) for o, n in zip(old, new, strict=True)]
            )
            adapted.append(name)
        elif not same_shapes(old, new):
            layer.set_weights([_for_channels(old[0], source, target), *old[1:]])
            adapted.append(name)
        else:
            layer.set_weights(old)
            (adapted if name in factors else copied).append(name)
    done = {*copied, *adapted}
    return TransferReport(
        tuple(copied),
        tuple(adapted),
        tuple(name for name in targets if name not in done),
        tuple(name for name in sources if name not in done),
        {head: match for head, match in matches.items() if not match.is_identity},
        tuple(changed),
    )


def adopt_means(sources: Iterable[Any], target: Any) -> list[str]:
    """Gives a network that names no mean those of its sources; returns what changed."""
    if getattr(target, "backbone", None) is None or target.backbone.mean is not None:
        return []
    layers = normalizations_of(target)
    means = {name: layer.mean for name, layer in layers.items()}
    changed = []
    for source in sources:
        if not isinstance(getattr(source, "heads", None), Heads):
            continue
        for name, layer in normalizations_of(source).items():
            if name in means and layer.mode == layers[name].mode and layer.mean != means[name]:
                means[name] = layer.mean
                if layer.mode in ("caffe", "log"):
                    values = ", ".join(f"{value:g}" for value in layer.mean)
                    changed.append(f"mean of {name}: that of the source, {values}")
    if changed:
        target.set_mean([value for mean in means.values() for value in mean])
    return changed


def _changed_on_purpose(source: Any, target: Any, changes: Collection[str]) -> list[str]:
    """Returns what the target computes differently on purpose; raises ValueError for the rest."""
    allowed = {*_CHANGED_ON_PURPOSE, *PLACEMENT, *changes}
    if getattr(source, "skip_filters", None) == getattr(target, "skip_filters", None) == 0:
        allowed.add("skip_scales")  # of which the weights of the score layers can take account
    if _is_extended(source, target):
        allowed |= {"modalities", "input_shape"}
    if _is_widened(source, target):
        allowed |= {"modalities", "input_shape", "normalization"}
    if _standardizes(source) and _standardizes(target):
        allowed |= {"mean", "deviation"}  # bands of either are about zero, deviation 1
    differences = check_same(
        source,
        target,
        allowed=allowed,
        refusal=f"The network to start from, {source.name!r}, must compute the same as "
        f"{target.name!r} but for classes, stride and skips.",
        way_out="If training shall make up for the difference, call keras_fcn.weights.transfer "
        "with changes={names!r}.",
    )
    return [str(d) for d in differences if d.name not in ("num_classes", "labels")]


def _skip_factors(source: Any, target: Any) -> dict[str, float]:
    """Returns the factors by which score layers of skips are multiplied, by layer."""
    if not hasattr(source, "skip_scales") or not hasattr(target, "skip_scales"):
        return {}
    return {
        f"score_{pool}{target.heads.suffix(head)}{stream}": old / new
        for pool, old, new in zip(
            ("pool4", "pool3"), source.skip_scales, target.skip_scales, strict=True
        )
        if old != new and has_skip(source, pool) and has_skip(target, pool)
        for head in target.heads
        for stream in target.streams
    }


def _is_extended(source: Any, target: Any) -> bool:
    """Returns whether the target takes the channels of the source, and then further ones."""
    if getattr(target, "fusion", None) != "early" or not isinstance(
        getattr(source, "heads", None), Heads
    ):
        return False
    ours, theirs = tuple(normalizations_of(source)), tuple(normalizations_of(target))
    if theirs == (UNNAMED,):
        return len(ours) == 1 and bool(source.input_shape[-1] < target.input_shape[-1])
    return len(ours) < len(theirs) and theirs[: len(ours)] == ours


def _is_widened(source: Any, target: Any) -> bool:
    """Returns whether the target takes standardized bands in place of the colors of the source."""
    return (
        _standardizes(target)
        and isinstance(getattr(source, "heads", None), Heads)
        and tuple(normalizations_of(source)) == ("rgb",)
        and tuple(normalizations_of(target)) == (UNNAMED,)
    )


def _check_shapes(source: keras.Model, target: keras.Model, matches: dict[str, ClassMatch]) -> None:
    """Raises ValueError unless layers of the same name fit, and there are some."""
    sources = dict(_layers_with_weights(source))
    channels = source.input_shape[-1], target.input_shape[-1]
    has_bands = _standardizes(target)
    common = [(n, layer) for n, layer in _layers_with_weights(target) if n in sources]
    for name, layer in common:
        old, new = sources[name].get_weights(), layer.get_weights()
        fits = same_shapes(old, new) or _differ_in_channels_only(old, new, channels, has_bands)
        if match_of_layer(name, matches, target):
            fits = fits or _differ_in_classes_only(old, new)
        if not fits:
            raise ValueError(
                f"The layer {name!r} must have the same shape in both networks. Received: "
                f"{[w.shape for w in old]} in {source.name!r}, {[w.shape for w in new]} in "
                f"{target.name!r}. Build both with the same backbone, alpha and fc_filters."
            )
    if not common:
        raise ValueError(
            f"{source.name!r} and {target.name!r} have no layer in common. "
            "Start from a network with the same backbone."
        )


def _layers_with_weights(model: keras.Model) -> Iterator[tuple[str, Any]]:
    num_inner = sum(isinstance(layer, keras.Model) for layer in model.layers)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            # Layers of two streams have the same names, their backbones have not.
            stream = f"{layer.name}/" if num_inner > 1 else ""
            for name, inner in _layers_with_weights(layer):
                yield stream + name, inner
        elif layer.weights:
            yield layer.name, layer


def same_shapes(old: list[np.ndarray], new: list[np.ndarray]) -> bool:
    """Returns whether two lists of weights have the same shapes."""
    return [w.shape for w in old] == [w.shape for w in new]


def _differ_in_classes_only(old: list[np.ndarray], new: list[np.ndarray]) -> bool:
    # A 1x1 score layer has its classes on the last axis, a transposed convolution on the last
    # two.
    return all(
        o.ndim == n.ndim and (o.ndim < 4 or o.shape[0] > 1 or o.shape[:3] == n.shape[:3])
        for o, n in zip(old, new, strict=True)
    )


def _standardizes(model: keras.Model) -> bool:
    """Whether a network takes standardized bands."""
    backbone = getattr(model, "backbone", None)
    return backbone is not None and backbone.normalization == "standardize"


def _for_channels(kernel: np.ndarray, source: keras.Model, target: keras.Model) -> np.ndarray:
    """Returns a first convolution of the source for the channels of the target."""
    backbone = getattr(source, "backbone", None)
    num_channels = target.input_shape[-1]
    if backbone is not None and source.input_shape[-1] == 3 and _standardizes(target):
        trained_with = backbone.normalization or backbone.trained_with
        return widen_to_bands(kernel, num_channels, trained_with)
    return extend_input_channels(kernel, num_channels)


def _differ_in_channels_only(
    old: list[np.ndarray], new: list[np.ndarray], channels: tuple[int, int], has_bands: bool
) -> bool:
    """Whether these are a first convolution over colors and one over more channels, or bands."""
    kernels = old[0].shape, new[0].shape
    return (
        (channels[0] < channels[1] or (channels[0] == 3 != channels[1] and has_bands))
        and same_shapes(old[1:], new[1:])
        and [len(shape) for shape in kernels] == [4, 4]
        and tuple(shape[2] for shape in kernels) == channels
        and kernels[0][:2] + kernels[0][3:] == kernels[1][:2] + kernels[1][3:]
    )
