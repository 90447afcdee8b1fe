"""A network of operations that TFLite supports for integers."""

import keras
from keras import KerasTensor, layers, ops


class LayerNormalization(layers.LayerNormalization):
    """Keras' layer, computed by its definition: the difference from the mean, scaled.

    Keras negates the mean instead, and TFLite negates floats only.
    """

    def call(self, inputs: KerasTensor) -> KerasTensor:
        mean, variance = ops.moments(inputs, self.axis, keepdims=True)
        scale = ops.rsqrt(variance + self.epsilon)
        outputs = (inputs - mean) * (scale if self.gamma is None else scale * self.gamma)
        return outputs if self.beta is None else outputs + self.beta


def integer_network(model: keras.Model) -> keras.Model:
    """Returns a model with the same outputs that can be quantized without float operations.

    Args:
        model: A functional model of float32 layers. It is not changed; the other layers and
            their weights are shared.

    Returns:
        The model, or `model` itself if no layer must be replaced.
    """
    if not any(_is_exchanged(layer) for layer in model._flatten_layers(include_self=False)):
        return model
    return keras.models.clone_model(model, clone_function=_integer_layer, recursive=True)


def _integer_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    if not _is_exchanged(layer):
        return layer
    copy = LayerNormalization.from_config(layer.get_config())
    copy.build((None, None, None, layer.weights[0].shape[-1]))
    copy.set_weights(layer.get_weights())
    return copy


def _is_exchanged(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is layers.LayerNormalization
        and layer.axis in (-1, [-1], 3, [3])
        and not layer.rms_scaling
        and bool(layer.weights)
    )
