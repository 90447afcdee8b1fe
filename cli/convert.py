"""`keras-fcn convert`."""

import importlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import names, numbers
from .quiet import load_tensorflow
from .screen import say
from .settings import VARIANT_NAMES

if TYPE_CHECKING:
    from keras_fcn.labels import LabelSpec
    from keras_fcn.weights.published import WeightCard
    from keras_fcn.weights.source import WeightFile

# Datasets of published networks, and the builder that names their classes.
_BUILDERS = {"voc": "keras_fcn.datasets.voc.voc_dataset_builder"}


def _list_published(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        load_tensorflow()
        from keras_fcn.weights.published import CARDS

        _print_cards(CARDS.values())
        context.exit()


@click.command()
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_published,
    help="List the published weight files, and exit.",
)
@click.option(
    "--from",
    "source",
    required=True,
    metavar="FILE|NAME",
    help="A .caffemodel, .pth, .pt or .safetensors file, or the name of a published one, such as "
    "voc-fcn8s, to download.",
)
@click.option(
    "--variant",
    type=click.Choice(VARIANT_NAMES),
    help="Network to build.  [default: that of the file; PyTorch files do not distinguish "
    "fcn8s_atonce from fcn8s]",
)
@click.option(
    "--num-classes",
    type=click.IntRange(2, 255),
    help="Number of classes.  [default: as in the file]",
)
@click.option(
    "--modalities",
    type=names,
    default="",
    metavar="A,B",
    help="Modalities of its images, from rgb, hha and depth.  [default: as in the file, or RGB]",
)
@click.option(
    "--mean",
    type=numbers,
    metavar="B,G,R",
    help="Mean that is subtracted from the image.  [default: of the published file, or ImageNet's]",
)
@click.option(
    "--geometry",
    type=click.Choice(["same", "reference"]),
    default="same",
    show_default=True,
    help="'reference' for exactly the reference's logits, which is slower.",
)
@click.option(
    "--output",
    "path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.keras",
    help="File to write.",
)
def command(
    source: str,
    variant: str | None,
    path: Path,
    **given: Any,
) -> None:
    """Convert a weight file of Caffe or PyTorch to a .keras file.

    Networks of fcn.berkeleyvision.org and wkentaro/pytorch-fcn are converted to the same network.
    ImageNet classifiers (VGG16, AlexNet, GoogLeNet; of Caffe or torchvision) become a network
    with untrained score layers, as a start for training; they need --variant and --num-classes.
    All layers must match: if one is missing or has another shape, the differences are listed and
    nothing is written.
    """
    if path.suffix != ".keras":
        raise click.UsageError(f"--output must end in .keras. Received: {path}")
    load_tensorflow()
    from keras_fcn.files import replacing
    from keras_fcn.models import FCN, VARIANTS
    from keras_fcn.weights.convert import assign_weights, open_weight_file
    from keras_fcn.weights.published import CARDS, download

    card = CARDS.get(source)
    file = open_weight_file(download(card) if card else source)
    card = card or next((c for c in CARDS.values() if c.filename == file.path.name), None)
    arguments = _arguments(file, card, variant, given)
    build = VARIANTS[variant] if variant else FCN
    backbone = arguments.pop("backbone")
    model = build(
        **arguments,
        backbone=backbone.with_zeros(),  # which the file replaces
        labels=_labels(card, arguments),
        origin=_origin(file, card),
    )
    report = assign_weights(model, file)
    model.backbone = backbone  # a network made from the file's configuration has random weights
    with replacing(path) as temporary:
        model.save(temporary)
    say(str(report))
    say(f"Network: {path} ({model.name}, {arguments['num_classes']} classes)")


def _arguments(
    file: "WeightFile", card: "WeightCard | None", variant: str | None, given: dict[str, Any]
) -> dict[str, Any]:
    """Returns the arguments of a network: those of the file, of its card, and of the user.

    The stride is among them unless a variant, which has its own, is given.
    """
    from keras_fcn.backbones import create
    from keras_fcn.weights.architecture import network_arguments

    arguments = network_arguments(file)
    given = {name: value for name, value in given.items() if value}
    mean = given.pop("mean", None) or (card and card.mean) or None
    backbone = arguments["backbone"]
    settings = {**backbone.get_config(), "mean": mean, "geometry": given.pop("geometry")}
    arguments["backbone"] = create(backbone.name, **settings)
    if card is not None and card.inputs != ("rgb",):
        arguments["modalities"] = card.inputs
    arguments |= given
    needed = {} if variant else {"stride": "--variant"}
    for name, option in {**needed, "num_classes": "--num-classes"}.items():
        if name not in arguments:
            raise click.UsageError(
                f"{file.path.name} is an ImageNet classifier: {option} must be given."
            )
    if variant:
        arguments.pop("stride", None)
    return arguments


def _labels(card: "WeightCard | None", arguments: dict[str, Any]) -> "LabelSpec | None":
    """Returns the classes of the dataset that the file was trained on, if they are known."""
    if card is None or card.dataset not in _BUILDERS:
        return None
    labels: LabelSpec = importlib.import_module(_BUILDERS[card.dataset]).Builder.LABELS
    return labels if labels.num_classes == arguments["num_classes"] else None


def _origin(file: "WeightFile", card: "WeightCard | None") -> dict[str, Any]:
    if card is None:
        return {"converted_from": file.path.name}
    return {
        "converted_from": card.url,
        "dataset": card.dataset,
        "metrics": [asdict(published) for published in card.metrics],
    }


def _print_cards(cards: "Iterable[WeightCard]") -> None:
    for card in cards:
        say(f"{card.name}  {card.url}", style="bold")
        for published in card.metrics:
            say(f"    mean IoU {published.mean_iou:g} on {published.split} ({published.source})")
        say(f"    {card.verification}")
