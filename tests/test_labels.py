import json

import numpy as np
import pytest

from keras_fcn import FCN32s
from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.labels import Heads, LabelSpec, check_is_uint8, voc_palette
from keras_fcn.losses import PixelwiseCrossentropy
from keras_fcn.metrics import SegmentationMetrics

from .helpers import Tiny

SHAPES = LabelSpec(("disc", "star"))
PLACES = LabelSpec(("left", "right"), ignore_class=9)


def test_a_single_label_spec_is_a_mapping_of_one_head():
    heads = Heads(SHAPES)

    assert dict(heads) == {Heads.ONLY: SHAPES}
    assert heads.labels == SHAPES
    assert heads.by_name("map") == {Heads.ONLY: "map"}
    assert heads.unwrapped({Heads.ONLY: "map"}) == "map"
    assert (heads.prefix(Heads.ONLY), heads.suffix(Heads.ONLY)) == ("", "")


def test_named_heads_keep_their_dictionary_even_when_there_is_one():
    heads = Heads({"shape": SHAPES})

    assert heads.labels == {"shape": SHAPES}
    assert heads.by_name({"shape": "map"}) == {"shape": "map"}
    assert heads.unwrapped({"shape": "map"}) == {"shape": "map"}
    assert (heads.prefix("shape"), heads.suffix("shape")) == ("shape_", "_shape")
    assert heads != Heads(SHAPES)


@pytest.mark.parametrize("labels", [SHAPES, {"shape": SHAPES, "place": PLACES}])
def test_heads_survive_json_and_a_copy(labels):
    heads = Heads(labels)

    assert Heads.from_json(heads.to_json()) == heads == Heads(heads)


def test_heads_need_label_specs():
    with pytest.raises(TypeError, match="must be a LabelSpec"):
        Heads({"shape": 3})
    with pytest.raises(ValueError, match="at least one head"):
        Heads({})


@pytest.mark.parametrize("ignore_class", [256, 300, -1, None])
def test_an_ignored_label_that_uint8_cannot_hold_is_refused(ignore_class):
    # Stored as uint8, 300 would be 44 and 256 would be 0: classes.
    values = {"class_names": ["a", "b"], "palette": [], "ignore_class": ignore_class}
    for make in (
        lambda: LabelSpec(("a", "b"), ignore_class=ignore_class),
        lambda: LabelSpec.numbered(2, ignore_class=ignore_class),
        lambda: LabelSpec.from_dict(values),
    ):
        with pytest.raises(ValueError, match=r"must be in \[0, 255\].*ignore_class="):
            make()


def test_the_palette_is_that_of_the_voc_devkit():
    palette = voc_palette(256)

    # VOClabelcolormap: aeroplane, bottle, tv/monitor, and void, which is index 255. Beyond 64
    # classes the third bit of each channel counts: 64 is 32 of red, 128 is 32 of green.
    assert [palette[i] for i in (1, 5, 20)] == [(128, 0, 0), (128, 0, 128), (0, 64, 128)]
    assert [palette[i] for i in (64, 128, 255)] == [(32, 0, 0), (0, 32, 0), (224, 224, 192)]
    assert len(set(palette)) == 256


@pytest.mark.parametrize("ignore_class", [0, 1, 2])
def test_no_class_is_ignored_not_even_the_first_or_last(ignore_class):
    with pytest.raises(ValueError, match=rf"outside the classes \[0, 3\).*={ignore_class}"):
        LabelSpec(("a", "b", "c"), ignore_class=ignore_class)


@pytest.mark.parametrize("ignore_class", [0, 255])
def test_a_label_map_can_contain_0_and_255(ignore_class):
    assert np.uint8(ignore_class) == ignore_class

    check_is_uint8(ignore_class)


def test_the_largest_labels_are_accepted():
    assert LabelSpec(("a", "b"), ignore_class=2).ignore_class == 2
    assert LabelSpec.numbered(255).num_classes == 255


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_numbers_of_numpy_are_numbers(kind):
    labels = LabelSpec.numbered(kind(20), ignore_class=kind(100))
    objects = (
        FCN32s(kind(20), backbone=Tiny(), labels=labels),
        SegmentationMetrics(kind(20), kind(100)),
        PixelwiseCrossentropy(kind(100)),
    )

    # 20 * 20 does not fit into uint8.
    assert objects[1].counts.shape[1] > 400
    assert ConfusionMatrix(kind(20), kind(100)).num_classes == 20
    assert json.loads(json.dumps(labels.to_dict()))["ignore_class"] == 100
    for made in objects:
        config = json.loads(json.dumps(made.get_config()))  # fails with numbers of NumPy
        assert config.get("num_classes", 20) == 20 and config.get("ignore_class", 100) == 100
    with pytest.raises(ValueError, match="`num_classes` must be in"):
        LabelSpec.numbered(kind(1))
    with pytest.raises(ValueError, match="must be outside the classes"):
        LabelSpec.numbered(kind(20), ignore_class=kind(3))


@pytest.mark.parametrize("value", [True, np.True_, 2.0, np.float32(2), "2", np.array([2])])
def test_other_values_are_no_numbers_of_classes(value):
    with pytest.raises(ValueError, match="`num_classes` must be a whole number"):
        LabelSpec.numbered(value)
    with pytest.raises(ValueError, match="`ignore_class` must be a whole number"):
        LabelSpec.numbered(2, ignore_class=value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("pool4", "sky"), "must not be called 'pool4'"),
        (("fr",), "must not be called 'fr'"),
        (("val",), "must not be called 'val'"),
        (("val_sky", "sky"), "must not be called 'val_sky'"),
        (("a", "b_a"), "must not end with _ and that of another one.* 'b_a' and 'a'"),
        (("B_A", "a"), "must not end with _"),
        (("a", "A"), "differ in more than capitals"),
    ],
)
def test_names_of_heads_that_collide_are_refused(names, message):
    spec = LabelSpec(("x", "y"))

    with pytest.raises(ValueError, match=message):
        Heads(dict.fromkeys(names, spec))
    with pytest.raises(ValueError, match=message):
        Heads.from_dict({"heads": {name: spec.to_dict() for name in names}})


def test_other_names_of_heads_are_taken():
    spec = LabelSpec(("x", "y"))

    heads = Heads(dict.fromkeys(("a", "ba", "a_b", "value", "pool"), spec))

    assert [heads.suffix(head) for head in heads] == ["_a", "_ba", "_a_b", "_value", "_pool"]
