"""What was measured, as a table, as JSON, and as ratios."""

import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

from .candidates import BASELINE, PEER


@dataclass(frozen=True)
class Spread:
    """A number for each round, by their median and range.

    >>> Spread.of([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, high=3.0)
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Returns the spread of at least one number."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))

    def scaled(self, factor: float) -> "Spread":
        """Returns the spread of the numbers times a factor."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)


# Seconds of every call, by round.
Rounds = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Row:
    """A candidate in one section.

    Attributes:
        name: Of the candidate.
        answers: What it returns.
        precision: Of its products.
        rounds: Seconds of every call, by round.
        peak_bytes: The most memory its process has held, libraries included.
        size_bytes: Of its file or folder.
        equal_labels: Share of the pixels with the baseline's label.
        mean_iou: On the images that were compared, if they are labeled.
    """

    name: str
    answers: str
    precision: str
    rounds: Rounds
    peak_bytes: int
    size_bytes: int
    equal_labels: float
    mean_iou: float | None = None

    @property
    def latency(self) -> float:
        """Median seconds of a call."""
        return statistics.median(self._calls())

    @property
    def latency_p95(self) -> float:
        """Seconds that 95 of 100 calls stay below."""
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
        operations: Multiplications and additions of the convolutions, of one image.
        product_operations: Multiplications and additions of the matrix product.
        product_rounds: Seconds of every matrix product, by precision.
        rows: In the order of `CANDIDATES`.
        skipped: Why a candidate was not measured, by name.
        num_compared: Images that labels were compared on.
        dataset: Where they come from.
    """

    model: str
    size: tuple[int, int]
    num_threads: int
    operations: float
    product_operations: float
    product_rounds: dict[str, Rounds]
    rows: tuple[Row, ...]
    skipped: dict[str, str]
    num_compared: int
    dataset: str

    @property
    def title(self) -> str:
        """The network, size and threads in words."""
        height, width = self.size
        threads = "1 thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        return f"{self.model}, {height}x{width}, {threads}"

    def row(self, name: str) -> Row | None:
        """Returns the row of a candidate, if it was measured."""
        return next((row for row in self.rows if row.name == name), None)

    def times_faster(self, row: Row, than: str) -> Spread | None:
        """Returns how many times faster a candidate is than another, if that was measured."""
        other = self.row(than)
        return None if other is None else _quotients(other.rounds, row.rounds)

    def share_of_peak(self, row: Row) -> Spread:
        """Returns the operations a second as a share of a matrix product's of that precision."""
        product = _quotients(self.product_rounds[row.precision], row.rounds)
        return product.scaled(self.operations / self.product_operations)

    def peak(self, precision: str) -> float:
        """Returns the operations a second of the matrix product; the median of the rounds."""
        seconds = [statistics.median(calls) for calls in self.product_rounds[precision]]
        return self.product_operations / statistics.median(seconds)

    def __rich__(self) -> RenderableType:
        num_rounds = max(len(row.rounds) for row in self.rows)
        lines = (
            f"{self.title}: {self.operations / 1e9:.2f} GFLOP an image; {num_rounds} rounds; "
            f"labels compared on {self.num_compared} images of {self.dataset}.",
            f"Matrix product, which bounds what can be reached: {self._peaks()}.",
        )
        skipped = [f"Skipped: {name}: {reason}" for name, reason in self.skipped.items()]
        return Group(*lines, self._table(), *skipped)

    def _peaks(self) -> str:
        return ", ".join(
            f"{name} {self.peak(name) / 1e9:.0f} GOP/s"
            + (
                ""
                if name == "float32"
                else f" ({self.peak(name) / self.peak('float32'):.2f} times float32's)"
            )
            for name in self.product_rounds
        )

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("candidate", no_wrap=True)
        table.add_column("answers", no_wrap=True)
        titles = ["median ms", "p95 ms", "images/s", "faster than Keras", "than PyTorch", "of peak"]
        for title in (*titles, "memory MB", "size MB", "equal labels", "mean IoU"):
            table.add_column(title, justify="right")
        for row in self.rows:
            table.add_row(
                row.name,
                row.answers,
                _milliseconds(row.latency),
                _milliseconds(row.latency_p95),
                f"{1 / row.latency:.3g}",
                _ratio(self.times_faster(row, BASELINE.name)),
                _ratio(self.times_faster(row, PEER.name)),
                f"{self.share_of_peak(row).median:.0%}",
                f"{row.peak_bytes / 1e6:.0f}",
                f"{row.size_bytes / 1e6:.1f}",
                f"{row.equal_labels:.2%}",
                "" if row.mean_iou is None else f"{row.mean_iou:.3f}",
            )
        return table

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON: what was measured, and what follows from it."""
        values = asdict(self)
        values["peak_gops"] = {name: self.peak(name) / 1e9 for name in self.product_rounds}
        for row, cells in zip(self.rows, values["rows"], strict=True):
            cells["median_ms"] = row.latency * 1e3
            cells["p95_ms"] = row.latency_p95 * 1e3
            for name, than in (("keras", BASELINE.name), ("pytorch", PEER.name)):
                ratio = self.times_faster(row, than)
                cells[f"times_faster_than_{name}"] = None if ratio is None else asdict(ratio)
            cells["share_of_peak"] = asdict(self.share_of_peak(row))
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Section":
        """Reads what `to_dict` returned."""
        rows = []
        for cells in values["rows"]:
            known = {field.name: cells[field.name] for field in fields(Row)}
            rows.append(Row(**{**known, "rounds": _rounds(known["rounds"])}))
        known = {field.name: values[field.name] for field in fields(cls)}
        products = {name: _rounds(calls) for name, calls in known["product_rounds"].items()}
        size = tuple(known["size"])
        return cls(**{**known, "size": size, "rows": tuple(rows), "product_rounds": products})


@dataclass
class BenchmarkReport:
    """Sections measured on one machine. Printed with rich or `str` it is a table.

    Attributes:
        machine: What it ran on, in words.
        sections: One a network, size and number of threads.
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
            ValueError: If the file holds something else.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(values["machine"], [Section.from_dict(v) for v in values["sections"]])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} must be the JSON that `keras-fcn benchmark` wrote. It cannot be read: "
                f"{error}."
            ) from error

    def __rich__(self) -> RenderableType:
        machine = "; ".join(f"{name}: {value}" for name, value in self.machine.items())
        parts: list[RenderableType] = [machine, ""]
        for section in self.sections:
            parts += [section, ""]
        notes = (
            f"faster than Keras: than {BASELINE.name}, the bare network, images to scores; than "
            f"PyTorch: than {PEER.name}; medians of the rounds (lowest-highest). of peak: "
            "operations a second, as a share of a matrix product's in the same precision and "
            "round. memory: most that the candidate's own process has held, libraries and loading "
            f"included. equal labels: with {BASELINE.name}'s."
        )
        return Group(*parts, notes)

    def __str__(self) -> str:
        console = Console(width=150, color_system=None)
        with console.capture() as capture:
            console.print(self, highlight=False)
        return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _rounds(values: list[list[float]]) -> Rounds:
    return tuple(tuple(calls) for calls in values)


def _quotients(above: Rounds, below: Rounds) -> Spread:
    """Returns how the medians of two candidates compare, round by round."""
    return Spread.of(
        statistics.median(a) / statistics.median(b) for a, b in zip(above, below, strict=True)
    )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f}" if seconds >= 0.1 else f"{seconds * 1e3:.3g}"


def _ratio(spread: Spread | None) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})" if spread else ""
