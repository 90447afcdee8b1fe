"""SIFT Flow, 33 semantic and 3 geometric classes: trained on 2,486 images, scored on 200."""

from .solver import HEAVY, reference_recipe, solver_of

_DATA = "SIFT Flow, semantic and geometric classes"
_NONE = "no score of this network."
# 41 epochs are 101,926 images; the reference takes 100,000. It looks at test while it trains,
# but takes the last network, not the best.
_VGG16 = HEAVY.replace(
    dataset="siftflow",
    validation_split="test",
    # Blue, green, red, of the reference's data layer.
    mean=(114.578, 115.294, 108.353),
    epochs=41,
    validate_every=5,
)

RECIPES = (
    reference_recipe(
        "fcn32s_vgg16_siftflow",
        f"FCN-32s on VGG16 on {_DATA}",
        _VGG16.replace(variant="fcn32s"),
        source=solver_of("siftflow-fcn32s"),
        published=_NONE,
    ),
    reference_recipe(
        "fcn16s_vgg16_siftflow",
        f"FCN-16s on VGG16 on {_DATA}, from FCN-32s",
        _VGG16.replace(variant="fcn16s", learning_rate=1e-12),
        source=solver_of("siftflow-fcn16s"),
        published=(
            "39.5 mean IoU and 94.3 geometric pixel accuracy on test, 200 images, with the\n"
            "           paper's solver (CVPR 2015, Table 5)."
        ),
        after=("fcn32s_vgg16_siftflow",),
    ),
    reference_recipe(
        "fcn8s_vgg16_siftflow",
        f"FCN-8s on VGG16 on {_DATA}, from FCN-16s",
        # Not 1e-14, as for the other datasets.
        _VGG16.replace(variant="fcn8s", learning_rate=1e-12),
        source=solver_of("siftflow-fcn8s"),
        published=_NONE,
        after=("fcn16s_vgg16_siftflow",),
    ),
)
