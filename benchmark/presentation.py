"""A benchmark's report as tables, as a picture, and as files."""

from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

from keras_fcn.files import replacing, write_text

from .candidates import BASELINE, PEER
from .report import BenchmarkReport, Section

_COLORS = {"float32": "#4c78a8", "bfloat16": "#f58518", "int8": "#54a24b"}
_TITLES = (
    "median ms", "p95 ms", "images/s", "faster than Keras", "than PyTorch", "relative to matmul",
    "memory MB", "size MB", "equal predictions", "mean IoU",
)  # fmt: skip
_NOTES = (
    f"faster than Keras: than {BASELINE.name}, the network alone, from images to logits; than "
    f"PyTorch: than {PEER.name}; medians of the rounds (lowest-highest). relative to matmul: "
    "operations per second, relative to those of a large matrix product in the same precision and "
    "round; good kernels exceed it. memory: the most that the candidate's own process used, "
    "libraries and loading included; for TFLite and ONNX Runtime without Keras, "
    f"which they do not need. equal predictions: with {BASELINE.name}'s."
)


def write_report(report: BenchmarkReport, folder: Path) -> None:
    """Writes `benchmark.txt`, `benchmark.json` and `benchmark.png`, in the place of older ones."""
    write_text(folder / "benchmark.txt", report_text(report))
    write_text(folder / "benchmark.json", report.to_json())
    with replacing(folder / "benchmark.png") as unfinished:
        _save_plot(report, unfinished)


def report_text(report: BenchmarkReport) -> str:
    """Returns all sections as text, below a description of the machine."""
    machine = "; ".join(f"{name}: {value}" for name, value in report.machine.items())
    parts: list[RenderableType] = [machine, ""]
    for section in report.sections:
        parts += [section_table(section), ""]
    console = Console(width=150, color_system=None)
    with console.capture() as capture:
        console.print(Group(*parts, _NOTES), highlight=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def section_table(section: Section) -> RenderableType:
    """Returns a section for rich to print."""
    num_rounds = max(len(row.rounds) for row in section.rows)
    lines = (
        f"{section.title}: {section.operations / 1e9:.2f} GFLOP per image; {num_rounds} rounds; "
        f"predictions compared on {section.num_compared} images of {section.dataset}.",
        f"Matrix product: {_matmul_rates(section)}.",
    )
    skipped = [f"Skipped: {name}: {reason}" for name, reason in section.skipped.items()]
    return Group(*lines, _table(section), *skipped)


def _matmul_rates(section: Section) -> str:
    rates = {name: section.matmul_rate(name) for name in section.matmul_rounds}
    parts = []
    for name, rate in rates.items():
        text = f"{name} {rate / 1e9:.0f} GOP/s"
        if name != "float32" and "float32" in rates:
            text += f" ({rate / rates['float32']:.2f} times float32's)"
        parts.append(text)
    return ", ".join(parts) or "not measured"


def _table(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("candidate", no_wrap=True)
    table.add_column("output", no_wrap=True)
    for title in _TITLES:
        table.add_column(title, justify="right")
    for row in section.rows:
        ratios = [section.times_faster(row, than.name) for than in (BASELINE, PEER)]
        relative = section.relative_to_matmul(row)
        table.add_row(
            row.name,
            row.output,
            _milliseconds(row.latency),
            _milliseconds(row.latency_p95),
            f"{1 / row.latency:.3g}",
            *(ratio.text(".2f") if ratio else "" for ratio in ratios),
            f"{relative.median:.0%}" if relative else "",
            f"{row.peak_bytes / 1e6:.0f}",
            f"{row.size_bytes / 1e6:.1f}",
            f"{row.equal_predictions:.2%}",
            "" if row.mean_iou is None else f"{row.mean_iou:.3f}",
        )
    return table


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f}" if seconds >= 0.1 else f"{seconds * 1e3:.3g}"


def _save_plot(report: BenchmarkReport, path: Path) -> None:
    """Draws one panel per section: median latency of each candidate, and how many times faster."""
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
        f"{_milliseconds(row.latency)} ms" + (f", {ratio.median:.2f}x" if ratio else "")
        for row, ratio in zip(rows, ratios, strict=True)
    ]
    panel.bar_label(bars, texts, padding=3, fontsize=8)
    panel.set_title(section.title, fontsize=10)
    panel.set_xlabel(f"milliseconds per image; times faster than {BASELINE.name}", fontsize=8)
    panel.set_xlim(0, max(milliseconds) * 1.3)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
