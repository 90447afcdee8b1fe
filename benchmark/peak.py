"""Matrix products: what the processor reaches at best in each precision."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .runtimes import Array, Runtime, set_tensorflow_threads

# Height and width of both matrices.
SIZE = 2048
# Multiplications and additions of one run.
OPERATIONS = 2 * SIZE**3


def write_int8_product(path: Path) -> Path:
    """Writes a TFLite file that multiplies two int8 matrices."""
    import tensorflow as tf

    matrix = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype("float32")
    product = tf.function(
        lambda x: tf.matmul(x, matrix), input_signature=[tf.TensorSpec((SIZE, SIZE), tf.float32)]
    )

    def samples() -> Iterator[list[Array]]:
        yield [matrix]

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [product.get_concrete_function()], product
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter")
        path.write_bytes(converter.convert())
    return path


class _Product:
    def __init__(self, run: Callable[[], Any]) -> None:
        self._run = run

    def prepare(self, images: Array) -> None:
        """Takes no images."""

    def run(self, prepared: None) -> None:
        self._run()

    def labels(self, answer: Any) -> Array:
        raise NotImplementedError("A matrix product has no labels.")


def _float32(path: Path, num_threads: int, signature: str) -> Runtime:
    return _by_tensorflow("float32", num_threads)


def _bfloat16(path: Path, num_threads: int, signature: str) -> Runtime:
    return _by_tensorflow("bfloat16", num_threads)


def _by_tensorflow(precision: str, num_threads: int) -> Runtime:
    set_tensorflow_threads(num_threads)
    import tensorflow as tf

    matrix = tf.cast(tf.random.stateless_normal((SIZE, SIZE), (0, 0)), precision)

    @tf.function
    def product(x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, matrix)

    return _Product(lambda: product(matrix)[0, 0].numpy())


def _int8(path: Path, num_threads: int, signature: str) -> Runtime:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=num_threads)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    values = np.random.default_rng(0).integers(-128, 128, (SIZE, SIZE), "int8")
    interpreter.set_tensor(given["index"], values)
    return _Product(interpreter.invoke)


PEAKS: dict[str, Callable[[Path, int, str], Runtime]] = {
    "peak-float32": _float32,
    "peak-bfloat16": _bfloat16,
    "peak-int8": _int8,
}
