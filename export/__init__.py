"""Export of trained models for servers and phones."""

from .onnx import export_onnx
from .operators import list_operators
from .report import Comparison, VerificationReport
from .savedmodel import export_savedmodel
from .signatures import MAX_PIXELS
from .tflite import export_tflite
from .verification import verify

__all__ = [
    "MAX_PIXELS",
    "Comparison",
    "VerificationReport",
    "export_onnx",
    "export_savedmodel",
    "export_tflite",
    "list_operators",
    "verify",
]
