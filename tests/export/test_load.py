"""Many requests at once, of mixed sizes, some of them bad: every mask is the model's."""

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from keras_fcn_export import export_savedmodel
from PIL import Image

from ..helpers import file_bytes, picture, predictions_of

NUM_THREADS = 8
# One request in 50 is bad.
PERIOD = 50


def mixed_requests(model):
    """Returns 150 requests of one to three files of 16 to 256 pixels, with the model's masks."""
    random = np.random.default_rng(0)
    files, masks = [], []
    for seed in range(60):
        image = picture(*random.integers(16, 257, 2), seed=seed)
        content = file_bytes(image, "JPEG" if seed % 2 else "PNG")
        decoded = np.asarray(Image.open(io.BytesIO(content)))
        files.append(content)
        masks.append(predictions_of(model, decoded).astype("uint8"))
    # Truncated, of another format, and larger than the limit.
    bad = [files[1][:-200], file_bytes(picture(20, 20), "GIF"), file_bytes(picture(300, 301))]
    requests = []
    for number in range(3 * PERIOD):
        chosen = random.integers(0, len(files), random.integers(1, 4))
        request = [files[index] for index in chosen], [masks[index] for index in chosen]
        if number % PERIOD == PERIOD - 1:
            request = [*request[0][1:], bad[number // PERIOD]], None
        requests.append(request)
    return requests


def result_of_load(model, folder, num_requests, tmp_path):
    requests, result = tmp_path / "requests.pickle", tmp_path / "result.json"
    requests.write_bytes(pickle.dumps(mixed_requests(model)))
    script = Path(__file__).with_name("load_session.py")
    subprocess.run(
        [sys.executable, script, folder, requests, str(num_requests), str(NUM_THREADS), result],
        check=True,
        cwd=tmp_path,
    )
    return json.loads(result.read_text())


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return export_savedmodel(model, tmp_path_factory.mktemp("load"), max_pixels=300 * 300)


def test_300_requests_of_8_threads(model, folder, tmp_path):
    result = result_of_load(model, folder, 300, tmp_path)

    assert result["outcomes"] == {"equal": 294, "refused": 6}


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_10000_requests_of_8_threads_need_no_more_memory_than_1000(model, folder, tmp_path):
    result = result_of_load(model, folder, 10_000, tmp_path)

    print(json.dumps(result, indent=1))
    assert result["outcomes"] == {"equal": 9_800, "refused": 200}
    assert result["peak_mib"] < result["early_peak_mib"] + 64
