import pytest
from keras_fcn_train import Config, describe_recipe, load_recipe, recipe_names
from keras_fcn_train.recipes import check_needs
from keras_fcn_train.smoke import smoke_config


@pytest.mark.parametrize("name", recipe_names())
def test_recipe_says_how_to_run_it_and_whether_batchnorm_is_trained(name):
    text = describe_recipe(name)

    assert f"--recipe {name}" in text
    assert "BatchNorm:" in text
    assert load_recipe(name).recipe == name


@pytest.mark.parametrize("name", recipe_names())
def test_smoke_keeps_the_network_and_drops_what_is_large(name):
    config = load_recipe(name)

    smoke = smoke_config(config)

    assert (smoke.variant, smoke.backbone, smoke.optimizer) == (
        config.variant,
        config.backbone,
        config.optimizer,
    )
    assert smoke.dataset == "sample"
    assert smoke.backbone_weights is None


def test_stages_of_the_paper_differ_by_a_hundredth_of_the_learning_rate():
    rates = [load_recipe(f"fcn{s}s_vgg16_voc").learning_rate for s in (32, 16, 8)]

    # The reference's base_lr of voc-fcn32s, voc-fcn16s and voc-fcn8s.
    assert rates == [1e-10, 1e-12, 1e-14]


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'camvid_mobilenet_v2'"):
        load_recipe("camvid_mobilnet_v2")


def test_recipe_that_needs_another_network_says_so():
    with pytest.raises(ValueError, match="'fcn16s_vgg16_voc' needs --init: the FCN-32s"):
        check_needs(load_recipe("fcn16s_vgg16_voc"))

    check_needs(load_recipe("fcn16s_vgg16_voc").replace(init="fcn32s.keras"))
    check_needs(Config())


def test_recipe_may_be_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from keras_fcn_train import Config\nCONFIG = Config(epochs=7)\n")

    assert load_recipe(str(path)).epochs == 7


def test_recipe_file_without_config_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("CONFIG = {'epochs': 7}\n")

    with pytest.raises(ValueError, match="must set CONFIG = keras_fcn_train.Config"):
        load_recipe(str(path))
    with pytest.raises(ValueError, match="There is no recipe file"):
        load_recipe(str(tmp_path / "other.py"))
