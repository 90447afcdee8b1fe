import numpy as np
import pytest
from keras_fcn_train import Config, describe_recipe, load_recipe, recipe_names
from keras_fcn_train.model import build_backbone, build_network
from keras_fcn_train.recipes import check_needs
from keras_fcn_train.smoke import smoke_config
from keras_fcn_train.training import compile_network, open_data

from keras_fcn.datasets import DATASET_NAMES


@pytest.mark.parametrize("name", recipe_names())
def test_recipe_says_how_to_run_it_and_whether_batchnorm_is_trained(name):
    text = describe_recipe(name)

    assert f"--recipe {name}" in text
    assert "BatchNorm:" in text
    assert load_recipe(name).run.recipe == name
    assert load_recipe(name).data.dataset in DATASET_NAMES


@pytest.mark.parametrize("name", recipe_names())
def test_smoke_keeps_the_network_and_drops_what_is_large(name):
    config = load_recipe(name)

    smoke = smoke_config(config)

    assert (smoke.model.variant, smoke.backbone.name, smoke.optimizer.name) == (
        config.model.variant,
        config.backbone.name,
        config.optimizer.name,
    )
    assert smoke.data.dataset.startswith("sample")
    assert smoke.backbone.weights is None


# Of the reference's solver.prototxt: folder -> recipe, variant, base_lr, images that it takes
# (by its solve.py, twenty an iteration for AlexNet), images in the training split.
SOLVERS = {
    "voc-fcn32s": ("fcn32s_vgg16_voc", "fcn32s", 1e-10, 100_000, 8498),
    "voc-fcn16s": ("fcn16s_vgg16_voc", "fcn16s", 1e-12, 100_000, 8498),
    "voc-fcn8s": ("fcn8s_vgg16_voc", "fcn8s", 1e-14, 100_000, 8498),
    "voc-fcn8s-atonce": ("fcn8s_atonce_vgg16_voc", "fcn8s_atonce", 1e-10, 300_000, 8498),
    "voc-fcn-alexnet": ("fcn32s_alexnet_voc", "fcn32s", 1e-4, 2_000_000, 8498),
    "pascalcontext-fcn32s": ("fcn32s_vgg16_pascal_context", "fcn32s", 1e-10, 400_000, 4998),
    "pascalcontext-fcn16s": ("fcn16s_vgg16_pascal_context", "fcn16s", 1e-12, 400_000, 4998),
    "pascalcontext-fcn8s": ("fcn8s_vgg16_pascal_context", "fcn8s", 1e-14, 400_000, 4998),
    "nyud-fcn32s-color": ("fcn32s_vgg16_nyud_color", "fcn32s", 1e-10, 100_000, 795),
    "nyud-fcn32s-hha": ("fcn32s_vgg16_nyud_hha", "fcn32s", 1e-10, 100_000, 795),
    "nyud-fcn32s-color-d": ("fcn32s_vgg16_nyud_color_depth", "fcn32s", 1e-10, 100_000, 795),
    "nyud-fcn32s-color-hha": ("fcn32s_vgg16_nyud_color_hha", "fcn32s", 1e-12, 100_000, 795),
    "siftflow-fcn32s": ("fcn32s_vgg16_siftflow", "fcn32s", 1e-10, 100_000, 2486),
    "siftflow-fcn16s": ("fcn16s_vgg16_siftflow", "fcn16s", 1e-12, 100_000, 2486),
    "siftflow-fcn8s": ("fcn8s_vgg16_siftflow", "fcn8s", 1e-12, 100_000, 2486),
}


@pytest.mark.parametrize("folder", SOLVERS)
def test_recipe_is_the_solver_of_the_reference(folder):
    name, variant, rate, num_images, split_size = SOLVERS[folder]

    config = load_recipe(name)

    assert f"{folder}/solver.prototxt" in describe_recipe(name)
    data, optimizer = config.data, config.optimizer
    assert (config.model.variant, optimizer.learning_rate) == (variant, rate)
    assert (optimizer.name, optimizer.schedule, optimizer.weight_decay) == ("sgd", "constant", 5e-4)
    assert (data.batch_size, data.crop_size, data.augment) == (1, None, False)
    assert (config.backbone.geometry, config.model.upsampling) == ("reference", "fixed")
    assert data.replacement
    assert config.run.workdir == f"runs/{name}"
    heavy = ("per_image", 0.99, 1)
    accumulated = ("mean", 0.9, 20)
    assert (
        config.loss.reduction,
        optimizer.momentum,
        optimizer.gradient_accumulation_steps,
    ) == (accumulated if folder == "voc-fcn-alexnet" else heavy)
    # Whole epochs: as many images, or at most one epoch more.
    assert 0 <= config.run.epochs * split_size - num_images < max(split_size, 0.003 * num_images)


def test_reference_has_fifteen_networks_and_the_paper_one_more():
    named = {recipe for recipe, *_ in SOLVERS.values()}

    of_the_reference = {name for name in recipe_names() if "Published:" in describe_recipe(name)}

    assert len(named) == 15
    assert of_the_reference == {*named, "fcn32s_googlenet_voc"}


@pytest.mark.parametrize(
    ("stages", "setting"),
    [
        *(
            (tuple(f"fcn{stride}s_vgg16_{data}" for stride in strides), "init")
            for data in ("voc", "pascal_context", "siftflow")
            for strides in ((32, 16), (16, 8))
        ),
        (
            ("fcn32s_vgg16_nyud_color", "fcn32s_vgg16_nyud_hha", "fcn32s_vgg16_nyud_color_hha"),
            "init_streams",
        ),
    ],
)
def test_stage_starts_from_the_networks_of_those_before(stages, setting):
    *before, last = stages

    files = ",".join(f"{load_recipe(name).run.workdir}/last.keras" for name in before)
    assert f"--{setting.replace('_', '-')} {files}" in describe_recipe(last)
    with pytest.raises(ValueError, match=f"needs --{setting.replace('_', '-')}: the network of"):
        check_needs(load_recipe(last))
    for name in before:
        assert load_recipe(name).data.dataset == load_recipe(last).data.dataset


def test_smoke_has_the_inputs_and_heads_of_the_data_set():
    datasets = {
        name: smoke_config(load_recipe(name)).data.dataset
        for name in ("fcn8s_vgg16_siftflow", "fcn32s_vgg16_nyud_hha", "fcn32s_alexnet_voc")
    }

    assert list(datasets.values()) == ["sample_geometric", "sample_rgbd", "sample"]


# Two heads with skips, two streams, another backbone; `-m full` trains all.
@pytest.mark.parametrize(
    "name", ["fcn8s_vgg16_siftflow", "fcn32s_vgg16_nyud_color_hha", "fcn32s_alexnet_voc"]
)
def test_narrow_network_takes_a_step(name):
    config = smoke_config(load_recipe(name)).replace(alpha=0.05, fc_filters=4, learning_rate=1e-3)
    data = open_data(config)
    network = build_network(config.model, build_backbone(config.backbone), data.heads)
    compile_network(network, config, data)
    ((images, labels),) = data.training_batches().take(1)
    scores = [layer for layer in network.layers if "score_fr" in layer.name and layer.weights]
    before = [np.array(layer.bias) for layer in scores]

    loss = network.train_on_batch(images, labels)[0]

    assert np.isfinite(loss)
    for layer, bias in zip(scores, before, strict=True):
        assert (np.asarray(layer.bias) != bias).any(), layer.name


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'camvid_mobilenet_v2'"):
        load_recipe("camvid_mobilnet_v2")


def test_recipe_that_needs_another_network_says_so():
    with pytest.raises(ValueError, match="'fcn16s_vgg16_voc' needs --init: the network of fcn32s"):
        check_needs(load_recipe("fcn16s_vgg16_voc"))

    check_needs(load_recipe("fcn16s_vgg16_voc").replace(init="fcn32s.keras"))
    check_needs(Config())


def test_recipe_may_be_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from keras_fcn_train import Config, RunConfig\nCONFIG = Config(run=RunConfig(epochs=7))\n"
    )

    assert load_recipe(str(path)).run.epochs == 7


def test_recipe_file_without_config_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("CONFIG = {'epochs': 7}\n")

    with pytest.raises(ValueError, match="must set CONFIG = keras_fcn_train.Config"):
        load_recipe(str(path))
    with pytest.raises(ValueError, match="There is no recipe file"):
        load_recipe(str(tmp_path / "other.py"))
