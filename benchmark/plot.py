"""The benchmark as a picture."""

from pathlib import Path
from typing import Any

from .candidates import BASELINE
from .report import BenchmarkReport, Section

_COLORS = {"float32": "#4c78a8", "bfloat16": "#f58518", "int8": "#54a24b"}


def write_plot(report: BenchmarkReport, path: Path) -> None:
    """Draws one panel a section: median latency of each candidate, and how many times faster.

    Args:
        report: With at least one section.
        path: PNG file.
    """
    from matplotlib.figure import Figure

    columns = min(2, len(report.sections))
    num_rows = -(-len(report.sections) // columns)
    figure = Figure(figsize=(6.4 * columns, 3.9 * num_rows), layout="constrained", dpi=100)
    panels = figure.subplots(num_rows, columns, squeeze=False).ravel()
    for panel, section in zip(panels, report.sections, strict=False):
        _draw(panel, section)
    for panel in panels[len(report.sections) :]:
        panel.axis("off")
    figure.savefig(path)


def _draw(panel: Any, section: Section) -> None:
    rows = sorted(section.rows, key=lambda row: row.latency, reverse=True)
    milliseconds = [row.latency * 1e3 for row in rows]
    bars = panel.barh(
        [row.name for row in rows], milliseconds, color=[_COLORS[row.precision] for row in rows]
    )
    ratios = [section.times_faster(row, BASELINE.name) for row in rows]
    texts = [
        f"{value:.3g} ms" + (f", {ratio.median:.2f}x" if ratio else "")
        for value, ratio in zip(milliseconds, ratios, strict=True)
    ]
    panel.bar_label(bars, texts, padding=3, fontsize=8)
    panel.set_title(section.title, fontsize=10)
    panel.set_xlabel(f"milliseconds an image; times faster than {BASELINE.name}", fontsize=8)
    panel.set_xlim(0, max(milliseconds) * 1.3)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
