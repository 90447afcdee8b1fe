"""`keras-fcn convert`."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import check_output, names, numbers, overwrite_option, written
from .quiet import load_tensorflow
from .screen import say
from .settings import VARIANT_NAMES

if TYPE_CHECKING:
    from keras_fcn.labels import Labels
    from keras_fcn.models import FCN
    from keras_fcn.weights.published import WeightCard
    from keras_fcn.weights.source import WeightFile

    # A card, and how its file was recognized.
    Published = tuple[WeightCard, str]

# Datasets of published networks, and the dataset here that has their classes.
_DATASETS = {
    "voc": "voc2011_sbd",
    "pascalcontext": "pascalcontext",
    "nyud": "nyudv2",
    "siftflow": "siftflow",
}


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
    help="Network to build.  [default: that of the file; needed for PyTorch's FCN-8s, whose files "
    "do not distinguish fcn8s_atonce from fcn8s]",
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
    help="Mean that is subtracted from the image.  [default: that of the file, as far as its "
    "checksum, name, classes and modalities determine it]",
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
@overwrite_option
def command(
    source: str,
    variant: str | None,
    path: Path,
    overwrite: bool,
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
    check_output(path, overwrite=overwrite)
    load_tensorflow()
    import keras

    from keras_fcn.models import FCN, VARIANTS
    from keras_fcn.models.saving import save_model
    from keras_fcn.weights.convert import fill_when_saved, open_weight_file
    from keras_fcn.weights.means import choose_mean
    from keras_fcn.weights.published import CARDS, download

    card = CARDS.get(source)
    file = open_weight_file(download(card) if card else source)
    published = _published(file, card)
    arguments = _arguments(file, published, variant, given)
    mean = choose_mean(
        file,
        None if file.is_classifier else arguments["num_classes"],
        arguments.get("modalities", ()),
        published,
        arguments["backbone"].mean,
    )
    build = VARIANTS[variant] if variant else FCN
    backbone = arguments.pop("backbone")
    # The weights go from file to file: the network never has them in memory.
    with keras.StatelessScope(initialize_variables=False):
        model = build(
            **arguments,
            backbone=backbone,
            labels=_labels(mean.dataset if mean else None, arguments["num_classes"]),
            origin=_origin(file, published),
        )
        report = fill_when_saved(model, file, mean)
        model.origin = {**model.origin, "notes": list(report.notes)}
        save_model(model, path)
    written(path)
    say(str(report))
    say(f"Network: {path} ({model.name}, {_described(model)})")


def _published(file: "WeightFile", card: "WeightCard | None") -> "Published | None":
    """Returns the card of a file, and how it was recognized."""
    from keras_fcn.weights.architecture import network_arguments
    from keras_fcn.weights.means import find_published

    if card is not None:
        return card, f"the file was downloaded as {card.name}"
    return find_published(file, network_arguments(file).get("num_classes"))


def _arguments(
    file: "WeightFile",
    published: "Published | None",
    variant: str | None,
    given: dict[str, Any],
) -> dict[str, Any]:
    """Returns the arguments of a network: those of the file, of its card, and of the user.

    The stride is among them unless a variant, which has its own, is given.
    """
    from keras_fcn.backbones import create
    from keras_fcn.weights.architecture import network_arguments

    arguments = network_arguments(file)
    given = {name: value for name, value in given.items() if value}
    mean = given.pop("mean", None)
    backbone = arguments["backbone"]
    settings = {**backbone.get_config(), "mean": mean, "geometry": given.pop("geometry")}
    arguments["backbone"] = create(backbone.name, **settings)
    if published and published[0].inputs != ("rgb",):
        arguments["modalities"] = published[0].inputs
    arguments |= given
    needed = {} if variant else {"stride": "--variant"}
    for name, option in {**needed, "num_classes": "--num-classes"}.items():
        if name not in arguments:
            raise click.UsageError(
                f"{file.path.name} is an ImageNet classifier: {option} must be given."
            )
    if arguments.get("stride") == 8 and not (variant or file.records_scales):
        raise click.UsageError(
            f"--variant must be given, fcn8s or fcn8s_atonce: {file.path.name} does not contain "
            "whether its network scales pool3 and pool4, as PyTorch files never do."
        )
    if variant:
        arguments.pop("stride", None)
    return arguments


def _labels(dataset: str | None, num_classes: Any) -> "Labels | None":
    """Returns the classes of the dataset that the file was trained on, if they are known."""
    if dataset is None:
        return None
    from keras_fcn.datasets.tfds_reader import heads_of_dataset

    heads = heads_of_dataset(_DATASETS[dataset])
    known = heads.unwrapped({head: spec.num_classes for head, spec in heads.items()})
    return heads.labels if known == num_classes else None


def _described(model: "FCN") -> str:
    """Describes the classes of a network, for example `21 classes: background, aeroplane, ...`."""
    parts = []
    for head, spec in model.heads.items():
        names = [*spec.class_names[:3], *(["..."] if spec.num_classes > 3 else [])]
        of_head = f" of {head}" if model.heads.is_named else ""
        parts.append(f"{spec.num_classes} classes{of_head}: {', '.join(names)}")
    return "; ".join(parts)


def _origin(file: "WeightFile", published: "Published | None") -> dict[str, Any]:
    if published is None:
        return {"converted_from": file.path.name}
    card = published[0]
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
