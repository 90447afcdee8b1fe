"""The file with the ImageNet weights of a backbone: where it is, or from where it is fetched."""

import os
from dataclasses import dataclass
from pathlib import Path

from keras_fcn.backbones import Backbone
from keras_fcn.backbones.applications import Application
from keras_fcn.backbones.vgg import VGG
from keras_fcn.files import first_line
from keras_fcn.weights.published import CARDS, download, find_card

FOLDER_VARIABLE = "KERAS_FCN_WEIGHTS"

_KERAS = "https://storage.googleapis.com/"
_MODELS = f"{_KERAS}tensorflow/keras-applications"
# The names that Keras gives the files without the classifier, and their folders on the server.
_KERAS_FILES = {
    "resnet50": f"{_MODELS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "mobilenet": f"{_MODELS}/mobilenet/mobilenet_{{mobilenet}}_224_tf_no_top.h5",
    "mobilenet_v2": f"{_MODELS}/mobilenet_v2/"
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224_no_top.h5",
    "mobilenet_v3_small": f"{_MODELS}/mobilenet_v3/"
    "weights_mobilenet_v3_small_224_{alpha}_float_no_top_v2.h5",
    "mobilenet_v3_large": f"{_MODELS}/mobilenet_v3/"
    "weights_mobilenet_v3_large_224_{alpha}_float_no_top_v2.h5",
    "efficientnet_v2_b0": f"{_MODELS}/efficientnet_v2/efficientnetv2-b0_notop.h5",
    "convnext_tiny": f"{_MODELS}/convnext/convnext_tiny_notop.h5",
    "densenet121": f"{_MODELS}/densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "vgg16": f"{_MODELS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "vgg19": f"{_MODELS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
}
# The width of fc6 and fc7 with which the file of the whole classifier fits.
_CLASSIFIER_FILTERS = 4096
# The MobileNets were trained in these widths.
_ALPHAS = {
    "mobilenet": (0.25, 0.5, 0.75, 1.0),
    "mobilenet_v2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    "mobilenet_v3_small": (0.75, 1.0),
    "mobilenet_v3_large": (0.75, 1.0),
}


class WeightsNotFoundError(ValueError):
    """The ImageNet weights of a backbone are nowhere; the text contains the file to get."""


@dataclass(frozen=True)
class Location:
    """Where the weights of a backbone are.

    Args:
        path: The file.
        place: The folder for the user, such as "Keras' cache".
    """

    path: Path
    place: str

    def __str__(self) -> str:
        return f"{self.path} ({self.place})"


def look_for(backbone: Backbone, folder: str | Path | None = None) -> Location | None:
    """Returns the file with the ImageNet weights of a backbone on this machine, or None.

    Looked for are the names that Keras or the authors give the file, and short ones such as
    `mobilenet_v2_0.35_notop.weights.h5`.

    Args:
        backbone: The backbone.
        folder: The folder to look in first; then come that of `$KERAS_FCN_WEIGHTS` and Keras'
            cache.
    """
    for place, where in _places(folder):
        for name in _file_names(backbone):
            if (where / name).is_file():
                return Location(where / name, place)
    return None


def locate(backbone: Backbone, folder: str | Path | None = None) -> Location:
    """Returns the file with the ImageNet weights of a backbone, fetched if it is nowhere.

    Args:
        backbone: The backbone.
        folder: As for `look_for`.

    Raises:
        WeightsNotFoundError: If there is no such file, and it cannot be fetched.
    """
    if reason := _reason_for_none(backbone):
        raise WeightsNotFoundError(reason)
    found = look_for(backbone, folder)
    if found:
        return found
    try:
        path = _fetch(backbone)
    except Exception as error:  # Keras turns every failure into a plain Exception
        raise WeightsNotFoundError(_not_found(backbone, folder, first_line(error))) from error
    return Location(path, "downloaded into Keras' cache")


def _places(folder: str | Path | None) -> list[tuple[str, Path]]:
    places = []
    if folder is not None:
        places.append(("--weights-dir", Path(folder).expanduser()))
    if variable := os.environ.get(FOLDER_VARIABLE):
        places.append((f"${FOLDER_VARIABLE}", Path(variable).expanduser()))
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return [*places, ("Keras' cache", Path(home) / "models")]


def _file_names(backbone: Backbone) -> list[str]:
    """Returns the names that the file may have, the best first."""
    url = _url(backbone)
    names = [url.rsplit("/", 1)[-1]] if url else []
    if isinstance(backbone, VGG):
        names.append(names[0].replace("_notop", "") if "_notop" in names[0] else names[0])
        names.append(f"{backbone.name}_weights_tf_dim_ordering_tf_kernels_notop.h5")
    names += [
        card.filename
        for card in CARDS.values()
        if card.dataset == "imagenet" and card.backbone == backbone.name
    ]
    short = {"mobilenet": "mobilenet_1"}.get(backbone.name, backbone.name)
    if backbone.name in _ALPHAS:
        short = f"{short}_{getattr(backbone, 'alpha', 1.0):g}"
    names += [f"{short}_notop{suffix}" for suffix in (".weights.h5", ".h5")]
    if isinstance(backbone, VGG):
        names += [f"{backbone.name}_imagenet.npz", f"{backbone.name}_blocks1_2_imagenet.npz"]
    return list(dict.fromkeys(names))


def _url(backbone: Backbone) -> str:
    """Returns the address of the file; "" if none was published."""
    if backbone.name in _KERAS_FILES:
        alpha = float(getattr(backbone, "alpha", 1.0))
        of_mobilenet = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}.get(alpha, "")
        url = _KERAS_FILES[backbone.name].format(alpha=alpha, mobilenet=of_mobilenet)
        if isinstance(backbone, VGG) and backbone.fc_filters == _CLASSIFIER_FILTERS:
            url = url.replace("_notop", "")
        return url
    try:
        return find_card("imagenet", backbone=backbone.name).url
    except ValueError:
        return ""


def _reason_for_none(backbone: Backbone) -> str:
    """Returns why no weights of a backbone were published; "" if they were."""
    alpha = getattr(backbone, "alpha", 1.0)
    alphas = _ALPHAS.get(backbone.name, (1.0,))
    way_out = "start from random weights: --backbone-weights none."
    if not _url(backbone):
        known = ", ".join((*_KERAS_FILES, "alexnet", "googlenet"))
        return (
            f"No ImageNet weights of {backbone.name} were published. Choose another --backbone "
            f"({known}), name a file by --backbone-weights FILE, or {way_out}"
        )
    if alpha not in alphas:
        known = ", ".join(f"{value:g}" for value in alphas)
        return (
            f"ImageNet weights of {backbone.name} were published for alpha={known}. "
            f"Received: alpha={alpha:g}. Choose one of these, or {way_out}"
        )
    return ""


def _fetch(backbone: Backbone) -> Path:
    """Downloads the weights into Keras' cache, where their checksum is compared."""
    if isinstance(backbone, Application):
        backbone.network(3, "imagenet")
    elif isinstance(backbone, VGG):
        include_top = backbone.fc_filters == _CLASSIFIER_FILTERS
        type(backbone).constructor(weights="imagenet", include_top=include_top)
    else:
        return download(find_card("imagenet", backbone=backbone.name))
    (_, cache) = _places(None)[-1]
    return cache / _url(backbone).rsplit("/", 1)[-1]


def _not_found(backbone: Backbone, folder: str | Path | None, reason: str) -> str:
    looked = [f"{where} ({place})" for place, where in _places(folder)]
    if not os.environ.get(FOLDER_VARIABLE):
        looked.append(f"${FOLDER_VARIABLE} (not set)")
    if folder is None:
        looked.append("--weights-dir (not given)")
    names = _file_names(backbone)
    alpha = f" at alpha={backbone.alpha:g}" if backbone.name in _ALPHAS else ""  # type: ignore[attr-defined]
    return (
        f"The ImageNet weights of {backbone.name}{alpha} were not found, and could not be "
        f"downloaded ({reason}). Looked for {' or '.join(names)} in {', '.join(looked)}. "
        f"Get {_url(backbone)} with a browser or on another machine, and give its folder by "
        "--weights-dir; or start from random weights: --backbone-weights none."
    )
