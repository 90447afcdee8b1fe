"""Cropping of logits to the size of another tensor."""

from typing import Any

import keras
from keras import KerasTensor, ops

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="keras_fcn")
class CropLike(keras.layers.Layer):
    """Cuts out of the first tensor the window that has the height and width of the second.

    Args:
        offset: Rows and columns to leave out at the top and the left. Named as in Caffe's crop
            layer.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Call arguments:
        inputs: A pair `[tensor, reference]`, shapes `(batch, height, width,
            channels)` and `(batch, reference_height, reference_width, any)`,
            where the tensor is at least `offset` larger than the reference.

    Returns:
        The window, shape `(batch, reference_height, reference_width, channels)`.

    Raises:
        ValueError: If `offset` is negative, or the tensor is too small.

    Example:
        >>> logits, image = keras.ops.ones((1, 64, 64, 21)), keras.ops.ones((1, 50, 37, 3))
        >>> tuple(CropLike()([logits, image]).shape)
        (1, 50, 37, 21)
    """

    def __init__(self, offset: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if offset < 0:
            raise ValueError(f"`offset` must not be negative. Received: offset={offset}.")
        self.offset = offset

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        tensor, reference = inputs
        _, height, width, _ = ops.shape(reference)
        start = self.offset
        for available, wanted in zip(tensor.shape[1:3], reference.shape[1:3], strict=True):
            if available is not None and wanted is not None and available < start + wanted:
                raise ValueError(
                    f"The map that {self.name!r} crops must have at least {start + wanted} rows "
                    f"and columns for an image of {wanted}. Received: {available}. Take a larger "
                    "border or a larger image."
                )
        return tensor[:, start : start + height, start : start + width, :]

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        tensor, reference = input_shape
        return (tensor[0], reference[1], reference[2], tensor[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "offset": self.offset}
