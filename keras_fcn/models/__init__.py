"""The networks: FCN-32s, FCN-16s, FCN-8s and FCN-4s on any backbone."""

from keras_fcn.models.fcn import FCN, VARIANTS, FCN4s, FCN8s, FCN8sAtOnce, FCN16s, FCN32s
from keras_fcn.models.inputs import MAX_STRIDE

__all__ = ["FCN", "MAX_STRIDE", "VARIANTS", "FCN4s", "FCN8s", "FCN8sAtOnce", "FCN16s", "FCN32s"]
