"""Trained networks of every format behind one interface."""

from keras_fcn.prediction.keras_model import KerasPredictor
from keras_fcn.prediction.open import load_model, open_predictor
from keras_fcn.prediction.predictor import ImageSizeError, Predictor, ServingOptions
from keras_fcn.prediction.test_time_augmentation import AveragedPredictor
from keras_fcn.prediction.tiling import TiledPredictor

__all__ = [
    "AveragedPredictor",
    "ImageSizeError",
    "KerasPredictor",
    "Predictor",
    "ServingOptions",
    "TiledPredictor",
    "load_model",
    "open_predictor",
]
