"""NYUDv2, 40 classes: trained on the 795 images of trainval, scored on the 654 of test."""

from .solver import HEAVY, reference_recipe, solver_of

_DATA = "NYUDv2, 40 classes"
_PAPER = "{} mean IoU on test, 654 images, with the paper's solver (CVPR 2015, Table 4)."
# 126 epochs are 100,170 images; the reference takes 100,000. It looks at test while it trains,
# but takes the last network, not the best.
_VGG16 = HEAVY.replace(
    dataset="nyudv2",
    train_split="trainval",
    validation_split="test",
    variant="fcn32s",
    epochs=126,
    validate_every=9,
)

RECIPES = (
    reference_recipe(
        "fcn32s_vgg16_nyud_color",
        f"FCN-32s on VGG16 on {_DATA}, from colors",
        _VGG16.replace(modalities=("rgb",)),
        source=solver_of("nyud-fcn32s-color"),
        published=_PAPER.format(29.2),
    ),
    reference_recipe(
        "fcn32s_vgg16_nyud_hha",
        f"FCN-32s on VGG16 on {_DATA}, from HHA",
        _VGG16.replace(modalities=("hha",)),
        source=solver_of("nyud-fcn32s-hha"),
        published=_PAPER.format(24.2),
    ),
    reference_recipe(
        "fcn32s_vgg16_nyud_color_depth",
        f"FCN-32s on VGG16 on {_DATA}, from colors and depth in one network",
        _VGG16.replace(modalities=("rgb", "depth")),
        source=solver_of("nyud-fcn32s-color-d"),
        published=_PAPER.format(30.5),
        note="The first convolution starts with its mean over the colors for depth.",
    ),
    reference_recipe(
        "fcn32s_vgg16_nyud_color_hha",
        f"FCN-32s on VGG16 on {_DATA}, from colors and HHA in two networks",
        _VGG16.replace(modalities=("rgb", "hha"), fusion="late", learning_rate=1e-12),
        source=solver_of("nyud-fcn32s-color-hha"),
        published=_PAPER.format(32.8),
        after=("fcn32s_vgg16_nyud_color", "fcn32s_vgg16_nyud_hha"),
        note=(
            "The reference starts from its color network after 28,000 images and its HHA network\n"
            "after 60,000: 36 and 76 epochs."
        ),
    ),
)
