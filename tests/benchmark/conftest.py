"""The tiny network of the export tests."""

from ..export.conftest import model

__all__ = ["model"]
