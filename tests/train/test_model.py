import keras
import numpy as np
import pytest
from keras_fcn_train.model import build_backbone, build_network, freeze_batchnorm
from keras_fcn_train.starts import fill, find_start

from keras_fcn import LabelSpec
from keras_fcn.labels import Heads

from .tiny_training import SPEC, tiny_config

pytestmark = pytest.mark.usefixtures("tiny_backbones")


def built(labels=SPEC, **settings):
    config = tiny_config(**settings)
    backbone = build_backbone(config.backbone)
    start = find_start(config.model, config.backbone, backbone)
    network = build_network(config.model, backbone, Heads(labels))
    print(fill(network, config.model, start)[0])
    return network


def test_settings_reach_the_network():
    network = built(variant="fcn16s", upsampling="learned", precision="mixed_bfloat16")

    assert network.stride == 16
    assert network.labels == SPEC
    assert network.get_layer("fc6").filters == 8
    assert network.get_layer("upscore16").trainable
    assert network.get_layer("fc6").compute_dtype == "bfloat16"


def test_finer_network_starts_as_the_coarser(tmp_path, capsys):
    coarse = built(variant="fcn32s")
    for weight in coarse.weights:
        weight.assign(np.random.default_rng(0).uniform(0.1, 1, weight.shape))
    coarse.save(tmp_path / "coarse.keras")

    fine = built(variant="fcn16s", init=str(tmp_path / "coarse.keras"))

    np.testing.assert_array_equal(
        fine.get_layer("score_fr").kernel, coarse.get_layer("score_fr").kernel
    )
    np.testing.assert_array_equal(fine.get_layer("score_pool4").kernel, 0)
    assert "new: upscore2, score_pool4, upscore16" in capsys.readouterr().out


def test_classes_with_the_same_name_are_kept(tmp_path):
    old = built(variant="fcn32s")
    old.get_layer("score_fr").bias.assign([1.0, 2.0, 3.0])
    old.save(tmp_path / "old.keras")

    new = built(
        LabelSpec(("box", "ground", "ball", "tree")),
        variant="fcn32s",
        init=str(tmp_path / "old.keras"),
    )

    # box was class 2, ground class 0; the others start at zero.
    np.testing.assert_array_equal(new.get_layer("score_fr").bias, [3.0, 1.0, 0.0, 0.0])


VGG = {"backbone": "vgg16", "alpha": 0.05, "fc_filters": 4}


def test_init_from_at_once_computes_the_same(tmp_path, capsys):
    at_once = built(variant="fcn8s_atonce")
    for weight in at_once.weights:
        weight.assign(np.random.default_rng(0).uniform(0.1, 1, weight.shape))
    at_once.save(tmp_path / "m.keras")
    image = np.random.default_rng(1).uniform(0, 255, (1, 64, 64, 3)).astype("float32")

    fcn8s = built(variant="fcn8s", init=str(tmp_path / "m.keras"))

    np.testing.assert_allclose(fcn8s(image), at_once(image), rtol=1e-5)
    assert "skip_scales: (0.01, 0.0001) there, (1.0, 1.0) here" in capsys.readouterr().out


def test_init_from_a_network_that_computes_something_else_is_refused(tmp_path):
    built(mean=(1, 2, 3), **VGG).save(tmp_path / "m.keras")

    with pytest.raises(
        ValueError,
        match=r"(?s)`init`, .*m\.keras, does not fit: .*mean: \(1\.0, .* there, \(4\.0, ",
    ):
        built(mean=(4, 5, 6), init=str(tmp_path / "m.keras"), **VGG)


def test_streams_that_compute_something_else_are_refused(tmp_path):
    files = {name: str(tmp_path / f"{name}.keras") for name in ("rgb", "hha")}
    built(modalities=("rgb",), variant="fcn8s", **VGG).save(files["rgb"])
    built(modalities=("hha",), variant="fcn8s_atonce", **VGG).save(files["hha"])

    with pytest.raises(ValueError, match=r"(?s)'hha' must compute the same .*skip_scales: \(0\.01"):
        built(
            modalities=("rgb", "hha"),
            fusion="late",
            variant="fcn8s",
            init_streams=tuple(files.values()),
            **VGG,
        )


def test_missing_init_is_refused():
    with pytest.raises(ValueError, match=r"`init` must be a \.keras file"):
        built(init="nowhere.keras")


def test_streams_start_from_the_networks_that_saw_one_modality(tmp_path):
    settings = {**VGG, "variant": "fcn32s"}
    files, kernels = {}, {}
    for value, modality in enumerate(("rgb", "hha"), start=1):
        single = built(modalities=(modality,), **settings)
        single.get_layer("score_fr").bias.assign([value, 0.0, 0.0])
        files[modality] = str(tmp_path / f"{modality}.keras")
        kernels[modality] = np.asarray(single.get_layer("block1_conv1").kernel)
        single.save(files[modality])

    fused = built(
        modalities=("rgb", "hha"),
        fusion="late",
        init_streams=tuple(files.values()),
        **settings,
    )

    for value, (modality, kernel) in enumerate(kernels.items(), start=1):
        np.testing.assert_array_equal(fused.get_layer(f"block1_conv1{modality}").kernel, kernel)
        assert float(fused.get_layer(f"score_fr{modality}").bias[0]) == value


def test_missing_streams_are_refused():
    with pytest.raises(ValueError, match=r"`init_streams` must be a \.keras file.*nowhere"):
        built(modalities=("rgb", "hha"), fusion="late", init_streams=("nowhere", "nowhere"))


def test_settings_of_the_paper_reach_the_network():
    network = built(
        {"thing": SPEC, "light": LabelSpec(("dark", "bright"))},
        variant="fcn8s_atonce",
        backbone="vgg16",
        alpha=0.05,
        fc_filters=4,
        modalities=("rgb", "depth"),
        geometry="reference",
        mean=(1.0, 2.0, 3.0, 4.0),
    )

    assert network.get_layer("scale_pool4").scale == 0.01
    assert network.input_shape == (None, None, None, 4)
    assert network.get_layer("pad").padding == ((100, 100), (100, 100))
    assert network.get_layer("normalizationdepth").mean == (4.0,)
    assert {head: tensor.shape[-1] for head, tensor in network.output.items()} == {
        "thing": 3,
        "light": 2,
    }


def test_only_the_pretrained_batchnorm_is_frozen():
    network = built()

    assert freeze_batchnorm(network) == 3

    backbone = next(layer for layer in network.layers if isinstance(layer, keras.Model))
    frozen = [v for v in backbone.layers if isinstance(v, keras.layers.BatchNormalization)]
    before = [np.asarray(layer.moving_mean) for layer in frozen]
    network(np.full((2, 64, 64, 3), 200, "uint8"), training=True)
    for layer, mean in zip(frozen, before, strict=True):
        np.testing.assert_array_equal(layer.moving_mean, mean)
        assert not layer.trainable_variables
    assert network.get_layer("fc6_bn").trainable
