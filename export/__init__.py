"""From a trained model to what a server or a phone runs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "MAX_PIXELS": "signatures",
    "Comparison": "report",
    "VerificationReport": "report",
    "export_onnx": "onnx",
    "export_savedmodel": "savedmodel",
    "export_tflite": "tflite",
    "list_operators": "operators",
    "verify": "verification",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: a benchmark's process must not load TensorFlow for nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
