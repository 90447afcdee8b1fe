"""PASCAL-Context: 59 classes and background, as the reference scores it."""

from .solver import HEAVY, reference_recipe, solver_of

_DATA = "PASCAL-Context, 59 classes and background"
_PAPER = (
    "{} mean IoU over 59 classes (arXiv 1411.4038v2, appendix B), {} (the authors' PDF),\n"
    "           both with the paper's solver."
)
# 81 epochs are 404,838 images; the reference takes 400,000 (by its solve.py; its solver file has
# 300,000).
_VGG16 = HEAVY.replace(
    dataset="pascalcontext",
    # Blue, green, red, of the reference's data layer.
    mean=(104.007, 116.669, 122.679),
    epochs=81,
    validate_every=5,
)

RECIPES = (
    reference_recipe(
        "fcn32s_vgg16_pascal_context",
        f"FCN-32s on VGG16 on {_DATA}",
        _VGG16.replace(variant="fcn32s"),
        source=solver_of("pascalcontext-fcn32s"),
        published=_PAPER.format(31.8, 35.1),
    ),
    reference_recipe(
        "fcn16s_vgg16_pascal_context",
        f"FCN-16s on VGG16 on {_DATA}, from FCN-32s",
        _VGG16.replace(variant="fcn16s", learning_rate=1e-12),
        source=solver_of("pascalcontext-fcn16s"),
        published=_PAPER.format(34.8, 37.6),
        after=("fcn32s_vgg16_pascal_context",),
    ),
    reference_recipe(
        "fcn8s_vgg16_pascal_context",
        f"FCN-8s on VGG16 on {_DATA}, from FCN-16s",
        _VGG16.replace(variant="fcn8s", learning_rate=1e-14),
        source=solver_of("pascalcontext-fcn8s"),
        published=_PAPER.format(35.1, 37.8),
        after=("fcn16s_vgg16_pascal_context",),
    ),
)
