"""From one network's weights to another's: 32s to 16s to 8s, to other classes, to two streams."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_fcn.files import first_line
from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.weights.adapt import extend_input_channels
from keras_fcn.weights.comparison import (
    Difference,
    compare,
    described,
    has_skip,
    is_numbered,
    normalizations_of,
)
from keras_fcn.weights.finite import check_finite

# What `transfer` is for: settings of the source that the target need not have.
_CHANGED_ON_PURPOSE = ("num_classes", "labels", "stride")
# Another placement of the same features; every file of the reference has only one of the two.
_PLACEMENT = ("geometry", "border")


@dataclass(frozen=True)
class TransferReport:
    """What `transfer` did, in names of the target's layers.

    Args:
        copied: Layers that got all their weights.
        adapted: Layers that got those of the classes both networks have, that were extended for
            further channels, or that contain the factor by which the source scales the skip.
        new: Layers that kept their own weights; skips start at zero.
        unused: Layers of the source that have no counterpart.
        classes: Head to classes, for heads whose classes differ.
        changes: What the target computes differently, on purpose.
    """

    copied: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    classes: Mapping[str, "ClassTransfer"] = field(default_factory=dict)
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


@dataclass(frozen=True)
class ClassTransfer:
    """Which classes of a head came from the source.

    Args:
        classes: Name of each class of the target, and whether it was kept.
        left_out: Classes of the source that the target lacks.
        by_index: Whether classes were matched by their numbers, because one network has no names.
    """

    classes: tuple[tuple[str, bool], ...]
    left_out: tuple[str, ...] = ()
    by_index: bool = False

    def __str__(self) -> str:
        parts = [f"{name} {'kept' if is_kept else 'new'}" for name, is_kept in self.classes]
        parts += [f"{name} left out" for name in self.left_out]
        return ", ".join(parts) + (" (by number, for want of names)" if self.by_index else "")


def transfer(
    source: keras.Model, target: keras.Model, *, changes: Collection[str] = ()
) -> TransferReport:
    """Copies weights from `source` to `target` wherever layers have the same name and shape.

    Between the stages of the paper nothing else is needed: the score layers of
    the new skips are zero, and new upsampling is bilinear, so FCN-16s starts as
    the FCN-32s it came from. Where both networks name their classes, score layers keep those
    that both have, by name, else by number; new classes keep the target's initial weights. A
    network for further channels, such as depth, starts with their mean over the colors,
    see `extend_input_channels`. Where only one of two networks scales its skips, as FCN-8s
    at-once does, their score layers are multiplied by the factor.

    A target whose backbone names no mean gets that of the source. In all other settings that
    change what a network computes the two must agree, see `keras_fcn.weights.comparison`.

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
    told = _allowed_differences(source, target, changes)
    _check_shapes(source, target)
    told += _adopt_means([source], target)
    sources = dict(_layers_with_weights(source))
    targets = dict(_layers_with_weights(target))
    channels = source.input_shape[-1], target.input_shape[-1]
    factors = _skip_factors(source, target)
    copied: list[str] = []
    adapted: list[str] = []
    for name, layer in targets.items():
        if name not in sources:
            continue
        old, new = sources[name].get_weights(), layer.get_weights()
        classes = _common_classes(*_labels_of(source, target, name))
        if name in factors:
            old = [old[0] * factors[name], *old[1:]]
        if not _same_shapes(old, new) and not _scores_classes(name):
            layer.set_weights([extend_input_channels(old[0], channels[1]), *old[1:]])
            adapted.append(name)
        elif _scores_classes(name) and not classes.is_identity:
            layer.set_weights(
                [_merge_classes(name, o, n, classes) for o, n in zip(old, new, strict=True)]
            )
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
        _classes_by_head(source, target),
        tuple(told),
    )


def fuse_streams(target: keras.Model, sources: Mapping[str, keras.Model]) -> TransferReport:
    """Fills a network with late fusion with networks that were trained on one modality each.

    The upsampling of the sums keeps its weights, which are bilinear at first. A target whose
    backbone names no mean gets those of the sources.

    Args:
        target: Built with `modalities=("rgb", "hha"), fusion="late"`, for example.
        sources: Modality to network, built with the same arguments otherwise.

    Returns:
        What was copied and what was not.

    Raises:
        ValueError: If a source takes another modality, has other classes or differs in a setting
            that changes what it computes, if a layer of a stream has no counterpart of its
            shape, or if a weight is NaN or infinite.

    Example:
        >>> rgb, hha = (FCN32s(40, modalities=(m,)) for m in ("rgb", "hha"))  # doctest: +SKIP
        >>> model = FCN32s(40, modalities=("rgb", "hha"), fusion="late")  # doctest: +SKIP
        >>> fuse_streams(model, {"rgb": rgb, "hha": hha})  # doctest: +SKIP
    """
    told = []
    for modality, source in sources.items():
        check_finite(source, f"The network {source.name!r} for the modality {modality!r}")
        told += _allowed_stream_differences(source, target, modality)
    targets = {layer.name: layer for layer in target.layers}
    pairs, unused = [], []
    for modality, source in sources.items():
        for layer in source.layers:
            twin = targets.get(layer.name + modality)
            old = layer.get_weights()
            if twin is None and layer.name.startswith("upscore"):
                unused.append(f"{layer.name} of {modality}")
                continue
            new = [] if twin is None else twin.get_weights()
            if not _same_shapes(old, new):
                raise ValueError(
                    f"{target.name!r} must have a layer {layer.name + modality!r} like the "
                    f"{layer.name!r} of {source.name!r}. Received: {[w.shape for w in new]} for "
                    f"{[w.shape for w in old]}. Build both with the same arguments but "
                    "`modalities` and `fusion`."
                )
            if twin is not None and old:
                pairs.append((twin, old))
    told += _adopt_means(sources.values(), target)
    for twin, old in pairs:
        twin.set_weights(old)
    copied = {twin.name for twin, _ in pairs}
    new_layers = [layer.name for layer in target.layers if layer.weights]
    return TransferReport(
        copied=tuple(copied),
        new=tuple(name for name in new_layers if name not in copied),
        unused=tuple(unused),
        changes=tuple(dict.fromkeys(told)),
    )


def load_model_weights(model: keras.Model, path: str | Path) -> None:
    """Fills a whole network from a file of one like it.

    A network whose backbone names no mean gets that of the file. Of a `.weights.h5` file only
    the order and the shapes of the weights can be compared, because it contains no settings.

    Args:
        model: The network to fill.
        path: A `.keras` or `.weights.h5` file.

    Raises:
        ValueError: If the file does not fit, was saved by a network that computes something
            else, leaves a layer without weights, or contains NaN or infinity.
    """
    path = Path(path)
    if path.suffix == ".keras":
        # Imported here, because the networks of that package import this one.
        from keras_fcn.prediction import load_model

        source = load_model(path)
        check_finite(source, str(path))
        _check_equal(source, model, path)
        report = transfer(source, model)
        if report.adapted or report.new:
            raise ValueError(
                f"{path} must contain all layers of {model.name!r} with its classes. Missing or of "
                f"other classes: {', '.join((*report.adapted, *report.new))}. To start from "
                "a network that differs, use keras_fcn.weights.transfer."
            )
        return
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that the file does not contain.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except (ValueError, KeyError, OSError, UserWarning) as error:
        raise ValueError(
            f"{path} does not contain the weights of {model.name!r}: {first_line(error)} "
            "Expected a .keras or .weights.h5 file of a network with the same arguments."
        ) from error
    check_finite(model, str(path))
    warnings.warn(
        f"{path} contains no settings: only the order and the shapes of its weights were compared "
        f"with {model.name!r}. Whether it was saved with the same classes, skip_scales, "
        "modalities, geometry, normalization and mean cannot be checked. A .keras file contains "
        "them.",
        stacklevel=2,
    )


def _check_equal(source: keras.Model, model: keras.Model, path: Path) -> None:
    """Raises ValueError if the network of a file computes something else than one to fill."""
    differences = [d for d in compare(source, model) if not _is_adopted(d, model)]
    placed = [d for d in differences if d.name in _PLACEMENT]
    refused = [d for d in differences if d.name not in _PLACEMENT]
    if refused:
        raise ValueError(
            f"{path} contains a network that computes something else than {model.name!r}, which "
            f"is unchanged. They differ in:\n{described(refused)} "
            "keras_fcn.prediction.load_model opens the file as it is; to start training from a "
            "network that differs, use keras_fcn.weights.transfer."
        )
    if placed:
        warnings.warn(
            f"{path} contains a network that places its features otherwise, so logits differ a "
            f"little: {'; '.join(map(str, placed))}.",
            stacklevel=2,
        )


def _allowed_differences(
    source: keras.Model, target: keras.Model, changes: Collection[str]
) -> list[str]:
    """Returns what the target computes differently on purpose; raises ValueError for the rest."""
    differences = [d for d in compare(source, target) if not _is_adopted(d, target)]
    if not differences:
        return []
    allowed = {*_CHANGED_ON_PURPOSE, *_PLACEMENT, *changes}
    if _can_scale(source, target):
        allowed.add("skip_scales")
    if _is_extended(source, target):
        allowed |= {"modalities", "input_shape"}
    refused = [d for d in differences if d.name not in allowed]
    if refused:
        names = tuple(dict.fromkeys(d.name for d in refused))
        raise ValueError(
            f"{target.name!r} must compute the same as {source.name!r}, from which it is to "
            f"start, but for classes, stride and skips. They differ in:\n{described(refused)} "
            "If training shall make up for the difference, call keras_fcn.weights.transfer with "
            f"changes={names!r}."
        )
    return [str(d) for d in differences if d.name not in ("num_classes", "labels")]


def _allowed_stream_differences(
    source: keras.Model, target: keras.Model, modality: str
) -> list[str]:
    """Returns what a stream computes differently on purpose; raises ValueError for the rest."""
    differences = [
        d
        for d in compare(source, target)
        if d.name not in ("modalities", "fusion") and not _is_adopted(d, target)
    ]
    taken = getattr(source, "modalities", ()) or (modality if modality == "rgb" else "RGB",)
    if isinstance(getattr(source, "heads", None), Heads) and tuple(taken) != (modality,):
        raise ValueError(
            f"The network for the modality {modality!r} must take it alone. Received: "
            f"{source.name!r}, which takes {', '.join(taken)}."
        )
    refused = [d for d in differences if d.name not in _PLACEMENT]
    if refused:
        raise ValueError(
            f"The network for the modality {modality!r} must compute the same as its stream of "
            f"{target.name!r}. They differ in:\n{described(refused)}"
        )
    return [str(d) for d in differences]


def _is_adopted(difference: Difference, target: Any) -> bool:
    return difference.name == "mean" and target.backbone.mean is None


def _adopt_means(sources: Iterable[Any], target: Any) -> list[str]:
    """Gives a network that names no mean those of its sources; returns what changed."""
    if getattr(target, "backbone", None) is None or target.backbone.mean is not None:
        return []
    layers = normalizations_of(target)
    means = {name: layer.mean for name, layer in layers.items()}
    told = []
    for source in sources:
        if not isinstance(getattr(source, "heads", None), Heads):
            continue
        for name, layer in normalizations_of(source).items():
            if name in means and layer.mode == layers[name].mode and layer.mean != means[name]:
                means[name] = layer.mean
                if layer.mode in ("caffe", "log"):
                    values = ", ".join(f"{value:g}" for value in layer.mean)
                    told.append(f"mean of {name}: that of the source, {values}")
    if told:
        target.set_mean([value for mean in means.values() for value in mean])
    return told


def _can_scale(source: Any, target: Any) -> bool:
    """Returns whether a factor on a skip can be a factor on the weights of its score layer."""
    return source.skip_filters == target.skip_filters == 0


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
    """Returns whether the target takes the modalities of the source, and then further ones."""
    ours, theirs = tuple(normalizations_of(source)), tuple(normalizations_of(target))
    return len(ours) < len(theirs) and theirs[: len(ours)] == ours and target.fusion == "early"


def _check_shapes(source: keras.Model, target: keras.Model) -> None:
    """Raises ValueError unless layers of the same name fit, and there are some."""
    sources = dict(_layers_with_weights(source))
    channels = source.input_shape[-1], target.input_shape[-1]
    common = [(n, layer) for n, layer in _layers_with_weights(target) if n in sources]
    for name, layer in common:
        old, new = sources[name].get_weights(), layer.get_weights()
        fits = _same_shapes(old, new) or _differ_in_channels_only(old, new, channels)
        if not fits and not (_scores_classes(name) and _differ_in_classes_only(old, new)):
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


def _same_shapes(old: list[np.ndarray], new: list[np.ndarray]) -> bool:
    return [w.shape for w in old] == [w.shape for w in new]


def _scores_classes(layer_name: str) -> bool:
    return layer_name.startswith(("score", "upscore"))


def _differ_in_classes_only(old: list[np.ndarray], new: list[np.ndarray]) -> bool:
    # A 1x1 score layer has its classes on the last axis, a transposed convolution on the last
    # two.
    return all(
        o.ndim == n.ndim and (o.ndim < 4 or o.shape[0] > 1 or o.shape[:3] == n.shape[:3])
        for o, n in zip(old, new, strict=True)
    )


def _differ_in_channels_only(
    old: list[np.ndarray], new: list[np.ndarray], channels: tuple[int, int]
) -> bool:
    """Whether these are a first convolution over colors and one over more channels."""
    kernels = old[0].shape, new[0].shape
    return (
        channels[0] < channels[1]
        and [w.shape for w in old[1:]] == [w.shape for w in new[1:]]
        and [len(shape) for shape in kernels] == [4, 4]
        and tuple(shape[2] for shape in kernels) == channels
        and kernels[0][:2] + kernels[0][3:] == kernels[1][:2] + kernels[1][3:]
    )


def _labels_of(
    source: keras.Model, target: keras.Model, layer_name: str
) -> tuple[LabelSpec | None, LabelSpec | None]:
    """Returns the labels of the head that a layer belongs to, where they are known."""
    ours, theirs = getattr(source, "heads", None), getattr(target, "heads", None)
    if not (isinstance(ours, Heads) and isinstance(theirs, Heads)):
        return None, None
    if layer_name.startswith("score"):  # the sums of the streams are upsampled
        for stream in getattr(target, "streams", ("",)):
            layer_name = layer_name.removesuffix(stream)
    # No name of a head ends with another one's, see `Heads`.
    for head in theirs:
        if head in ours and layer_name.endswith(theirs.suffix(head)):
            return ours[head], theirs[head]
    return None, None


@dataclass(frozen=True)
class _CommonClasses:
    """Indices of the classes that two networks have in common, in the source and in the target."""

    sources: list[int]
    targets: list[int]
    is_identity: bool
    by_index: bool = False


def _common_classes(old: LabelSpec | None, new: LabelSpec | None) -> _CommonClasses:
    if old is None or new is None:
        return _CommonClasses([], [], is_identity=True)
    by_index = is_numbered(old) or is_numbered(new)
    if by_index:
        sources = targets = list(range(min(old.num_classes, new.num_classes)))
    else:
        names = [name for name in new.class_names if name in old.class_names]
        sources = [old.class_names.index(name) for name in names]
        targets = [new.class_names.index(name) for name in names]
    is_identity = sources == targets and len(sources) == old.num_classes == new.num_classes
    return _CommonClasses(sources, targets, is_identity, by_index)


def _classes_by_head(source: keras.Model, target: keras.Model) -> dict[str, ClassTransfer]:
    """Returns for heads whose classes differ which of them are kept."""
    ours, theirs = getattr(source, "heads", None), getattr(target, "heads", None)
    if not (isinstance(ours, Heads) and isinstance(theirs, Heads)):
        return {}
    found = {}
    for head, spec in theirs.items():
        if head not in ours:
            continue
        common = _common_classes(ours[head], spec)
        if not common.is_identity:
            found[head] = ClassTransfer(
                tuple((name, i in common.targets) for i, name in enumerate(spec.class_names)),
                tuple(n for i, n in enumerate(ours[head].class_names) if i not in common.sources),
                common.by_index,
            )
    return found


def _merge_classes(
    layer_name: str, old: np.ndarray, new: np.ndarray, classes: _CommonClasses
) -> np.ndarray:
    """Returns `new` with the common classes from `old`."""
    merged = new.copy()
    sources, targets = classes.sources, classes.targets
    if layer_name.startswith("upscore"):  # a transposed convolution: height, width, out, in
        rows, columns = np.ix_(targets, targets)
        merged[:, :, rows, columns] = old[:, :, sources][..., sources]
    else:
        merged[..., targets] = old[..., sources]
    return merged
