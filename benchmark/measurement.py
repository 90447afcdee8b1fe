"""Runs the candidates in turns, so that whatever slows the machine down slows all of them."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_fcn.confusion_matrix import confusion_matrix_of, scores_from_confusion

from .artifacts import Artifacts, size_on_disk
from .candidates import BASELINE, CANDIDATES, Candidate
from .peak import OPERATIONS, write_int8_product
from .process import Worker, WorkerError
from .report import Row, Section

# A round of one candidate lasts about so long, but is at least one call.
_SECONDS_A_ROUND = 0.4
_MAX_CALLS = 50
MIN_ROUNDS = 5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """Images on which the candidates' labels are compared.

    Attributes:
        images: uint8, shape `(num, height, width, 3)`, all of the section's size.
        labels: uint8, of each image at its own size; None if there are none.
        num_classes: Number of classes.
        ignore_class: Label that does not count.
        source: Where they come from, in words.
    """

    images: np.ndarray[Any, Any]
    labels: Sequence[np.ndarray[Any, Any]] | None
    num_classes: int
    ignore_class: int
    source: str


def benchmark(
    artifacts: Artifacts,
    model_name: str,
    operations: float,
    comparison: Comparison,
    *,
    num_threads: int,
    candidates: Sequence[Candidate] = CANDIDATES,
    num_rounds: int = MIN_ROUNDS,
    say: Say = print,
) -> Section:
    """Measures all candidates on one network, size and number of threads.

    Every candidate runs in a process of its own, which stays open. In each round
    each of them runs for a while, one after the other; a matrix product in each
    precision has its turn, too. Ratios are taken within a round.

    Args:
        artifacts: The files, of one size.
        model_name: For the table.
        operations: Multiplications and additions of the convolutions, of one image.
        comparison: Images; the first is the one that is timed.
        num_threads: Threads of every candidate.
        candidates: What to measure; the baseline is always measured.
        num_rounds: At least 5.
        say: Takes a line for each step.

    Returns:
        The section.

    Raises:
        WorkerError: If the baseline does not run.
    """
    if BASELINE not in candidates:
        candidates = (BASELINE, *candidates)
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images, timed = folder / "images.npy", folder / "timed.npy"
        np.save(images, comparison.images)
        np.save(timed, comparison.images[:1])
        workers: dict[str, Worker] = {}
        # All files first: what makes them takes memory that the open candidates will need.
        for candidate in candidates:
            with _skipped_if_it_fails(candidate, skipped):
                _make_file(candidate, artifacts, say)
        for candidate in candidates:
            if candidate.name not in skipped:
                say(f"Opening {candidate.name}")
                with _skipped_if_it_fails(candidate, skipped):
                    worker = _opened(candidate, artifacts, num_threads, timed)
                    workers[candidate.name] = stack.enter_context(worker)
        measured = [candidate for candidate in candidates if candidate.name in workers]
        peaks = _peak_workers(stack, measured, folder, num_threads, timed)
        rounds = _rounds({**peaks, **workers}, num_rounds, say)
        agreement = _agreement(workers, images, comparison, say)
        rows = tuple(
            Row(
                name=candidate.name,
                answers=candidate.answers,
                precision=candidate.precision,
                rounds=tuple(rounds[candidate.name]),
                peak_bytes=workers[candidate.name].peak_bytes(),
                size_bytes=size_on_disk(artifacts.path(candidate.artifact)),
                equal_labels=agreement[candidate.name][0],
                mean_iou=agreement[candidate.name][1],
            )
            for candidate in measured
        )
    return Section(
        model=model_name,
        size=artifacts.size,
        num_threads=num_threads,
        operations=operations,
        product_operations=OPERATIONS,
        product_rounds={name.removeprefix("peak-"): tuple(rounds[name]) for name in peaks},
        rows=rows,
        skipped=skipped,
        num_compared=len(comparison.images),
        dataset=comparison.source,
    )


@contextmanager
def _skipped_if_it_fails(candidate: Candidate, skipped: dict[str, str]) -> Iterator[None]:
    """Notes why a candidate cannot be measured; only the baseline is needed."""
    try:
        yield
    except Exception as error:  # of as many kinds as there are libraries
        if candidate == BASELINE:
            raise
        lines = str(error).strip().splitlines()
        skipped[candidate.name] = lines[0][:300] if lines else type(error).__name__


def _make_file(candidate: Candidate, artifacts: Artifacts, say: Say) -> None:
    if candidate.missing:
        raise WorkerError(f"{candidate.missing} is not installed")
    if not artifacts.is_made(candidate.artifact):
        say(f"Writing {candidate.artifact}")
        artifacts.path(candidate.artifact)


def _opened(candidate: Candidate, artifacts: Artifacts, num_threads: int, timed: Path) -> Worker:
    path = artifacts.path(candidate.artifact)
    worker = Worker(candidate.runtime, path, num_threads, candidate.signature)
    try:
        worker.take_images(timed)
    except BaseException:
        worker.close()
        raise
    return worker


def _peak_workers(
    stack: ExitStack, measured: list[Candidate], folder: Path, num_threads: int, timed: Path
) -> dict[str, Worker]:
    workers = {}
    for precision in dict.fromkeys(candidate.precision for candidate in measured):
        path = folder / "product.tflite"
        if precision == "int8":
            write_int8_product(path)
        worker = stack.enter_context(Worker(f"peak-{precision}", path, num_threads))
        worker.take_images(timed)
        workers[f"peak-{precision}"] = worker
    return workers


def _rounds(
    workers: Mapping[str, Worker], num_rounds: int, say: Say
) -> dict[str, list[tuple[float, ...]]]:
    """Returns the seconds of each call, by candidate and round."""
    num_calls = {}
    for name, worker in workers.items():  # the second run; what is built at the first is there
        (seconds,) = worker.time(1)
        num_calls[name] = max(1, min(_MAX_CALLS, round(_SECONDS_A_ROUND / seconds)))
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in workers}
    for number in range(num_rounds):
        say(f"Round {number + 1} of {num_rounds}")
        for name, worker in workers.items():
            rounds[name].append(tuple(worker.time(num_calls[name])))
    return rounds


def _agreement(
    workers: Mapping[str, Worker], images: Path, comparison: Comparison, say: Say
) -> dict[str, tuple[float, float | None]]:
    """Returns the share of equal labels and the mean IoU, by candidate."""
    found: dict[str, tuple[float, float | None]] = {}
    expected = None
    for name, worker in workers.items():
        say(f"Comparing {name} on {len(comparison.images)} images")
        answer = images.parent / "answer.npy"
        worker.write_labels(images, answer)
        labels = np.load(answer)
        expected = labels if expected is None else expected
        found[name] = float(np.mean(labels == expected)), _mean_iou(labels, comparison)
    return found


def _mean_iou(predicted: np.ndarray[Any, Any], comparison: Comparison) -> float | None:
    if comparison.labels is None:
        return None
    matrix = sum(
        confusion_matrix_of(
            labels,
            _resized(prediction, labels.shape),
            comparison.num_classes,
            comparison.ignore_class,
        )
        for prediction, labels in zip(predicted, comparison.labels, strict=True)
    )
    return float(scores_from_confusion(matrix).mean_iou)


def _resized(labels: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    from PIL import Image

    height, width = shape
    return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
