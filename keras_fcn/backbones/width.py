"""Widths of layers."""


def scaled(filters: int, alpha: float) -> int:
    """Returns `alpha` times the filters, rounded to an even number, so that two groups share them.

    >>> scaled(64, 0.25), scaled(16, 0.01)
    (16, 2)
    """
    return max(2, 2 * round(filters * alpha / 2))
