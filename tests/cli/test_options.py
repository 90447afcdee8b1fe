"""Options that several commands share."""

from types import SimpleNamespace

from keras_fcn_cli.options import folder_of_training

SETTINGS = {"image_files": None, "mask_files": "m/*.png", "ignore": [0], "write_classes": True}
NETWORK = SimpleNamespace(
    origin={"dataset": "folder:a", "config": {"data": SETTINGS}}, input_shape=(None, None, None, 3)
)


def test_a_folder_is_read_as_in_the_training():
    expected = {"mask_files": "m/*.png", "ignore": [0]}

    assert folder_of_training(NETWORK, "folder:a", {}) == expected
    assert folder_of_training(SimpleNamespace(model=NETWORK), "folder:a", {}) == expected


def test_given_options_and_other_datasets_come_first():
    assert folder_of_training(NETWORK, "folder:a", {"ignore": (7,)}) == {"ignore": (7,)}
    assert folder_of_training(NETWORK, "folder:b", {}) == {}
    assert folder_of_training(NETWORK, None, {}) == {}
    assert (
        folder_of_training(SimpleNamespace(input_shape=NETWORK.input_shape), "folder:a", {}) == {}
    )
