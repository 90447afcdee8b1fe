"""PASCAL VOC: trained on SBD's 8,498 masks, scored on the 736 images of seg11valid."""

from .solver import ACCUMULATED, HEAVY, reference_recipe, solver_of

_DATA = "PASCAL VOC 2011 with SBD's masks"
_README = "{} mean IoU on seg11valid, 736 images (README of the reference)"
# Blue, green, red, of the reference's data layer.
_MEAN = (104.00699, 116.66877, 122.67892)
# 12 epochs are 101,976 images; the reference takes 100,000.
_VGG16 = HEAVY.replace(dataset="voc2011_sbd", mean=_MEAN, epochs=12)

RECIPES = (
    reference_recipe(
        "fcn32s_vgg16_voc",
        f"FCN-32s on VGG16 on {_DATA}",
        _VGG16.replace(variant="fcn32s"),
        source=solver_of("voc-fcn32s"),
        published=_README.format(63.6),
        note="The first of three stages: fcn16s_vgg16_voc and fcn8s_vgg16_voc go on from it.",
    ),
    reference_recipe(
        "fcn16s_vgg16_voc",
        f"FCN-16s on VGG16 on {_DATA}, from FCN-32s",
        _VGG16.replace(variant="fcn16s", learning_rate=1e-12),
        source=solver_of("voc-fcn16s"),
        published=_README.format(65.0),
        after=("fcn32s_vgg16_voc",),
    ),
    reference_recipe(
        "fcn8s_vgg16_voc",
        f"FCN-8s on VGG16 on {_DATA}, from FCN-16s",
        _VGG16.replace(variant="fcn8s", learning_rate=1e-14),
        source=solver_of("voc-fcn8s"),
        published=f"{_README.format(65.5)}, 67.2 on seg12test (the same).",
        after=("fcn16s_vgg16_voc",),
    ),
    reference_recipe(
        "fcn8s_atonce_vgg16_voc",
        f"FCN-8s on VGG16 on {_DATA}, in one stage",
        # 36 epochs are 305,928 images; the reference takes 300,000.
        _VGG16.replace(variant="fcn8s_atonce", epochs=36),
        source=solver_of("voc-fcn8s-atonce"),
        published=_README.format(65.4),
    ),
    reference_recipe(
        "fcn32s_alexnet_voc",
        f"FCN-32s on AlexNet on {_DATA}",
        # 236 epochs are 100,276 updates of twenty images; the reference makes 100,000.
        ACCUMULATED.replace(
            dataset="voc2011_sbd",
            mean=_MEAN,
            variant="fcn32s",
            backbone="alexnet",
            epochs=236,
            validate_every=4,
        ),
        source=solver_of("voc-fcn-alexnet"),
        published=_README.format(48.0),
    ),
    reference_recipe(
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
            "The reference has no such network. The paper does not say what its loss is divided\n"
            "by and when it stops: the mean over the pixels and 200 epochs are our choice."
        ),
    ),
)
