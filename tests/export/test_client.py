"""The client against servers that speak TensorFlow Serving's protocols on this machine."""

import base64
import io
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from keras_fcn_export.serving import client
from PIL import Image

from keras_fcn.files import RECORD, WrittenFiles

from ..helpers import file_bytes, picture, predictions_of

IMAGES = [picture(40, 30, seed=1), picture(33, 70, seed=2)]
FILES = [file_bytes(image) for image in IMAGES]


def answer(files):
    """A stand-in for the model: the first bytes of each file, backwards."""
    if b"bad" in files:
        raise ValueError("Invalid image")
    return {"mask_png_bytes": [content[:20][::-1] for content in files]}


class RestHandler(BaseHTTPRequestHandler):
    outputs = staticmethod(answer)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            assert self.path == "/v1/models/scenes:predict"
            assert request["signature_name"] == "encoded"
            encoded = request["inputs"]["image_bytes"]
            outputs = self.outputs([base64.b64decode(value["b64"]) for value in encoded])
            values = {
                name: [{"b64": base64.b64encode(value).decode()} for value in values]
                for name, values in outputs.items()
            }
            body = {"outputs": next(iter(values.values())) if len(values) == 1 else values}
            status = 200
        except (ValueError, AssertionError) as error:
            body, status = {"error": str(error)}, 400
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def rest_url():
    with HTTPServer(("127.0.0.1", 0), RestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def grpc_address():
    """A server made of the generated classes of tensorflow-serving-api, which clients lack."""
    grpc = pytest.importorskip("grpc")
    predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    service_grpc = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")

    class Service(service_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            assert request.model_spec.name == "scenes"
            assert request.model_spec.signature_name == "encoded"
            files = tf.make_ndarray(request.inputs["image_bytes"])
            assert files.ndim == 1
            try:
                outputs = answer(files.tolist())
            except ValueError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            response = predict_pb2.PredictResponse()
            response.model_spec.version.value = 300
            for name, values in outputs.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
            return response

    server = grpc.server(futures.ThreadPoolExecutor(1))
    service_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_rest(rest_url):
    masks = client.ask_rest(rest_url, "scenes", FILES)

    assert masks == answer(FILES)


def test_grpc(grpc_address):
    masks = client.ask_grpc(grpc_address, "scenes", FILES)

    assert masks == answer(FILES)


def test_errors_name_the_servers_reason(rest_url, grpc_address):
    with pytest.raises(client.RequestError, match="400 Bad Request: Invalid image"):
        client.ask_rest(rest_url, "scenes", [b"bad"])
    with pytest.raises(client.RequestError, match="INVALID_ARGUMENT: Invalid image"):
        client.ask_grpc(grpc_address, "scenes", [b"bad"])
    with pytest.raises(client.RequestError, match="cannot be reached"):
        client.ask_rest("http://127.0.0.1:9", "scenes", FILES)


def test_the_command_writes_one_mask_an_image_and_goes_on_after_errors(rest_url, tmp_path, capsys):
    for name, content in (("a.png", FILES[0]), ("b.png", b"bad"), ("c.jpg", FILES[1])):
        (tmp_path / name).write_bytes(content)
    names = [str(tmp_path / name) for name in ("a.png", "b.png", "c.jpg", "missing.png")]

    status = client.main(
        ["--rest", rest_url, "--model", "scenes", "--output", str(tmp_path / "masks"), *names]
    )

    assert status == 1
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [
        client.RECORD, "a.png", "c.png",
    ]  # fmt: skip
    assert (tmp_path / "masks" / "a.png").read_bytes() == FILES[0][:20][::-1]
    errors = capsys.readouterr().err
    assert "b.png: 400 Bad Request: Invalid image" in errors
    assert "missing.png" in errors


def test_files_of_others_and_corrected_masks_are_not_replaced(rest_url, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(FILES[0])
    masks = tmp_path / "masks"
    arguments = ["--rest", rest_url, "--model", "scenes", "--output", str(masks)]
    images = [str(tmp_path / name) for name in ("a.png", "b.png")]

    first, again = (client.main([*arguments, *images]) for _ in range(2))
    # A file of ours for `keras-fcn predict` as well, until it is edited.
    WrittenFiles().check([masks / "a.png", masks / "b.png"])
    (masks / "b.png").write_bytes(b"corrected")
    (masks / "a.png").unlink()
    capsys.readouterr()
    refused = client.main([*arguments, *images])

    assert (first, again, refused) == (0, 0, 1)
    errors = capsys.readouterr().err
    assert f"{masks / 'b.png'} (1). Nothing was written" in errors and "--overwrite" in errors
    assert not (masks / "a.png").exists()
    assert (masks / "b.png").read_bytes() == b"corrected"
    assert client.main([*arguments, "--overwrite", *images]) == 0
    assert (masks / "b.png").read_bytes() == FILES[0][:20][::-1]


def test_the_record_is_that_of_the_other_commands():
    assert client.RECORD == RECORD


def test_without_a_server_nothing_is_written(tmp_path, capsys):
    (tmp_path / "photo.png").write_bytes(FILES[0])

    status = client.main(
        ["--rest", f"http://127.0.0.1:{free_port()}", "--output", str(tmp_path / "masks"),
         str(tmp_path / "photo.png")]
    )  # fmt: skip

    assert status == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert not (tmp_path / "masks").exists()


def test_images_of_the_same_name_are_refused(capsys):
    with pytest.raises(SystemExit):
        client.main(["a/photo.jpg", "b/photo.png"])

    assert "two images have the same name" in capsys.readouterr().err


def test_several_heads_get_files_of_their_own(tmp_path):
    masks = {"semantic_mask_png_bytes": [b"1"], "semantic_confidence_png_bytes": [b"2"]}

    saved = client._save(masks, [Path("photo.jpg")], tmp_path)

    assert [path.name for path in saved] == ["photo_semantic.png", "photo_semantic_confidence.png"]


def test_a_mask_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError("No space left on device")

    (tmp_path / "photo.png").write_bytes(b"old")
    monkeypatch.setattr(client.os, "fsync", full)

    with pytest.raises(OSError, match="No space left"):
        list(client._save({"mask_png_bytes": [b"new"]}, [Path("photo.jpg")], tmp_path))

    assert (tmp_path / "photo.png").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_the_client_needs_neither_tensorflow_nor_this_package(tmp_path):
    # -I: no site customisation, no current folder; a missing grpcio shows only when it is used.
    script = tmp_path / "client.py"
    script.write_bytes(Path(client.__file__).read_bytes())
    check = "import sys, runpy; sys.argv = ['client.py', '--help']; import atexit;"
    check += "atexit.register(lambda: print({'tensorflow', 'keras', 'grpc'} & set(sys.modules)));"
    check += f"runpy.run_path({str(script)!r}, run_name='__main__')"

    result = subprocess.run(
        [sys.executable, "-I", "-c", check], capture_output=True, text=True, check=True
    )

    assert "--grpc HOST:PORT" in result.stdout
    assert "EXIF" in result.stdout
    assert result.stdout.endswith("set()\n")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_end_to_end_with_tensorflow_model_server(model, savedmodel):
    program = shutil.which("tensorflow_model_server")
    if program is None:
        pytest.skip("tensorflow_model_server is not on the PATH: the real server was not asked")
    rest, grpc_port = free_port(), free_port()
    server = subprocess.Popen(
        [
            program,
            "--model_name=scenes",
            f"--model_base_path={savedmodel.resolve()}",
            f"--rest_api_port={rest}",
            f"--port={grpc_port}",
        ]
    )
    try:
        answers = [
            when_ready(lambda: client.ask_rest(f"http://127.0.0.1:{rest}", "scenes", FILES)),
            when_ready(lambda: client.ask_grpc(f"127.0.0.1:{grpc_port}", "scenes", FILES)),
        ]
        for masks in answers:
            for image, mask in zip(IMAGES, masks["mask_png_bytes"], strict=True):
                label_map = np.asarray(Image.open(io.BytesIO(mask)))
                np.testing.assert_array_equal(label_map, predictions_of(model, image))
        with pytest.raises(client.RequestError, match="neither at position"):
            client.ask_rest(f"http://127.0.0.1:{rest}", "scenes", [b""])
    finally:
        server.terminate()
        server.wait(30)


def when_ready(ask, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except client.RequestError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
