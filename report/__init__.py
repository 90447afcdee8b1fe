"""Where a network is wrong: one HTML page on an evaluation, and the same numbers for JSON."""

from .report import Report, split_role

__all__ = ["Report", "split_role"]
