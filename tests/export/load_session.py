"""Sends many requests at once to a SavedModel in a session, as TensorFlow Serving does.

Usage: load_session.py VERSION_FOLDER REQUESTS.pickle NUM_REQUESTS NUM_THREADS RESULT.json

The pickle is a list of requests, each with its files and the masks that the model predicts, or
None for a request that the server has to refuse. The threads send them again and again. The result
has the number of requests by their outcome, the latencies in milliseconds, and the peaks of memory
in MiB after a tenth of the requests and at the end.
"""

import io
import json
import pickle
import resource
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# None makes an import fail. TensorFlow would import Keras by itself, and does without if it must.
for name in ("keras", "tf_keras", "keras_fcn", "keras_fcn_export"):
    sys.modules[name] = None

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402


def outcome(answer, masks):
    """Compares the answer to a request with the masks of its files."""
    if answer is None or masks is None:
        return "refused" if answer is masks else "refused wrongly" if masks else "accepted wrongly"
    got = [np.asarray(Image.open(io.BytesIO(content))) for content in answer]
    equal = len(got) == len(masks) and all(map(np.array_equal, got, masks))
    return "equal" if equal else "different"


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(folder, requests_path, num_requests, num_threads, result_path):
    requests = pickle.loads(Path(requests_path).read_bytes())
    num_requests = int(num_requests)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], folder).signature_def
        image_bytes = signature["encoded"].inputs["image_bytes"].name
        # Prepared once, as in a server; the threads only run it.
        run = session.make_callable(
            signature["encoded"].outputs["mask_png_bytes"].name, feed_list=[image_bytes]
        )

        def send(number):
            files, masks = requests[number % len(requests)]
            start = time.perf_counter()
            try:
                answer = run(np.array(files, dtype=object))
            except tf.errors.InvalidArgumentError:
                answer = None
            milliseconds = 1000 * (time.perf_counter() - start)
            return outcome(answer, masks), milliseconds

        with ThreadPoolExecutor(int(num_threads)) as threads:
            first = list(threads.map(send, range(num_requests // 10)))
            early_peak = peak_mib()
            start = time.perf_counter()
            rest = list(threads.map(send, range(num_requests // 10, num_requests)))
            seconds = time.perf_counter() - start
    outcomes = Counter(name for name, _ in first + rest)
    p50, p99 = np.percentile([milliseconds for _, milliseconds in rest], [50, 99])
    result = {
        "outcomes": outcomes,
        "requests_per_second": len(rest) / seconds,
        "p50_ms": p50,
        "p99_ms": p99,
        "early_peak_mib": early_peak,
        "peak_mib": peak_mib(),
    }
    assert sys.modules["keras"] is None
    Path(result_path).write_text(json.dumps(result))


main(*sys.argv[1:])
