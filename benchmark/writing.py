"""A report as files."""

import tempfile
from pathlib import Path

from .plot import write_plot
from .report import BenchmarkReport


def write_report(report: BenchmarkReport, folder: Path) -> None:
    """Writes `benchmark.txt`, `benchmark.json` and `benchmark.png`, in the place of older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as unfinished:
        files = Path(unfinished)
        (files / "benchmark.txt").write_text(str(report), encoding="utf-8")
        (files / "benchmark.json").write_text(report.to_json(), encoding="utf-8")
        write_plot(report, files / "benchmark.png")
        for file in files.iterdir():
            file.replace(folder / file.name)
