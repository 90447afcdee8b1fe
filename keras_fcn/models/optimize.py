"""A trained network in the form that computes its answer fastest."""

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from keras_fcn.initializers import Bilinear
from keras_fcn.layers import BilinearUpsampling
from keras_fcn.models.fcn import FCN


def inference_model(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers and weights whose upsampling interpolates directly.

    A transposed convolution multiplies every class with every class, though the
    bilinear kernel is zero but for a class and itself: for 21 classes, 440 of
    441 products are in vain. Where a kernel still is that of `Bilinear`,
    interpolation between zeros around the map gives the same numbers.

    Args:
        model: The network. It stays as it is; the weights are shared.

    Returns:
        The faster model, or `model` itself where no layer can be exchanged and where
        it is no `FCN`.

    Example:
        >>> import keras_fcn
        >>> model = keras_fcn.FCN8s(3, backbone="mobilenet_v2", alpha=0.35)
        >>> type(inference_model(model).get_layer("upscore8")).__name__
        'BilinearUpsampling'
    """
    if not isinstance(model, FCN):
        return model
    exchanged = {
        layer.name: BilinearUpsampling(
            layer.strides[0], padding=layer.padding, dtype=layer.dtype_policy, name=layer.name
        )
        for layer in model.layers
        if isinstance(layer, layers.Conv2DTranspose) and _is_bilinear(layer)
    }
    if not exchanged:
        return model
    return keras.models.clone_model(
        model, clone_function=lambda layer: exchanged.get(layer.name, layer)
    )


def highest_label(scores: KerasTensor) -> KerasTensor:
    """Returns the class of the highest score, uint8, shape `(batch, height, width)`.

    The first of equal ones, as `argmax` has it, which takes three times longer
    in TensorFlow on the CPU.

    Args:
        scores: Shape `(batch, height, width, num_classes)`.

    Example:
        >>> highest_label(keras.ops.array([[[[1.0, 3.0, 3.0]]]])).numpy().tolist()
        [[[1]]]
    """
    _, labels = ops.top_k(scores, 1, sorted=False)
    return ops.cast(ops.squeeze(labels, -1), "uint8")


def _is_bilinear(layer: layers.Conv2DTranspose) -> bool:
    factor, size = layer.strides[0], layer.kernel_size[0]
    filters, channels = layer.kernel.shape[-2:]
    if (
        layer.strides != (factor, factor)
        or layer.kernel_size != (2 * factor, 2 * factor)
        or factor % 2
        or filters != channels
        or layer.use_bias
        or layer.activation is not keras.activations.linear
        or layer.dilation_rate != (1, 1)
        or layer.output_padding is not None
        or layer.data_format != "channels_last"
    ):
        return False
    kernel = ops.convert_to_numpy(layer.kernel)
    return np.array_equal(kernel, ops.convert_to_numpy(Bilinear()((size, size, filters, filters))))
