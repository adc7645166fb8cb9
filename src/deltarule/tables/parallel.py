"""Work on columns and chunks by several threads: NumPy and pyarrow let others run meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from deltarule.engine.thread_pool import available_cores

__all__ = ["ahead", "together"]

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST = 4
"""Threads; more would wait for memory."""


def together(work: Callable[[Item], Any], items: Iterable[Item], rows: int) -> None:
    """Do independent work on items that have so many rows each; the first error in order counts."""
    threads = min(MOST, available_cores()) if rows >= 2**16 else 1
    if threads == 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work, item) for item in items]:
            future.result()


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results for items in their order, while those for the next ones are made.

    An error comes in its place, also one of the items themselves.
    """
    threads = min(MOST, available_cores())
    waiting: deque[Future[Result]] = deque()
    failed: Exception | None = None
    with ThreadPoolExecutor(threads) as pool:
        rest = iter(items)
        while True:
            while failed is None and len(waiting) <= threads:
                try:
                    waiting.append(pool.submit(work, next(rest)))
                except StopIteration:
                    break
                except Exception as error:
                    failed = error
            if not waiting:
                break
            yield waiting.popleft().result()
    if failed is not None:
        raise failed
