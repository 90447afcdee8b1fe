"""The results of a benchmark: measured times, ratios computed from them, and JSON."""

import importlib.metadata
import json
import math
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .candidates import BASELINE, PEER
from .timing import Spread

# Instructions that determine the speed of a network on a processor, by Linux' names.
_INSTRUCTIONS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
    "asimddp", "i8mm", "bf16",
)  # fmt: skip
_PACKAGES = (
    "tensorflow", "keras", "ai-edge-litert", "onnxruntime", "openvino", "torch",
)  # fmt: skip


# Seconds of every call, by round.
Rounds = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Row:
    """A candidate in one section.

    Attributes:
        name: Of the candidate.
        output: Its output.
        precision: Of its multiplications.
        rounds: Seconds of every call, by round.
        peak_bytes: The most memory that its process used; see `Session.peak_bytes`.
        size_bytes: Of its file or folder.
        equal_predictions: Share of the pixels with the same prediction as the baseline's.
        mean_iou: On the images that were compared, if they have labels.
    """

    name: str
    output: str
    precision: str
    rounds: Rounds
    peak_bytes: int
    size_bytes: int
    equal_predictions: float
    mean_iou: float | None = None

    @property
    def latency(self) -> float:
        """Median seconds of a call."""
        return statistics.median(self._calls())

    @property
    def latency_p95(self) -> float:
        """The 95th percentile of the seconds of a call."""
        calls = sorted(self._calls())
        return calls[math.ceil(0.95 * len(calls)) - 1]

    def _calls(self) -> list[float]:
        return [seconds for calls in self.rounds for seconds in calls]


@dataclass(frozen=True)
class Section:
    """All candidates on one network, size and number of threads.

    Attributes:
        model: Name of the network.
        size: Height and width of the images.
        num_threads: Threads of every candidate.
        operations: Multiplications and additions of the convolutions, per image.
        matmul_operations: Multiplications and additions of the matrix product.
        matmul_rounds: Seconds of every matrix product, by precision and round.
        rows: In the order of `CANDIDATES`.
        skipped: Why a candidate was not measured, by name.
        num_compared: Number of images that predictions were compared on.
        dataset: Source of the images.
    """

    model: str
    size: tuple[int, int]
    num_threads: int
    operations: float
    matmul_operations: float
    matmul_rounds: dict[str, Rounds]
    rows: tuple[Row, ...]
    skipped: dict[str, str]
    num_compared: int
    dataset: str

    @property
    def title(self) -> str:
        """Description of network, size and threads."""
        height, width = self.size
        threads = "1 thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        return f"{self.model}, {height}x{width}, {threads}"

    def row(self, name: str) -> Row | None:
        """Returns the row of a candidate, if it was measured."""
        return next((row for row in self.rows if row.name == name), None)

    def times_faster(self, row: Row, than: str) -> Spread | None:
        """Returns how many times faster a candidate is than another, if that was measured."""
        other = self.row(than)
        return None if other is None else _ratios(other.rounds, row.rounds)

    def relative_to_matmul(self, row: Row) -> Spread | None:
        """Returns operations per second relative to a matrix product's of the same precision.

        The matrix product is not an upper bound: good kernels exceed it.
        """
        if row.precision not in self.matmul_rounds:
            return None
        ratios = _ratios(self.matmul_rounds[row.precision], row.rounds)
        return ratios.scaled(self.operations / self.matmul_operations)

    def matmul_rate(self, precision: str) -> float:
        """Returns the operations per second of the matrix product; the median of the rounds."""
        return self.matmul_operations / statistics.median(_medians(self.matmul_rounds[precision]))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON: the measured times and the numbers computed from them."""
        values = asdict(self)
        values["matmul_gops"] = {name: self.matmul_rate(name) / 1e9 for name in self.matmul_rounds}
        for row, cells in zip(self.rows, values["rows"], strict=True):
            cells["median_ms"] = row.latency * 1e3
            cells["p95_ms"] = row.latency_p95 * 1e3
            for key, ratio in (
                ("times_faster_than_keras", self.times_faster(row, BASELINE.name)),
                ("times_faster_than_pytorch", self.times_faster(row, PEER.name)),
                ("relative_to_matmul", self.relative_to_matmul(row)),
            ):
                cells[key] = None if ratio is None else asdict(ratio)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Section":
        """Reads what `to_dict` returned."""
        rows = []
        for cells in values["rows"]:
            known = {field.name: cells[field.name] for field in fields(Row)}
            rows.append(Row(**{**known, "rounds": _rounds(known["rounds"])}))
        known = {field.name: values[field.name] for field in fields(cls)}
        products = {name: _rounds(calls) for name, calls in known["matmul_rounds"].items()}
        size = tuple(known["size"])
        return cls(**{**known, "size": size, "rows": tuple(rows), "matmul_rounds": products})


@dataclass
class BenchmarkReport:
    """Sections measured on one machine.

    Attributes:
        machine: Description of the machine that the benchmark ran on.
        sections: One per network, size and number of threads.
    """

    machine: dict[str, str]
    sections: list[Section] = field(default_factory=list)

    def add(self, section: Section) -> None:
        """Adds a section, in the place of an earlier one of the same network, size and threads."""
        titles = [known.title for known in self.sections]
        if section.title in titles:
            self.sections[titles.index(section.title)] = section
        else:
            self.sections.append(section)

    def to_json(self) -> str:
        """Returns everything, every call included."""
        sections = [section.to_dict() for section in self.sections]
        return json.dumps({"machine": self.machine, "sections": sections}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> "BenchmarkReport":
        """Reads what `to_json` wrote.

        Raises:
            ValueError: If the file is not such a report.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(values["machine"], [Section.from_dict(v) for v in values["sections"]])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} must be the JSON that `keras-fcn benchmark` wrote. It cannot be read: "
                f"{error}."
            ) from error


def describe_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Returns the processor, its instructions, and the versions of what is measured."""
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    values = {name.strip(): value.strip() for name, _, value in (li.partition(":") for li in lines)}
    flags = values.get("flags", values.get("Features", "")).split()
    found = " ".join(name for name in _INSTRUCTIONS if name in flags)
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": f"{values.get('model name', platform.machine())}, {os.cpu_count()} cores",
        "instructions": found or "unknown",
        "versions": ", ".join(versions),
    }


def _rounds(values: list[list[float]]) -> Rounds:
    return tuple(tuple(calls) for calls in values)


def _ratios(above: Rounds, below: Rounds) -> Spread:
    """Returns the ratio of the medians of two candidates, taken round by round."""
    return Spread.of_ratios(_medians(above), _medians(below))


def _medians(rounds: Rounds) -> list[float]:
    return [statistics.median(calls) for calls in rounds]
