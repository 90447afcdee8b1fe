import h5py
import pytest

from keras_fcn.backbones import VGG16, AlexNet, MobileNet, MobileNetV2, ResNet50, SmallResNet
from keras_fcn.weights import location
from keras_fcn.weights.location import WeightsNotFoundError, locate, look_for

SMALL = MobileNetV2(alpha=0.35)
OF_KERAS = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Three empty folders: of the option, of the variable, and Keras' cache; no network."""
    paths = [tmp_path / name for name in ("option", "variable", "cache/models")]
    for path in paths:
        path.mkdir(parents=True)
    monkeypatch.setenv("KERAS_FCN_WEIGHTS", str(paths[1]))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))

    def fetch(backbone):
        raise ConnectionError("no route to host\nmore")

    monkeypatch.setattr(location, "_fetch", fetch)
    return paths


def test_folders_are_searched_in_order(folders):
    option, variable, cache = folders
    assert look_for(SMALL, option) is None

    for folder, place in (
        (cache, "Keras' cache"),
        (variable, "$KERAS_FCN_WEIGHTS"),
        (option, "--weights-dir"),
    ):
        (folder / OF_KERAS).touch()
        assert locate(SMALL, option).path == folder / OF_KERAS
        assert locate(SMALL, option).place == place
    assert locate(SMALL).path == variable / OF_KERAS


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        (SMALL, OF_KERAS),
        (SMALL, "mobilenet_v2_0.35_notop.weights.h5"),
        (MobileNetV2(), "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        (MobileNet(alpha=0.25), "mobilenet_2_5_224_tf_no_top.h5"),
        (MobileNet(alpha=0.25), "mobilenet_1_0.25_notop.h5"),
        (ResNet50(), "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        (VGG16(), "vgg16_weights_tf_dim_ordering_tf_kernels.h5"),
        (VGG16(fc_filters=256), "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        (VGG16(), "vgg16_blocks1_2_imagenet.npz"),
        (VGG16(), "VGG_ILSVRC_16_layers.caffemodel"),
        (AlexNet(), "bvlc_reference_caffenet.caffemodel"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_files_are_known_by_their_names(backbone, name, folders):
    option = folders[0]
    (option / name).touch()

    assert look_for(backbone, option).path == option / name


def test_weights_of_another_width_are_not_taken(folders):
    (folders[0] / OF_KERAS).touch()

    assert look_for(MobileNetV2(alpha=0.5), folders[0]) is None
    assert look_for(MobileNet(alpha=0.25), folders[0]) is None


def test_the_error_names_the_file_the_folders_and_the_way_out(folders):
    with pytest.raises(WeightsNotFoundError) as error:
        locate(SMALL, folders[0])

    text = str(error.value)
    assert "of mobilenet_v2 at alpha=0.35 were not found" in text
    assert "(no route to host)" in text
    for part in (*folders, OF_KERAS, "mobilenet_v2_0.35_notop.weights.h5"):
        assert str(part) in text
    assert f"keras-applications/mobilenet_v2/{OF_KERAS} with a browser" in text
    assert text.endswith("--weights-dir; or start from random weights: --backbone-weights none.")


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (SmallResNet(), r"No ImageNet weights of small_resnet.*\(resnet50, .*-weights none"),
        (MobileNetV2(alpha=0.4), r"for alpha=0.35, 0.5, 0.75, 1, 1.3, 1.4\. .*alpha=0.4.*none"),
        (VGG16(alpha=0.25), r"vgg16 were published for alpha=1\. Received: alpha=0.25"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_backbones_without_published_weights_are_refused(backbone, message, folders):
    with pytest.raises(WeightsNotFoundError, match=message):
        locate(backbone, folders[0])


def test_real_files_are_found_and_fit(shared_data):
    for backbone in (SMALL, MobileNet(alpha=0.25)):
        found = look_for(backbone, shared_data / "weights")

        with h5py.File(found.path) as file:
            assert len(file) > 0
        assert len(backbone.network(3, str(found.path)).weights) > 100
