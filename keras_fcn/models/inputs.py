"""What the backbone sees of the images: each modality normalized."""

from collections.abc import Sequence

from keras import KerasTensor, layers

from keras_fcn.layers import ImageNormalization
from keras_fcn.layers.normalization import CAFFE_MEAN_BGR, NormalizationMode
from keras_fcn.modalities import MODALITIES, Fusion


def normalize(
    images: KerasTensor,
    modalities: Sequence[str],
    fusion: Fusion,
    mode: NormalizationMode,
    mean: Sequence[float] | None,
) -> dict[str, KerasTensor]:
    """Returns what the backbone sees: one tensor, or with late fusion one for each modality.

    Args:
        images: All modalities, one after the other along the channels.
        modalities: Names in `MODALITIES`; none for images of any other kind.
        fusion: `"early"`: one network sees them all. `"late"`: each has its own.
        mode: The `ImageNormalization` mode that the backbone was trained with.
        mean: Mean of each channel, if it is not that of the modality or of ImageNet.

    Returns:
        The images by the suffix of the layers that will see them.
    """
    if not modalities:
        flip = images.shape[-1] == 3
        layer = ImageNormalization(mode, tuple(mean or CAFFE_MEAN_BGR), flip, name="normalization")
        return {"": layer(images)}

    normalized = {}
    start = 0
    for name in modalities:
        modality = MODALITIES[name]
        end = start + modality.num_channels
        normalized[name] = ImageNormalization(
            "log" if modality.log else mode,
            modality.mean if mean is None else tuple(mean[start:end]),
            modality.flip,
            name=f"normalization{name}" if len(modalities) > 1 else "normalization",
        )(images[..., start:end])
        start = end
    if fusion == "late":
        return normalized
    if len(normalized) == 1:
        return {"": normalized[modalities[0]]}
    return {"": layers.Concatenate(name="modalities")(list(normalized.values()))}
