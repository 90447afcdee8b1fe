"""Networks of one modality each into a network with a stream for each."""

from collections.abc import Mapping

import keras

from keras_fcn.labels import Heads
from keras_fcn.weights.comparison import PLACEMENT, check_same
from keras_fcn.weights.finite import check_finite
from keras_fcn.weights.transfer import TransferReport, adopt_means, same_shapes


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
    changed = []
    for modality, source in sources.items():
        check_finite(source, f"The network {source.name!r} for the modality {modality!r}")
        changed += _changed_in_stream(source, target, modality)
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
            if not same_shapes(old, new):
                raise ValueError(
                    f"{target.name!r} must have a layer {layer.name + modality!r} like the "
                    f"{layer.name!r} of {source.name!r}. Received: {[w.shape for w in new]} for "
                    f"{[w.shape for w in old]}. Build both with the same arguments but "
                    "`modalities` and `fusion`."
                )
            if twin is not None and old:
                pairs.append((twin, old))
    changed += adopt_means(sources.values(), target)
    for twin, old in pairs:
        twin.set_weights(old)
    copied = {twin.name for twin, _ in pairs}
    new_layers = [layer.name for layer in target.layers if layer.weights]
    return TransferReport(
        copied=tuple(copied),
        new=tuple(name for name in new_layers if name not in copied),
        unused=tuple(unused),
        changes=tuple(dict.fromkeys(changed)),
    )


def _changed_in_stream(source: keras.Model, target: keras.Model, modality: str) -> list[str]:
    """Returns what a stream computes differently on purpose; raises ValueError for the rest."""
    if isinstance(getattr(source, "heads", None), Heads):
        taken = source.modalities or (modality if modality == "rgb" else "RGB",)
        if tuple(taken) != (modality,):
            raise ValueError(
                f"The network for the modality {modality!r} must take it alone. Received: "
                f"{source.name!r}, which takes {', '.join(taken)}."
            )
    differences = check_same(
        source,
        target,
        allowed=("modalities", "input_shape", "fusion", *PLACEMENT),
        refusal=f"The network for the modality {modality!r} must compute the same as its stream of "
        f"{target.name!r}.",
    )
    return [str(d) for d in differences if d.name in PLACEMENT]
