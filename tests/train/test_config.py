import dataclasses

import pytest
from keras_fcn_train import (
    AugmentationConfig,
    BackboneConfig,
    Config,
    DataConfig,
    LossConfig,
    OptimizerConfig,
)
from keras_fcn_train.config import LOSS_NAMES, settings

from keras_fcn.data.augmentation import Augmentation
from keras_fcn.losses import LOSSES, REDUCTIONS
from keras_fcn.models import VARIANTS


def test_unknown_setting_stops_with_the_nearest_names():
    with pytest.raises(ValueError, match="'learnig_rate'. Did you mean 'learning_rate'"):
        Config().replace(learnig_rate=0.1)
    with pytest.raises(ValueError, match="Did you mean 'class_weights'"):
        Config().replace(class_weight="balanced")


def test_setting_far_from_all_lists_them():
    with pytest.raises(ValueError, match=r"Unknown setting 'xyz'\. Expected one of: dataset, "):
        Config().replace(xyz=1)
    with pytest.raises(ValueError, match=r"Expected one of: name, reduction, class_weights, "):
        LossConfig(xyz=1)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"optimizer": {"learnig_rate": 0.1}},
            r"'learnig_rate' in the section 'optimizer'\. Did you mean 'learning_rate'\?",
        ),
        (
            {"loss": {"learning_rate": 0.1}},
            r"'learning_rate' in the section 'loss'\. It is in the section 'optimizer'\.",
        ),
        (
            {"loss": {"learnig_rate": 0.1}},
            "Did you mean 'learning_rate' in the section 'optimizer'",
        ),
        ({"backbone": {"backbone_weights": None}}, "Did you mean 'weights'"),
        ({"model": {"backbone": "vgg16"}}, "It is in the section 'backbone', as 'name'"),
        ({"epochs": 3}, "The setting 'epochs' must be in the section 'run'"),
        ({"optimzer": {}}, "Unknown section 'optimzer'. Did you mean 'optimizer'"),
        ({"xyz": {}}, "Expected one of: data, model, backbone, augmentation, optimizer, loss, run"),
    ],
)
def test_settings_in_the_wrong_section_are_sent_to_theirs(sections, message):
    with pytest.raises(ValueError, match=message):
        Config.from_dict(sections)


def test_sections_are_no_other_values():
    with pytest.raises(TypeError, match="`data` must be a DataConfig. Received: data={}"):
        Config(data={})
    with pytest.raises(TypeError, match="The section 'loss' must be settings by name"):
        Config.from_dict({"loss": 3})


def test_replace_takes_settings_and_sections():
    config = Config().replace(
        loss=LossConfig(reduction="sum"), optimizer="sgd", backbone="vgg16", power=2.0
    )

    assert config == Config(
        loss=LossConfig(reduction="sum"),
        optimizer=OptimizerConfig("sgd", power=2.0),
        backbone=BackboneConfig("vgg16"),
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "5"}, "`epochs` must be a whole number. Received: epochs='5'"),
        ({"epochs": True}, "`epochs` must be a whole number"),
        ({"epochs": 2.0}, "`epochs` must be a whole number"),
        ({"flip": 1}, "`flip` must be true or false"),
        ({"learning_rate": "fast"}, "`learning_rate` must be a number"),
        ({"init": 3}, "`init` must be a string or None"),
        ({"crop_size": 288}, "`crop_size` must be 2 values"),
        ({"crop_size": (288, 288, 3)}, "`crop_size` must be 2 values"),
        ({"crop_size": (288.0, 288.0)}, "`crop_size` must be a whole number"),
        ({"backbone": 3}, "`backbone` must be a string"),
        ({"devices": "GPU:0"}, "`devices` must be several values"),
    ],
)
def test_wrong_type_is_refused(settings, message):
    with pytest.raises(TypeError, match=message):
        Config().replace(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adam"}, "`optimizer` must be one of adamw, sgd"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0"),
        ({"momentum": 1.0}, r"`momentum` must be in \[0, 1\)"),
        ({"ema_decay": 1.0}, "`ema_decay` must be in"),
        ({"reduction": "valid"}, "`reduction` must be one of mean, per_image, sum"),
        ({"loss": "iou"}, "`loss` must be crossentropy, focal, dice, or several joined by"),
        ({"loss": "dice+dice"}, "`loss` must be crossentropy, focal, dice, or several joined by"),
        ({"loss": "focal+dice", "reduction": "sum"}, "`reduction` must be 'mean' where `loss`"),
        ({"crop_size": (0, 32)}, "`crop_size` must be a height and a width above 0"),
        ({"init_streams": ("a.keras", "b.keras")}, "`init_streams` must be None without"),
        (
            {"init_streams": ("a.keras",), "fusion": "late", "modalities": ("rgb", "hha")},
            r"`init_streams` must be one file per modality \(rgb, hha\)",
        ),
        ({"loss_share": 0.0}, r"`loss_share` must be in \(0, 1\]"),
        ({"save_every": 0}, "`save_every` must be at least 1, or None"),
        ({"seed": -1}, "`seed` must be 0 or more"),
        ({"freeze_batchnorm": True, "batchnorm_batches": 4}, "`batchnorm_batches` must be 0 where"),
    ],
)
def test_value_out_of_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Config().replace(**settings)


def test_whole_numbers_are_numbers():
    rate = OptimizerConfig(learning_rate=1).learning_rate

    assert rate == 1.0
    assert isinstance(rate, float)
    assert AugmentationConfig(scale=(1, 2)).scale == (1.0, 2.0)


def test_json_gives_back_an_equal_configuration():
    config = Config().replace(
        crop_size=(3, 5), devices=("GPU:0", "GPU:1"), ema_decay=0.9, dataset="folder:a b"
    )

    assert Config.from_json(config.to_json()) == config


def test_a_file_names_what_differs_from_the_defaults_by_section():
    config = Config.from_json('{"data": {"crop_size": [3, 5]}, "run": {"epochs": 2}}')

    assert config == Config(data=DataConfig(crop_size=(3, 5))).replace(epochs=2)


def test_every_setting_has_a_help_text():
    for setting in settings().values():
        assert len(setting.help) > 10, setting.name
        assert setting.help.endswith("."), setting.name


def test_names_and_options_are_unique():
    num_fields = sum(
        len(dataclasses.fields(getattr(Config(), f.name))) for f in dataclasses.fields(Config)
    )

    assert len(settings()) == num_fields
    assert len({setting.option for setting in settings().values()}) == num_fields


def test_augmentation_is_that_of_the_library_field_for_field():
    ours = [(field.name, field.type, field.default) for field in dataclasses.fields(Augmentation)]

    assert [
        (field.name, field.type, field.default) for field in dataclasses.fields(AugmentationConfig)
    ] == ours


def test_choices_are_those_of_the_library():
    assert settings()["reduction"].type.__args__ == REDUCTIONS
    assert tuple(LOSSES) == LOSS_NAMES
    assert set(settings()["variant"].type.__args__) == set(VARIANTS)
