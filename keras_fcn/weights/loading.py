"""`load`: weights from anywhere into a network."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fcn.files import first_line
from keras_fcn.weights.comparison import PLACEMENT, check_same
from keras_fcn.weights.convert import (
    READERS,
    ConversionReport,
    fill_network,
    load_weight_file,
    open_weight_file,
)
from keras_fcn.weights.finite import check_finite
from keras_fcn.weights.imagenet import load_backbone_weights
from keras_fcn.weights.published import NETWORK_DATASETS, download, find_card
from keras_fcn.weights.transfer import transfer

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
            * a `.keras` file of a network that computes the same, see
              `keras_fcn.weights.comparison`, or a `.weights.h5` file, of which only the order and
              the shapes of the weights can be compared;
            * a `.caffemodel`, `.pth`, `.pt` or `.safetensors` file, see `load_weight_file`;
            * `None`: what the backbone of the network names, `model.backbone.weights`.

    Raises:
        ValueError: If the weights do not exist, do not fit, are those of a network that computes
            something else, or are NaN or infinite; or if the mean of a file's network is neither
            known nor given as `mean` of the backbone.

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
        check_finite(model, f"The weights {source}")
    elif weights in NETWORK_DATASETS:
        card = find_card(
            str(weights),
            backbone=model.backbone.name,
            stride=model.stride,
            at_once=model.skip_scales != _UNSCALED,
            inputs=model.modalities or ("rgb",),
        )
        _note(model, fill_network(model, open_weight_file(download(card)), card))
    elif not Path(weights).is_file():
        raise ValueError(
            f'`weights` must be None, "imagenet", {", ".join(map(repr, NETWORK_DATASETS))} or an '
            f"existing file. Received: {weights}."
        )
    elif Path(weights).suffix in READERS:
        _note(model, load_weight_file(model, weights))
    elif Path(weights).suffix == ".keras":
        _fill_from_model(model, Path(weights))
    else:
        _fill_from_weights(model, Path(weights))


def _note(model: "FCN", report: ConversionReport) -> None:
    """Stores with the network what is to be known about its weights, such as its mean."""
    model.origin = {**model.origin, "notes": list(report.notes)}


def _fill_from_model(model: "FCN", path: Path) -> None:
    """Fills a whole network from the `.keras` file of one that computes the same."""
    # Imported here, because the networks of that package import this one.
    from keras_fcn.prediction import load_model

    source = load_model(path)
    check_finite(source, str(path))
    placed = check_same(
        source,
        model,
        allowed=PLACEMENT,
        refusal=f"{path} contains a network that computes something else than {model.name!r}, "
        "which is unchanged.",
        way_out="keras_fcn.prediction.load_model opens the file as it is; to start training from a "
        "network that differs, use keras_fcn.weights.transfer.",
    )
    if placed:
        warnings.warn(
            f"{path} contains a network that places its features otherwise, so logits differ a "
            f"little: {'; '.join(map(str, placed))}.",
            stacklevel=3,
        )
    try:
        report = transfer(source, model)
    except ValueError as error:  # of a file whose model is no `FCN`
        raise ValueError(f"{path} does not fit {model.name!r}: {error}") from error
    if report.adapted or report.new:
        raise ValueError(
            f"{path} must contain all layers of {model.name!r} with its classes. Missing or of "
            f"other classes: {', '.join((*report.adapted, *report.new))}. To start from "
            "a network that differs, use keras_fcn.weights.transfer."
        )


def _fill_from_weights(model: "FCN", path: Path) -> None:
    """Fills a whole network from a `.weights.h5` file, which contains no settings."""
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
        stacklevel=3,
    )
