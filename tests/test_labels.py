import pytest

from keras_fcn.labels import Heads, LabelSpec

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
