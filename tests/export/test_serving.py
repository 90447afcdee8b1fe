"""What a server sees: the SavedModel in a process of its own, without Keras."""

import importlib.metadata
import io
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_fcn_export import export_savedmodel, serving
from PIL import Image

import keras_fcn
from keras_fcn.backbones import MobileNetV2
from keras_fcn.data.image_io import read_image

from ..helpers import file_bytes, picture, predictions_of, randomize_logits


def answers_of_server(folder, images, image_bytes, tmp_path):
    request, answer = tmp_path / "request.npz", tmp_path / "answer.npz"
    np.savez(request, images=images, image_bytes=np.array(image_bytes, dtype=object))
    script = Path(__file__).with_name("session_loader.py")
    # From another folder, so that not even the checkout's packages are near.
    subprocess.run(
        [sys.executable, str(script), str(folder), str(request), str(answer)],
        check=True,
        cwd=tmp_path,
    )
    return np.load(answer, allow_pickle=True)


def check_answers(model, folder, images, files, tmp_path):
    answers = answers_of_server(folder, images, files, tmp_path)
    scores = model.predict(images, verbose=0)
    decoded = [np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for content in files]

    assert {key.split("/")[0] for key in answers} == {"session", "object"}
    for loader in ("session", "object"):
        labels = answers[f"{loader}/serving_default/predictions"]
        np.testing.assert_array_equal(labels, scores.argmax(-1))
        np.testing.assert_allclose(answers[f"{loader}/logits/logits"], scores, atol=1e-3)
        masks = answers[f"{loader}/encoded/mask_png_bytes"]
        for image, mask in zip(decoded, masks, strict=True):
            label_map = np.asarray(Image.open(io.BytesIO(mask)))
            np.testing.assert_array_equal(label_map, predictions_of(model, image))


def test_a_session_without_keras_answers_as_the_model(model, savedmodel, tmp_path):
    images = np.stack([picture(50, 37, seed=1), picture(50, 37, seed=2)])
    files = [file_bytes(picture(64, 30)), file_bytes(picture(33, 90), "JPEG")]

    check_answers(model, savedmodel / "1", images, files, tmp_path)


@pytest.mark.full
def test_a_session_without_keras_on_real_images(shared_data, tmp_path):
    keras.utils.set_random_seed(0)
    weights = shared_data / "weights" / "mobilenet_v2_0.35_notop.weights.h5"
    model = keras_fcn.FCN8s(
        11, backbone=MobileNetV2(alpha=0.35, weights=str(weights), fc_filters=16)
    )
    randomize_logits(model, scale=0.3)
    street = sorted((shared_data / "CamVid" / "val").glob("*.png"))[:2]
    animals = sorted((shared_data / "VOCdevkit" / "VOC2012" / "JPEGImages").glob("*.jpg"))[:3]
    folder = export_savedmodel(model, tmp_path / "model")

    images = np.stack([read_image(path) for path in street])
    files = [path.read_bytes() for path in (*street[:1], *animals)]

    check_answers(model, folder, images, files, tmp_path)


def test_the_server_is_not_older_than_the_exporter():
    pytest.importorskip("tensorflow_serving")
    text = Path(serving.__file__).with_name("docker-compose.yml").read_text()
    (pinned,) = re.findall(r"image: tensorflow/serving:(\d+\.\d+)\.\d+$", text, re.MULTILINE)

    # The Python package is released with the server, which may come later than TensorFlow.
    newest_server = importlib.metadata.version("tensorflow-serving-api")
    needed = min(minor_version(newest_server), minor_version(tf.__version__))
    assert minor_version(pinned) >= needed


def minor_version(version):
    return tuple(int(number) for number in version.split(".")[:2])
