"""A report as files."""

from pathlib import Path

from keras_fcn.files import move, temporary_folder

from .plot import write_plot
from .report import BenchmarkReport


def write_report(report: BenchmarkReport, folder: Path) -> None:
    """Writes `benchmark.txt`, `benchmark.json` and `benchmark.png`, in the place of older ones."""
    with temporary_folder(folder) as files:
        (files / "benchmark.txt").write_text(str(report), encoding="utf-8")
        (files / "benchmark.json").write_text(report.to_json(), encoding="utf-8")
        write_plot(report, files / "benchmark.png")
        for file in files.iterdir():
            move(file, folder / file.name)
