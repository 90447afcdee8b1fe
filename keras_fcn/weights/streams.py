"""Weights for networks that see more than colors."""

from collections.abc import Mapping

import keras
import numpy as np


def extend_input_channels(kernel: np.ndarray, num_channels: int) -> np.ndarray:
    """Returns a first convolution that takes further channels, such as depth.

    Each new channel gets the mean over the channels there are: early fusion as
    in the reference's `nyud-fcn32s-color-d`.

    Args:
        kernel: Shape `(height, width, channels, filters)`.
        num_channels: Number of channels wanted, at least as many.

    Example:
        >>> kernel = np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)
        >>> extend_input_channels(kernel, 4).ravel().tolist()
        [1.0, 2.0, 6.0, 3.0]
    """
    new = [kernel.mean(axis=2, keepdims=True)] * (num_channels - kernel.shape[2])
    return np.concatenate([kernel, *new], axis=2)


def fuse_streams(target: keras.Model, sources: Mapping[str, keras.Model]) -> None:
    """Fills a two-stream network with two networks that saw one modality each.

    The upsampling of the sums starts as it is: bilinear.

    Args:
        target: Built with `modalities=("color", "hha"), fusion="late"`, say.
        sources: Modality to network, built with the same arguments otherwise.

    Raises:
        ValueError: If a layer of a stream has no counterpart of its shape.

    Example:
        >>> color, hha = (FCN32s(40, modalities=(m,)) for m in ("color", "hha"))  # doctest: +SKIP
        >>> model = FCN32s(40, modalities=("color", "hha"), fusion="late")  # doctest: +SKIP
        >>> fuse_streams(model, {"color": color, "hha": hha})  # doctest: +SKIP
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
