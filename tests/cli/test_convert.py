import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras_fcn_cli.convert import command
from keras_fcn_cli.settings import VARIANT_NAMES
from safetensors.numpy import save_file

from keras_fcn.files import RECORD
from keras_fcn.models import VARIANTS

VGG_FILTERS = (8, 16, 32, 64, 64)
RNG = np.random.default_rng(0)


def layer(name, *shape, bias=True):
    tensors = {f"{name}.weight": RNG.normal(size=shape).astype("float32")}
    return tensors | ({f"{name}.bias": np.ones(shape[0], "float32")} if bias else {})


@pytest.fixture(scope="module")
def fcn32s_file(tmp_path_factory):
    """FCN32s(n_class=2) as wkentaro/pytorch-fcn saves it, but narrower."""
    tensors, channels = {}, 3
    for block, filters in enumerate(VGG_FILTERS, start=1):
        for convolution in range(1, 3 if block < 3 else 4):
            tensors |= layer(f"conv{block}_{convolution}", filters, channels, 3, 3)
            channels = filters
    tensors |= layer("fc6", 3, 64, 7, 7) | layer("fc7", 3, 3, 1, 1)
    tensors |= layer("score_fr", 2, 3, 1, 1) | layer("upscore", 2, 2, 64, 64, bias=False)
    path = tmp_path_factory.mktemp("pytorch") / "fcn32s.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(command, [str(a) for a in arguments])


def test_converts_what_the_file_holds(run, tmp_path, fcn32s_file):
    result = run("--from", fcn32s_file, "--mean", "1,2,3", "--output", "fcn.keras")

    assert result.exit_code == 0, result.output
    assert "17 layers loaded" in result.output
    assert "Network: fcn.keras (fcn32s_vgg16, 2 classes: class 0, class 1)" in result.output
    model = keras.saving.load_model("fcn.keras")
    assert (model.stride, model.num_classes) == (32, 2)
    assert model.origin == {
        "converted_from": "fcn32s.safetensors",
        "notes": ["mean of the images 1, 2, 3: as given"],
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [RECORD, "fcn.keras"]


def test_a_network_of_the_users_stays(run, tmp_path, fcn32s_file):
    (tmp_path / "fcn.keras").write_bytes(b"trained for a week")
    arguments = ("--from", fcn32s_file, "--mean", "1,2,3", "--output", "fcn.keras")

    refused = run(*arguments)
    kept = (tmp_path / "fcn.keras").read_bytes()
    first, again = run(*arguments, "--overwrite"), run(*arguments)

    assert isinstance(refused.exception, FileExistsError)
    assert "fcn.keras exists, and keras-fcn did not write it" in str(refused.exception)
    assert kept == b"trained for a week"
    assert first.exit_code == again.exit_code == 0


def test_what_does_not_fit_leaves_no_output(run, tmp_path, fcn32s_file):
    options = ("--variant", "fcn16s", "--mean", "1,2,3")
    result = run("--from", fcn32s_file, *options, "--output", "fcn.keras")

    assert isinstance(result.exception, ValueError)
    assert "upscore16: [(32, 32, 2, 2)]" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_cut_file_leaves_no_output(run, tmp_path, fcn32s_file):
    (tmp_path / "cut.safetensors").write_bytes(fcn32s_file.read_bytes()[:-100])

    result = run("--from", "cut.safetensors", "--output", "fcn.keras")

    assert "cut.safetensors' must be a `.safetensors` file" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["cut.safetensors"]


def test_a_classifier_needs_the_network_to_make_of_it(run):
    save_file(
        layer("features.0", 64, 3, 3, 3) | layer("features.28", 2, 2, 3, 3), "vgg16.safetensors"
    )

    result = run("--from", "vgg16.safetensors", "--output", "fcn.keras")

    assert result.exit_code == 2
    assert "--variant must be given" in result.output


def test_the_variant_of_a_pytorch_fcn8s_is_asked_for(run):
    """The file of FCN8sAtOnce has the same layers; it scales pool3 and pool4 in its code."""
    tensors = layer("conv1_1", 64, 3, 3, 3) | layer("fc7", 3, 3, 1, 1)
    tensors |= layer("score_fr", 21, 3, 1, 1) | layer("upscore8", 21, 21, 16, 16, bias=False)
    save_file(tensors, "fcn8s.safetensors")

    result = run("--from", "fcn8s.safetensors", "--output", "fcn.keras")

    assert result.exit_code == 2
    assert "--variant must be given, fcn8s or fcn8s_atonce" in " ".join(result.output.split())


def test_published_files_are_listed(run):
    result = run("--list")

    assert result.exit_code == 0
    assert (
        "voc-fcn16s  http://dl.caffe.berkeleyvision.org/fcn16s-heavy-pascal.caffemodel\n"
        "    mean IoU 65 on VOC 2011 seg11valid, 736 images (shelhamer/fcn.berkeleyvision.org, "
        "README.md)\n"
    ) in result.output
    assert "    not verified: no checksum is published\n" in result.output


def test_the_screen_shows_nothing_of_the_libraries():
    """Run as a user does, with nothing imported before."""
    program = Path(sys.executable).with_name("keras-fcn")

    done = subprocess.run([program, "convert", "--list"], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("voc-fcn32s  http://")


def test_variants_are_those_that_can_be_built():
    assert tuple(VARIANTS) == VARIANT_NAMES


def test_the_output_is_a_keras_file(run):
    result = run("--from", "x.caffemodel", "--output", "fcn.h5")

    assert result.exit_code == 2
    assert "--output must end in .keras" in result.output
