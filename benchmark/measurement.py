"""Measures the candidates in turns, so that other load on the machine affects all of them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .candidates import BASELINE, CANDIDATES, Candidate
from .matmul import OPERATIONS
from .network import Network
from .report import Rounds, Row, Section
from .runtimes import Session, thread_environment
from .worker import TIMEOUT_SECONDS, Worker, WorkerError

# Seconds of one candidate in one round, which is at least one call.
_SECONDS_PER_ROUND = 0.4
_MAX_CALLS = 50
MIN_ROUNDS = 5

Say = Callable[[str], None]
# By name, in the order in which they were started.
Workers = dict[str, Worker]


def benchmark(
    network: Network,
    *,
    num_threads: int,
    candidates: Sequence[Candidate] = CANDIDATES,
    num_rounds: int = MIN_ROUNDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
    say: Say = print,
) -> Section:
    """Measures all candidates on one network, size and number of threads.

    Every candidate runs in a process of its own, which stays open. In each round each of them runs
    for a while, one after the other, and so does a matrix product in each precision. Ratios are
    taken within a round. A candidate that fails, ends or does not return in time is skipped, and
    the report contains the reason.

    Args:
        network: The network, for images of one size; the first image is timed.
        num_threads: Threads of every candidate.
        candidates: The candidates; the baseline is always measured.
        num_rounds: At least 5.
        timeout_seconds: How long one request to a candidate may take.
        say: Called with one line per step.

    Returns:
        The section.

    Raises:
        WorkerError, ExportError: If the baseline does not run.
    """
    if BASELINE not in candidates:
        candidates = (BASELINE, *candidates)
    exported_models, comparison = network.exported_models, network.comparison
    skipped: dict[str, str] = {}
    # All exports first: they take memory that the open candidates will need.
    for candidate in candidates:
        with _skipped_if_it_fails(candidate.name, skipped):
            if candidate.missing:
                raise WorkerError(f"{candidate.missing} is not installed")
            if not exported_models.is_made(candidate.variant):
                say(f"Writing {candidate.variant}")
                exported_models.path(candidate.variant)
    candidates = [candidate for candidate in candidates if candidate.name not in skipped]
    environment = thread_environment(num_threads)
    with ExitStack() as stack:

        def open_worker(name: str, *arguments: Any) -> None:
            with _skipped_if_it_fails(name, skipped):
                worker = stack.enter_context(
                    Worker(
                        Session,
                        *arguments,
                        environment=environment,
                        timeout_seconds=timeout_seconds,
                    )
                )
                worker.call("take", comparison.images[:1])
                workers[name] = worker

        workers: Workers = {}
        for precision in dict.fromkeys(candidate.precision for candidate in candidates):
            name = f"matmul-{precision}"
            open_worker(name, name, Path(), num_threads, "predictions")
        for candidate in candidates:
            say(f"Opening {candidate.name}")
            path = exported_models.path(candidate.variant)
            open_worker(candidate.name, candidate.runtime, path, num_threads, candidate.output)
        rounds = _rounds(workers, num_rounds, skipped, say)
        rows = _rows(candidates, workers, rounds, network, skipped, say)
    return Section(
        model=network.name,
        size=exported_models.size,
        num_threads=num_threads,
        operations=network.operations,
        matmul_operations=OPERATIONS,
        matmul_rounds={
            name.removeprefix("matmul-"): values
            for name, values in rounds.items()
            if name.startswith("matmul-") and name not in skipped
        },
        rows=rows,
        skipped=skipped,
        num_compared=len(comparison.images),
        dataset=comparison.source,
    )


@contextmanager
def _skipped_if_it_fails(name: str, skipped: dict[str, str]) -> Iterator[None]:
    """Notes why a candidate cannot be measured; the baseline must be."""
    try:
        yield
    except Exception as error:  # the type depends on the library
        if name == BASELINE.name:
            raise
        lines = str(error).strip().splitlines()
        skipped[name] = lines[0][:300] if lines else type(error).__name__


def _rounds(
    workers: Workers, num_rounds: int, skipped: dict[str, str], say: Say
) -> dict[str, Rounds]:
    """Returns the seconds of each call, by candidate and round."""
    num_calls: dict[str, int] = {}
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in workers}
    for number in range(num_rounds + 1):
        if number:
            say(f"Round {number} of {num_rounds}")
        for name, worker in workers.items():
            if name in skipped:
                continue
            with _skipped_if_it_fails(name, skipped):
                seconds = worker.call("time", num_calls.get(name, 1))
                if number:
                    rounds[name].append(tuple(seconds))
                else:  # the second run, after everything was built at the first
                    calls = round(_SECONDS_PER_ROUND / seconds[0])
                    num_calls[name] = max(1, min(_MAX_CALLS, calls))
    return {name: tuple(values) for name, values in rounds.items()}


def _rows(
    candidates: Sequence[Candidate],
    workers: Workers,
    rounds: dict[str, Rounds],
    network: Network,
    skipped: dict[str, str],
    say: Say,
) -> tuple[Row, ...]:
    """Compares the predictions of the candidates; returns all results of each of them."""
    comparison = network.comparison
    rows = []
    expected = workers[BASELINE.name].call("predictions", comparison.images)
    for candidate in candidates:
        if candidate.name in skipped:
            continue
        say(f"Comparing {candidate.name} on {len(comparison.images)} images")
        with _skipped_if_it_fails(candidate.name, skipped):
            worker = workers[candidate.name]
            predictions = worker.call("predictions", comparison.images)
            rows.append(
                Row(
                    name=candidate.name,
                    output=candidate.output,
                    precision=candidate.precision,
                    rounds=rounds[candidate.name],
                    peak_bytes=worker.call("peak_bytes"),
                    size_bytes=network.exported_models.size_bytes(candidate.variant),
                    equal_predictions=float(np.mean(predictions == expected)),
                    mean_iou=comparison.mean_iou(predictions),
                )
            )
    return tuple(rows)
