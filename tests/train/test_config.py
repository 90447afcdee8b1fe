import dataclasses

import pytest
from keras_fcn_train import Config
from keras_fcn_train.config import setting_names

from keras_fcn.data.augmentation import Augmentation


def test_unknown_setting_stops_with_the_nearest_names():
    with pytest.raises(ValueError, match="'learnig_rate'. Did you mean 'learning_rate'"):
        Config.from_settings({"learnig_rate": 0.1})
    with pytest.raises(ValueError, match="Did you mean 'class_weights'"):
        Config().replace(class_weight="balanced")


def test_setting_far_from_all_lists_them():
    with pytest.raises(ValueError, match=r"Unknown setting 'xyz'\. Expected one of: recipe, "):
        Config.from_settings({"xyz": 1})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "5"}, "`epochs` must be a whole number. Received: epochs='5'"),
        ({"epochs": True}, "`epochs` must be a whole number"),
        ({"epochs": 2.0}, "`epochs` must be a whole number"),
        ({"flip": 1}, "`flip` must be true or false"),
        ({"learning_rate": "fast"}, "`learning_rate` must be a number"),
        ({"init": 3}, "`init` must be a string or None"),
        ({"crop": 288}, "`crop` must be 2 values"),
        ({"crop": (288, 288, 3)}, "`crop` must be 2 values"),
        ({"crop": (288.0, 288.0)}, "`crop` must be a whole number"),
        ({"devices": "GPU:0"}, "`devices` must be several values"),
    ],
)
def test_wrong_type_is_refused(settings, message):
    with pytest.raises(TypeError, match=message):
        Config(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adam"}, "`optimizer` must be one of adamw, sgd"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0"),
        ({"momentum": 1.0}, r"`momentum` must be in \[0, 1\)"),
        ({"ema": 1.0}, "`ema` must be in"),
        ({"crop": (0, 32)}, "`crop` must be a height and a width above 0"),
        ({"init_streams": ("a.keras", "b.keras")}, "`init_streams` must be None without"),
        (
            {"init_streams": ("a.keras",), "fusion": "late", "modalities": ("rgb", "hha")},
            r"`init_streams` must be one file for each modality \(rgb, hha\)",
        ),
        ({"loss_share": 0.0}, r"`loss_share` must be in \(0, 1\]"),
        ({"save_every": 0}, "`save_every` must be at least 1, or None"),
        ({"seed": -1}, "`seed` must be 0 or more"),
        ({"freeze_batchnorm": True, "batchnorm_batches": 4}, "`batchnorm_batches` must be 0 where"),
    ],
)
def test_value_out_of_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)


def test_whole_numbers_are_numbers():
    config = Config(learning_rate=1, scale=(1, 2))

    assert config.learning_rate == 1.0
    assert isinstance(config.learning_rate, float)
    assert config.scale == (1.0, 2.0)


def test_json_gives_back_an_equal_configuration():
    config = Config(crop=(3, 5), devices=("GPU:0", "GPU:1"), ema=0.9, dataset="folder:a b")

    assert Config.from_json(config.to_json()) == config


def test_every_setting_has_a_help_text():
    for setting in dataclasses.fields(Config):
        assert len(setting.metadata["help"]) > 10, setting.name
        assert setting.metadata["help"].endswith("."), setting.name


def test_augmentation_is_covered_with_its_defaults():
    for setting in dataclasses.fields(Augmentation):
        assert setting.name in setting_names()
        assert getattr(Config(), setting.name) == setting.default, setting.name
