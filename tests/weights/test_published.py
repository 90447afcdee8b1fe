import hashlib
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_fcn
from keras_fcn.backbones import VGG16
from keras_fcn.weights.published import CARDS, WeightCard, download, find_card
from keras_fcn.weights.source import WeightFileError

from .caffe_files import fcn_layers, write_caffemodel

CONTENT = b"weights of a network"


@pytest.fixture
def card(tmp_path):
    """A card whose file lies in a folder."""
    (tmp_path / "net.caffemodel").write_bytes(CONTENT)
    url = (tmp_path / "net.caffemodel").as_uri()
    return WeightCard("test", url, "voc", 21, stride=8, checksum_source="this test")


def test_every_file_of_the_reference_has_a_card():
    published = [c for c in CARDS.values() if c.dataset != "imagenet"]

    assert len(published) == 14
    assert len({c.url for c in CARDS.values()}) == len(CARDS)
    assert all(c.stride in (8, 16, 32) and c.url.endswith(".caffemodel") for c in published)
    for backbone in ("vgg16", "alexnet", "googlenet"):
        assert find_card("imagenet", backbone=backbone).url.endswith(".caffemodel")


def test_metrics_name_their_split_and_checksums_their_source():
    for card in CARDS.values():
        assert all(published.split and published.source for published in card.metrics)
        assert bool(card.checksum_source) == bool(card.sha256 or card.sha1)
        # Nobody measured the published files of the other datasets.
        assert card.dataset == "voc" or not card.metrics


def test_cards_are_found_by_what_the_network_is():
    assert find_card("voc", stride=8, at_once=True).name == "voc-fcn8s-atonce"
    assert find_card("nyud", stride=32).name == "nyud-fcn32s-color"
    assert find_card("imagenet").name == "imagenet-vgg16"
    with pytest.raises(ValueError, match=r"no published weights with dataset='nyud'.*stride=8"):
        find_card("nyud", stride=8)


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_downloads_once(tmp_path, card, algorithm):
    card = replace(card, **{algorithm: hashlib.new(algorithm, CONTENT).hexdigest()})

    path = download(card, tmp_path / "cache")

    assert path == tmp_path / "cache" / "models" / "net.caffemodel"
    assert path.read_bytes() == CONTENT
    (tmp_path / "net.caffemodel").unlink()
    assert download(card, tmp_path / "cache") == path
    assert [p.name for p in path.parent.iterdir()] == ["net.caffemodel"]


def test_the_first_digits_of_a_checksum_do(tmp_path, card):
    card = replace(card, sha256=hashlib.sha256(CONTENT).hexdigest()[:8])

    assert download(card, tmp_path / "cache").is_file()


def test_a_damaged_file_in_the_cache_is_downloaded_again(tmp_path, card):
    card = replace(card, sha256=hashlib.sha256(CONTENT).hexdigest())
    path = download(card, tmp_path / "cache")
    path.write_bytes(b"half a fi")

    assert download(card, tmp_path / "cache").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing_behind(tmp_path, card):
    card = replace(card, sha1="0" * 40)

    with pytest.raises(WeightFileError, match=r"must have the SHA-1 from this test: 000"):
        download(card, tmp_path / "cache")

    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_an_unreachable_host_gives_the_url_and_what_to_do(tmp_path, card):
    # Nothing listens on the discard port of this machine.
    card = replace(card, url="http://127.0.0.1:9/fcn8s-heavy-pascal.caffemodel")

    with pytest.raises(ConnectionError) as info:
        download(card, tmp_path / "cache")

    text = str(info.value)
    assert text.startswith("Could not download http://127.0.0.1:9/fcn8s-heavy-pascal.caffemodel (")
    assert f"put it at {tmp_path}/cache/models/fcn8s-heavy-pascal.caffemodel" in text
    assert "keras-fcn convert --from fcn8s-heavy-pascal.caffemodel" in text
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_a_network_downloads_its_published_weights(tmp_path, monkeypatch):
    layers = fcn_layers(heads={"": 3})
    path = write_caffemodel(tmp_path / "fcn32s.caffemodel", layers)
    local = replace(CARDS["voc-fcn32s"], url=path.as_uri(), sha1=None)
    monkeypatch.setitem(CARDS, "voc-fcn32s", local)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))

    model = keras_fcn.FCN32s(3, backbone=VGG16(alpha=1 / 8, fc_filters=4), weights="voc")

    kernel = layers["score_fr"][0].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("score_fr").kernel, kernel)
    # The reference subtracts VOC's mean, not ImageNet's, from the images.
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.get_layer("normalization").mean == (104.00699, 116.66877, 122.67892)


def test_published_weights_load_into_a_network_that_was_used_before(tmp_path, monkeypatch):
    layers = fcn_layers(heads={"": 3})
    path = write_caffemodel(tmp_path / "fcn32s.caffemodel", layers)
    local = replace(CARDS["voc-fcn32s"], url=path.as_uri(), sha1=None)
    monkeypatch.setitem(CARDS, "voc-fcn32s", local)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    model = keras_fcn.FCN32s(3, backbone=VGG16(alpha=1 / 8, fc_filters=4))
    image = np.full((1, 40, 40, 3), 90.0)
    model.predict(image, verbose=0)

    keras_fcn.weights.load(model, "voc")

    fresh = keras_fcn.FCN32s(3, backbone=VGG16(alpha=1 / 8, fc_filters=4), weights="voc")
    expected = fresh.predict(image, verbose=0)
    np.testing.assert_allclose(model.predict(image, verbose=0), expected, rtol=1e-5)
    assert np.std(expected) > 0


def test_a_mean_that_is_given_is_kept(tmp_path, monkeypatch):
    path = write_caffemodel(tmp_path / "fcn32s.caffemodel", fcn_layers(heads={"": 3}))
    local = replace(CARDS["voc-fcn32s"], url=path.as_uri(), sha1=None)
    monkeypatch.setitem(CARDS, "voc-fcn32s", local)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    backbone = VGG16(alpha=1 / 8, fc_filters=4, mean=(1, 2, 3))

    model = keras_fcn.FCN32s(3, backbone=backbone, weights="voc")

    assert model.get_layer("normalization").mean == (1, 2, 3)


def test_networks_that_were_not_published_are_refused():
    with pytest.raises(ValueError, match="no published weights with dataset='nyud'"):
        keras_fcn.FCN8s(40, weights="nyud")
