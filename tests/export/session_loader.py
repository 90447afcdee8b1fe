"""Runs every signature of a SavedModel as TensorFlow Serving does; Keras cannot be imported.

Usage: session_loader.py VERSION_FOLDER REQUEST.npz ANSWER.npz

The request holds `images` and `image_bytes`; the answer what each signature
says, as `LOADER/SIGNATURE/OUTPUT`.
"""

import sys

# None makes an import fail. TensorFlow would import Keras by itself, and does without if it must.
for name in ("keras", "tf_keras", "keras_fcn", "keras_fcn_export"):
    sys.modules[name] = None

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def by_session(folder, request):
    """Loads the graph into a session, as the server does, and runs it."""
    answers = {}
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        model = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        for name, signature in model.signature_def.items():
            if name.startswith("__"):
                continue
            outputs = {key: info.name for key, info in signature.outputs.items()}
            feeds = {info.name: request[key] for key, info in signature.inputs.items()}
            for key, value in session.run(outputs, feeds).items():
                answers[f"session/{name}/{key}"] = value
    return answers


def by_object(folder, request):
    """Loads the graph as objects and runs it eagerly."""
    answers = {}
    loaded = tf.saved_model.load(folder)
    for name, function in loaded.signatures.items():
        inputs = {key: tf.constant(request[key]) for key in function.structured_input_signature[1]}
        for key, value in function(**inputs).items():
            answers[f"object/{name}/{key}"] = value.numpy()
    return answers


def main(folder, request_path, answer_path):
    request = dict(np.load(request_path, allow_pickle=True))
    answers = {**by_session(folder, request), **by_object(folder, request)}
    assert sys.modules["keras"] is None
    np.savez(answer_path, **answers)


main(*sys.argv[1:])
