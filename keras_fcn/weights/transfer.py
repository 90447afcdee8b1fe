"""From one network's weights to another's: 32s to 16s to 8s, to other classes, to two streams."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_fcn.labels import Heads, LabelSpec
from keras_fcn.weights.adapt import extend_input_channels, widen_to_bands


@dataclass(frozen=True)
class TransferReport:
    """What `transfer` did, in names of the target's layers.

    Args:
        copied: Layers that got all their weights.
        adapted: Layers that got those of the classes both networks have.
        new: Layers that kept their own weights; skips start at zero.
        unused: Layers of the source that have no counterpart.
    """

    copied: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{len(self.copied)} layers copied"]
        for label in ("adapted", "new", "unused"):
            names = getattr(self, label)
            if names:
                parts.append(f"{label}: {', '.join(names)}")
        return "; ".join(parts)


def transfer(source: keras.Model, target: keras.Model) -> TransferReport:
    """Copies weights from `source` to `target` wherever layers have the same name and shape.

    Between the stages of the paper nothing else is needed: the score layers of
    the new skips are zero, and new upsampling is bilinear, so FCN-16s starts as
    the FCN-32s it came from. Where the number of classes differs, score layers
    keep the classes that both have: by name if the networks share names, else
    by index; new classes keep the target's initial weights. A network for
    further channels, such as depth, starts with their mean over the colors,
    see `extend_input_channels`; one for standardized bands, from colors, with what
    `widen_to_bands` makes of them.

    Args:
        source: A trained network.
        target: The network to fill.

    Returns:
        What was copied and what was not.

    Raises:
        ValueError: If no layer fits, or a layer other than a score layer has another shape.

    Reference:
        Long, Shelhamer and Darrell, CVPR 2015, section 4.2; `transplant` and
        `expand_score` of its code.
    """
    sources = dict(_layers_with_weights(source))
    targets = dict(_layers_with_weights(target))
    channels = source.input_shape[-1], target.input_shape[-1]
    copied, adapted = [], []
    for name, layer in targets.items():
        if name not in sources:
            continue
        old, new = sources[name].get_weights(), layer.get_weights()
        classes = _common_classes(_labels_of(source, name), _labels_of(target, name))
        if [w.shape for w in old] == [w.shape for w in new] and not _is_reordered(name, classes):
            layer.set_weights(old)
            copied.append(name)
        elif _scores_classes(name) and _differ_in_classes_only(old, new):
            layer.set_weights(
                [_merge_classes(name, o, n, classes) for o, n in zip(old, new, strict=True)]
            )
            adapted.append(name)
        elif _differ_in_channels_only(old, new, channels, _standardizes(target)):
            layer.set_weights([_for_channels(old[0], source, target), *old[1:]])
            adapted.append(name)
        else:
            raise ValueError(
                f"The layer {name!r} must have the same shape in both networks. Received: "
                f"{[w.shape for w in old]} in {source.name!r}, {[w.shape for w in new]} in "
                f"{target.name!r}. Build both with the same backbone, alpha and fc_filters."
            )
    if not copied and not adapted:
        raise ValueError(
            f"{source.name!r} and {target.name!r} have no layer in common. "
            "Start from a network with the same backbone."
        )
    done = {*copied, *adapted}
    return TransferReport(
        tuple(copied),
        tuple(adapted),
        tuple(name for name in targets if name not in done),
        tuple(name for name in sources if name not in done),
    )


def fuse_streams(target: keras.Model, sources: Mapping[str, keras.Model]) -> None:
    """Fills a network with late fusion with networks that were trained on one modality each.

    The upsampling of the sums keeps its weights, which are bilinear at first.

    Args:
        target: Built with `modalities=("rgb", "hha"), fusion="late"`, for example.
        sources: Modality to network, built with the same arguments otherwise.

    Raises:
        ValueError: If a layer of a stream has no counterpart of its shape.

    Example:
        >>> rgb, hha = (FCN32s(40, modalities=(m,)) for m in ("rgb", "hha"))  # doctest: +SKIP
        >>> model = FCN32s(40, modalities=("rgb", "hha"), fusion="late")  # doctest: +SKIP
        >>> fuse_streams(model, {"rgb": rgb, "hha": hha})  # doctest: +SKIP
    """
    targets = {layer.name: layer for layer in target.layers}
    for modality, source in sources.items():
        for layer in source.layers:
            twin = targets.get(layer.name + modality)
            if twin is None and layer.name.startswith("upscore"):
                continue
            old = layer.get_weights()
            new = [] if twin is None else twin.get_weights()
            if [w.shape for w in old] != [w.shape for w in new]:
                raise ValueError(
                    f"{target.name!r} must have a layer {layer.name + modality!r} like the "
                    f"{layer.name!r} of {source.name!r}. Received: {[w.shape for w in new]} for "
                    f"{[w.shape for w in old]}. Build both with the same arguments but "
                    "`modalities` and `fusion`."
                )
            if twin is not None and old:
                twin.set_weights(old)


def load_model_weights(model: keras.Model, path: str | Path) -> None:
    """Fills a whole network from a file of one like it.

    Args:
        model: The network to fill.
        path: A `.keras` or `.weights.h5` file.

    Raises:
        ValueError: If the file does not fit, or leaves a layer without weights.
    """
    path = Path(path)
    if path.suffix == ".keras":
        # Imported here, because the networks of that package import this one.
        from keras_fcn.prediction import load_model

        report = transfer(load_model(path), model)
        if report.adapted or report.new:
            raise ValueError(
                f"{path} must contain all layers of {model.name!r} with its classes. Missing or of "
                f"other classes: {', '.join((*report.adapted, *report.new))}. To start from "
                "a network that differs, use keras_fcn.weights.transfer."
            )
        return
    try:
        model.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"{path} does not contain the weights of {model.name!r}: {str(error).splitlines()[0]} "
            "Expected a .keras or .weights.h5 file of a network with the same arguments."
        ) from error


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


def _scores_classes(layer_name: str) -> bool:
    return layer_name.startswith(("score", "upscore"))


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
        and [w.shape for w in old[1:]] == [w.shape for w in new[1:]]
        and [len(shape) for shape in kernels] == [4, 4]
        and tuple(shape[2] for shape in kernels) == channels
        and kernels[0][:2] + kernels[0][3:] == kernels[1][:2] + kernels[1][3:]
    )


def _labels_of(model: keras.Model, layer_name: str) -> LabelSpec | None:
    """Returns the labels of the head that a layer belongs to; None if nothing names them."""
    heads = getattr(model, "heads", None)
    if not isinstance(heads, Heads):
        return None
    named = [head for head in heads if heads.suffix(head) in layer_name]
    return heads[max(named, key=len)] if named else None


def _common_classes(old: LabelSpec | None, new: LabelSpec | None) -> tuple[list[int], list[int]]:
    """Returns the indices of the classes that both have, in the source and in the target."""
    if old is None or new is None:
        return [], []
    names = [name for name in old.class_names if name in new.class_names]
    if names and not names[0].startswith("class "):
        return (
            [old.class_names.index(name) for name in names],
            [new.class_names.index(name) for name in names],
        )
    common = list(range(min(old.num_classes, new.num_classes)))
    return common, common


def _is_reordered(layer_name: str, classes: tuple[list[int], list[int]]) -> bool:
    return _scores_classes(layer_name) and classes[0] != classes[1]


def _merge_classes(
    layer_name: str, old: np.ndarray, new: np.ndarray, classes: tuple[list[int], list[int]]
) -> np.ndarray:
    """Returns `new` with the common classes from `old`."""
    merged = new.copy()
    sources, targets = classes
    if layer_name.startswith("upscore"):  # a transposed convolution: height, width, out, in
        rows, columns = np.ix_(targets, targets)
        merged[:, :, rows, columns] = old[:, :, sources][..., sources]
    else:
        merged[..., targets] = old[..., sources]
    return merged
