"""A large matrix product in each precision: a reference for operations per second.

It is not an upper bound: convolutions with better kernels, or by algorithms with fewer
multiplications, exceed it.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

# Height and width of both matrices.
SIZE = 2048
# Multiplications and additions of one product.
OPERATIONS = 2 * SIZE**3


class Matmul:
    """A matrix product with the methods of a runtime; it does not use the images."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self._run = run

    def predict(self, images: Any) -> Any:
        """Computes the product."""
        return self._run()

    def logits(self, images: Any) -> Any:
        """Computes the product."""
        return self._run()


def tensorflow_matmul(precision: str) -> Matmul:
    """Returns the product in `"float32"` or `"bfloat16"`, by TensorFlow."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.stateless_normal((SIZE, SIZE), (0, 0)), precision)

    @tf.function
    def product(x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, matrix)

    return Matmul(lambda: product(matrix)[0, 0].numpy())


def int8_matmul(num_threads: int) -> Matmul:
    """Returns the product in int8, by TFLite."""
    from ai_edge_litert.interpreter import Interpreter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.tflite"
        path.write_bytes(_int8_file())
        interpreter = Interpreter(str(path), num_threads=num_threads)
        interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    values = np.random.default_rng(0).integers(-128, 128, (SIZE, SIZE), "int8")
    interpreter.set_tensor(given["index"], values)
    return Matmul(interpreter.invoke)


def _int8_file() -> bytes:
    """Returns a TFLite file that multiplies two int8 matrices."""
    import tensorflow as tf

    matrix = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype("float32")
    product = tf.function(
        lambda x: tf.matmul(x, matrix), input_signature=[tf.TensorSpec((SIZE, SIZE), tf.float32)]
    )

    def samples() -> Iterator[list[Any]]:
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
        return bytes(converter.convert())
