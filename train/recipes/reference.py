"""The reference's fifteen networks, stage by stage, and the paper's FCN-GoogLeNet.

The reference is github.com/shelhamer/fcn.berkeleyvision.org: its solver files, and what its data
layers do, as settings. None of them was trained by us.
"""

from ..config import (
    BackboneConfig,
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
)
from . import Recipe

# One image per step at its own size, drawn with replacement, and a loss that is summed over its
# pixels: hence a learning rate of 1e-10, and hardly any decay in effect.
HEAVY = Config(
    data=DataConfig(batch_size=1, crop_size=None, augment=False, replacement=True),
    model=ModelConfig(upsampling="fixed"),
    backbone=BackboneConfig("vgg16", weights="imagenet", geometry="reference"),
    optimizer=OptimizerConfig(
        "sgd", learning_rate=1e-10, schedule="constant", momentum=0.99, weight_decay=5e-4
    ),
    loss=LossConfig(reduction="per_image"),
    run=RunConfig(save_every=1000),
)

# The mean over the pixels, and gradients that are averaged over twenty images.
ACCUMULATED = HEAVY.replace(
    reduction="mean",
    learning_rate=1e-4,
    momentum=0.9,
    gradient_accumulation_steps=20,
    save_every=2000,
)


def _recipe(
    name: str,
    title: str,
    config: Config,
    *,
    source: str,
    published: str,
    after: tuple[str, ...] = (),
    note: str = "",
) -> Recipe:
    """Returns the recipe of a published network that was not trained by us.

    Args:
        name: Name of the recipe, and of its folder below `runs/`.
        title: What it trains, on what.
        config: The settings.
        source: Where they are from: a folder of the reference, or a paper.
        published: Metrics, with their split and source.
        after: The recipes whose networks it starts from: one for `init`, two for `init_streams`.
        note: Further remarks.
    """
    setting = "init_streams" if len(after) > 1 else "init"
    networks = ",".join(f"runs/{stage}/last.keras" for stage in after)
    lines = [
        f"{title}.",
        "",
        *([note, ""] if note else []),
        f"Source:    {source}",
        f"Run:       keras-fcn train --recipe {name} --source FOLDER",
        *([f"           --{setting.replace('_', '-')} {networks}"] if after else []),
        "BatchNorm: there is none.",
        f"Published: {published}",
        "Result:    not trained here.",
    ]
    needs = {setting: f"the network of {' and '.join(after)}, such as {networks}."} if after else {}
    return Recipe(name, config.replace(workdir=f"runs/{name}"), "\n".join(lines), needs)


def _solver_of(folder: str) -> str:
    """Returns the source of a recipe: the files in a folder of the reference."""
    return f"{folder}/solver.prototxt and train.prototxt of the reference"


# PASCAL VOC: trained on SBD's 8,498 masks, evaluated on the 736 images of seg11valid.
_VOC_DATA = "PASCAL VOC 2011 with SBD's masks"
_VOC_README = "{} mean IoU on seg11valid, 736 images (README of the reference)"
# Blue, green, red, of the reference's data layer.
_VOC_MEAN = (104.00699, 116.66877, 122.67892)
# 12 epochs are 101,976 images; the reference takes 100,000.
_VOC_VGG16 = HEAVY.replace(dataset="voc2011_sbd", mean=_VOC_MEAN, epochs=12)

_VOC = (
    _recipe(
        "fcn32s_vgg16_voc",
        f"FCN-32s on VGG16 on {_VOC_DATA}",
        _VOC_VGG16.replace(variant="fcn32s"),
        source=_solver_of("voc-fcn32s"),
        published=_VOC_README.format(63.6),
        note="The first of three stages: fcn16s_vgg16_voc and fcn8s_vgg16_voc start from it.",
    ),
    _recipe(
        "fcn16s_vgg16_voc",
        f"FCN-16s on VGG16 on {_VOC_DATA}, from FCN-32s",
        _VOC_VGG16.replace(variant="fcn16s", learning_rate=1e-12),
        source=_solver_of("voc-fcn16s"),
        published=_VOC_README.format(65.0),
        after=("fcn32s_vgg16_voc",),
    ),
    _recipe(
        "fcn8s_vgg16_voc",
        f"FCN-8s on VGG16 on {_VOC_DATA}, from FCN-16s",
        _VOC_VGG16.replace(variant="fcn8s", learning_rate=1e-14),
        source=_solver_of("voc-fcn8s"),
        published=f"{_VOC_README.format(65.5)}, 67.2 on seg12test (the same).",
        after=("fcn16s_vgg16_voc",),
    ),
    _recipe(
        "fcn8s_atonce_vgg16_voc",
        f"FCN-8s on VGG16 on {_VOC_DATA}, in one stage",
        # 36 epochs are 305,928 images; the reference takes 300,000.
        _VOC_VGG16.replace(variant="fcn8s_atonce", epochs=36),
        source=_solver_of("voc-fcn8s-atonce"),
        published=_VOC_README.format(65.4),
    ),
    _recipe(
        "fcn32s_alexnet_voc",
        f"FCN-32s on AlexNet on {_VOC_DATA}",
        # 236 epochs are 100,276 updates of twenty images; the reference makes 100,000.
        ACCUMULATED.replace(
            dataset="voc2011_sbd",
            mean=_VOC_MEAN,
            variant="fcn32s",
            backbone="alexnet",
            epochs=236,
            validate_every=4,
        ),
        source=_solver_of("voc-fcn-alexnet"),
        published=_VOC_README.format(48.0),
    ),
    _recipe(
        "fcn32s_googlenet_voc",
        "FCN-32s on GoogLeNet on PASCAL VOC 2011",
        ACCUMULATED.replace(
            dataset="voc2011",
            variant="fcn32s",
            backbone="googlenet",
            geometry="same",
            learning_rate=5e-5,
            epochs=200,
            validate_every=4,
        ),
        source="CVPR 2015, section 4.3: SGD with twenty images, momentum 0.9, learning rate 5e-5",
        published="42.5 mean IoU on VOC 2011 val (CVPR 2015, Table 1).",
        note=(
            "The reference has no such network. The paper does not state what its loss is divided\n"
            "by and when it stops: the mean over the pixels and 200 epochs are our choice."
        ),
    ),
)

# PASCAL-Context: 59 classes and background, as in the evaluation of the reference.
_PASCAL_CONTEXT_DATA = "PASCAL-Context, 59 classes and background"
_PASCAL_CONTEXT_PAPER = (
    "{} mean IoU over 59 classes (arXiv 1411.4038v2, appendix B), {} (the authors' PDF),\n"
    "           both with the paper's solver."
)
# 81 epochs are 404,838 images; the reference takes 400,000 (by its solve.py; its solver file has
# 300,000).
_PASCAL_CONTEXT_VGG16 = HEAVY.replace(
    dataset="pascalcontext",
    # Blue, green, red, of the reference's data layer.
    mean=(104.007, 116.669, 122.679),
    epochs=81,
    validate_every=5,
)

_PASCAL_CONTEXT = (
    _recipe(
        "fcn32s_vgg16_pascal_context",
        f"FCN-32s on VGG16 on {_PASCAL_CONTEXT_DATA}",
        _PASCAL_CONTEXT_VGG16.replace(variant="fcn32s"),
        source=_solver_of("pascalcontext-fcn32s"),
        published=_PASCAL_CONTEXT_PAPER.format(31.8, 35.1),
    ),
    _recipe(
        "fcn16s_vgg16_pascal_context",
        f"FCN-16s on VGG16 on {_PASCAL_CONTEXT_DATA}, from FCN-32s",
        _PASCAL_CONTEXT_VGG16.replace(variant="fcn16s", learning_rate=1e-12),
        source=_solver_of("pascalcontext-fcn16s"),
        published=_PASCAL_CONTEXT_PAPER.format(34.8, 37.6),
        after=("fcn32s_vgg16_pascal_context",),
    ),
    _recipe(
        "fcn8s_vgg16_pascal_context",
        f"FCN-8s on VGG16 on {_PASCAL_CONTEXT_DATA}, from FCN-16s",
        _PASCAL_CONTEXT_VGG16.replace(variant="fcn8s", learning_rate=1e-14),
        source=_solver_of("pascalcontext-fcn8s"),
        published=_PASCAL_CONTEXT_PAPER.format(35.1, 37.8),
        after=("fcn16s_vgg16_pascal_context",),
    ),
)

# NYUDv2, 40 classes: trained on the 795 images of trainval, evaluated on the 654 of test.
_NYUD_DATA = "NYUDv2, 40 classes"
_NYUD_PAPER = "{} mean IoU on test, 654 images, with the paper's solver (CVPR 2015, Table 4)."
# 126 epochs are 100,170 images; the reference takes 100,000. It validates on test during training,
# but takes the last network, not the best.
_NYUD_VGG16 = HEAVY.replace(
    dataset="nyudv2",
    train_split="trainval",
    validation_split="test",
    variant="fcn32s",
    epochs=126,
    validate_every=9,
)

_NYUD = (
    _recipe(
        "fcn32s_vgg16_nyud_color",
        f"FCN-32s on VGG16 on {_NYUD_DATA}, from RGB",
        _NYUD_VGG16.replace(modalities=("rgb",)),
        source=_solver_of("nyud-fcn32s-color"),
        published=_NYUD_PAPER.format(29.2),
    ),
    _recipe(
        "fcn32s_vgg16_nyud_hha",
        f"FCN-32s on VGG16 on {_NYUD_DATA}, from HHA",
        _NYUD_VGG16.replace(modalities=("hha",)),
        source=_solver_of("nyud-fcn32s-hha"),
        published=_NYUD_PAPER.format(24.2),
    ),
    _recipe(
        "fcn32s_vgg16_nyud_color_depth",
        f"FCN-32s on VGG16 on {_NYUD_DATA}, from RGB and depth in one network",
        _NYUD_VGG16.replace(modalities=("rgb", "depth")),
        source=_solver_of("nyud-fcn32s-color-d"),
        published=_NYUD_PAPER.format(30.5),
        note="The first convolution starts with the mean of its RGB weights for depth.",
    ),
    _recipe(
        "fcn32s_vgg16_nyud_color_hha",
        f"FCN-32s on VGG16 on {_NYUD_DATA}, from RGB and HHA in two networks",
        _NYUD_VGG16.replace(modalities=("rgb", "hha"), fusion="late", learning_rate=1e-12),
        source=_solver_of("nyud-fcn32s-color-hha"),
        published=_NYUD_PAPER.format(32.8),
        after=("fcn32s_vgg16_nyud_color", "fcn32s_vgg16_nyud_hha"),
        note=(
            "The reference starts from its color network after 28,000 images and its HHA network\n"
            "after 60,000: 36 and 76 epochs."
        ),
    ),
)

# SIFT Flow, 33 semantic and 3 geometric classes: trained on 2,486 images, evaluated on 200.
_SIFTFLOW_DATA = "SIFT Flow, semantic and geometric classes"
_SIFTFLOW_NONE = "no metrics of this network."
# 41 epochs are 101,926 images; the reference takes 100,000. It validates on test during training,
# but takes the last network, not the best.
_SIFTFLOW_VGG16 = HEAVY.replace(
    dataset="siftflow",
    validation_split="test",
    # Blue, green, red, of the reference's data layer.
    mean=(114.578, 115.294, 108.353),
    epochs=41,
    validate_every=5,
)

_SIFTFLOW = (
    _recipe(
        "fcn32s_vgg16_siftflow",
        f"FCN-32s on VGG16 on {_SIFTFLOW_DATA}",
        _SIFTFLOW_VGG16.replace(variant="fcn32s"),
        source=_solver_of("siftflow-fcn32s"),
        published=_SIFTFLOW_NONE,
    ),
    _recipe(
        "fcn16s_vgg16_siftflow",
        f"FCN-16s on VGG16 on {_SIFTFLOW_DATA}, from FCN-32s",
        _SIFTFLOW_VGG16.replace(variant="fcn16s", learning_rate=1e-12),
        source=_solver_of("siftflow-fcn16s"),
        published=(
            "39.5 mean IoU and 94.3 geometric pixel accuracy on test, 200 images, with the\n"
            "           paper's solver (CVPR 2015, Table 5)."
        ),
        after=("fcn32s_vgg16_siftflow",),
    ),
    _recipe(
        "fcn8s_vgg16_siftflow",
        f"FCN-8s on VGG16 on {_SIFTFLOW_DATA}, from FCN-16s",
        # Not 1e-14, as for the other datasets.
        _SIFTFLOW_VGG16.replace(variant="fcn8s", learning_rate=1e-12),
        source=_solver_of("siftflow-fcn8s"),
        published=_SIFTFLOW_NONE,
        after=("fcn16s_vgg16_siftflow",),
    ),
)

RECIPES = (*_VOC, *_PASCAL_CONTEXT, *_NYUD, *_SIFTFLOW)
