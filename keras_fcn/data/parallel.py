"""A map over many files in threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int = 32,
    *,
    num_threads: int | None = None,
) -> Generator[Result, None, None]:
    """Yields `function(item)` of each item, in order, computed in threads.

    Pillow decodes outside Python's global lock, so threads read images in
    parallel. At most `ahead` results wait to be taken, so that a large
    dataset does not fill the memory.

    One may be the items of another: the stages of a pipeline, which run at the same time. The
    items are taken, so that a generator of them runs, in the thread that takes the results. When
    the generator is closed, the calls that run are waited for, and the others do not begin.

    Args:
        function: Called in a thread; what it raises is raised here.
        items: Arguments.
        ahead: Number of calls ahead of the one that is yielded.
        num_threads: Number of threads; by default as many as `ThreadPoolExecutor` takes.

    Example:
        >>> list(parallel_map(abs, [-1, 2, -3]))
        [1, 2, 3]
    """
    with ThreadPoolExecutor(num_threads) as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
