"""Damaged exported models are refused, whatever byte is damaged."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from keras_fcn_export import export_onnx, export_savedmodel, export_tflite, verify

from keras_fcn.prediction import open_predictor

from ..helpers import images_of, picture, tiny_model
from .networks import FORMATS

NUM_MUTANTS = 40


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """Returns a function from a format to an exported model; what is missing skips the test."""
    folder = tmp_path_factory.mktemp("exported")

    def file_of(kind):
        path = folder / {"savedmodel": "saved"}.get(kind, f"m.{kind}")
        if not path.exists():
            if kind == "onnx":
                pytest.importorskip("onnxruntime")
                pytest.importorskip("tf2onnx")
            write = {
                "keras": lambda model, path: model.save(path),
                "tflite": export_tflite,
                "onnx": export_onnx,
                "savedmodel": export_savedmodel,
            }[kind]
            write(model, path)
        return path

    return file_of


def mutants(content, seed=0):
    """Yields damaged copies: a changed bit or byte, some changed bytes, a piece cut out."""
    rng = np.random.default_rng(seed)
    # Weights are most of a file, so half of the places are in its first and last 2,000 bytes.
    ends = [*range(min(2000, len(content))), *range(max(0, len(content) - 2000), len(content))]
    for number in range(NUM_MUTANTS):
        damaged = bytearray(content)
        place = int(rng.choice(ends)) if number % 2 else int(rng.integers(len(content)))
        kind = number % 4
        if kind == 0:
            damaged[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            damaged[place] = (damaged[place] + int(rng.integers(1, 256))) % 256
        elif kind == 2:
            damaged[place : place + 16] = bytes(255 - byte for byte in damaged[place : place + 16])
        else:
            del damaged[place : place + int(rng.integers(1, 50))]
        yield bytes(damaged)


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_no_damaged_file_is_opened(files, tmp_path, kind):
    whole = files(kind)
    path = tmp_path / whole.name
    opened = []

    for number, content in enumerate(mutants(whole.read_bytes())):
        path.write_bytes(content)
        try:
            open_predictor(path)
        except ValueError:
            continue
        opened.append(number)

    assert opened == []


def test_no_damaged_folder_is_opened(files, tmp_path):
    whole = files("savedmodel")
    names = [file.relative_to(whole) for file in whole.rglob("*") if file.is_file()]
    assert len(names) >= 6  # graph, fingerprint, two of variables, two of assets
    opened = []

    for name in names:
        content = (whole / name).read_bytes()
        for number, damaged in enumerate(list(mutants(content))[:8]):
            shutil.copytree(whole, tmp_path / "saved")
            (tmp_path / "saved" / name).write_bytes(damaged)
            try:
                open_predictor(tmp_path / "saved")
                opened.append((name, number))
            except ValueError:
                pass
            shutil.rmtree(tmp_path / "saved")

    assert opened == []


def test_a_damaged_keras_file_predicts_the_same_or_is_refused(files, model, tmp_path):
    """It is a zip archive, which has a checksum of each member."""
    whole, path = files("keras"), tmp_path / "m.keras"
    images = picture(64, 64)[None]
    expected = open_predictor(whole).predict(images)
    differing, num_refused = [], 0

    for number, content in enumerate(list(mutants(whole.read_bytes()))[:20]):
        path.write_bytes(content)
        try:
            predictor = open_predictor(path)
        except ValueError:
            num_refused += 1
            continue
        if not np.array_equal(predictor.predict(images), expected):
            differing.append(number)

    assert differing == []
    assert num_refused > 10


@pytest.mark.parametrize("kind", FORMATS)
def test_whole_files_are_opened(exported, kind):
    images = images_of(1, 4, 5)

    np.testing.assert_array_equal(open_predictor(exported(kind)).predict(images), images.argmax(-1))


@pytest.mark.parametrize(("kind", "length"), [("tflite", 7 + 64), ("onnx", 12 + 64)])
def test_the_checksum_is_that_of_the_bytes_before_it(files, kind, length):
    content = files(kind).read_bytes()

    digits = content[-64:].decode()

    assert digits == hashlib.sha256(content[:-length]).hexdigest()
    if kind == "onnx":
        onnx = pytest.importorskip("onnx")
        last = onnx.load_from_string(content).metadata_props[-1]
        assert (last.key, last.value) == ("sha256", digits)


def test_the_checksums_of_a_savedmodel_are_those_of_its_files(files):
    (folder,) = files("savedmodel").iterdir()

    digests = json.loads((folder / "assets" / "sha256.json").read_text())

    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert digests.keys() == found.keys() - {"assets/sha256.json"}
    for name, digest in digests.items():
        assert digest == hashlib.sha256(found[name].read_bytes()).hexdigest()


def test_verify_refuses_a_damaged_file(files, model, tmp_path):
    content = bytearray(files("tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "m.tflite").write_bytes(content)

    with pytest.raises(ValueError, match="do not have the SHA-256 at its end"):
        verify(tmp_path / "m.tflite", model, [picture(40, 70)])


def test_missing_and_added_files_of_a_savedmodel_are_named(files, tmp_path):
    shutil.copytree(files("savedmodel") / "1", tmp_path / "1")

    (tmp_path / "1" / "assets" / "modalities.json").write_text('["hha"]')
    with pytest.raises(ValueError, match="the file assets/modalities.json was added"):
        open_predictor(tmp_path)
    (tmp_path / "1" / "assets" / "modalities.json").unlink()
    (tmp_path / "1" / "saved_model.cpb").write_bytes(b"")  # which TensorFlow would prefer
    with pytest.raises(ValueError, match=r"the file saved_model\.cpb was added"):
        open_predictor(tmp_path)
    (tmp_path / "1" / "saved_model.cpb").unlink()
    (tmp_path / "1" / "assets.extra" / "requests").write_bytes(b"")
    (tmp_path / "1" / "assets" / ".nfs").write_bytes(b"")
    open_predictor(tmp_path)
    (tmp_path / "1" / "assets" / "serving.json").unlink()
    with pytest.raises(ValueError, match="the file assets/serving.json is missing"):
        open_predictor(tmp_path)
