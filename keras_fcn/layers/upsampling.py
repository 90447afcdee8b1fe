"""Bilinear upsampling without a kernel."""

from typing import Any

import keras
from keras import KerasTensor, ops

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="keras_fcn")
class BilinearUpsampling(keras.layers.Layer):
    """Interpolates to the output of a transposed convolution with the kernel of `Bilinear`.

    The input is padded with zeros, as for the convolution; `keras.layers.UpSampling2D`
    repeats the border instead.

    Args:
        factor: Ratio of output to input size; even.
        padding: `"same"`: the output is `factor` times the input; `"valid"`:
            half a factor more on each side; `"full"`: a whole factor more, all that is computed.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Call arguments:
        inputs: Logits, shape `(batch, height, width, num_classes)`.

    Returns:
        Logits, shape `(batch, height * factor, width * factor, num_classes)`,
        each side `factor` more for `"valid"` and twice as much for `"full"`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> BilinearUpsampling(2)(keras.ops.ones((1, 1, 1, 1)))[0, :, :, 0].numpy().tolist()
        [[0.5625, 0.5625], [0.5625, 0.5625]]
    """

    def __init__(self, factor: int, padding: str = "same", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if factor < 2 or factor % 2:
            raise ValueError(f"`factor` must be even and at least 2. Received: factor={factor}.")
        if padding not in ("same", "valid", "full"):
            raise ValueError(
                f'`padding` must be "same", "valid" or "full". Received: padding={padding!r}.'
            )
        self.factor = factor
        self.padding = padding

    def call(self, inputs: KerasTensor) -> KerasTensor:
        padded = ops.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
        height, width = ops.shape(padded)[1:3]
        size = (height * self.factor, width * self.factor)
        enlarged = _interpolated(padded, size)
        border = self.border
        return enlarged[:, border:-border, border:-border] if border else enlarged

    @property
    def border(self) -> int:
        """Rows and columns that are computed and cut off on each side."""
        return {"same": self.factor, "valid": self.factor // 2, "full": 0}[self.padding]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, height, width, channels = input_shape
        more = 2 * (self.factor - self.border)
        return (
            batch,
            height and height * self.factor + more,
            width and width * self.factor + more,
            channels,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor, "padding": self.padding}


def _interpolated(maps: KerasTensor, size: tuple[Any, Any]) -> KerasTensor:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Keras' operation takes no size that is only known when a graph runs.
        return tf.image.resize(maps, size)
    return ops.image.resize(maps, size, data_format="channels_last")
