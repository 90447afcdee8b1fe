"""Normalization of responses by those of neighboring channels."""

from typing import Any

import keras
from keras import KerasTensor, ops


@keras.saving.register_keras_serializable(package="keras_fcn")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by `(1 + alpha / size * sum of squares) ** beta` over nearby channels.

    As in Caffe, `alpha` is divided by the size of the window; TensorFlow and
    the paper do not divide. It computes in float32. On TensorFlow it is the built-in operation,
    which TFLite supports in float.

    Args:
        size: Number of channels summed over, odd, the channel itself in the middle.
        alpha: Weight of the squares.
        beta: Exponent.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Call arguments:
        inputs: Float, shape `(batch, height, width, channels)`.

    Returns:
        Float32 of the same shape.

    Raises:
        ValueError: If `size` is even or below 1.

    Example:
        >>> layer = LocalResponseNormalization(size=3, alpha=3.0, beta=1.0)
        >>> layer(keras.ops.ones((1, 1, 1, 3))).numpy().round(3).tolist()  # 1/3, 1/4, 1/3
        [[[[0.3330000042915344, 0.25, 0.3330000042915344]]]]

    Reference:
        Krizhevsky, Sutskever and Hinton, NIPS 2012, section 3.3.
    """

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if size < 1 or size % 2 == 0:
            raise ValueError(f"`size` must be odd and at least 1. Received: size={size}.")
        self.size = size
        self.alpha = alpha
        self.beta = beta

    def call(self, inputs: KerasTensor) -> KerasTensor:
        radius, alpha = self.size // 2, self.alpha / self.size
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf  # here, because the package works without it

            return tf.nn.local_response_normalization(
                inputs, depth_radius=radius, bias=1.0, alpha=alpha, beta=self.beta
            )
        channels = inputs.shape[-1]
        squares = ops.pad(ops.square(inputs), [[0, 0], [0, 0], [0, 0], [radius, radius]])
        total = sum(squares[..., i : i + channels] for i in range(self.size))
        return inputs / ops.power(1.0 + alpha * total, self.beta)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "alpha": self.alpha,
            "beta": self.beta,
        }
