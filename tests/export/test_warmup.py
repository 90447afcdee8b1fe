import io

import numpy as np
import pytest
import tensorflow as tf
from keras_fcn_export import export_savedmodel
from keras_fcn_export.warmup import WARMUP_FILE
from PIL import Image

from ..helpers import tiny_model

prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")


def requests_in(folder):
    for record in tf.data.TFRecordDataset(str(folder / WARMUP_FILE)).as_numpy_iterator():
        yield prediction_log_pb2.PredictionLog.FromString(record).predict_log.request


def test_every_signature_is_warmed_up_with_what_it_takes(savedmodel):
    signatures = tf.saved_model.load(str(savedmodel / "1")).signatures

    requests = {r.model_spec.signature_name: r.inputs for r in requests_in(savedmodel / "1")}

    assert set(requests) == {"serving_default", "logits", "encoded"}
    for name, inputs in requests.items():
        tensors = {key: tf.constant(tf.make_ndarray(proto)) for key, proto in inputs.items()}
        answer = signatures[name](**tensors)
        assert all(np.size(value) for value in answer.values())
    # The limit of this model is 200 x 200 pixels, as the network pads them: to multiples of 32.
    assert tf.make_ndarray(requests["logits"]["images"]).shape == (1, 192, 192, 3)
    files = requests["encoded"]["image_bytes"].string_val
    assert {Image.open(io.BytesIO(content)).format for content in files} == {"JPEG", "PNG"}


def test_a_baked_in_size_is_warmed_up(tmp_path):
    folder = export_savedmodel(tiny_model(), tmp_path, size=(64, 96))

    (shape,) = {
        tf.make_ndarray(request.inputs["images"]).shape
        for request in requests_in(folder)
        if "images" in request.inputs
    }

    assert shape == (1, 64, 96, 3)
