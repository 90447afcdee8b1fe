"""Padding of images to a multiple of a network's stride."""

from typing import Any

import keras
from keras import KerasTensor, ops

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="keras_fcn")
class PadToStride(keras.layers.Layer):
    """Appends zeros at the bottom and the right until the stride divides height and width.

    An image whose size already fits is returned unchanged. `CropLike` removes the logits of the
    added pixels again.

    Args:
        stride: Coarsest stride of the network, in pixels, at least 1.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Call arguments:
        inputs: Images, shape `(batch, height, width, channels)`.

    Returns:
        Images, shape `(batch, ceil(height / stride) * stride,
        ceil(width / stride) * stride, channels)`.

    Raises:
        ValueError: If `stride` is below 1.

    Example:
        >>> tuple(PadToStride(32)(keras.ops.ones((1, 33, 64, 3))).shape)
        (1, 64, 64, 3)
    """

    def __init__(self, stride: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if stride < 1:
            raise ValueError(f"`stride` must be at least 1. Received: stride={stride}.")
        self.stride = stride

    def call(self, inputs: KerasTensor) -> KerasTensor:
        batch, height, width, channels = ops.shape(inputs)
        # Not `-height % stride`: ONNX takes the sign of the dividend and would crop.
        bottom = (self.stride - height % self.stride) % self.stride
        right = (self.stride - width % self.stride) % self.stride
        if isinstance(bottom, int) and isinstance(right, int) and bottom == right == 0:
            return inputs
        padded = ops.pad(inputs, [[0, 0], [0, bottom], [0, right], [0, 0]])
        # A padding that is computed loses the static number of channels, which TFLite needs.
        return ops.reshape(padded, (batch, height + bottom, width + right, channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, height, width, channels = input_shape
        return (batch, self._round_up(height), self._round_up(width), channels)

    def _round_up(self, size: int | None) -> int | None:
        return None if size is None else -(-size // self.stride) * self.stride

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stride": self.stride}
