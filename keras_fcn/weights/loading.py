"""`load`: weights from anywhere into a network."""

from pathlib import Path
from typing import TYPE_CHECKING

from keras_fcn.weights.convert import READERS, load_weight_file
from keras_fcn.weights.imagenet import load_backbone_weights
from keras_fcn.weights.published import NETWORK_DATASETS, download, find_card
from keras_fcn.weights.transfer import load_model_weights

if TYPE_CHECKING:
    from keras_fcn.models import FCN

# The skips of FCN-8s at-once are scaled, those of the other networks are not.
_UNSCALED = (1.0, 1.0)


def load(model: "FCN", weights: str | Path | None = None) -> None:
    """Fills a network with weights from a file, or with published ones.

    Args:
        model: The network to fill.
        weights: One of:

            * `"imagenet"`: fills the backbone with the classifier that it comes from;
            * `"voc"`, `"pascalcontext"`, `"nyud"` or `"siftflow"`: the whole network as the
              reference published it for this dataset, which is downloaded; its mean is
              subtracted from the images then, unless the backbone names one;
            * a `.keras` or `.weights.h5` file of a network like it, with the same classes;
            * a `.caffemodel`, `.pth`, `.pt` or `.safetensors` file, see `load_weight_file`;
            * `None`: what the backbone of the network names, `model.backbone.weights`.

    Raises:
        ValueError: If the weights do not exist or do not fit.

    Example:
        >>> import keras_fcn
        >>> model = keras_fcn.FCN8s(21)  # doctest: +SKIP
        >>> keras_fcn.weights.load(model, "voc")  # doctest: +SKIP
    """
    if weights in (None, "imagenet"):
        source = weights or model.backbone.weights
        if source is None:
            raise ValueError(
                f"`weights` must be given, because the backbone {model.backbone.name!r} of the "
                'network names none. Received: weights=None. Give "imagenet" or a file.'
            )
        load_backbone_weights(model, str(source))
    elif weights in NETWORK_DATASETS:
        card = find_card(
            str(weights),
            backbone=model.backbone.name,
            stride=model.stride,
            at_once=model.skip_scales != _UNSCALED,
            inputs=model.modalities or ("rgb",),
        )
        load_weight_file(model, download(card))
        if model.backbone.mean is None:
            model.set_mean(card.mean)
    elif not Path(weights).is_file():
        raise ValueError(
            f'`weights` must be None, "imagenet", {", ".join(map(repr, NETWORK_DATASETS))} or an '
            f"existing file. Received: {weights}."
        )
    elif Path(weights).suffix in READERS:
        load_weight_file(model, weights)
    else:
        load_model_weights(model, weights)
