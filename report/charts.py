"""Charts as SVG, whose colors follow those of the page."""

from collections.abc import Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 460, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 12, 42


def band_chart(trimap: Sequence[dict[str, Any]], mean_iou: float | None) -> str:
    """Returns mean IoU by the width of the band around boundaries, and that of all pixels."""
    points = [(p["width"], p["mean_iou"]) for p in trimap if p["mean_iou"] is not None]
    if not points:
        return ""
    frame = _Frame((0, trimap[-1]["width"]), (0, 1))
    parts = [frame.axes(range(0, 41, 10), "pixels from a boundary of the labels", "mean IoU")]
    if mean_iou is not None:
        y = frame.y(mean_iou)
        parts.append(
            f'<line class="all" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="note" x="{_WIDTH - _RIGHT}" y="{y - 6:.1f}" text-anchor="end">'
            f"all pixels: {mean_iou:.3f}</text>"
        )
    path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
    parts.append(f'<polyline class="line" points="{path}"/>')
    ends = f"{points[0][1]:.3f} within 1 pixel, {points[-1][1]:.3f} within {points[-1][0]}"
    return _svg("".join(parts), f"Mean IoU near boundaries: {ends}")


def reliability_chart(calibration: dict[str, Any]) -> str:
    """Returns accuracy by confidence, over the share of pixels with that confidence."""
    frame = _Frame((0, 1), (0, 1))
    total = sum(of["num_pixels"] for of in calibration["bins"])
    parts = [frame.axes((0, 0.2, 0.4, 0.6, 0.8, 1), "confidence", "accuracy")]
    for of in calibration["bins"]:
        if not of["num_pixels"]:
            continue
        x, width = frame.x(of["from"]), frame.x(of["to"]) - frame.x(of["from"])
        share = of["num_pixels"] / total
        tip = (
            f"confidence {of['confidence']:.3f}, accuracy {of['accuracy']:.3f}, "
            f"{share:.2%} of the pixels"
        )
        parts.append(
            f'<g><title>{tip}</title><rect class="share" x="{x + 1:.1f}" y="{frame.y(share):.1f}" '
            f'width="{width - 2:.1f}" height="{frame.y(0) - frame.y(share):.1f}"/>'
            f'<circle class="dot" cx="{frame.x(of["confidence"]):.1f}" '
            f'cy="{frame.y(of["accuracy"]):.1f}" r="4.5"/></g>'
        )
    points = [
        f"{frame.x(of['confidence']):.1f},{frame.y(of['accuracy']):.1f}"
        for of in calibration["bins"]
        if of["num_pixels"]
    ]
    diagonal = (
        f'<line class="all" x1="{frame.x(0):.1f}" y1="{frame.y(0):.1f}" '
        f'x2="{frame.x(1):.1f}" y2="{frame.y(1):.1f}"/>'
    )
    line = f'<polyline class="line" points="{" ".join(points)}"/>'
    return _svg(
        parts[0] + diagonal + line + "".join(parts[1:]),
        f"Reliability: expected calibration error {calibration['ece'] or 0:.4f}",
    )


class _Frame:
    """The area of a chart, and where its values are."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
        self._x, self._y = x_range, y_range

    def x(self, value: float) -> float:
        low, high = self._x
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, ticks: Sequence[float], x_title: str, y_title: str) -> str:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        parts = []
        for value in (0, 0.2, 0.4, 0.6, 0.8, 1):
            y = self.y(value)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        for value in ticks:
            parts.append(
                f'<text x="{self.x(value):.1f}" y="{bottom + 17}" text-anchor="middle">'
                f"{value:g}</text>"
            )
        parts.append(
            f'<text class="title" x="{(_LEFT + right) / 2}" y="{_HEIGHT - 6}" '
            f'text-anchor="middle">{escape(x_title)}</text>'
            f'<text class="title" transform="translate(11 {(_TOP + bottom) / 2}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_title)}</text>'
        )
        return "".join(parts)


def _svg(content: str, label: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{content}</svg>'
    )
