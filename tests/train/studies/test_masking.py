import numpy as np
import pytest
import tensorflow as tf
from keras_fcn_train import Config
from keras_fcn_train.studies import STUDIES, masking

from keras_fcn.datasets import from_arrays

from .tiny_dataset import IMAGE, LABEL, SPEC, dataset_of

COLOR = (1, 2, 3)


@pytest.mark.parametrize(
    ("view", "pixels"),
    [
        (masking.ALL, [(9, 9, 9)] * 4),
        (masking.ONLY_FOREGROUND, [COLOR, (9, 9, 9), (9, 9, 9), COLOR]),
        (masking.ONLY_BACKGROUND, [(9, 9, 9), COLOR, COLOR, COLOR]),
        (masking.OUTLINES, [COLOR, (255, 255, 255), (255, 255, 255), COLOR]),
    ],
)
def test_masked_images_show_what_is_to_be_seen(view, pixels):
    masked = masking.masked_dataset(dataset_of(1), view, COLOR, [0])

    [example] = masked.examples("train").as_numpy_iterator()

    np.testing.assert_array_equal(example["image"], [pixels])
    np.testing.assert_array_equal(example["label"], LABEL)
    assert masked.name == ("tiny" if view == masking.ALL else f"tiny, {view.name} only")


def test_several_classes_can_be_the_background():
    labels = masking.background_labels(SPEC, ("background", "dog"))
    image = masking.masked_image(
        tf.constant(IMAGE), tf.constant(LABEL), masking.ONLY_FOREGROUND, COLOR, labels, SPEC
    )

    np.testing.assert_array_equal(image, [[COLOR, (9, 9, 9), COLOR, COLOR]])


@pytest.mark.parametrize("names", [("sky",), (), SPEC.class_names])
def test_the_background_must_be_some_of_the_classes(names):
    with pytest.raises(ValueError, match="`background` must name classes.*background, cat, dog"):
        masking.background_labels(SPEC, names)


def test_mean_color_is_that_of_all_pixels():
    examples = [
        {"image": np.full((2, 2, 3), (0, 10, 20), "uint8"), "label": np.zeros((2, 2), "uint8")},
        {"image": np.full((1, 2, 3), (90, 10, 50), "uint8"), "label": np.zeros((1, 2), "uint8")},
    ]

    # Four pixels of the one, and two of the other.
    assert masking.mean_color(from_arrays("two", SPEC, {"train": examples}), "train") == (
        30, 10, 30,
    )  # fmt: skip


def test_the_settings_are_those_of_the_papers_table():
    rows = [(s.name, s.train.name, s.test.name, s.paper) for s in masking.SETTINGS]

    assert rows[0] == ("Reference", "all", "all", 0.848)
    assert rows[2] == ("Reference-BG", "all", "background", 0.198)
    runs = STUDIES["masking"].runs(Config().replace(dataset="tiny"), dataset_of(1))
    assert [run.name for run in runs] == ["all", "foreground", "background", "shape"]
