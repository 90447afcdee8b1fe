"""Timing in turns, so that other load on the machine affects all candidates."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """The median and the range of one number per round.

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

    @classmethod
    def of_ratios(cls, above: Iterable[float], below: Iterable[float]) -> "Spread":
        """Returns the spread of quotients that are taken within each round.

        >>> Spread.of_ratios([2.0, 9.0], [1.0, 3.0])
        Spread(median=2.5, low=2.0, high=3.0)
        """
        return cls.of(a / b for a, b in zip(above, below, strict=True))

    def text(self, form: str) -> str:
        """Returns the median, and lowest and highest in brackets.

        >>> Spread(0.5, 0.25, 2.0).text(".2f"), Spread(0.5, 0.25, 2.0).text(".0%")
        ('0.50 (0.25-2.00)', '50% (25%-200%)')
        """
        return f"{self.median:{form}} ({self.low:{form}}-{self.high:{form}})"

    def scaled(self, factor: float) -> "Spread":
        """Returns the spread of the numbers times a factor."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)


def in_turns(
    candidates: Mapping[str, Callable[[], T]], num_rounds: int, *, num_warm_up: int = 1
) -> dict[str, list[T]]:
    """Calls every candidate once per round, and returns their results per round.

    Args:
        candidates: Functions by name.
        num_rounds: Number of rounds whose results are returned.
        num_warm_up: Number of earlier rounds without results: the first call traces graphs,
            starts threads and allocates buffers.
    """
    results: dict[str, list[T]] = {name: [] for name in candidates}
    for number in range(num_warm_up + num_rounds):
        for name, run in candidates.items():
            result = run()
            if number >= num_warm_up:
                results[name].append(result)
    return results


def seconds_of(run: Callable[[], Any]) -> float:
    """Returns how long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def seconds_in_turns(
    candidates: Mapping[str, Callable[[], Any]], num_rounds: int
) -> dict[str, list[float]]:
    """Returns the seconds of every candidate per round; see `in_turns`."""
    timed = {name: _timed(run) for name, run in candidates.items()}
    return in_turns(timed, num_rounds)


def _timed(run: Callable[[], Any]) -> Callable[[], float]:
    return lambda: seconds_of(run)
