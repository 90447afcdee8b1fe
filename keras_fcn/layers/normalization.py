"""Normalization of pixels, as in the training of the backbones."""

from typing import Any, Literal, get_args

import keras
from keras import KerasTensor, ops

NormalizationMode = Literal["caffe", "tf", "torch", "log", "standardize", "none"]

# Blue, green, red: the ImageNet mean of the networks that were trained with Caffe.
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
TORCH_MEAN_RGB = (0.485, 0.456, 0.406)
TORCH_STD_RGB = (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable(package="keras_fcn")
class ImageNormalization(keras.layers.Layer):
    """Turns RGB values of 0..255 into the values that a backbone expects.

    As a layer of the model it is the same in training and in every exported model. The modes are
    those of `keras.applications.imagenet_utils.preprocess_input`.

    Args:
        mode: `"caffe"`: blue, green, red minus `mean`. `"tf"`: scaled to
            [-1, 1]. `"torch"`: scaled to [0, 1], minus the mean, divided by the
            standard deviation of ImageNet. `"log"`, for depth: the logarithm minus
            `mean`; values below 1, such as missing depth, count as 1.
            `"standardize"`, for bands of any number and range: minus `mean`, divided by
            `deviation`; NaN, where there is no data, becomes 0. `"none"`: unchanged.
        mean: For `"caffe"`: the mean of each channel, in the order blue, green,
            red; for `"log"`: that of the logarithm; for `"standardize"`: of each band.
        deviation: For `"standardize"`: the standard deviation of each band.
        flip: For `"caffe"`: whether to turn red, green, blue into blue, green,
            red. Without it the channels, any number, stay in their order, and
            `mean` is in that order, too.
        **kwargs: `name` and `dtype`, as for any Keras layer.

    Call arguments:
        inputs: Images, shape `(batch, height, width, channels)`; red, green, blue in
            0..255 unless stated otherwise.

    Returns:
        Images of the same shape.

    Raises:
        ValueError: If `mode` is unknown, or does not match the number of channels.

    Example:
        >>> white = keras.ops.full((1, 1, 1, 3), 255.0)
        >>> ImageNormalization("tf")(white).numpy().tolist()
        [[[[1.0, 1.0, 1.0]]]]
    """

    def __init__(
        self,
        mode: NormalizationMode,
        mean: tuple[float, ...] = CAFFE_MEAN_BGR,
        flip: bool = True,
        deviation: tuple[float, ...] = (),
        **kwargs: Any,
    ) -> None:
        # bfloat16 represents 0..255 exactly, but not the differences to a mean.
        super().__init__(**{"dtype": "float32", **kwargs})
        if mode not in get_args(NormalizationMode):
            raise ValueError(
                '`mode` must be "caffe", "tf", "torch", "log", "standardize" or "none". Received: '
                f"mode={mode!r}."
            )
        if mode == "standardize" and (
            len(deviation) != len(mean) or not all(value > 0 for value in deviation)
        ):
            raise ValueError(
                '`mode="standardize"` takes a `mean` and a `deviation` above 0 of each band. '
                f"Received: mean={tuple(mean)}, deviation={tuple(deviation)}."
            )
        self.mode = mode
        self.mean = tuple(mean)
        self.flip = flip
        self.deviation = tuple(deviation)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        wanted = {"caffe": len(self.mean), "standardize": len(self.mean), "torch": 3}.get(self.mode)
        if wanted not in (None, input_shape[-1]):
            raise ValueError(
                f'Images normalized with mode="{self.mode}" must have {wanted} channels, one for '
                f"each mean. Received: {input_shape[-1]} channels and mean={self.mean}. For other "
                'images pass the `mean` of each channel, or choose another mode, such as "none".'
            )

    def call(self, inputs: KerasTensor) -> KerasTensor:
        images = ops.cast(inputs, "float32")
        if self.mode == "caffe":
            images = ops.flip(images, axis=-1) if self.flip else images
            return images - ops.array(self.mean, "float32")
        if self.mode == "standardize":
            images = (images - ops.array(self.mean, "float32")) / ops.array(
                self.deviation, "float32"
            )
            return ops.where(ops.isnan(images), ops.zeros_like(images), images)
        if self.mode == "log":
            return ops.log(ops.maximum(images, 1.0)) - ops.array(self.mean, "float32")
        if self.mode == "tf":
            return images / 127.5 - 1.0
        if self.mode == "torch":
            mean, std = ops.array(TORCH_MEAN_RGB, "float32"), ops.array(TORCH_STD_RGB, "float32")
            return (images / 255.0 - mean) / std
        return images

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mode": self.mode,
            "mean": list(self.mean),
            "flip": self.flip,
            "deviation": list(self.deviation),
        }
