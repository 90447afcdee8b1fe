"""Checks one property for every row, in a process of its own: check.py PROPERTY FOLDER.

`make` builds the rows (`make_large` the large ones) and stores what they answer; each other
property compares with that, and the process fails with the names of the rows that differ.
"""

import json
import sys
import traceback
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))  # for rows.py, which imports helpers.py

SIZE = (33, 47)
TOLERANCE = 1e-4  # of the range of the expected values


def make(folder, table="ROWS"):
    import keras
    import rows
    from rows import SIZES, images

    for name, build in getattr(rows, table).items():
        keras.utils.set_random_seed(0)
        model = build()
        model.save(folder / f"{name}.keras")
        answers = {f"{h}x{w}": np.asarray(model(images(h, w))) for h, w in SIZES}
        np.savez(folder / f"{name}.npz", **answers)
        scores = _evaluate(model)
        (folder / f"{name}.json").write_text(json.dumps(scores))
    # The others run without keras and keras_fcn, so they find the images here.
    np.savez(folder / "images.npz", **{f"{h}x{w}": images(h, w) for h, w in SIZES})


def make_large(folder):
    make(folder, "LARGE_ROWS")


def any_size(name, folder):
    import keras
    from rows import ROWS, SIZES, images

    keras.utils.set_random_seed(0)
    model = ROWS[name]()
    for height, width in SIZES:
        # By a graph of unknown size, where `make` ran eagerly.
        answer = np.asarray(model.predict(images(height, width), verbose=0))
        _compare(answer, _expected(name, folder, (height, width)))


def saving(name, folder):
    model = _load(name, folder)
    from rows import SIZES, images

    for size in SIZES:
        _compare(np.asarray(model(images(*size))), _expected(name, folder, size))
    _compare_scores(_evaluate(model), folder / f"{name}.json")


def jax(name, folder):
    import keras
    from rows import images

    assert keras.backend.backend() == "jax"
    model = _load(name, folder)
    # One size: JAX compiles every operation anew for each.
    _compare(np.asarray(model(images(*SIZE))), _expected(name, folder, SIZE))
    _compare_scores(_evaluate(model), folder / f"{name}.json")


def mixed_precision(name, folder):
    import keras
    from rows import ROWS, images

    keras.utils.set_random_seed(0)
    with_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = ROWS[name]()
    finally:
        keras.config.set_dtype_policy(with_policy)
    answer = model(images(*SIZE))
    if name.startswith(("FCN", "Pixelwise")):
        assert keras.backend.standardize_dtype(answer.dtype) == "float32"
    answer = np.asarray(keras.ops.cast(answer, "float32"))
    _compare(answer, _expected(name, folder, SIZE), tolerance=0.05)
    scores = _evaluate(model)
    assert all(np.isfinite(value) for value in scores.values()), scores


def jit(name, folder):
    import keras
    import tensorflow as tf

    model = _load(name, folder)
    from rows import images

    compiled = tf.function(lambda x: model(x), jit_compile=True)
    _compare(np.asarray(compiled(images(*SIZE))), _expected(name, folder, SIZE))
    if getattr(model, "compiled", False):
        expected = json.loads((folder / f"{name}.json").read_text())
        model.compile(
            keras.optimizers.SGD(0.0),
            model.loss,
            metrics=[keras.saving.deserialize_keras_object(_metric_config())],
            jit_compile=True,
        )
        _compare_scores(_evaluate(model), folder / f"{name}.json")
        history = model.fit(*_batch(), batch_size=2, verbose=0).history
        # The loss before the step, with dropout off in none of the layers: only finite.
        assert np.isfinite(history["loss"][0]), history
        assert set(expected) <= set(history)


def savedmodel(name, folder):
    import tensorflow as tf

    path = folder / f"{name}.savedmodel"
    model = tf.saved_model.load(str(path))
    for size in ((1, 1), (33, 47), (64, 64)):
        with np.load(folder / "images.npz") as stored:
            answer = model.serve(stored[f"{size[0]}x{size[1]}"])
        _compare(np.asarray(answer), _expected(name, folder, size))


def export(folder):
    """Writes the SavedModel and the TFLite file of every row."""
    import keras
    import tensorflow as tf
    from rows import ROWS

    for name in _exported(ROWS):
        model = _load(name, folder)
        path = folder / f"{name}.savedmodel"
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(
            "serve", model.call, [tf.TensorSpec((None, None, None, 3), tf.float32)]
        )
        archive.write_out(str(path), verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(path), signature_keys=["serve"])
        (folder / f"{name}.tflite").write_bytes(converter.convert())


def tflite(name, folder):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / f"{name}.tflite"))
    details = interpreter.get_input_details()[0]
    for size in ((1, 1), (33, 47), (64, 64)):
        with np.load(folder / "images.npz") as stored:
            images = stored[f"{size[0]}x{size[1]}"]
        interpreter.resize_tensor_input(details["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(details["index"], images)
        interpreter.invoke()
        answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        _compare(answer, _expected(name, folder, size))


def _exported(names):
    # A loss is no part of an exported network.
    return [name for name in names if not name.startswith("Pixelwise")]


def _load(name, folder):
    import keras

    import keras_fcn  # noqa: F401  (registers the classes)

    return keras.saving.load_model(folder / f"{name}.keras")


def _batch():
    from rows import images, labels

    return images(*SIZE), labels(*SIZE)


def _evaluate(model):
    if not getattr(model, "compiled", False):
        return {}
    results = model.evaluate(*_batch(), batch_size=2, verbose=0, return_dict=True)
    return {key: float(value) for key, value in results.items()}


def _metric_config():
    import keras

    from keras_fcn.metrics import SegmentationMetrics

    return keras.saving.serialize_keras_object(SegmentationMetrics(3))


def _expected(name, folder, size):
    with np.load(folder / f"{name}.npz") as answers:
        return answers[f"{size[0]}x{size[1]}"]


def _compare(answer, expected, tolerance=TOLERANCE):
    assert answer.shape == expected.shape, f"{answer.shape} != {expected.shape}"
    spread = max(float(np.ptp(expected)), 1e-3)
    difference = float(np.abs(answer - expected).max())
    assert difference <= tolerance * spread, f"differs by {difference / spread:.2g} of the range"


def _compare_scores(scores, path):
    expected = json.loads(path.read_text())
    assert scores.keys() == expected.keys(), f"{scores} != {expected}"
    for key, value in expected.items():
        assert abs(scores[key] - value) <= 1e-4 * max(1, abs(value)), f"{key}: {scores} {expected}"


def main(prop, folder):
    if prop in ("make", "make_large", "export"):
        globals()[prop](folder)
        return
    failures = {}
    names = sorted(path.stem for path in folder.glob("*.keras"))
    if prop in ("savedmodel", "tflite"):
        names = _exported(names)
    for name in names:
        try:
            globals()[prop](name, folder)
        except Exception as error:
            traceback.print_exc()
            failures[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    print(f"{len(names)} rows")
    sys.exit(f"{prop} fails for {json.dumps(failures, indent=1)}" if failures else 0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
